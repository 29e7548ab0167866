"""Whether a trained model meets other words than those that it was trained on."""

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any

from lowcost_ft.config.reading import WORD_SPLITTINGS, WordSplitting
from lowcost_ft.data.rows import shown
from lowcost_ft.tasks.ner.examples import NerExample
from lowcost_ft.tasks.ner.word_pieces import cut_words
from lowcost_ft.tasks.ner.word_splitting import WORD_SPLITTING

__all__ = ["recorded_rule", "word_notice"]

_SHOWN = 3


def recorded_rule(run: Mapping[str, Any]) -> WordSplitting:
    """The rule that cuts words for a run: the one that it was trained with.

    Runs that name none are older than the second rule. A rule that this version does not know comes
    from a newer one; the newest one here takes its place, and `word_notice` says so.
    """
    rule: WordSplitting = run.get("word_splitting") or "unicode-v1"
    return rule if rule in WORD_SPLITTINGS else WORD_SPLITTING


def word_notice(run: Mapping[str, Any], examples: Sequence[NerExample]) -> str | None:
    """Says that a run is used on words that are cut otherwise than in its training.

    Runs of today see every word cut by one rule. A run that was saved before took the words of its
    files as they were, and its record does not say whether those were words or texts.

    Args:
        run: The content of `run.json`.
        examples: What it is used on.

    Returns:
        The notice, or None where the words are cut alike, or cannot differ.
    """
    rule = recorded_rule(run)
    if (given := run.get("word_splitting") or rule) != rule:
        return (
            f"the run was trained on words cut by the rule {shown(given)}, which this version of "
            f"lowcost_ft does not know; it cuts words by {shown(rule)}, so that predictions may be "
            f"worse: use the version that trained it, or train again"
        )
    config = run["config"]
    if run.get("file_words") == "split" or not (config.get("dataset") or config.get("train_file")):
        return None  # All is cut by the rule; so is the embedded sample.
    if any(example.offsets is not None for example in examples):
        return (
            "the run was saved before lowcost_ft cut the words of files as it cuts texts: if it "
            "was trained on words such as 5,453.87 or U.S., it finds fewer entities in texts, "
            "where these are several words; train again"
        )
    longer = [
        word
        for example in examples
        for word in example.words
        if len(cut_words((word,), rule).texts) > 1
    ]
    if not longer:
        return None
    first = ", ".join(islice(dict.fromkeys(map(shown, longer)), _SHOWN))
    return (
        f"{len(longer):,} of the words are several words in a text ({first}), and the run was "
        f"saved before lowcost_ft cut the words of files as it cuts texts: if it was trained on "
        f"texts, it finds fewer entities here; train again"
    )
