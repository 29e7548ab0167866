"""The words that stand for labels, in a prompt or as texts: which they are, and their tokens."""

from __future__ import annotations

import os
import re
import unicodedata
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from lowcost_ft.data.rows import listed
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.classification.prompts import Prompt, token_ids

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


__all__ = ["NO_WORDS", "label_words", "named_words", "telling_words", "word_tokens"]

NO_WORDS = "none"
"""What `--label-words` is where labels are no texts."""


def label_words(given: str | None, labels: Sequence[str]) -> list[str]:
    """The words that stand for each label.

    Args:
        given: LABEL=WORDS, separated by commas; or the path of a file with a label, a tab and its
            words on each line. None, or a label that it does not name: the label itself, with
            blanks for `_` and `-`.
        labels: The labels, in order.

    Raises:
        UserError: Entries cannot be used, all of which it names.
    """
    words = {label: " ".join(re.split(r"[_\-\s]+", label)).strip() for label in labels}
    return list((words | ({} if given is None else named_words(given, labels))).values())


def named_words(given: str, labels: Sequence[str]) -> dict[str, str]:
    """The words of the labels that `--label-words` names.

    Raises:
        UserError: As `label_words` says.
    """
    flag, sign, known = "--label-words", "=", ", ".join(map(repr, labels))
    parts = given.split(",")
    if os.path.isfile(given):
        flag, sign = f"--label-words {given}", "\t"
        try:
            parts = Path(given).read_text("utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"{flag}: cannot be read ({error}); give UTF-8 text") from error
    problems: list[str] = []
    words: dict[str, str] = {}
    for number, part in enumerate(parts, 1):
        if not part.strip() and sign == "\t":
            continue
        where = f"{flag}:{number}" if sign == "\t" else flag
        label, found, said = part.partition(sign)
        label, said = label.strip(), " ".join(said.split())
        if not found or not said:
            form = "a label, a tab and its words" if sign == "\t" else "LABEL=WORDS"
            problems.append(f"{where}: {part!r} is not {form}, or an existing file of such lines")
        elif label not in labels:
            problems.append(f"{where}: {label!r} is not a label of the data; those: {known}")
        elif label in words:
            problems.append(f"{where}: {label!r} occurs twice; give each label its words once")
        else:
            words[label] = said
    if problems:
        raise UserError(problems)
    return words


def telling_words(given: str | None, labels: Sequence[str]) -> dict[str, str]:
    """The words of all labels, if all of them say something; else those of the named ones.

    "card arrival" says something, and so does a Chinese character; "3" and "F" do not, nor do
    names that differ by a number alone ("class 1" and "class 2").

    Args:
        given: As in `label_words`; a label that it names says something. "none": no label does.
        labels: The labels, in order.

    Raises:
        UserError: As `label_words` says.
    """
    if given == NO_WORDS:
        return {}
    named = {} if given is None else named_words(given, labels)
    letters = {
        label: "".join(filter(_is_letter, words))
        for label, words in zip(labels, label_words(None, labels), strict=True)
    }
    alike = len(labels) > 1 and len(set(letters.values())) == 1
    silent = {label for label, own in letters.items() if alike or (own.isascii() and len(own) < 2)}
    if silent - set(named):
        return named
    return dict(zip(labels, label_words(given, labels), strict=True))


def _is_letter(character: str) -> bool:
    """Whether it is a letter, or the sign of a vowel, of any script."""
    return unicodedata.category(character)[0] in "LM"


def word_tokens(
    prompt: Prompt, labels: Sequence[str], tokenizer: PreTrainedTokenizerBase
) -> list[list[int]]:
    """The tokens of each label's words, as they follow the prompt: a list for each label.

    Raises:
        UserError: The tokenizer joins words with the prompt or does not know them, or two labels
            have the same tokens.
    """
    start = prompt.fill("a", "a").text
    before, *behind = token_ids([start, *(start + word for word in prompt.words)], tokenizer)
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
    """The share of each token in the mean over them, by which equal means are found."""
    return tuple(sorted((one, count / len(tokens)) for one, count in Counter(tokens).items()))
