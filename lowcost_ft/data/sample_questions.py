"""The embedded sample of questions: pages of the shop's manuals, and what customers ask about them.

As the other samples, it is the same in every Python version, since `random.Random(seed).random()`
alone is drawn from.
"""

import re
from collections.abc import Sequence
from random import Random
from typing import Any, TypeVar

from lowcost_ft.data.sample_text.manuals import FACTS, FILLERS, PRODUCTS

__all__ = ["sample_questions"]

T = TypeVar("T")

_SEED = 20242
_FACTS_ON_A_PAGE = 6
_UNANSWERED_ON_A_PAGE = 1
_DIGITS = re.compile(r"\{(d+)\}")
_CODES = {"train": "TR", "validation": "VA", "test": "TE"}


def sample_questions() -> dict[str, list[dict[str, Any]]]:
    """The sample by split: rows with `id`, `title`, `context`, `question` and `answers`.

    A page states six facts; five of the questions about it have an answer there, and one asks for
    a fact that another page states.
    """
    rng = Random(_SEED)
    return {
        split: [
            row | {"id": f"{_CODES[split]}{number:02}-{question}"}
            for number, product in enumerate(products)
            for question, row in enumerate(_page(rng, product, held_out=split != "train"))
        ]
        for split, products in PRODUCTS.items()
    }


def _page(rng: Random, product: str, *, held_out: bool) -> list[dict[str, Any]]:
    names = _shuffled(rng, list(FACTS))
    stated, missing = names[:_FACTS_ON_A_PAGE], names[_FACTS_ON_A_PAGE:]
    sentences = [_shuffled(rng, FILLERS)[0].format(thing=product)]
    answers: dict[str, dict[str, Any]] = {}
    for name in stated:
        forms, _, values = FACTS[name]
        answer = _DIGITS.sub(lambda match: _number(rng, len(match[1])), _pick(rng, values))
        before, _, after = (
            _form(rng, forms, held_out).replace("{thing}", product).partition("{answer}")
        )
        start = sum(len(sentence) + 1 for sentence in sentences) + len(before)
        answers[name] = {"text": [answer], "answer_start": [start]}
        sentences.append(before + answer + after)
    sentences.append(_shuffled(rng, FILLERS[2:])[0].format(thing=product))
    context = " ".join(sentences)
    asked = [(name, answers[name]) for name in stated[:-1]]
    nothing: dict[str, Any] = {"text": [], "answer_start": []}
    asked += [(name, nothing) for name in missing[:_UNANSWERED_ON_A_PAGE]]
    return [
        {
            "title": product,
            "context": context,
            "question": _form(rng, FACTS[name][1], held_out).format(thing=product),
            "answers": found,
        }
        for name, found in _shuffled(rng, asked)
    ]


def _form(rng: Random, forms: Sequence[str], held_out: bool) -> str:
    """A sentence or a question: the last is one that training never shows."""
    return _pick(rng, forms if held_out else forms[:-1])


def _number(rng: Random, digits: int) -> str:
    low = 10 ** (digits - 1) + 1
    return str(low + int(rng.random() * (10**digits - low)))


def _pick(rng: Random, items: Sequence[T]) -> T:
    return items[int(rng.random() * len(items))]


def _shuffled(rng: Random, items: Sequence[T]) -> list[T]:
    return sorted(items, key=lambda _: rng.random())
