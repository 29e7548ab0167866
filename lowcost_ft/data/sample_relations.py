"""The embedded sample of relations: messages to the shop whose entities are related, or are not.

Names and typing mistakes are those of the other samples: see `sample.py`.
"""

from random import Random
from typing import Any

from lowcost_ft.data.sample import entity_pieces, is_new, joined, noisy, pick, split_phrases
from lowcost_ft.data.sample_text import relation_sentences

__all__ = ["sample_relations"]

_ROWS = {"train": 240, "validation": 60, "test": 100}
_SEED = 20242


def sample_relations() -> dict[str, list[dict[str, Any]]]:
    """The sample of relations, by split.

    Returns:
        Rows ``{"text": str, "entities": [{"id", "start", "end", "label"}], "relations":
        [{"head", "tail", "label"}]}``; offsets count characters, the end is exclusive, and head
        and tail are ids of entities.
    """
    rng = Random(_SEED)
    seen: set[str] = set()
    rows_by_split: dict[str, list[dict[str, Any]]] = {}
    for split, count in _ROWS.items():
        rows: list[dict[str, Any]] = []
        while len(rows) < count:
            row = _message(rng, split)
            if is_new(row["text"], seen):
                rows.append(row)
        rows_by_split[split] = rows
    return rows_by_split


def _message(rng: Random, split: str) -> dict[str, Any]:
    """One or two sentences, and the relations within each."""
    pieces: list[tuple[str, str | None]] = []
    relations: list[dict[str, Any]] = []
    entities = 0
    for _ in range(1 if rng.random() < 0.85 else 2):
        template, related = pick(rng, split_phrases(rng, split, relation_sentences.SENTENCES))
        sentence = entity_pieces(rng, split, template)
        for relation in filter(None, related.split("; ")):
            label, head, tail = relation.split()
            relations.append(
                {"head": entities + int(head), "tail": entities + int(tail), "label": label}
            )
        entities += sum(label is not None for _, label in sentence)
        pieces += [(" ", None), *sentence] if pieces else sentence
    row = joined(noisy(rng, pieces))
    for number, entity in enumerate(row["entities"]):
        entity["id"] = number
    return row | {"relations": relations}
