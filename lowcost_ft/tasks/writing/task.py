"""The part that all tasks share whose answer is a text: settings, examples and the loss."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Self

from lowcost_ft.config.generation import line_break_problems
from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import IGNORED_LABEL
from lowcost_ft.data.findings import Change
from lowcost_ft.data.rows import Row
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.writing.answers import LIKELIHOOD
from lowcost_ft.tasks.writing.example import WritingExample
from lowcost_ft.tasks.writing.featurizing import WritingTokens
from lowcost_ft.tasks.writing.flags import WritingFlags
from lowcost_ft.tasks.writing.source_and_target import missing_code
from lowcost_ft.tasks.writing.special_tokens import SpecialTokens
from lowcost_ft.tasks.writing.telling import is_encoder_decoder

if TYPE_CHECKING:
    import torch

    from lowcost_ft.tasks.language_head import BeforeHead

__all__ = ["WritingTask"]

_RECORDED = (
    *("prompt_template", "chat_template", "max_target_length", "num_beams", "temperature"),
    *("sample_top_k", "sample_top_p", "length_penalty", "no_repeat_ngram_size"),
    *("generated_validation_rows", "source_language", "target_language"),
)


class WritingTask(WritingTokens):
    """A decoder goes on from a prompt; the loss is that of the target's tokens alone.

    Attributes:
        settings: Its settings as the run has them, with the text of the chat template in place of
            the flag's value: what `run.json` holds under `writing`.
        metrics: Which scores of texts count.
        default_template: What makes the input of a decoder where the user says nothing.
    """

    head: ClassVar[str] = "causal_lm"
    generates = True
    writes = True
    several_truths = True
    tokenizer_options: ClassVar[dict[str, Any]] = {"slow": True}
    predict_flags = WritingFlags
    evaluate_flags = WritingFlags
    problem_type: str | None = None
    default_template: ClassVar[str] = "{source}"
    not_audited: ClassVar[str] = (
        "a written text has no label that could be compared between a text and a changed one"
    )

    def __init__(self, settings: Mapping[str, Any], seed: int = 0) -> None:
        self.labels: list[str] = []
        self.settings = dict(settings)
        self._seed = seed
        self._longest = self._max_length = None
        self._format = None
        self._first = None
        self.encoder_decoder = False
        self.decoder_start = None
        self._model_config = None
        self.metric = self._metric()

    def _metric(self) -> str:
        """What early stopping follows."""
        return self.metrics[0] if self.settings["generated_validation_rows"] else LIKELIHOOD

    @classmethod
    def from_splits(cls, config: RunConfig, splits: Any, *, causal: bool) -> Self:
        """The task of a run that begins.

        Raises:
            UserError: The template holds what the shell should have made a line break.
        """
        if problems := line_break_problems(config.prompt_template or ""):
            raise UserError(problems)
        return cls({name: getattr(config, name) for name in _RECORDED}, config.seed)

    @classmethod
    def from_record(cls, run: Mapping[str, Any]) -> Self:
        """The task of a run that is over."""
        task = cls(run["writing"], int(run.get("seed") or 0))
        task._max_length = (run.get("config") or {}).get("max_length")
        return task

    @classmethod
    def for_planning(cls, labels: list[str]) -> Self:
        """The task of a run whose data are not known."""
        return cls({name: getattr(RunConfig(), name) for name in _RECORDED})

    @classmethod
    def head_of_run(cls, run: Mapping[str, Any]) -> str:
        """See `Task.head_of_run`; an encoder-decoder has its own."""
        return "seq2seq_lm" if is_encoder_decoder(run) else super().head_of_run(run)

    def record(self) -> dict[str, Any]:
        """What it was settled on."""
        return {"writing": self.settings}

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

    @classmethod
    def texts_of(cls, example: WritingExample) -> tuple[str, ...]:
        """What was said, without who said it."""
        return ("\n".join(content for _, content in example.turns),)

    @classmethod
    def every_text_of(cls, example: WritingExample) -> tuple[str, ...]:
        """What was said, and what should be written."""
        texts = [content for _, content in example.turns]
        texts += [] if example.target is None else [example.target]
        return tuple(dict.fromkeys([*texts, *example.references]))

    @classmethod
    def with_text(
        cls, rows: Sequence[Row], place: int, reading: ReadingOptions, *, old: str, new: str
    ) -> Change | None:
        """The text in the columns that hold the old one."""
        values = rows[place].values.items()
        return {n: new for n, v in values if isinstance(v, str) and v.strip() == old} or None

    @staticmethod
    def truth_of(example: WritingExample) -> list[str] | None:
        """What the model should say of an example."""
        return None if example.target is None else [example.target, *example.references]

    def input_notices(self, examples: Sequence[WritingExample]) -> list[str]:
        """Whether texts hold special tokens, or lack the code of a language in front of them."""
        special = SpecialTokens(self._tokenizer)
        told = [special.notice(examples, as_text=not self.encoder_decoder)]
        if self.encoder_decoder:
            texts = (self.fill(example.text) for example in examples)
            told.append(missing_code(self._tokenizer, texts, self.settings["target_language"]))
        return [notice for notice in told if notice]

    # --- The model

    def forward(self, model: torch.nn.Module, inputs: Mapping[str, torch.Tensor]) -> BeforeHead:
        """The states that enter the head, of all tokens that the decoder reads."""
        from lowcost_ft.tasks.language_head import states_before_head

        if not self.encoder_decoder:
            return states_before_head(model, inputs)
        from lowcost_ft.tasks.writing.source_and_target import split

        taken, places = split(inputs)
        found = states_before_head(model, taken)
        found.places = places
        return found

    def real_outputs(self, outputs: BeforeHead, batch: Mapping[str, torch.Tensor]) -> torch.Tensor:
        """The tokens of the decoder; see `Task.real_outputs`."""
        return outputs.aligned(batch["attention_mask"], fill=0).bool()

    def loss(self, outputs: BeforeHead, batch: dict[str, torch.Tensor]) -> torch.Tensor:
        """Summed cross-entropy of the tokens to learn."""
        from lowcost_ft.tasks.vocabulary_loss import vocabulary_loss

        aligned = outputs.aligned(batch["targets"], fill=IGNORED_LABEL)
        states, targets, _ = _learned(outputs, aligned)
        return vocabulary_loss(states, outputs.vocabulary, targets)

    def decode(self, outputs: BeforeHead) -> dict[str, torch.Tensor]:
        """Not used: which tokens are scored is known with the batch alone."""
        raise AssertionError("see decode_batch")

    def decode_batch(
        self, outputs: BeforeHead, batch: Mapping[str, torch.Tensor]
    ) -> dict[str, torch.Tensor]:
        """Of each row the summed loss of its target, without the token that ends it.

        Nor is the token counted that an encoder-decoder's target begins with, whatever it says: the
        code of a language (NLLB), or BART's `<s>`.
        """
        import torch

        from lowcost_ft.tasks.vocabulary_loss import token_losses

        device = outputs["states"].device
        targets = outputs.aligned(batch["targets"].to(device), fill=IGNORED_LABEL)
        states, right, places = _learned(outputs, targets)
        losses = token_losses(states, outputs.vocabulary, right).double()
        scored = torch.ones_like(targets, dtype=torch.bool)
        if not self.encoder_decoder:  # The turns before are learned, and not scored.
            columns = torch.arange(targets.shape[1], device=device)
            scored = columns >= batch["prompt_tokens"].to(device).unsqueeze(1) - 1
        else:
            given = torch.tensor(self.given_token_ids, dtype=torch.long, device=device)
            scored[:, 0] = ~torch.isin(targets[:, 0], given)
        ends = torch.tensor(self.end_token_ids, device=device)
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
