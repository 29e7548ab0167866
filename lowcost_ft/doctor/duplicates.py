"""Rows with the same input in one split: repeated, or with other labels."""

import json
from collections import Counter, defaultdict
from collections.abc import Hashable, Mapping, Sequence
from typing import Any

from lowcost_ft.data.findings import DROP, Finding, FoundRow
from lowcost_ft.data.known_labels import without_looks
from lowcost_ft.data.rows import counted, shown
from lowcost_ft.doctor.checked_data import CheckedData, CheckedSplit
from lowcost_ft.doctor.near_texts import near_pairs

__all__ = ["check_contradictions", "check_duplicates", "check_near_duplicates"]
__all__ += ["rows_by_input", "same_words", "texts_of_split"]

_NAMED = 5
"""Rows that are named beside one that they contradict."""


def check_duplicates(data: CheckedData) -> list[Finding]:
    """Rows of one split with the input and the truth of an earlier row of it.

    A row that holds more, such as several pairs of entities, repeats another with all of them.
    """
    findings = []
    for split in data.splits.values():
        earlier_of: dict[int, list[int]] = defaultdict(list)
        for places in rows_by_input(data, split).values():
            first: dict[str, int] = {}
            for place, truth in places:
                if (earlier := first.setdefault(truth, place)) != place:
                    earlier_of[place].append(earlier)
        inputs = Counter(split.places)
        rows = [
            FoundRow(
                place=place,
                split=split.name,
                told=f"the same as {split.named(max(earlier))}",
                change=DROP if split.name == "train" else None,
            )
            for place, earlier in earlier_of.items()
            if len(earlier) == inputs[place]
        ]
        if rows:
            rows.sort(key=lambda row: row.place)
            findings.append(
                Finding(
                    kind="exact_duplicate",
                    severity="moderate",
                    title=f"{counted(len(rows), 'row')} of {split.name} repeating another row",
                    why="they count several times, and fall on both sides of a split that is cut",
                    rows=rows,
                )
            )
    return findings


def check_contradictions(
    data: CheckedData, doubts: Mapping[int, float] | None = None
) -> list[Finding]:
    """Rows of one split with the same input and different truths.

    The truth of most rows is kept. Where as many say one as another, that of the row that is
    doubted least is kept, and where nothing tells them apart none is. Numbers and answers that
    differ may all be right: nothing is left out for them, and texts to write are not compared.

    Args:
        data: The data.
        doubts: How likely the truth of a training row is wrong, by its place.
    """
    if data.kind.writes:
        return []
    names = data.truths_are_names()
    what = "label" if names else "value" if data.problem_type == "regression" else "answer"
    findings = []
    for split in data.splits.values():
        rows = []
        open_rows: set[int] = set()
        examples = dict(zip(split.places, split.examples, strict=True))
        inputs = Counter(split.places)
        for places in rows_by_input(data, split).values():
            counts = Counter(truth for _, truth in places)
            if len(counts) < 2:
                continue
            doubted = (doubts or {}) if split.name == "train" else {}
            kept = _most(places, counts, doubted) if names else None
            if kept is None and names and split.name == "train":
                open_rows |= {place for place, _ in places if inputs[place] == 1}
            for place, truth in places:
                others = [p for p, t in places if t != truth]
                more = f" and {len(others) - _NAMED:,} more" if len(others) > _NAMED else ""
                where = ", ".join(map(split.named, others[:_NAMED])) + more
                given = _told(data, examples[place], truth)
                wrong = names and split.name == "train" and truth != kept
                rows.append(
                    FoundRow(
                        place=place,
                        split=split.name,
                        score=round(1 - counts[truth] / len(places), 4),
                        suggested=None if kept in (None, truth) else json.loads(str(kept)),
                        told=f"{given} here, another {what} in {where}",
                        # Other pairs of the same row would be lost with it.
                        change=DROP if wrong and inputs[place] == 1 else None,
                    )
                )
        if rows:
            rows.sort(key=lambda row: (-row.score, row.place))
            count = counted(len({row.place for row in rows}), "row")
            why = "both may be right, but no model can give both"
            if names:
                why = "no model can be right on both, and one of them is wrong"
            if open_rows:
                why += (
                    f"; for {counted(len(open_rows), 'row')} nothing tells which, and --fix leaves "
                    f"{'it' if len(open_rows) == 1 else 'them'} out"
                )
            findings.append(
                Finding(
                    kind="contradiction",
                    severity="severe" if names else "moderate",
                    title=f"{count} of {split.name} whose text also has another {what}",
                    why=why,
                    rows=rows,
                )
            )
    return findings


def _told(data: CheckedData, example: Any, truth: str) -> str:
    """A truth for people: entities by their words."""
    spans = data.kind.spans_of(example)
    if spans is None:
        return truth
    words = data.kind.words_of(example)
    named = [f"{shown(' '.join(words[start:end]))} {label}" for start, end, label in spans]
    return ", ".join(named) or "no entity"


