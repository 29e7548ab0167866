"""Summarization: a short text that says what a long one says."""

from typing import Any, ClassVar

from lowcost_ft.data.known_names import DOCUMENT_NAMES, SUMMARY_NAMES
from lowcost_ft.tasks.writing.pairs import PairTask

__all__ = ["TASK", "SummarizationTask"]


class SummarizationTask(PairTask):
    """Writes the summary of a text."""

    name: ClassVar[str] = "summarization"
    source_names = DOCUMENT_NAMES
    target_names = SUMMARY_NAMES
    metrics = ("rouge1", "rouge2", "rougeL")
    goal = "summarizes texts"
    sample_text = (
        "Hello, I ordered a lamp and two chairs three weeks ago. The chairs came on Monday, but "
        "the lamp is still missing, and nobody answers my mails. Please send it or pay it back."
    )
    source_title = "document"
    default_template = "Summarize in one sentence:\n{source}"

    @staticmethod
    def sample_rows() -> dict[str, list[dict[str, Any]]]:
        """The embedded sample, by split."""
        from lowcost_ft.data.sample_summaries import sample_summaries

        return sample_summaries()


TASK = SummarizationTask
