"""Faults of entities that reading mends: their edges, cut words, and tags out of place."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.findings import Finding, FoundRow
from lowcost_ft.data.rows import Row, counted, shown
from lowcost_ft.tasks.ner.row_entities import moved, read_place, tags_column
from lowcost_ft.tasks.ner.tagging import detect_scheme, is_tag, split_words, to_iob2

__all__ = ["SpanFaults", "bare_span"]

_CLOSING = {
    ")": "(",
    "]": "[",
    "}": "{",
    "\u201d": "\u201c",
    "\u2019": "\u2018",
    "\u00bb": "\u00ab",
}
_EDGES = set(",;:!?.\"'`([{)]}\u201c\u201d\u2018\u2019\u00ab\u00bb\u2026\u2013\u2014-*|")
_LONGEST_ABBREVIATION = 4


class SpanFaults:
    """Gathers the faults of one split, a list of rows for each kind."""

    def __init__(self, rows: Sequence[Row], split: str) -> None:
        self.rows, self.split = rows, split
        self.found: dict[str, list[FoundRow]] = {"span_edge": [], "cut_word": [], "illegal_tag": []}

    def of_entities(self, place: int, text: str, given: Any, column: str, offsets: str) -> None:
        if not isinstance(given, list | tuple):
            return
        words = split_words(text)
        borders = {start for start, _ in words} | {end for _, end in words}
        bare, told, cut = list(given), [], []
        for number, entity in enumerate(given):
            where = read_place(entity, text, offsets)
            if where is None or not 0 <= where[0] < where[1] <= len(text):
                continue
            start, end = bare_span(text, where[0], where[1])
            if (start, end) != where:
                told.append(f"{shown(text[where[0] : where[1]])} -> {shown(text[start:end])}")
                bare[number] = moved(entity, text, start, end, offsets=offsets)
            if start not in borders or end not in borders:
                cut.append(shown(text[start:end]))
        if told:
            self._add("span_edge", place, told, change={column: bare}, suggested=bare)
        if cut:
            self._add("cut_word", place, cut)

    def of_tags(self, reading: ReadingOptions) -> None:
        tagged = []
        for place, row in enumerate(self.rows):
            column = tags_column(row, reading)
            tags = row.values.get(column) if column else None
            if isinstance(tags, list | tuple) and all(
                isinstance(t, str) and is_tag(t) for t in tags
            ):
                tagged.append((place, column or "", tuple(tags)))
        scheme = detect_scheme(tags for _, _, tags in tagged)
        for place, column, tags in tagged:
            legal, positions = to_iob2(tags, scheme)
            if positions:
                told = [f"{tags[i]} at word {i + 1}" for i in positions]
                change = {column: list(legal)} if scheme == "IOB2" else None
                self._add("illegal_tag", place, told, change=change, suggested=list(legal))

    def _add(self, kind: str, place: int, told: list[str], **more: Any) -> None:
        row = FoundRow(place=place, split=self.split, told=", ".join(told), **more)
        self.found[kind].append(row)

    def findings(self) -> list[Finding]:
        def finding(kind: str, what: str, why: str, severe: bool = False) -> Finding:
            rows = self.found[kind]
            title = f"{counted(len(rows), 'row')} of {self.split} {what}"
            return Finding(
                kind=kind, severity="moderate" if severe else "minor", title=title, why=why,
                rows=rows,
            )  # fmt: skip

        found = [
            finding(
                "span_edge", "with entities that begin or end with a blank or punctuation",
                "a model learns edges from them that no one means",
            ),
            finding(
                "cut_word", "with entities that begin or end inside a word",
                "training widens them to whole words, which may not be what was meant",
                severe=True,
            ),
            finding(
                "illegal_tag", "with tags that the scheme does not allow where they stand",
                "they are read as the begin of an entity, which may not be what was meant",
                severe=True,
            ),
        ]  # fmt: skip
        return [one for one in found if one.rows]


def bare_span(text: str, start: int, end: int) -> tuple[int, int]:
    """A span without blanks and punctuation at its edges, unless nothing else is in it.

    A closing bracket or quote stays where the opening one is inside. A full stop stays after an
    abbreviation: after up to four letters, where there is another full stop, or where the sentence
    goes on behind it. A hyphen, asterisk or prime stays at the end of a name such as HER2-.
    """
    first, last = start, end
    while first < last and (text[first].isspace() or _loose(text, first, last, text[first], True)):
        first += 1
    while first < last and (
        text[last - 1].isspace() or _loose(text, first, last, text[last - 1], False)
    ):
        last -= 1
    return (first, last) if first < last else (start, end)


def _loose(text: str, start: int, end: int, mark: str, at_start: bool) -> bool:
    if mark not in _EDGES:
        return False
    inside = text[start:end]
    if at_start:
        closing = next((c for c, o in _CLOSING.items() if o == mark), mark)
        paired = closing in inside[1:] and closing not in ".,;:!?-*|"
        return not paired and not (mark in ".-'" and inside[1:2].isalnum())
    before, behind = inside[-2:-1], text[end : end + 1]
    if mark in "-*" and before.isalnum() and not behind.isalnum():
        return False  # It may say something: HER2-, p53*.
    if mark in "'\"" and before.isdigit():
        return False  # The 5' end.
    if mark in _CLOSING or mark in "\"'`":
        return _CLOSING.get(mark, mark) not in inside[:-1]
    if mark == ".":
        if text[end:].lstrip()[:1].islower():
            return False  # The sentence goes on.
        word = inside[:-1].split()[-1] if inside[:-1].split() else ""
        return len(word) > _LONGEST_ABBREVIATION and "." not in word
    return mark not in "!?"  # Part of names such as Yahoo!