def _most(
    places: Sequence[tuple[int, str]], counts: Counter[str], doubts: Mapping[int, float]
) -> str | None:
    most = max(counts.values())
    tied = [truth for truth, count in counts.items() if count == most]
    if len(tied) == 1:
        return tied[0]
    of_truth = {
        truth: min(doubts.get(place, 1.0) for place, t in places if t == truth) for truth in tied
    }
    best = min(tied, key=lambda truth: of_truth[truth])
    alone = sum(of_truth[truth] == of_truth[best] for truth in tied) == 1
    return best if alone else None


def check_near_duplicates(data: CheckedData) -> list[Finding]:
    """Rows of the training split that are almost an earlier row of it."""
    if not data.kind.judged_by_texts:
        return []
    split = data.train
    first: dict[Hashable, int] = {}
    unique = []
    for number, example in enumerate(split.examples):
        if first.setdefault(plain_input(data.kind.input_of(example)), number) == number:
            unique.append(number)
    texts = texts_of_split(data, split)
    name = _kept_name(data)
    truths = [name[_truth(data, example)] for example in split.examples]
    pairs: dict[bool, dict[int, list[tuple[float, int]]]] = {True: {}, False: {}}
    for one, two, likeness in near_pairs([texts[number] for number in unique]):
        early, late = sorted((unique[one], unique[two]))
        same = truths[early] == truths[late]
        pairs[same].setdefault(late, []).append((likeness, -early))
    found: dict[bool, dict[int, FoundRow]] = {True: {}, False: {}}
    for same, of_late in pairs.items():
        gone: set[int] = set()
        for late in sorted(of_late):
            # A row that is like those alone which are left out stays for them.
            stay = [pair for pair in of_late[late] if -pair[1] not in gone]
            likeness, early = max(stay or of_late[late])
            gone |= {late} if stay else set()
            told = f"{likeness:.0%} like {split.named(split.places[-early])}"
            told += "" if same else f", {truths[late]} here and {truths[-early]} there"
            found[same][split.places[late]] = FoundRow(
                place=split.places[late],
                score=round(likeness, 4),
                told=told,
                change=DROP if stay else None,
            )
    ordered = {
        same: sorted(rows.values(), key=lambda row: (-row.score, row.place))
        for same, rows in found.items()
    }
    findings = []
    # Numbers and entities may differ where a word of the text does; a class rarely should.
    if (rows := ordered[False]) and data.one_class():
        findings.append(
            Finding(
                kind="near_contradiction",
                severity="moderate",
                title=f"{counted(len(rows), 'row')} of train almost like a row with another label",
                why="either the few letters between them decide, or one label is wrong",
                rows=rows,
                on_request=True,
            )
        )
    if rows := ordered[True]:
        findings.append(
            Finding(
                kind="near_duplicate",
                severity="minor",
                title=f"{counted(len(rows), 'row')} of train almost like another with its label",
                why="they add little, and fall on both sides of a split that is cut",
                rows=rows,
                on_request=True,
            )
        )
    return findings


def rows_by_input(data: CheckedData, split: CheckedSplit) -> dict[Hashable, list[tuple[int, str]]]:
    """Input -> the place and the truth of each row that has it.

    Truths that differ in case or blanks alone are one: their spelling is a finding of its own.
    """
    groups: dict[Hashable, list[tuple[int, str]]] = defaultdict(list)
    name = _kept_name(data)
    for place, example in zip(split.places, split.examples, strict=True):
        truth = name[_truth(data, example)]
        groups[plain_input(data.kind.input_of(example))].append((place, truth))
    return groups


def plain_input(value: Any) -> Hashable:
    """An input whose texts have single blanks, and none at their ends."""
    if isinstance(value, str):
        return " ".join(value.split())
    return tuple(map(plain_input, value)) if isinstance(value, tuple | list) else value


def same_words(value: Any) -> Hashable:
    """A plain input without case: models that read capitals and small letters alike see it so."""
    if isinstance(value, str):
        return " ".join(value.casefold().split())
    return tuple(map(same_words, value)) if isinstance(value, tuple | list) else value


def _truth(data: CheckedData, example: Any) -> str:
    return json.dumps(data.kind.truth_of(example), ensure_ascii=False, sort_keys=True)


def _kept_name(data: CheckedData) -> dict[str, str]:
    """Truth -> the first truth of the data that looks like it; itself where it is no name."""
    first: dict[str, str] = {}
    return {
        (truth := _truth(data, example)): first.setdefault(_looks(data, example), truth)
        for split in data.splits.values()
        for example in split.examples
    }


def _looks(data: CheckedData, example: Any) -> str:
    """What truths share that are written differently: names in another case are sorted alike."""
    truth = data.kind.truth_of(example)
    if not data.truths_are_names():
        return _truth(data, example)
    if isinstance(truth, tuple | list) and data.kind.spans_of(example) is None:
        truth = sorted(map(without_looks, map(str, truth)))
    return without_looks(json.dumps(truth, ensure_ascii=False))


def texts_of_split(data: CheckedData, split: CheckedSplit) -> list[str]:
    """The text of each example, that of a pair on two lines."""
    return ["\n".join(data.kind.texts_of(example)) for example in split.examples]
