"""What `lowcost-ft doctor` asks about entities: their spans, and faults that reading mends."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.findings import Edit, Finding, FoundRow
from lowcost_ft.data.rows import Row, counted, shown
from lowcost_ft.scores.iob2 import Span, tags_to_spans
from lowcost_ft.tasks.checking import DataChecking
from lowcost_ft.tasks.ner.examples import NerExample
from lowcost_ft.tasks.ner.tagging import detect_scheme, is_tag, split_words, to_iob2

__all__ = ["NerChecking", "bare_span"]

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
_STARTS, _ENDS = ("start", "start_offset"), ("end", "end_offset")
_TAGS = ("tags", "ner_tags", "ner", "labels")
_ENTITIES = ("entities", "spans", "label", "labels")


class NerChecking(DataChecking):
    """Words and entities of examples, and rows with other entities."""

    judged_by_texts: ClassVar[bool] = True

    @classmethod
    def texts_of(cls, example: NerExample) -> tuple[str, ...]:
        """The text, or its words with blanks between them."""
        return (example.text if example.text is not None else " ".join(example.words),)

    @staticmethod
    def words_of(example: NerExample) -> tuple[str, ...]:
        """Its words."""
        return example.words

    @staticmethod
    def spans_of(example: NerExample) -> list[Span] | None:
        """Its entities: first word, word after the last, type."""
        return tags_to_spans(example.tags or ())

    @staticmethod
    def entity_of(example: NerExample, span: Span) -> dict[str, Any]:
        """An entity as files hold it; by its words where the sentence came as words."""
        start, end, label = span
        if example.offsets is None or example.text is None:
            text = " ".join(example.words[start:end])
            return {"word_start": start, "word_end": end, "label": label, "text": text}
        first, last = example.offsets[start][0], example.offsets[end - 1][1]
        return {"start": first, "end": last, "label": label, "text": example.text[first:last]}

    @classmethod
    def check_rows(
        cls, rows: Sequence[Row], reading: ReadingOptions, *, split: str
    ) -> list[Finding]:
        """Edges at blanks or punctuation, cut words, tags that their scheme does not allow."""
        faults = _Faults(rows, split)
        for place, row in enumerate(rows):
            if (column := _entities_column(row, reading)) is not None:
                text = _text_of(row, reading)
                if text is not None:
                    faults.of_entities(place, text, row.values[column], column)
        faults.of_tags(reading)
        return faults.findings()

    @classmethod
    def with_spans(
        cls, row: Row, example: NerExample, reading: ReadingOptions, edits: Sequence[Edit]
    ) -> Mapping[str, Any] | None:
        """The row's entities or tags, edited; the others stay as they are written."""
        edits = _apart(tags_to_spans(example.tags or ()), edits)
        if not edits:
            return None
        if example.offsets is None:
            column = _tags_column(row, reading)
            if column is None or list(row.values[column]) != list(example.tags or ()):
                return None  # Another scheme, or numbers: not mixed with IOB2.
            tags = list(row.values[column])
            for gone in (span for span, _ in edits if span is not None):
                tags[gone[0] : gone[1]] = ["O"] * (gone[1] - gone[0])
            for start, end, label in (new for _, new in edits if new is not None):
                tags[start:end] = [f"B-{label}"] + [f"I-{label}"] * (end - start - 1)
            return {column: tags}
        column = _entities_column(row, reading)
        if column is None or any(_place(entity) is None for entity in row.values[column]):
            return None
        entities = list(row.values[column])
        model = entities[0] if entities else {"start": 0, "end": 0, "label": ""}
        for span, new in edits:
            at = [i for i, entity in enumerate(entities) if _stands_at(entity, example, span)]
            if new is None:
                entities = [entity for i, entity in enumerate(entities) if i not in at]
            elif at:
                entities[at[0]] = _rewritten(entities[at[0]], example, new)
            elif span is None:
                entities.append(_rewritten(_without_id(model), example, new))
        return {column: entities}


def _apart(spans: Sequence[Span], edits: Sequence[Edit]) -> list[Edit]:
    """One edit a span, the first; none that would make two entities overlap."""
    kept: list[Edit] = []
    result = list(spans)
    edited: set[Span] = set()
    for old, new in edits:
        if old is not None and (old in edited or old not in result):
            continue
        others = [span for span in result if span != old]
        if new is not None and any(new[0] < end and start < new[1] for start, end, _ in others):
            continue
        result = others + ([new] if new is not None else [])
        kept.append((old, new))
        edited.update(span for span in (old, new) if span is not None)
    return kept


