"""Names of classes and types that are meant to be one: other case, blanks, or a typing error."""

import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Mapping
from difflib import SequenceMatcher
from typing import Any

from lowcost_ft.data.findings import Finding, FoundRow
from lowcost_ft.data.known_labels import without_looks
from lowcost_ft.data.rows import counted, shown
from lowcost_ft.doctor.checked_data import CheckedData

__all__ = ["check_label_names", "names_meant"]

_RARE = 0.1
"""A name that looks like a typing error stands in at most this share of the rows of the other."""

_SHORTEST = 5
"""Letters of the shortest name that may be a typing error: "cat" and "car" are not."""

_BETWEEN_WORDS = re.compile(r"(?<=\w)_+(?=[^\W_])")
_BETWEEN_LETTERS = re.compile(r"(?<=[^\W\d_])-+(?=[^\W\d_])")
"""An underscore may join any two words, and a hyphen two that begin and end with letters."""


def check_label_names(data: CheckedData) -> list[Finding]:
    """Groups of names of which one is meant; the most frequent spelling is suggested."""
    counts, looks, typed = _alike(data)
    return [
        *_findings(data, looks, counts, "label_spelling", "severe", "in case, blanks or hyphens"),
        *_findings(data, typed, counts, "label_typo", "moderate", "in a letter"),
    ]


def names_meant(data: CheckedData) -> dict[str, str]:
    """Name -> the one that is meant, for names that differ from it in their spelling alone."""
    _, looks, typed = _alike(data)
    return typed | looks


def _alike(data: CheckedData) -> tuple[Counter[str], dict[str, str], dict[str, str]]:
    """How often each name occurs; and name -> the one that is meant, by its looks and by a slip."""
    counts = Counter(
        name
        for split in data.splits.values()
        for example in split.examples
        for name in data.kind.classes(example)
    )
    looks = _renamed(counts, _spelling)
    merged: Counter[str] = Counter()
    for name, count in counts.items():
        merged[looks.get(name, name)] += count
    typed = _mistyped(merged)
    # A spelling of a name that is mistyped itself gets the right one at once.
    return counts, {name: typed.get(best, best) for name, best in looks.items()}, typed


def _spelling(name: str) -> Hashable:
    """What names have in common that are meant to be one: their letters, whatever stands between.

    A hyphen says something in front of a number and at the end ("-1" is not "1", "A-" not "A"), and
    so does a character that is raised or lowered ("x²" is not "x2"). Names that are numbers are
    alike if their characters are.
    """
    if re.fullmatch(r"[+-]?\d*[.,]?\d+", name):
        return name
    raised = [c for c in name if unicodedata.decomposition(c).startswith(("<super>", "<sub>"))]
    joined = _BETWEEN_LETTERS.sub("", without_looks(_BETWEEN_WORDS.sub("", name)))
    return joined, tuple(raised)


def _renamed(counts: Mapping[str, int], key: Callable[[str], Hashable]) -> dict[str, str]:
    """Name -> the most frequent of those that look like it; others are left out."""
    alike = defaultdict(list)
    for name in sorted(counts):
        alike[key(name)].append(name)
    new: dict[str, str] = {}
    for names in alike.values():
        best = max(names, key=lambda name: counts[name])
        new |= {name: best for name in names if name != best}
    return new


def _mistyped(counts: Mapping[str, int]) -> dict[str, str]:
    """A rare name -> a frequent one that differs by one letter added, lost, replaced or swapped.

    The letter is not the first one.
    """
    new = {}
    for name in counts:
        near = [
            other
            for other in counts
            if len(name) >= _SHORTEST
            and counts[name] <= _RARE * counts[other]
            and _one_slip(without_looks(name), without_looks(other))
        ]
        if near:
            new[name] = max(near, key=lambda other: counts[other])
    return new


def _one_slip(one: str, two: str) -> bool:
    # People seldom mistype a first letter, and there it often says the contrary: "atypical".
    if abs(len(one) - len(two)) > 1 or one == two or one[:1] != two[:1]:
        return False
    changes = [
        (one[a:b], two[c:d])
        for what, a, b, c, d in SequenceMatcher(None, one, two, autojunk=False).get_opcodes()
        if what != "equal"
    ]
    # A number that differs is another class: "level 1" and "level 2".
    if any(character.isdigit() for change in changes for part in change for character in part):
        return False
    if len(changes) == 1:
        return max(map(len, changes[0])) == 1
    swapped = sorted(one) == sorted(two)
    return swapped and sum(a != b for a, b in zip(one, two, strict=True)) == 2


def _findings(
    data: CheckedData,
    new: Mapping[str, str],
    counts: Mapping[str, int],
    kind: str,
    severity: str,
    where: str,
) -> list[Finding]:
    rows = []
    for split in data.splits.values():
        names: dict[int, set[str]] = defaultdict(set)
        for example, place in zip(split.examples, split.places, strict=True):
            names[place] |= data.kind.classes(example) & new.keys()
        for example, place in zip(split.examples, split.places, strict=True):
            for name in sorted(data.kind.classes(example) & new.keys()):
                rows.append(
                    FoundRow(
                        place=place,
                        split=split.name,
                        suggested=new[name],
                        told=f"{shown(name)} ({counts[name]:,}) for {shown(new[name])} "
                        f"({counts[new[name]]:,})",
                        **_mending(
                            data,
                            split.name,
                            place,
                            example,
                            name,
                            {old: new[old] for old in sorted(names[place])},
                        ),
                    )
                )
    if not rows:
        return []
    pairs = ", ".join(f"{shown(name)} and {shown(best)}" for name, best in list(new.items())[:5])
    more = f" and {len(new) - 5} more" if len(new) > 5 else ""
    finding = Finding(
        kind=kind,
        severity="severe" if severity == "severe" else "moderate",
        title=f"{counted(len(rows), 'row')} with a label whose name differs from another's "
        f"{where}: {pairs}{more}",
        why="each spelling is a class of its own, with fewer rows to learn from",
        rows=rows,
    )
    return [finding]


def _mending(
    data: CheckedData,
    split: str,
    place: int,
    example: object,
    old: str,
    new: Mapping[str, str],
) -> dict[str, Any]:
    """What renames a class, or all those of a row without spans."""
    if split != "train":
        return {}
    spans = data.kind.spans_of(example)
    if spans is None:
        change = data.kind.with_names(data.train.rows, place, data.reading, new=new)
        return {"change": change, "renames": new}
    return {
        "edits": [(span, (span[0], span[1], new[old])) for span in spans if span[2] == old],
    }
