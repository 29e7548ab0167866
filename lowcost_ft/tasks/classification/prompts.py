"""Prompts for decoders that classify: templates, filled with texts.

A decoder answers with the token that follows the prompt. The score of a label is the logit of its
words' tokens. A head of sequence classification gives it, if its rows begin as theirs.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from lowcost_ft.config.generation import line_break_problems
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.explaining import Place, visible_place
from lowcost_ft.tasks.writing.chat_format import ChatFormat, begins_texts, settle_chat_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Filled", "Prompt", "prompted_places", "settle_prompt", "template_problems"]
__all__ += ["token_ids", "unknown_places"]

_PLACES = re.compile(r"\{(source|text_pair)\}")
_NAMES = re.compile(r"\{[a-z_]+\}")


@dataclass(frozen=True, slots=True)
class Filled:
    """The prompt of an example.

    Attributes:
        text: The prompt.
        places: For each text of the example, where it begins and ends in the prompt, and how many
            of its first characters are cut off.
        cut: Whether the example's texts were cut.
    """

    text: str
    places: tuple[tuple[int, int, int], ...]
    cut: bool


@dataclass(frozen=True)
class Prompt:
    """The prompt around texts, and the words that follow it for each label.

    Attributes:
        text: Everything that the model reads, with `{source}` and perhaps `{text_pair}` in the
            places of the texts.
        words: The words of each label, in order, with the blank in front.
    """

    text: str
    words: tuple[str, ...]

    def fill(self, *texts: str, skipped: Sequence[int] = (0, 0), cut: bool = False) -> Filled:
        """Puts the text, or both texts, into the prompt."""
        parts, places, length = [], [(0, 0, 0)] * len(texts), 0
        for number, part in enumerate(_PLACES.split(self.text)):
            if number % 2:
                which = int(part == "text_pair")
                part = texts[which]
                places[which] = (length, length + len(part), skipped[which])
            parts.append(part)
            length += len(part)
        return Filled("".join(parts), tuple(places), cut)

    def fill_all(
        self,
        examples: Sequence[TextExample],
        tokenizer: PreTrainedTokenizerBase,
        *,
        max_length: int,
    ) -> list[Filled]:
        """Makes the prompts of examples, and cuts texts so that each fits `max_length` tokens.

        Raises:
            UserError: The prompt without the text is too long already; or the examples are pairs
                and the template has no place for the second text, or the reverse.
        """
        paired = "{text_pair}" in self.text
        for example in examples:
            if (example.text_pair is not None) != paired:
                told = "one text, and --prompt-template has {text_pair}: leave it out"
                if not paired:
                    told = "a pair of texts, and --prompt-template has no place for the second: add"
                    told += " {text_pair}"
                raise UserError(f"{example.source}: is {told}")
        found = [self.fill(*_texts(example)) for example in examples]
        for number, ids in enumerate(token_ids([one.text for one in found], tokenizer)):
            if len(ids) > max_length:
                found[number] = self._cut(
                    examples[number], tokenizer, size=len(ids), max_length=max_length
                )
        return found

    def _cut(
        self,
        example: TextExample,
        tokenizer: PreTrainedTokenizerBase,
        *,
        size: int,
        max_length: int,
    ) -> Filled:
        """Cuts the texts of a prompt with too many tokens, the longer text first."""
        texts, skipped = _texts(example), [0, 0]
        from_start = tokenizer.truncation_side == "left"
        while size > max_length:
            encoded: Any = tokenizer(
                texts, add_special_tokens=False, return_offsets_mapping=True, verbose=False
            )
            offsets = encoded["offset_mapping"]
            which = max(range(len(texts)), key=lambda number: len(offsets[number]))
            spans = offsets[which]
            other = max((len(s) for n, s in enumerate(offsets) if n != which), default=0)
            over = min(size - max_length, max(len(spans) - other, (size - max_length + 1) // 2))
            if over >= len(spans):
                raise UserError(
                    f"{example.source}: --max-length {max_length} leaves no room for the text "
                    "beside its prompt; raise it, or shorten --prompt-template"
                )
            if from_start:
                start = max(spans[over][0], 1)
                skipped[which] += start
                texts[which] = texts[which][start:]
            else:
                end = min(spans[len(spans) - over][0], len(texts[which]) - 1)
                texts[which] = texts[which][:end].rstrip()
            filled = self.fill(*texts, skipped=skipped, cut=True)
            (ids,) = token_ids([filled.text], tokenizer)
            size = len(ids)
        return filled


def template_problems(template: str) -> list[str]:
    """What is wrong with the value of `--prompt-template` for classification."""
    places = _PLACES.findall(template)
    problems = line_break_problems(template)
    if places.count("source") != 1 or places.count("text_pair") > 1:
        problems.append(
            "--prompt-template must say once where the text goes: write {source} in its place, and "
            "{text_pair} in that of the second text of a pair"
        )
    return problems


def unknown_places(template: str) -> list[str]:
    """Names in braces that classification does not replace."""
    known = {"{source}", "{text_pair}", "{labels}"}
    return sorted({*_NAMES.findall(template)} - known)


def settle_prompt(
    template: str,
    words: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    *,
    chat_template: str,
    model_id: str,
) -> Prompt:
    """Makes the prompt from a template and what the tokenizer puts around it.

    Args:
        template: The value of `--prompt-template`. `{labels}` becomes the words of all labels.
        words: The words of each label.
        tokenizer: The tokenizer of the model.
        chat_template: The value of `--chat-template`. With one of the tokenizer or of a file, the
            template is the user's turn, and the label's words are the assistant's.
        model_id: What messages call the model.

    Raises:
        UserError: The chat template cannot be used.
    """
    text = template.replace("{labels}", ", ".join(words))
    if chat_template == "plain" or (chat_template == "auto" and not tokenizer.chat_template):
        if begins_texts(tokenizer):
            text = f"{tokenizer.bos_token}{text}"
        # In scripts that separate words, the label follows after a blank.
        wide = unicodedata.east_asian_width(text[-1]) in "WF"
        text += "" if text[-1].isspace() or wide else " "
    else:
        chosen = settle_chat_template(chat_template, tokenizer, dialogue=False, model_id=model_id)
        try:
            text = ChatFormat(chosen, tokenizer).contexts([("user", text)])[-1]
        except ValueError as error:
            raise UserError(f"--chat-template: refuses the prompt [{error}]") from error
        if _PLACES.findall(text) != _PLACES.findall(template):
            raise UserError("--chat-template: changes {source}, so that no text can be put there")
    # Tokenizers join a blank with the word after it, so the blank belongs to the label's words.
    before = text.rstrip(" ")
    return Prompt(before, tuple(text[len(before) :] + word for word in words))


def prompted_places(filled: Filled, tokenizer: PreTrainedTokenizerBase) -> list[Place | None]:
    """The characters of an example's texts for each token of its prompt; None for others."""
    encoded: Any = tokenizer(filled.text, add_special_tokens=False, return_offsets_mapping=True)
    places: list[Place | None] = []
    for start, end in encoded["offset_mapping"]:
        place = None
        for number, (first, last, skipped) in enumerate(filled.places):
            seen = visible_place(filled.text, number, max(start, first), min(end, last))
            if seen is not None:
                place = (number, seen[1] - first + skipped, seen[2] - first + skipped)
        places.append(place)
    return places


def _texts(example: TextExample) -> list[str]:
    return [example.text] if example.text_pair is None else [example.text, example.text_pair]


def token_ids(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    """The tokens of each text, without special ones."""
    if not texts:
        return []
    # Not verbose: transformers would warn of texts that are cut afterwards.
    encoded: Any = tokenizer(
        list(texts), add_special_tokens=False, return_attention_mask=False, verbose=False
    )
    found: list[list[int]] = encoded["input_ids"]
    return found
