"""Sources and targets as tokens, for encoder-decoders.

A row holds both, the source first, so that batches are cut by all tokens that they hold. Where the
source ends is told to `split`, which takes a micro-batch apart again.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from lowcost_ft.data.features import IGNORED_LABEL, Features
from lowcost_ft.data.language_codes import same_language
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.writing.encoding import Encoded, Fill
from lowcost_ft.tasks.writing.example import WritingExample

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedTokenizerBase

__all__ = ["SourceAndTarget", "has_padding", "keep_blanks", "missing_code", "prefix_of"]
__all__ += ["settle_languages", "split", "target_code"]

_MARK = "\ue000"
"""Stands for the text in a template."""


@dataclass(frozen=True)
class SourceAndTarget:
    """How the examples of one run become tokens, for an encoder-decoder.

    Attributes:
        tokenizer: The model's, with its languages set.
        fill: Puts a row's text into the template of the input.
        start: The token that the decoder begins with.
        max_length: Most tokens of a source.
        max_target_length: Most tokens of a target, its end included.
    """

    tokenizer: PreTrainedTokenizerBase
    fill: Fill
    start: int
    max_length: int
    max_target_length: int

    def encode(self, examples: Sequence[WritingExample]) -> list[Encoded]:
        """Tokens of some examples.

        Raises:
            UserError: The template alone is too long.
        """
        if not examples:
            return []
        texts = [self.fill(example.text) for example in examples]
        sources = self._ids(texts)
        whole = [len(ids) for ids in sources]
        long = [place for place, size in enumerate(whole) if size > self.max_length]
        if long:
            blank = self._ids([self.fill("")])[0]
            if len(blank) >= self.max_length:
                raise UserError(
                    f"--max-length {self.max_length} leaves no room for the text beside the "
                    f"{len(blank)} tokens of --prompt-template; raise the first, or shorten the "
                    "second"
                )
            if self.fill(_MARK).partition(_MARK)[2].strip():
                cut = [self._without_end(examples[place].text, blank) for place in long]
            else:  # By the tokenizer, which keeps the tokens that end a source.
                options = {"truncation": True, "max_length": self.max_length}
                cut = self._ids([texts[place] for place in long], **options)
            for place, ids in zip(long, cut, strict=True):
                sources[place] = ids
        wanted = [example.target for example in examples]
        found: Any = self.tokenizer(text_target=[t or "-" for t in wanted], verbose=False)
        targets = [self._ended(ids) for ids in found["input_ids"]]
        rows = []
        for source, size, target, text in zip(sources, whole, targets, wanted, strict=True):
            cuts = {"inputs"} if size > len(source) else set()
            labels = [] if text is None else target[: self.max_target_length]
            if text is not None and len(target) > len(labels):
                cuts.add("targets")
            rows.append(
                Encoded(
                    ids=[*source, *([self.start, *labels[:-1]] if labels else [])],
                    targets=[*[IGNORED_LABEL] * len(source), *labels],
                    prompt_tokens=len(source),
                    cuts=frozenset(cuts),
                )
            )
        return rows

    def _without_end(self, text: str, found: list[int]) -> list[int]:
        """Tokens of a source whose text lacks its end, so that the template's end has room.

        Args:
            text: The row's text, which is too long.
            found: Tokens of the template without a text.
        """
        fits, too_many, step = 0, len(text), 1
        end = self._likely_end(text)
        while too_many - fits > 1:
            if end is None or (fits and too_many < len(text)):
                end = (fits + too_many) // 2
            end = min(max(end, fits + 1), too_many - 1)
            ids = self._ids([self.fill(text[:end].rstrip())])[0]
            if len(ids) <= self.max_length:
                fits, found = end, ids
            else:
                too_many, step = end, -abs(step)
            # Away from the first place by steps that grow, until it is known on which side.
            end = end + step if self.tokenizer.is_fast else None
            step *= 2
        return found

    def _likely_end(self, text: str) -> int | None:
        """Where the first token of a text stands that has no room; None where that is not known."""
        if not self.tokenizer.is_fast:
            return None
        start = self.fill(_MARK).index(_MARK)
        found: Any = self.tokenizer(self.fill(text), return_offsets_mapping=True, verbose=False)
        spans = found["offset_mapping"]
        behind = start + len(text)
        last = max(n for n, (first, end) in enumerate(spans) if first < min(end, behind))
        place: int = spans[max(self.max_length - (len(spans) - 1 - last), 0)][0] - start
        while 0 <= place < len(text) and text[place].isspace():
            place += 1
        return place

    def _ids(self, texts: list[str], **options: Any) -> list[list[int]]:
        found: Any = self.tokenizer(texts, verbose=False, **options)  # Of long texts we tell.
        return [list(ids) for ids in found["input_ids"]]

    def _ended(self, ids: Sequence[int]) -> list[int]:
        """A target up to the token that ends it: mBART puts the language behind that."""
        end = self.tokenizer.eos_token_id
        places = [place for place, token in enumerate(ids) if token == end]
        return list(ids[: places[-1] + 1]) if places else [*ids, int(end or 0)]


def keep_blanks(tokenizer: PreTrainedTokenizerBase) -> None:
    """Makes a tokenizer return the blanks that a text has, where it can.

    Many published ones take out each blank before "?", "!" or ",". That helps where a tokenizer has
    lost the blanks of the text, and harms French where it has not.
    """
    ids = tokenizer("a?", add_special_tokens=False)["input_ids"]
    if tokenizer.decode(ids, clean_up_tokenization_spaces=False) == "a?":
        tokenizer.clean_up_tokenization_spaces = False


def settle_languages(
    tokenizer: PreTrainedTokenizerBase, settings: Mapping[str, Any], model_id: str
) -> list[str]:
    """Sets the languages of a tokenizer that has codes for them.

    Returns:
        The codes of source and target; empty where the tokenizer has none.

    Raises:
        UserError: They are missing, or are not codes of this model.
    """
    options: Any = tokenizer
    if not hasattr(tokenizer, "src_lang"):
        return []
    problems = []
    # M2M100 calls a language "fr", and its token "__fr__".
    known = set(getattr(tokenizer, "lang_code_to_token", ()))
    known = known or set(tokenizer.all_special_tokens) | set(tokenizer.get_added_vocab())
    for side, name in (("source", "src_lang"), ("target", "tgt_lang")):
        wanted = settings[f"{side}_language"]
        if wanted in known:
            setattr(options, name, wanted)
            continue
        like = sorted(code for code in known if wanted and same_language(code, wanted))
        told = f"is not a language of {model_id!r}" if wanted else f"is needed by {model_id!r}"
        fix = f"give {' or '.join(like[:3])}" if like else "give a code such as fra_Latn or fr_XX"
        problems.append(f"--{side}-language {wanted or ''}".rstrip() + f" {told}: {fix}")
    if problems:
        raise UserError(problems)
    return [settings["source_language"], settings["target_language"]]


def target_code(tokenizer: PreTrainedTokenizerBase) -> tuple[int | None, int | None]:
    """Where the code of the target's language stands, for a tokenizer whose languages are set.

    Returns:
        The code if it is the first token to write (NLLB, M2M100, mBART-50), else None; and the code
        if the decoder is given it in place of a token that is the same for all languages, else
        None: the first mBART puts it behind a text, whose last token its decoder begins with.
    """
    options: Any = tokenizer
    code = getattr(tokenizer, "lang_code_to_token", {}).get(options.tgt_lang, options.tgt_lang)
    number = int(options.convert_tokens_to_ids(code))
    ids = options(text_target="a")["input_ids"]
    return (number if ids[0] == number else None), (number if ids[-1] == number else None)


def missing_code(
    tokenizer: PreTrainedTokenizerBase, texts: Iterable[str], target_language: str | None
) -> str | None:
    """A message where a Marian of several languages is not told which one to write.

    Args:
        tokenizer: The model's, which knows codes such as >>fra<< where there are several.
        texts: What the encoder reads.
        target_language: Code of the language to write, for the message.
    """
    codes = sorted(getattr(tokenizer, "supported_language_codes", None) or ())
    if not codes or any(text.startswith(tuple(codes)) for text in texts):
        return None
    names = {code.strip("<>"): code for code in codes}
    alike = [names[n] for n in names if target_language and same_language(n, target_language)]
    code = (alike or codes)[0]
    return (
        f"the tokenizer has codes of languages to write ({len(codes):,}), and no text begins with "
        "the code of one, as it would in the pretraining of a model that writes several; if "
        f"yours does, add --prompt-template '{code} {{source}}' with the code of your language"
    )


def prefix_of(config: Any, task: str, source: str, target: str) -> str:
    """What a model was told in front of each text when it was pretrained; often nothing.

    Args:
        config: The model's configuration, whose `task_specific_params` say it (T5).
        task: "translation" or "summarization".
        source: English name of the language of the source.
        target: English name of the language of the target.
    """
    known: Any = getattr(config, "task_specific_params", None) or {}
    prefixes = {name: (values or {}).get("prefix") for name, values in known.items()}
    if prefixes.get(task):
        return str(prefixes[task])
    if source and target and any(name.startswith(f"{task}_") for name in prefixes):
        return f"translate {source} to {target}: "
    return ""


def split(
    inputs: Mapping[str, torch.Tensor],
) -> tuple[dict[str, torch.Tensor], tuple[torch.Tensor, torch.Tensor]]:
    """Takes the rows of a micro-batch apart.

    Args:
        inputs: `input_ids` and `attention_mask` of whole rows, `(batch, sequence)`, and
            `prompt_tokens`, `(batch,)`.

    Returns:
        What an encoder-decoder takes; and for each token of the decoder its place in the row and
        whether there is one, `(batch, target tokens)` each.
    """
    import torch

    ids, mask, sources = (inputs[n] for n in ("input_ids", "attention_mask", "prompt_tokens"))
    lengths = mask.sum(1)
    columns = torch.arange(ids.shape[1], device=ids.device)
    width = int(sources.max())
    target_width = max(int((lengths - sources).max()), 1)
    places = sources.unsqueeze(1) + columns[:target_width]
    present = places < lengths.unsqueeze(1)
    places = places.clamp(max=ids.shape[1] - 1)
    taken = {
        # What stands behind a source is hidden from the encoder; the decoder looks back alone.
        "input_ids": ids[:, :width],
        "attention_mask": (columns[:width] < sources.unsqueeze(1)).long(),
        "decoder_input_ids": ids.gather(1, places),
    }
    return taken, (places, present)


def has_padding(features: Features, rows: np.ndarray) -> bool:
    """Whether sources or targets of these rows differ in length."""
    sources = features["prompt_tokens"][rows]
    targets = features.lengths[rows] - sources
    return bool((sources != sources[0]).any() or (targets != targets[0]).any())