class _Faults:
    """Gathers the faults of one split, a list of rows for each kind."""

    def __init__(self, rows: Sequence[Row], split: str) -> None:
        self.rows, self.split = rows, split
        self.found: dict[str, list[FoundRow]] = {"span_edge": [], "cut_word": [], "illegal_tag": []}

    def of_entities(self, place: int, text: str, given: Any, column: str) -> None:
        if not isinstance(given, list | tuple):
            return
        words = split_words(text)
        borders = {start for start, _ in words} | {end for _, end in words}
        bare, told, cut = list(given), [], []
        for number, entity in enumerate(given):
            where = _place(entity)
            if where is None or not 0 <= where[0] < where[1] <= len(text):
                continue
            start, end = bare_span(text, where[0], where[1])
            if (start, end) != where[:2]:
                told.append(f"{shown(text[where[0] : where[1]])} -> {shown(text[start:end])}")
                bare[number] = _moved(entity, text, start, end)
            if start not in borders or end not in borders:
                cut.append(shown(text[start:end]))
        if told:
            self._add("span_edge", place, told, change={column: bare}, suggested=bare)
        if cut:
            self._add("cut_word", place, cut)

    def of_tags(self, reading: ReadingOptions) -> None:
        tagged = []
        for place, row in enumerate(self.rows):
            column = _tags_column(row, reading)
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
    abbreviation: after up to four letters, or where there is another full stop.
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
    if mark in _CLOSING or mark in "\"'`":
        return _CLOSING.get(mark, mark) not in inside[:-1]
    if mark == ".":
        word = inside[:-1].split()[-1] if inside[:-1].split() else ""
        return len(word) > _LONGEST_ABBREVIATION and "." not in word
    return mark not in "!?"  # Part of names such as Yahoo!


def _place(entity: Any) -> tuple[int, int, str] | None:
    if isinstance(entity, list | tuple) and len(entity) == 3:
        start, end, label = entity
    elif isinstance(entity, dict):
        start = next((entity[k] for k in _STARTS if k in entity), None)
        end = next((entity[k] for k in _ENDS if k in entity), None)
        label = entity.get("label", "")
    else:
        return None
    return (start, end, str(label)) if type(start) is int and type(end) is int else None


def _moved(entity: Any, text: str, start: int, end: int, label: str | None = None) -> Any:
    """An entity in the file's own form, at another place."""
    if not isinstance(entity, dict):
        return [start, end, entity[2] if label is None else label]
    changed = dict(entity)
    changed[next(k for k in _STARTS if k in entity)] = start
    changed[next(k for k in _ENDS if k in entity)] = end
    if "text" in entity:
        changed["text"] = text[start:end]
    # Numbers of tokens would be those of the old place.
    for name in ("token_start", "token_end"):
        changed.pop(name, None)
    if label is not None:
        changed[next((k for k in ("label", "type") if k in entity), "label")] = label
    return changed


def _without_id(entity: Any) -> Any:
    """The form of an entity, without what only that one has."""
    if not isinstance(entity, dict):
        return entity
    return {
        key: entity[key] for key in (*_STARTS, *_ENDS, "label", "type", "text") if key in entity
    }


def _rewritten(entity: Any, example: NerExample, span: Span) -> Any:
    assert example.offsets is not None and example.text is not None
    start, end = example.offsets[span[0]][0], example.offsets[span[1] - 1][1]
    return _moved(entity, example.text, start, end, span[2])


def _stands_at(entity: Any, example: NerExample, span: Span | None) -> bool:
    place = _place(entity)
    if span is None or place is None:
        return False
    assert example.offsets is not None
    return example.offsets[span[0]][0] < place[1] and place[0] < example.offsets[span[1] - 1][1]


def _entities_column(row: Row, reading: ReadingOptions) -> str | None:
    names = (reading.tags_column,) if reading.tags_column is not None else _ENTITIES
    return _column(row, names, lambda one: _place(one) is not None, empty=_text_of(row, reading))


def _tags_column(row: Row, reading: ReadingOptions) -> str | None:
    names = (reading.tags_column,) if reading.tags_column is not None else _TAGS
    return _column(row, names, lambda one: isinstance(one, str), empty=None)


def _column(
    row: Row, names: Sequence[str], fits: Callable[[Any], bool], *, empty: str | None
) -> str | None:
    for name in names:
        value = row.values.get(name)
        if (
            isinstance(value, list | tuple)
            and (empty is not None or value)
            and all(map(fits, value))
        ):
            return name
    return None


def _text_of(row: Row, reading: ReadingOptions) -> str | None:
    names = [reading.text_column] if reading.text_column else ["text", "sentence", "content"]
    names += ["message"] * (reading.text_column is None)
    return next((v for name in names if isinstance(v := row.values.get(name), str)), None)
