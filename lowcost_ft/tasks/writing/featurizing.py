"""From examples to tokens, for decoders and encoder-decoders, and what is told of cuts."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import IGNORED_LABEL, Array, Features, flatten
from lowcost_ft.data.rows import counted
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.base import ENCODED_AT_ONCE
from lowcost_ft.tasks.writing.answers import WritingAnswers
from lowcost_ft.tasks.writing.chat_format import ChatFormat, settle_chat_template
from lowcost_ft.tasks.writing.decoders import check_decoder
from lowcost_ft.tasks.writing.encoding import CUTS, Encoded, Encoding
from lowcost_ft.tasks.writing.example import WritingExample
from lowcost_ft.tasks.writing.source_and_target import (
    SourceAndTarget,
    has_padding,
    keep_blanks,
    settle_languages,
    target_code,
)

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["WritingTokens"]

_LEAST_ROOM = 8
"""Tokens that a decoder's target must leave for the input."""


class WritingTokens(WritingAnswers):
    """The part of the tasks that makes tokens.

    Attributes:
        keeps_newest: Whether a long input loses its oldest turns, not its end.
        encoder_decoder: Whether the model is one; else a decoder.
    """

    schema = {  # noqa: RUF012 - an encoder-decoder has its own
        # Of each token the one that should follow, where that is learned.
        "targets": Array("token", fill=IGNORED_LABEL),
        # Tokens before the target that is scored; `(rows,)`.
        "prompt_tokens": Array("row"),
        # How many examples were cut in which way, in the order of `CUTS`.
        "cuts": Array("split"),
    }
    keeps_newest: ClassVar[bool] = False
    encoder_decoder: bool
    _format: ChatFormat | None
    _model_config: Any
    _max_length: int | None

    def take_model(self, config: Any, *, model_id: str) -> None:
        """Takes whether the model is an encoder-decoder.

        Raises:
            UserError: It is an encoder alone, or cannot hold a dialogue.
        """
        self.encoder_decoder = bool(getattr(config, "is_encoder_decoder", False))
        self.settings["encoder_decoder"] = self.encoder_decoder
        self._model_config = config
        if not self.encoder_decoder:
            check_decoder(config, model_id)
            return
        if self.keeps_newest:
            raise UserError(
                f"model_id: {model_id!r} is an encoder-decoder, and dialogues are learned with "
                "decoders alone, which read what was said and go on; choose one, such as SmolLM2"
            )
        self.schema = self.schema | {"prompt_tokens": Array("row", to_model=True)}  # type: ignore[misc]

    def check_written_length(
        self, longest: int | None, *, model_id: str, config: RunConfig | None = None
    ) -> None:
        """See `TextWriting.check_written_length`.

        A decoder's row, which begins with the prompt, has `--max-length` tokens; its positions
        matter where a run that is over shall write longer texts than it was trained for.

        Raises:
            UserError: `--max-target-length` is too large.
        """
        wanted, prompt = self._longest or self.settings["max_target_length"], 0
        if config is not None:
            wanted = config.max_target_length
            if not self.encoder_decoder and wanted > config.max_length - _LEAST_ROOM:
                raise UserError(
                    f"--max-target-length {wanted} leaves no room for the input: a decoder holds "
                    f"both in --max-length {config.max_length} tokens; raise that, or lower the "
                    "first"
                )
        if not self.encoder_decoder:
            if self._longest is None or self._max_length is None:
                return
            prompt = self._max_length - self.settings["max_target_length"]
        if longest is not None and wanted > longest - prompt:
            behind = f" behind a prompt of {prompt:,}" if prompt else ""
            raise UserError(
                f"--max-target-length {wanted} is more than the {longest - prompt:,} tokens that "
                f"{model_id!r} has positions for{behind}; lower it"
            )

    def take_tokenizer(self, tokenizer: PreTrainedTokenizerBase, *, model_id: str) -> None:
        """Settles the chat template, and puts it into the tokenizer, with which it is saved."""
        self._tokenizer = tokenizer
        keep_blanks(tokenizer)
        if self.encoder_decoder:
            # Whatever a published folder says: a source loses its end.
            tokenizer.truncation_side = "right"
            self._take_languages(tokenizer, model_id)
            return
        if not tokenizer.is_fast:
            raise UserError(
                f"model_id: the tokenizer of {model_id!r} is not a fast one (it has no "
                "tokenizer.json), so long texts could not be cut; choose another model"
            )
        wanted = settle_chat_template(
            self.settings["chat_template"], tokenizer, dialogue=self.keeps_newest, model_id=model_id
        )
        self.settings["chat_template"] = wanted
        tokenizer.chat_template = wanted
        self._format = ChatFormat(wanted, tokenizer)
        self.settings["end_token_ids"] = list(self._format.end_token_ids)

    def _take_languages(self, tokenizer: PreTrainedTokenizerBase, model_id: str) -> None:
        """What an encoder-decoder needs of its tokenizer.

        Raises:
            UserError: It lacks something, or a setting is for decoders.
        """
        if self.settings["chat_template"] != "auto":
            raise UserError(
                "--chat-template is for decoders: an encoder-decoder reads the text alone; leave "
                "it out (--prompt-template changes what stands around the text)"
            )
        codes = settle_languages(tokenizer, self.settings, model_id)
        self._first, self.decoder_start = target_code(tokenizer) if codes else (None, None)
        if self.decoder_start is None:
            # Not that of the settings of writing, which a folder may have changed or lost.
            self.decoder_start = getattr(self._model_config, "decoder_start_token_id", None)
        if self.decoder_start is None or tokenizer.eos_token_id is None:
            raise UserError(
                f"model_id: {model_id!r} does not say which token begins and ends what it writes; "
                "set decoder_start_token_id in its config.json and eos_token of its tokenizer"
            )
        self.settings |= {"tokenizer_languages": codes, "first_token_id": self._first}
        self.settings |= {"start_token_id": self.decoder_start}
        self.settings["end_token_ids"] = [int(tokenizer.eos_token_id)]

    @property
    def end_token_ids(self) -> tuple[int, ...]:
        """Tokens any of which ends a text."""
        return tuple(self.settings["end_token_ids"])

    @property
    def given_token_ids(self) -> list[int]:
        """Tokens that an encoder-decoder's target may begin with before it says anything."""
        given = (self._first, self._tokenizer.bos_token_id)
        return [int(token) for token in given if token is not None]

    @property
    def format(self) -> ChatFormat:
        """The chat template with the tokenizer."""
        assert self._format is not None, "take_tokenizer comes first"
        return self._format

    def has_padding(self, features: Features, rows: np.ndarray) -> bool:
        """Whether a micro-batch of these rows holds padding."""
        if not self.encoder_decoder:
            return super().has_padding(features, rows)
        return has_padding(features, rows)

    def encoding(
        self, tokenizer: PreTrainedTokenizerBase, max_length: int
    ) -> Encoding | SourceAndTarget:
        """How examples become tokens."""
        if self.encoder_decoder:
            assert self.decoder_start is not None, "take_tokenizer comes first"
            return SourceAndTarget(
                tokenizer=tokenizer,
                fill=self.fill,
                start=self.decoder_start,
                max_length=max_length,
                max_target_length=self.settings["max_target_length"],
            )
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
            # Half of a row is the source of an encoder-decoder.
            "prompt_tokens": np.full(rows, max(tokens // max(2 * rows, 1), 1), np.int64),
            "cuts": np.zeros(len(CUTS), np.int64),
        }

    def longest_row(self, config: RunConfig) -> int:
        """An encoder-decoder has its target behind `--max-length` tokens of the source."""
        return config.max_length + (config.max_target_length if self.encoder_decoder else 0)

    def longest_arrays(self, lengths: np.ndarray, config: RunConfig) -> dict[str, np.ndarray]:
        """As `blank_arrays`, with the longest targets; of dialogues all is learned."""
        arrays = self.blank_arrays(len(lengths), int(lengths.sum()))
        prompts = np.maximum(lengths - config.max_target_length, 1)
        if self.encoder_decoder:
            arrays["prompt_tokens"] = prompts
        elif not self.keeps_newest:
            learned = [
                np.arange(length) >= prompt - 1
                for length, prompt in zip(lengths, prompts, strict=True)
            ]
            arrays["targets"][~np.concatenate(learned)] = IGNORED_LABEL
        return arrays

    def cut_notice(
        self, split: str, examples: int, features: Features, *, max_length: int, end: str
    ) -> str:
        """What was cut of how many examples."""
        told = self._cuts_told(features, f"--max-length {max_length}")
        return f"{split}: of {counted(examples, 'example')}, {told}"

    def cut_in_use(self, examples: int, features: Features, *, limit: str, end: str) -> str:
        """See `Telling.cut_in_use`."""
        return f"of {counted(examples, 'example')}, {self._cuts_told(features, limit)}"

    def _cuts_told(self, features: Features, limit: str) -> str:
        """How many inputs, targets and turns were cut, in words."""
        kept = self.settings["max_target_length"]
        if not self.encoder_decoder:  # An encoder's texts have the whole length.
            limit += f" less {kept} for the {'reply' if self.keeps_newest else 'target'}"
        end = "beginning" if self.keeps_newest else "end"
        target = ("target loses its end", "targets lose their end")
        if self.keeps_newest:
            whose = "replies whose end is not learned"
            target = (f"dialogue has {whose}", f"dialogues have {whose}")
        said = [
            (f"input loses its {end}", f"inputs lose their {end}", limit),
            (*target, f"--max-target-length {kept}"),
            ("dialogue loses its oldest turns", "dialogues lose their oldest turns", limit),
        ]
        counts = [int(count) for count in features["cuts"]]
        return "; ".join(
            f"{count:,} {one if count == 1 else many} ({why})"
            for count, (one, many, why) in zip(counts, said, strict=True)
            if count
        )
