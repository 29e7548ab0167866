"""Prompts for decoders that classify: the text inside a template, and the words of each label.

A decoder answers by the token that follows the prompt. Its scores of the labels' words are the
logits of these tokens, which a head of sequence classification gives whose rows are theirs.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lowcost_ft.config.generation import line_break_problems
from lowcost_ft.data.rows import listed
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.explaining import Place, visible_place
from lowcost_ft.tasks.writing.chat_format import ChatFormat, begins_texts, settle_chat_template

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["Filled", "Prompt", "label_words", "prompted_places", "settle_prompt"]
__all__ += ["template_problems", "unknown_places", "word_tokens"]

_PLACES = re.compile(r"\{(source|text_pair)\}")
_NAMES = re.compile(r"\{[a-z_]+\}")


@dataclass(frozen=True, slots=True)
class Filled:
    """What the model reads of an example.

    Attributes:
        text: The prompt.
        places: Of each text of the example where it begins in the prompt, where it ends, and how
            many of its characters are cut off in front.
        cut: Whether the example's texts lost something.
    """

    text: str
    places: tuple[tuple[int, int, int], ...]
    cut: bool


@dataclass(frozen=True)
class Prompt:
    """What stands around the texts, and what follows for each label.

    Attributes:
        text: All that the model reads, with `{source}` where the text goes, and `{text_pair}`.
        words: What would come next for each label, in their order, with the blank in front.
    """

    text: str
    words: tuple[str, ...]

    def fill(self, *texts: str, skipped: Sequence[int] = (0, 0), cut: bool = False) -> Filled:
        """The prompt with the text, or both texts, in their places."""
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
        """The prompts of examples, each of which fits `max_length` since its texts are cut.

        Raises:
            UserError: The rest of the prompt is as long already; or there are pairs of texts and
                the template has no place for the second, or the other way round.
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
        for number, ids in enumerate(_ids([one.text for one in found], tokenizer)):
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
        """The prompt of too many tokens with less of its texts, of the longer one first."""
        texts, skipped = _texts(example), [0, 0]
        from_start = tokenizer.truncation_side == "left"
        while size > max_length:
            encoded: Any = tokenizer(texts, add_special_tokens=False, return_offsets_mapping=True)
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
            (ids,) = _ids([filled.text], tokenizer)
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
    """Names in braces that stand for nothing in classification."""
    known = {"{source}", "{text_pair}", "{labels}"}
    return sorted({*_NAMES.findall(template)} - known)


def label_words(given: str | None, labels: Sequence[str]) -> list[str]:
    """The words that stand for each label.

    Args:
        given: LABEL=WORDS, separated by commas; or the path of a file with a label, a tab and its
            words on each line. None, or a label that it does not name: the label itself, with
            blanks for `_` and `-`.
        labels: The labels, in order.

    Raises:
        UserError: Every entry that cannot be used.
    """
    words = {label: " ".join(re.split(r"[_\-\s]+", label)).strip() for label in labels}
    if given is None:
        return list(words.values())
    flag, sign, known = "--label-words", "=", ", ".join(map(repr, labels))
    parts = given.split(",")
    if os.path.isfile(given):
        flag, sign = f"--label-words {given}", "\t"
        try:
            parts = Path(given).read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{flag}: cannot be read ({error}); give UTF-8 text") from error
    problems, seen = [], set()
    for number, part in enumerate(parts, 1):
        if not part.strip() and sign == "\t":
            continue
        where = f"{flag}:{number}" if sign == "\t" else flag
        label, found, said = part.partition(sign)
        label, said = label.strip(), " ".join(said.split())
        if not found or not said:
            form = "a label, a tab and its words" if sign == "\t" else "LABEL=WORDS"
            problems.append(f"{where}: {part!r} is not {form}, or an existing file of such lines")
        elif label not in words:
            problems.append(f"{where}: {label!r} is not a label of the data; those: {known}")
        elif label in seen:
            problems.append(f"{where}: {label!r} occurs twice; give each label its words once")
        else:
            words[label] = said
            seen.add(label)
    if problems:
        raise UserError(problems)
    return list(words.values())


def settle_prompt(
    template: str,
    words: Sequence[str],
    tokenizer: PreTrainedTokenizerBase,
    *,
    chat_template: str,
    model_id: str,
) -> Prompt:
    """All that the model reads, of a template and what the tokenizer puts around it.

    Args:
        template: The value of `--prompt-template`. `{labels}` becomes the words of all labels.
        words: The words of each label.
        tokenizer: The model's.
        chat_template: The value of `--chat-template`: with one of the tokenizer or of a file, the
            template is what the user says, and a label what the assistant replies.
        model_id: For messages.

    Raises:
        UserError: The chat template cannot be used.
    """
    text = template.replace("{labels}", ", ".join(words))
    if chat_template == "plain" or (chat_template == "auto" and not tokenizer.chat_template):
        if begins_texts(tokenizer):
            text = f"{tokenizer.bos_token}{text}"
        # Where words are written apart, a label follows after a blank.
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
    # Tokenizers join a blank with the word behind it, which is no part of the prompt then.
    before = text.rstrip(" ")
    return Prompt(before, tuple(text[len(before) :] + word for word in words))


def word_tokens(
    prompt: Prompt, labels: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> list[list[int]]:
    """The tokens of each label's words, as they follow the prompt.

    Raises:
        UserError: The tokenizer joins them with the prompt or does not know them, or two labels
            would be told by the same tokens.
    """
    start = prompt.fill("a", "a").text
    before, *behind = _ids([start, *(start + word for word in prompt.words)], tokenizer)
    problems: list[str] = []
    # A row of the head is the mean of its tokens, whatever their order.
    owners: dict[tuple[tuple[int, float], ...], str] = {}
    tokens = [ids[len(before) :] for ids in behind]
    for label, word, whole, own in zip(labels, prompt.words, behind, tokens, strict=True):
        word = word.strip()
        if whole[: len(before)] != before:
            problems.append(
                f"--prompt-template: the tokenizer joins its end with {word!r}; end it with a "
                "colon or a line break"
            )
        elif not word or not own or tokenizer.unk_token_id in own:
            problems.append(
                f"--label-words: the tokenizer does not know {word!r}, the words of the label "
                f"{label!r}; give it others"
            )
        elif (other := owners.setdefault(_shares(own), label)) != label:
            problems.append(
                f"--label-words: the labels {listed([other, label])} have the same words, "
                f"{word!r}, whatever their order; give one of them others"
            )
    if problems:
        raise UserError(problems)
    return tokens


def _shares(tokens: Sequence[int]) -> tuple[tuple[int, float], ...]:
    """Which part of a mean over tokens each of them has."""
    return tuple(sorted((one, count / len(tokens)) for one, count in Counter(tokens).items()))


def prompted_places(filled: Filled, tokenizer: PreTrainedTokenizerBase) -> list[Place | None]:
    """The characters of an example's texts that each token of its prompt stands for."""
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


def _ids(texts: Sequence[str], tokenizer: PreTrainedTokenizerBase) -> list[list[int]]:
    if not texts:
        return []
    encoded: Any = tokenizer(list(texts), add_special_tokens=False, return_attention_mask=False)
    found: list[list[int]] = encoded["input_ids"]
    return found
