"""Leaks: rows of one split that stand in another one too, or nearly."""

from lowcost_ft.data.findings import DROP, Finding, FoundRow
from lowcost_ft.data.rows import counted
from lowcost_ft.doctor.checked_data import CheckedData
from lowcost_ft.doctor.duplicates import rows_by_input, texts_of_split
from lowcost_ft.doctor.near_texts import near_pairs

__all__ = ["check_leaks"]

_MANY = 0.1
"""Share of the rows that `--fix` leaves out for being almost like others only where `--kinds` names
it: texts that a template made, such as "Where is my ...?", are all alike."""


def check_leaks(data: CheckedData) -> list[Finding]:
    """Rows of training in validation or test, and of validation in test, exact and near ones."""
    findings = []
    names = list(data.splits)
    inputs = {name: rows_by_input(data, split) for name, split in data.splits.items()}
    for number, name in enumerate(names):
        for other in names[number + 1 :]:
            rows = [
                FoundRow(
                    place=place,
                    split=name,
                    told=f"the same text as "
                    f"{data.splits[other].named(inputs[other][key][0][0])} of {other}",
                    change=DROP if name == "train" else None,
                )
                for key, places in inputs[name].items()
                if key in inputs[other]
                for place, _ in places
            ]
            near: list[FoundRow] = []
            if data.kind.judged_by_texts:
                near = _near(data, name, other, {row.place for row in rows})
            findings += _leak("leak", name, other, rows, f"also in {other}")
            many = len(near) > _MANY * len(data.splits[name].rows)
            what = f"almost like a row of {other}"
            findings += _leak("near_leak", name, other, near, what, on_request=many)
    return findings


def _leak(
    kind: str,
    name: str,
    other: str,
    rows: list[FoundRow],
    what: str,
    *,
    on_request: bool = False,
) -> list[Finding]:
    if not rows:
        return []
    rows.sort(key=lambda row: (-row.score, row.place))
    many = "; so many may all be made from one template" if on_request else ""
    finding = Finding(
        kind=kind,
        severity="severe" if kind == "leak" else "moderate",
        title=f"{counted(len(rows), 'row')} of {name} {what}",
        why=f"the model is scored on what it has seen, so that its {other} score is too high{many}",
        rows=rows,
        on_request=on_request,
    )
    return [finding]


def _near(data: CheckedData, name: str, other: str, exact: set[int]) -> list[FoundRow]:
    first, second = data.splits[name], data.splits[other]
    texts = [*texts_of_split(data, first), *texts_of_split(data, second)]
    best: dict[int, tuple[float, int]] = {}
    for one, two, likeness in near_pairs(texts, border=len(first.examples)):
        place = first.places[one]
        found = (likeness, second.places[two - len(first.examples)])
        if place not in exact and found > best.get(place, (0.0, 0)):
            best[place] = found
    return [
        FoundRow(
            place=place,
            split=name,
            score=round(likeness, 4),
            told=f"{likeness:.0%} like {second.named(row)} of {other}",
            change=DROP if name == "train" else None,
        )
        for place, (likeness, row) in best.items()
    ]
