"""Tasks whose row is a text and another one: translation and summarization."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import partial
from typing import Any, ClassVar, Self

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.language_codes import language_name
from lowcost_ft.data.pair_faults import fault_notices, pair_faults
from lowcost_ft.data.rows import Row
from lowcost_ft.data.text_pairs import read_pairs
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.base import Predictions
from lowcost_ft.tasks.writing.example import WritingExample
from lowcost_ft.tasks.writing.reading import pair_examples
from lowcost_ft.tasks.writing.source_and_target import prefix_of
from lowcost_ft.tasks.writing.task import WritingTask

__all__ = ["PairTask"]


class PairTask(WritingTask):
    """Writes one text for another.

    Attributes:
        source_names: Names that the column of the text to read usually has.
        target_names: The same of the text to write.
        source_title: What `predictions.jsonl` calls the text that is read.
    """

    source_names: ClassVar[tuple[str, ...]]
    target_names: ClassVar[tuple[str, ...]]
    source_title: ClassVar[str] = "source"

    @classmethod
    def read(
        cls,
        rows: Sequence[Row],
        reading: ReadingOptions,
        *,
        problems: list[str],
        notices: list[str],
        labelled: bool = True,
    ) -> list[WritingExample]:
        """Reads one split's rows, and tells of pairs that look wrong."""
        pairs = read_pairs(
            rows,
            source_names=cls.source_names,
            target_names=cls.target_names,
            source_column=reading.source_column,
            target_column=reading.target_column,
            references_column=reading.references_column,
            source_language=reading.source_language,
            target_language=reading.target_language,
            joins_sources=not cls.translates,
            labelled=labelled,
            problems=problems,
            notices=notices,
        )
        if labelled and pairs:
            faults = pair_faults(
                pairs,
                source_language=reading.source_language,
                target_language=reading.target_language,
                translated=cls.translates,
            )
            notices += fault_notices(pairs, faults)
        return pair_examples(pairs)

    @classmethod
    def from_splits(cls, config: RunConfig, splits: Any, *, causal: bool) -> Self:
        """The task of a run that begins.

        Raises:
            UserError: The template holds what cannot be filled in.
        """
        if problems := _template_problems(config):
            raise UserError(problems)
        return super().from_splits(config, splits, causal=causal)

    @classmethod
    def sample_reading(cls, reading: ReadingOptions) -> ReadingOptions:
        """How the embedded sample is read: its columns are named alike for both tasks."""
        return replace(reading, source_column="source", target_column="target")

    @staticmethod
    def read_texts(texts: Sequence[str], pairs: Sequence[str] | None) -> list[WritingExample]:
        """Unlabelled examples of texts.

        Raises:
            UserError: There are second texts.
        """
        if pairs is not None:
            raise UserError("--text-pair is for pairs of texts: this task reads one text")
        return [
            WritingExample(turns=(("user", text.strip()),), target=None, source="text")
            for text in texts
        ]

    @staticmethod
    def lost_when_cut(end: str) -> str:
        """What a text loses, at whichever end the tokenizer would cut it."""
        return "their end"

    def take_model(self, config: Any, *, model_id: str) -> None:
        """Settles the template that makes the input.

        Raises:
            UserError: The model writes no texts.
        """
        super().take_model(config, model_id=model_id)
        given = self.settings["prompt_template"]
        if given is None and self.encoder_decoder:
            codes = [self.settings.get(f"{side}_language") or "" for side in ("source", "target")]
            names = [language_name(code) or code for code in codes]
            given = prefix_of(config, self.name, *names) + "{source}"
        elif given is None:
            given = self.usual_template(self.settings)
        self.settings["prompt_template"] = given

    @classmethod
    def usual_template(cls, settings: Mapping[str, Any]) -> str:
        """What the template is where the user gives none."""
        return cls.default_template

    @classmethod
    def prompt_text(cls, settings: Mapping[str, Any], text: str) -> str:
        """What the model reads for a row's text."""
        filled = settings.get("prompt_template") or cls.usual_template(settings)
        for name in ("source_language", "target_language"):
            # Not by `format`: a template may hold other braces.
            code = settings.get(name) or ""
            filled = filled.replace("{" + name + "}", language_name(code) or code)
        before, _, after = filled.partition("{source}")
        return f"{before}{text}{after}"

    @property
    def fill(self) -> Any:
        """Makes the text of the turn of the row's."""
        return partial(self.prompt_text, self.settings)

    def present(
        self, examples: Sequence[WritingExample], predictions: Predictions
    ) -> list[dict[str, Any]]:
        """The text that was read and what was written, of each example."""
        return [
            {"id": example.row_id, self.source_title: example.text, "written": text}
            for example, text in zip(examples, self.texts(predictions), strict=True)
        ]

    @staticmethod
    def truth_row(example: WritingExample) -> dict[str, Any]:
        """What would have been right."""
        if example.target is None:
            return {}
        return {"true_text": example.target, "true_texts": list(example.references)}

    def answer(
        self, examples: Sequence[WritingExample], predictions: Predictions
    ) -> list[dict[str, Any]]:
        """The same, without the `id` that is told beside it."""
        return [
            {name: value for name, value in row.items() if name != "id"}
            for row in self.present(examples, predictions)
        ]

    def blank_answer(self, example: WritingExample) -> dict[str, Any]:
        """Nothing was written for nothing."""
        return {self.source_title: example.text, "written": ""}


def _template_problems(config: RunConfig) -> list[str]:
    """What is wrong with a `--prompt-template`; a text of another kind in braces stays as it is."""
    template = config.prompt_template
    if template is None:
        return []
    problems = []
    if template.count("{source}") != 1:
        problems.append(
            "--prompt-template must say once where the text goes: write {source} in its place"
        )
    for side in ("source", "target"):
        if f"{{{side}_language}}" in template and not getattr(config, f"{side}_language"):
            problems.append(
                f"--prompt-template names {{{side}_language}}, which is not known: give "
                f"--{side}-language, or take it out"
            )
    return problems
