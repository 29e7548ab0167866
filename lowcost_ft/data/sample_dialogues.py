"""The embedded sample of dialogues: a shop's assistant talks with customers."""

from random import Random
from typing import Any

from lowcost_ft.data.sample import pick
from lowcost_ft.data.sample_text.conversations import GOODBYES, NAMES, SYSTEM, TOPICS
from lowcost_ft.data.sample_text.requests import PRODUCTS

__all__ = ["sample_dialogues"]

_ROWS = {"train": 80, "validation": 12, "test": 20}
_SEED = 20245


def sample_dialogues() -> dict[str, list[dict[str, Any]]]:
    """The sample by split: rows with `id` and `messages`, whose roles are system, user, assistant.

    The last turn is the assistant's. Which product comes up with which topic differs from split to
    split, and customers of validation and test ask in words that training never shows, too.
    """
    rng = Random(_SEED)
    combinations = [(topic, product) for topic in range(len(TOPICS)) for product in PRODUCTS]
    combinations.sort(key=lambda _: rng.random())
    rows: dict[str, list[dict[str, Any]]] = {}
    for split, count in _ROWS.items():
        taken, combinations = combinations[:count], combinations[count:]
        rows[split] = [
            {"id": f"{split}-{number}", "messages": _dialogue(rng, split != "train", *combination)}
            for number, combination in enumerate(taken, 1)
        ]
    return rows


def _dialogue(rng: Random, held_out: bool, topic: int, product: str) -> list[dict[str, str]]:
    asked, question, answer = TOPICS[topic]
    order, name = str(10000 + int(rng.random() * 90000)), pick(rng, NAMES)
    turns = [
        ("user", pick(rng, asked if held_out else asked[:-1])),
        ("assistant", question),
        ("user", pick(rng, ("It is {order}. My name is {name}.", "{order}, {name} here."))),
        ("assistant", answer),
    ]
    if rng.random() < 0.4:
        thanks, goodbye = pick(rng, GOODBYES)
        turns += [("user", thanks), ("assistant", goodbye)]
    words = {"thing": product, "order": order, "name": name}
    messages = [{"role": "system", "content": SYSTEM}]
    return messages + [{"role": role, "content": text.format(**words)} for role, text in turns]
