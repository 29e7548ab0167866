"""Classes and types that are too small to learn or to score, and splits that differ in them."""

import math
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lowcost_ft.data.findings import DROP, Finding, FoundRow
from lowcost_ft.data.rows import counted, listed
from lowcost_ft.doctor.checked_data import CheckedData, CheckedSplit
from lowcost_ft.doctor.label_names import names_meant

__all__ = ["check_classes", "check_shares", "class_counts"]

TOO_FEW_TO_LEARN = 8
"""Rows (entities) of a class below which a model hardly learns it."""

TOO_FEW_TO_SCORE = 5
"""Rows (entities) of a class in a split below which its score says nothing: one row is 20%."""

_SURE = 1e-4
"""Probability below which splits of one distribution would differ as much."""

_WORTH = 0.1
"""Cramer's V from which on a difference matters; large splits differ surely by next to nothing."""


def check_classes(data: CheckedData) -> list[Finding]:
    """Classes with few rows, and those that training does not have at all.

    Spellings of one name count together as long as it is about training alone.
    """
    findings = []
    counts = {name: class_counts(data, split) for name, split in data.splits.items()}
    train = counts["train"]
    what = "entities" if _has_spans(data) else "rows"
    meant = names_meant(data)
    classes: Counter[str] = Counter()
    for name, count in train.items():
        classes[meant.get(name, name)] += count
    few = {name for name in train if classes[meant.get(name, name)] < TOO_FEW_TO_LEARN}
    if few:
        rows = _rows(data, data.train, few)
        others = _others(data, data.train, {row.place for row in rows}, few)
        whole = f" (--fix leaves out their rows whole, and with them {others})" if others else ""
        findings.append(
            Finding(
                kind="small_class",
                severity="moderate",
                title=f"{_classes(len(few))} of train with fewer than {TOO_FEW_TO_LEARN} {what}: "
                f"{_numbers(train, few)}",
                why=f"a model hardly learns them; label more of them, or leave them out{whole}",
                rows=rows,
                on_request=True,
            )
        )
    for name, of_split in counts.items():
        if name == "train":
            continue
        unknown = set(of_split) - set(train)
        if unknown:
            findings.append(
                Finding(
                    kind="unknown_class",
                    severity="severe",
                    title=f"{_classes(len(unknown))} of {name} that training does not have: "
                    f"{listed(sorted(unknown))}",
                    why="a model cannot predict them, so that each counts as a mistake",
                    rows=_rows(data, data.splits[name], unknown),
                )
            )
        rare = {label for label in train if of_split[label] < TOO_FEW_TO_SCORE}
        if rare:
            findings.append(
                Finding(
                    kind="unscored_class",
                    severity="minor",
                    title=f"{_classes(len(rare))} with fewer than {TOO_FEW_TO_SCORE} {what} in "
                    f"{name}: {_numbers(of_split, rare)}",
                    why="their scores say little there",
                    rows=_rows(data, data.splits[name], rare),
                )
            )
    sizes = sorted(classes.values())
    if len(sizes) > 1 and sizes[-1] >= 20 * max(1, sizes[0]) and data.one_class():
        most = max(classes, key=lambda label: classes[label])
        findings.append(
            Finding(
                kind="imbalance",
                severity="minor",
                title=f"the largest class, {listed([most])}, has {sizes[-1]:,} rows, the smallest "
                f"{sizes[0]:,}",
                why="a model that sees one class so much more often neglects the others",
                command="--class-weights balanced",
            )
        )
    return findings


def check_shares(data: CheckedData) -> list[Finding]:
    """Splits whose classes, or lengths of texts, are distributed otherwise than in training."""
    findings = []
    train = data.train
    for name, split in data.splits.items():
        if name == "train":
            continue
        for what, one, two in (
            ("classes", class_counts(data, train), class_counts(data, split)),
            ("lengths of texts", _lengths(data, train), _lengths(data, split)),
        ):
            probability, strength, worst = _compare(one, two)
            if probability < _SURE and strength >= _WORTH:
                findings.append(
                    Finding(
                        kind="shifted_split",
                        severity="moderate",
                        title=f"{name} has other {what} than train: {worst}",
                        why=f"its score is that of other data than the model learns (chi-squared "
                        f"test, Cramer's V {strength:.2f})",
                    )
                )
    return findings


def class_counts(data: CheckedData, split: CheckedSplit) -> Counter[str]:
    """Rows of each class, or entities of each type."""
    return _labels_of(data, split.examples)


def _labels_of(data: CheckedData, examples: Sequence[Any]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for example in examples:
        spans = data.kind.spans_of(example)
        counts.update(
            data.kind.classes(example) if spans is None else (label for _, _, label in spans)
        )
    return counts


def _has_spans(data: CheckedData) -> bool:
    return data.kind.spans_of(data.train.examples[0]) is not None


def _rows(data: CheckedData, split: CheckedSplit, names: set[str]) -> list[FoundRow]:
    return [
        FoundRow(place=place, split=split.name, told=", ".join(sorted(found)), change=DROP)
        for example, place in zip(split.examples, split.places, strict=True)
        if (found := data.kind.classes(example) & names)
    ]


def _others(data: CheckedData, split: CheckedSplit, places: set[int], names: set[str]) -> str:
    """How many labels these rows hold beside those of the named classes; empty for none."""
    held = [e for e, place in zip(split.examples, split.places, strict=True) if place in places]
    count = sum(n for label, n in _labels_of(data, held).items() if label not in names)
    return counted(count, "other label") if count else ""


def _classes(number: int) -> str:
    return f"{number:,} class{'' if number == 1 else 'es'}"


def _numbers(counts: Mapping[str, int], names: set[str]) -> str:
    ordered = sorted(names, key=lambda name: (counts[name], name))
    told = ", ".join(f"{name} ({counts[name]})" for name in ordered[:8])
    return told + (f" and {len(ordered) - 8} more" if len(ordered) > 8 else "")


def _lengths(data: CheckedData, split: CheckedSplit) -> Counter[str]:
    """Texts by the power of two below their number of words."""
    counts: Counter[str] = Counter()
    for example in split.examples:
        words = max(1, sum(len(text.split()) for text in data.kind.texts_of(example)))
        low = 2 ** int(math.log2(words))
        counts[f"{low} to {2 * low - 1} words"] += 1
    return counts


def _compare(one: Mapping[str, int], two: Mapping[str, int]) -> tuple[float, float, str]:
    """Probability of such a difference, Cramer's V, and the largest difference in words."""
    from scipy.stats import chi2_contingency

    names = sorted(set(one) | set(two))
    totals = [max(1, sum(counts.values())) for counts in (one, two)]
    shares = [(one.get(n, 0) / totals[0], two.get(n, 0) / totals[1]) for n in names]
    # Names that are rare in both would make the test unsure: they count together.
    kept = [n for n in names if (one.get(n, 0) + two.get(n, 0)) * min(totals) >= 5 * sum(totals)]
    table = [[counts.get(n, 0) for n in kept] for counts in (one, two)]
    for row, counts in zip(table, (one, two), strict=True):
        row.append(sum(counts.values()) - sum(row))
    if sum(table[0][-1:] + table[1][-1:]) == 0:
        table = [row[:-1] for row in table]
    if len(table[0]) < 2:
        return 1.0, 0.0, ""
    statistic, probability, *_ = chi2_contingency(table)
    worst = max(range(len(names)), key=lambda i: abs(shares[i][0] - shares[i][1]))
    told = f"{names[worst]} is {shares[worst][1]:.0%} of it, and {shares[worst][0]:.0%} of train"
    return float(probability), math.sqrt(statistic / sum(totals)), told
