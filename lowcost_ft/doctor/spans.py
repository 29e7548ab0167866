"""Entities that disagree with one another: labelled here and not there, or with two types."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from typing import Any

from lowcost_ft.data.findings import Finding, FoundRow
from lowcost_ft.data.rows import shown
from lowcost_ft.doctor.checked_data import CheckedData

__all__ = ["check_spans"]

_FEWEST = 3
"""Times that a string is labelled before a place where it is not means something."""

_NEARLY_ALWAYS = 0.8
_SHORTEST = 3
_LONGEST_WORDS = 8


def check_spans(data: CheckedData) -> list[Finding]:
    """Strings that are entities in most places and not in some, or with another type."""
    if not data.train.examples or data.kind.spans_of(data.train.examples[0]) is None:
        return []
    types: dict[tuple[str, ...], Counter[str]] = defaultdict(Counter)
    for example in data.train.examples:
        words = _words(data, example)
        for start, end, label in data.kind.spans_of(example) or ():
            types[tuple(words[start:end])][label] += 1
    mistyped, missed = [], []
    lengths = sorted({len(words) for words in types if len(words) <= _LONGEST_WORDS}, reverse=True)
    found_outside: dict[tuple[str, ...], list[tuple[int, int, Any]]] = defaultdict(list)
    for number, (example, place) in enumerate(
        zip(data.train.examples, data.train.places, strict=True)
    ):
        words = _words(data, example)
        spans = data.kind.spans_of(example) or []
        for start, end, label in spans:
            counts = types[tuple(words[start:end])]
            best, most = counts.most_common(1)[0]
            total = sum(counts.values())
            if label != best and most >= _FEWEST and most >= _NEARLY_ALWAYS * total:
                mistyped.append(
                    FoundRow(
                        place=place,
                        score=round(most / total, 4),
                        suggested=data.kind.entity_of(example, (start, end, best)),
                        edits=[((start, end, label), (start, end, best))],
                        told=f"{shown(' '.join(words[start:end]))} is {label} here, and {best} "
                        f"{most} times",
                    )
                )
        taken = {i for start, end, _ in spans for i in range(start, end)}
        for start, end in _places(words, types, lengths, taken):
            found_outside[tuple(words[start:end])].append((number, start, end))
    for words_of, places in found_outside.items():
        inside = sum(types[words_of].values())
        if (
            inside < _FEWEST
            or inside < _NEARLY_ALWAYS * (inside + len(places))
            or len("".join(words_of)) < _SHORTEST
        ):
            continue
        best = types[words_of].most_common(1)[0][0]
        for number, start, end in places:
            missed.append(
                FoundRow(
                    place=data.train.places[number],
                    score=round(inside / (inside + len(places)), 4),
                    suggested=data.kind.entity_of(data.train.examples[number], (start, end, best)),
                    edits=[(None, (start, end, best))],
                    told=f"{shown(' '.join(words_of))} is not labelled here, and {best} in "
                    f"{types[words_of][best]} places",
                )
            )
    findings = []
    for kind, rows, what in (
        ("odd_type", mistyped, "with an entity of a type that nearly always has another"),
        ("unlabelled_twin", missed, "without a label on a string that is one nearly everywhere"),
    ):
        if rows:
            rows.sort(key=lambda row: (-row.score, row.place))
            findings.append(
                Finding(
                    kind=kind,
                    severity="moderate",
                    title=f"{len(rows):,} {'entity' if len(rows) == 1 else 'entities'} "
                    f"of train {what}",
                    why="a model is taught both, and scored as wrong on one of them",
                    rows=rows,
                    on_request=True,
                )
            )
    return findings


def _words(data: CheckedData, example: Any) -> list[str]:
    return [word.casefold() for word in data.kind.words_of(example)]


def _places(
    words: Sequence[str],
    known: dict[tuple[str, ...], Counter[str]],
    lengths: Sequence[int],
    taken: set[int],
) -> list[tuple[int, int]]:
    """Where known strings stand outside of entities, the longest first."""
    found = []
    used = set(taken)
    for length in lengths:
        for start in range(len(words) - length + 1):
            span = range(start, start + length)
            if tuple(words[start : start + length]) in known and used.isdisjoint(span):
                found.append((start, start + length))
                used.update(span)
    return found
