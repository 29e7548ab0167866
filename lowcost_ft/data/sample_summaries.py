"""The embedded sample of summaries: customers' messages, each with the line that a clerk notes."""

from random import Random
from typing import Any

from lowcost_ft.data.sample import pick
from lowcost_ft.data.sample_text.requests import (
    CLOSINGS,
    FILLERS,
    GREETINGS,
    ISSUES,
    PRODUCTS,
    WISHES,
)

__all__ = ["sample_summaries"]

_ROWS = {"train": 160, "validation": 30, "test": 50}
_SEED = 20244


def sample_summaries() -> dict[str, list[dict[str, Any]]]:
    """The sample by split: rows with `id`, `source` (the message) and `target` (the summary).

    Every product, issue and wish occurs in training, but the splits share no combination of the
    three, and validation and test also say things in words that training never shows.
    """
    rng = Random(_SEED)
    combinations = [
        (product, issue, wish) for product in PRODUCTS for issue in ISSUES for wish in WISHES
    ]
    combinations.sort(key=lambda _: rng.random())
    rows: dict[str, list[dict[str, Any]]] = {}
    for split, count in _ROWS.items():
        taken, combinations = combinations[:count], combinations[count:]
        rows[split] = [
            {"id": f"{split}-{number}"} | _message(rng, split != "train", *combination)
            for number, combination in enumerate(taken, 1)
        ]
    return rows


def _message(rng: Random, held_out: bool, product: str, issue: str, wish: str) -> dict[str, str]:
    def form(forms: tuple[str, ...]) -> str:
        return pick(rng, forms if held_out else forms[:-1])

    fillers = sorted(FILLERS, key=lambda _: rng.random())[: 2 + int(rng.random() * 2)]
    before = int(rng.random() * 2)
    parts = [pick(rng, GREETINGS), *fillers[:before], form(ISSUES[issue]), *fillers[before:]]
    parts += [form(WISHES[wish]), pick(rng, CLOSINGS)]
    order = str(10000 + int(rng.random() * 90000))
    thing = {"thing": product, "Thing": product.capitalize(), "order": order}
    return {
        "source": " ".join(parts).format(**thing),
        "target": f"{issue}, {wish}.".format(**thing),
    }
