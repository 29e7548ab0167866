"""Labels that only some of the splits have, and labels that look alike: what the user is told."""

import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from lowcost_ft.data.rows import file_of, listed, shown

__all__ = ["Occurrences", "look_alikes", "tell_unknown", "without_looks"]


@dataclass
class Occurrences:
    """Where the labels of one split occur.

    Attributes:
        counts: Occurrences of each label.
        first: Place of the first of each.
    """

    counts: Counter[str] = field(default_factory=Counter)
    first: dict[str, str] = field(default_factory=dict)

    def add(self, label: str, source: str) -> None:
        """Counts one occurrence."""
        self.counts[label] += 1
        self.first.setdefault(label, source)


def tell_unknown(
    found: Occurrences,
    known: Iterable[str],
    *,
    what: str,
    trained: bool,
    problems: list[str],
    notices: list[str],
) -> None:
    """Says which labels of a validation or test split the model cannot predict.

    They count as mistakes, as published protocols count them. A split that shares no label with
    the model is likely of another task, and a problem.

    Args:
        found: The labels of the split.
        known: The labels of the model.
        what: What a label is called, such as "label" or "entity type".
        trained: Whether the model is trained already, or will be on the training data.
        problems: Gets a line for each label of a split that shares none.
        notices: Gets a line where some are unknown.
    """
    known = frozenset(known)
    unknown = [label for label in found.counts if label not in known]
    if not unknown:
        return
    fault = "not a label of the trained model" if trained else "not in the training data"
    if known.isdisjoint(found.counts):
        problems += [
            f"{found.first[label]}: the {what} {shown(label)} ({found.counts[label]:,} in this "
            f"split) is {fault}, and neither is any other {what} of this split; give a file with "
            f"labels of the same task, or correct them"
            for label in unknown
        ]
        return
    count = sum(found.counts[label] for label in unknown)
    number = f"the {what} {shown(unknown[0])}"
    if len(unknown) > 1:
        number = f"{len(unknown):,} {what}s ({listed(unknown)})"
    verb, each = ("is", "it occurs") if len(unknown) == 1 else ("are", "they occur")
    notices.append(
        f"{file_of(found.first[unknown[0]])}: {number} {verb} {fault}: {each} {count:,} "
        f"{'time' if count == 1 else 'times'}, first at {found.first[unknown[0]]}, and each time "
        f"counts as a mistake"
    )


def look_alikes(
    splits: Mapping[str, Sequence[Any]], classes_of: Callable[[Any], frozenset[str]]
) -> list[str]:
    """A line about labels that differ by no more than case, blanks or Unicode form."""
    counts = Counter(
        name for examples in splits.values() for e in examples for name in classes_of(e)
    )
    alike: dict[str, list[str]] = defaultdict(list)
    for name in sorted(counts):
        alike[without_looks(name)].append(name)
    groups = [names for names in alike.values() if len(names) > 1]
    if not groups:
        return []
    told = "; ".join(
        " and ".join(f"{shown(name)} ({counts[name]:,})" for name in names) for names in groups[:5]
    )
    more = f" and {len(groups) - 5:,} more such groups" if len(groups) > 5 else ""
    return [
        f"labels that differ only in case, blanks or Unicode form are different labels: {told}"
        f"{more}; write them alike if they are meant to be one"
    ]


def without_looks(name: str) -> str:
    """A name without case, blanks and characters that have no width."""
    folded = unicodedata.normalize("NFKC", unicodedata.normalize("NFKC", name).casefold())
    # Blanks (Z), line breaks and tabs (Cc) and characters without a width (Cf).
    kept = (c for c in folded if unicodedata.category(c)[0] != "Z")
    return "".join(c for c in kept if unicodedata.category(c) not in ("Cc", "Cf"))
