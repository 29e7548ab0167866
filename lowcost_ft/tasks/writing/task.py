"""The part that all tasks share whose answer is a text: tokens, loss, what was written, scores."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

import numpy as np

from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import IGNORED_LABEL, Array, Features, flatten
from lowcost_ft.data.rows import Row
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.base import ENCODED_AT_ONCE
from lowcost_ft.tasks.writing.answers import LIKELIHOOD, WritingAnswers
from lowcost_ft.tasks.writing.chat_format import ChatFormat, settle_chat_template
from lowcost_ft.tasks.writing.encoding import CUTS, Encoded, Encoding
from lowcost_ft.tasks.writing.example import WritingExample
from lowcost_ft.tasks.writing.flags import WritingFlags

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

    from lowcost_ft.tasks.language_head import BeforeHead

__all__ = ["WritingTask"]

_RECORDED = (
    *("prompt_template", "chat_template", "max_target_length", "num_beams", "temperature"),
    *("sample_top_k", "sample_top_p", "length_penalty", "no_repeat_ngram_size"),
    *("generated_validation_rows", "source_language", "target_language"),
)


_LEAST_ROOM = 8
"""Tokens that must be left for the input."""


class WritingTask(WritingAnswers):
    """A decoder goes on from a prompt; the loss is that of the target's tokens alone.

    Attributes:
        settings: Its settings as the run has them, with the text of the chat template in place of
            the flag's value: what `run.json` holds under `writing`.
        metrics: Which scores of texts count.
        keeps_newest: Whether a long input loses its oldest turns, not its end.
        default_template: What makes the input of a decoder where the user says nothing.
    """

    head: ClassVar[str] = "causal_lm"
    generates = True
    writes = True
    predict_flags = WritingFlags
    evaluate_flags = WritingFlags
    schema: ClassVar[dict[str, Array]] = {
        # Of each token the one that should follow, where that is learned.
        "targets": Array("token", fill=IGNORED_LABEL),
        # Tokens before the target that is scored; `(rows,)`.
        "prompt_tokens": Array("row"),
        # How many examples were cut in which way, in the order of `CUTS`.
        "cuts": Array("split"),
    }
    problem_type: str | None = None
    metrics: ClassVar[tuple[str, ...]]
    keeps_newest: ClassVar[bool] = False
    default_template: ClassVar[str] = "{source}"

    def __init__(self, settings: Mapping[str, Any], seed: int = 0) -> None:
        self.labels: list[str] = []
        self.settings = dict(settings)
        self._seed = seed
        self._longest = None
        self._format: ChatFormat | None = None
        self.metric = self._metric()

    def _metric(self) -> str:
        """What early stopping follows."""
        return self.metrics[0] if self.settings["generated_validation_rows"] else LIKELIHOOD

    @classmethod
    def from_splits(cls, config: RunConfig, splits: Any, *, causal: bool) -> Self:
        """The task of a run that begins.

        Raises:
            UserError: The target leaves no room for the input.
        """
        if causal and config.max_target_length > config.max_length - _LEAST_ROOM:
            raise UserError(
                f"--max-target-length {config.max_target_length} leaves no room for the input: a "
                f"decoder holds both in --max-length {config.max_length} tokens; raise that, or "
                "lower the first"
            )
        return cls({name: getattr(config, name) for name in _RECORDED}, config.seed)

    @classmethod
    def from_record(cls, run: Mapping[str, Any]) -> Self:
        """The task of a run that is over."""
        return cls(run["writing"], int(run.get("seed") or 0))

    @classmethod
    def for_planning(cls, labels: list[str]) -> Self:
        """The task of a run whose data are not known."""
        return cls({name: getattr(RunConfig(), name) for name in _RECORDED})

    def record(self) -> dict[str, Any]:
        """What it was settled on."""
        return {"writing": self.settings}

    def take_tokenizer(self, tokenizer: PreTrainedTokenizerBase, *, model_id: str) -> None:
        """Settles the chat template, and puts it into the tokenizer, with which it is saved."""
        wanted = self.settings["chat_template"]
        if "{" not in wanted:  # Else it is the text already.
            wanted = settle_chat_template(
                wanted, tokenizer, dialogue=self.keeps_newest, model_id=model_id
            )
        self.settings["chat_template"] = wanted
        tokenizer.chat_template = wanted
        self._format = ChatFormat(wanted, tokenizer)
        self.settings["end_token_ids"] = list(self._format.end_token_ids)

    @property
    def format(self) -> ChatFormat:
        """The chat template with the tokenizer."""
        assert self._format is not None, "take_tokenizer comes first"
        return self._format

    # --- Examples

    @staticmethod
    def blank(row: Row) -> WritingExample:
        """The example of a blank line."""
        return WritingExample(turns=(("user", ""),), target=None, source=row.source)

    @staticmethod
    def is_blank(example: WritingExample) -> bool:
        """Whether nothing is said to the model."""
        return not example.text.strip()

    @staticmethod
    def input_of(example: WritingExample) -> tuple[tuple[str, str], ...]:
        """What the model sees of an example."""
        return example.turns

    @staticmethod
    def truth_of(example: WritingExample) -> list[str] | None:
        """What the model should say of an example."""
        return None if example.target is None else [example.target, *example.references]

    # --- Tokens

    def encoding(self, tokenizer: PreTrainedTokenizerBase, max_length: int) -> Encoding:
        """How examples become tokens."""
        return Encoding(
            tokenizer=tokenizer,
            format=self.format,
            fill=self.fill,
            max_length=max_length,
            max_target_length=self.settings["max_target_length"],
            keeps_newest=self.keeps_newest,
        )

    @property
    @abstractmethod
    def fill(self) -> Any:
        """Makes the text of the last turn of the row's; None: as it is."""

    def featurize(
        self,
        examples: Sequence[WritingExample],
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
    ) -> Features:
        """Tokenizes prompts and targets, one row an example."""
        encoding = self.encoding(tokenizer, max_length)
        rows: list[Encoded] = []
        for start in range(0, len(examples), ENCODED_AT_ONCE):
            rows += encoding.encode(examples[start : start + ENCODED_AT_ONCE])
        input_ids, starts = flatten([row.ids for row in rows])
        targets = flatten([row.targets for row in rows])[0]
        learned = [sum(t != IGNORED_LABEL for t in row.targets) for row in rows]
        return Features(
            input_ids=input_ids,
            starts=starts,
            examples=np.arange(len(rows), dtype=np.int64),
            num_examples=len(rows),
            weights=np.array(learned, np.float64),
            arrays={
                "targets": targets,
                "prompt_tokens": np.array([row.prompt_tokens for row in rows], np.int64),
                "cuts": np.array([sum(c in row.cuts for row in rows) for c in CUTS], np.int64),
            },
            schema=self.schema,
            truncated=sum(bool(row.cuts) for row in rows),
        )

    @staticmethod
    def blank_arrays(rows: int, tokens: int) -> dict[str, np.ndarray]:
        """Arrays for rows whose content does not matter: every token is learned."""
        return {
            "targets": np.zeros(tokens, np.int32),
            "prompt_tokens": np.ones(rows, np.int64),
            "cuts": np.zeros(len(CUTS), np.int64),
        }

    def cut_notice(
        self, split: str, examples: int, features: Features, *, max_length: int, end: str
    ) -> str:
        """What was cut of how many examples."""
        inputs, targets, turns = (int(count) for count in features["cuts"])
        limit = f"--max-length {max_length}"
        kept = self.settings["max_target_length"]
        lost = "beginning" if self.keeps_newest else "end"
        said = [
            f"{inputs:,} inputs lose their {lost} ({limit} less {kept} for the target)",
            f"{targets:,} targets lose their end (--max-target-length {kept})",
            f"{turns:,} dialogues lose their oldest turns ({limit} less {kept} for the reply)",
        ]
        counts = (inputs, targets, turns)
        parts = [text for text, count in zip(said, counts, strict=True) if count]
        return f"{split}: of {examples:,} examples, {'; '.join(parts)}"

    # --- The model

    def forward(self, model: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> BeforeHead:
        """The states that enter the head, of all tokens."""
        from lowcost_ft.tasks.language_head import states_before_head

        return states_before_head(model, inputs)

    def loss(self, outputs: BeforeHead, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Summed cross-entropy of the tokens to learn."""
        from lowcost_ft.tasks.vocabulary_loss import vocabulary_loss

        states, targets, _ = _learned(outputs, batch["targets"])
        return vocabulary_loss(states, outputs.vocabulary, targets)

    def decode(self, outputs: BeforeHead) -> dict[str, torch.Tensor]:
        """Not used: which tokens are scored is known with the batch alone."""
        raise AssertionError("see decode_batch")

    def decode_batch(
        self, outputs: BeforeHead, batch: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Of each row the summed loss of its target, without the token that ends it.

        Also `learned`, the loss of all tokens that are learned, and how many tokens each is of.
        """
        import torch

        from lowcost_ft.tasks.vocabulary_loss import token_losses

        device = outputs["states"].device
        targets = batch["targets"].to(device)
        states, right, places = _learned(outputs, targets)
        losses = token_losses(states, outputs.vocabulary, right).double()
        columns = torch.arange(targets.shape[1], device=device)
        scored = columns >= batch["prompt_tokens"].to(device).unsqueeze(1) - 1
        ends = torch.tensor(self.format.end_token_ids, device=device)
        scored &= ~torch.isin(targets, ends) & (targets != IGNORED_LABEL)
        spread = torch.zeros(targets.numel(), dtype=torch.float64, device=device)
        spread[places] = losses
        spread = spread.view_as(targets)
        return {
            "target_loss": (spread * scored).sum(1),
            "target_tokens": scored.sum(1),
        }


def _learned(
    outputs: BeforeHead, targets: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """States and targets of the tokens to learn, `(tokens, ...)`, and their places in the batch."""
    flat = targets.flatten()
    # Found among the targets, whose values are known where a plan knows shapes alone.
    places = (flat != IGNORED_LABEL).nonzero().squeeze(1)
    return outputs["states"].flatten(0, 1)[places], flat[places], places
