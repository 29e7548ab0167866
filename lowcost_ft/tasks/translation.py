"""Translation: a text in one language becomes one in another."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any, ClassVar

from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.known_names import SOURCE_NAMES, TARGET_NAMES
from lowcost_ft.tasks.writing.pairs import PairTask

__all__ = ["TASK", "TranslationTask"]


class TranslationTask(PairTask):
    """Writes the translation of a text."""

    name: ClassVar[str] = "translation"
    source_names = SOURCE_NAMES
    target_names = TARGET_NAMES
    translates = True
    metrics = ("chrf", "bleu")
    goal = "translates texts"
    sample_text = "Where is my parcel?"

    @classmethod
    def from_splits(cls, config: RunConfig, splits: Any, *, causal: bool) -> "TranslationTask":
        """The task of a run that begins; the languages of the embedded sample are known."""
        named = config.train_file or config.dataset
        if named is None and splits.train[0].source.startswith("sample/"):
            config = replace(
                config,
                source_language=config.source_language or "en",
                target_language=config.target_language or "fr",
            )
        return super().from_splits(config, splits, causal=causal)

    @classmethod
    def usual_template(cls, settings: Mapping[str, Any]) -> str:
        """An instruction that names the languages which are known."""
        known = [settings.get(f"{side}_language") for side in ("source", "target")]
        parts = ["Translate"]
        if known[0]:
            parts.append("from {source_language}")
        if known[1]:
            parts.append("to {target_language}")
        return " ".join(parts) + ":\n{source}"

    @staticmethod
    def sample_rows() -> dict[str, list[dict[str, Any]]]:
        """The embedded sample, by split."""
        from lowcost_ft.data.sample_translations import sample_translations

        return sample_translations()


TASK = TranslationTask
