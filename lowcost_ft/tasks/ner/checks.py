"""What `lowcost-ft doctor` asks about entities: their spans, and faults that reading mends."""

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.findings import Edit, Finding
from lowcost_ft.data.label_names import read_label_names
from lowcost_ft.data.rows import Row
from lowcost_ft.scores.iob2 import Span, tags_to_spans
from lowcost_ft.tasks.checking import DataChecking, mark_answers
from lowcost_ft.tasks.ner.examples import NerExample, with_lists
from lowcost_ft.tasks.ner.row_entities import (
    entities_column,
    place_of,
    renamed,
    rewritten,
    stands_at,
    tag_name,
    tags_column,
    text_of,
    with_places,
    without_id,
)
from lowcost_ft.tasks.ner.span_faults import SpanFaults

__all__ = ["NerChecking"]


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
    def is_meant(cls, rows: Sequence[Row], reading: ReadingOptions) -> bool:
        """Whether some hold entities, and none holds relations between them or a question."""
        if any(row.values.get("relations") for row in rows) or mark_answers(rows):
            return False
        rows = with_lists(rows, reading)
        columns = ((row, entities_column(row, reading)) for row in rows)
        return any(column is not None and bool(row.values[column]) for row, column in columns)

    @classmethod
    def check_rows(
        cls, rows: Sequence[Row], reading: ReadingOptions, *, split: str
    ) -> list[Finding]:
        """Edges at blanks or punctuation, cut words, tags that their scheme does not allow."""
        rows = with_lists(rows, reading)
        faults = SpanFaults(rows, split)
        for place, row in enumerate(rows):
            # Beside tags, which are read, entities follow them.
            tagged = row.values.get("tokens") and tags_column(row, reading) is not None
            if not tagged and (column := entities_column(row, reading)) is not None:
                text = text_of(row, reading)
                if text is not None:
                    faults.of_entities(
                        place, text, row.values[column], column, reading.entity_offsets
                    )
        faults.of_tags(reading)
        return faults.findings()

    @classmethod
    def with_spans(
        cls, row: Row, example: NerExample, reading: ReadingOptions, edits: Sequence[Edit]
    ) -> Mapping[str, Any] | None:
        """The row's entities or tags, edited; the others stay as they are written."""
        row = with_lists([row], reading)[0]
        edits = _apart(tags_to_spans(example.tags or ()), edits)
        if not edits:
            return None
        if example.offsets is None:
            names = read_label_names(reading.label_names, []) if reading.label_names else []
            column = tags_column(row, reading, numbers=bool(names))
            if column is None:
                return None
            named = [tag_name(tag, names) for tag in row.values[column]]
            if named != list(example.tags or ()):
                return None  # Another scheme: not mixed with IOB2.
            tags = list(named)
            for gone in (span for span, _ in edits if span is not None):
                tags[gone[0] : gone[1]] = ["O"] * (gone[1] - gone[0])
            for start, end, label in (new for _, new in edits if new is not None):
                tags[start:end] = [f"B-{label}"] + [f"I-{label}"] * (end - start - 1)
            if named == list(row.values[column]):
                return {column: tags} | with_places(row, example, edits)
            if not set(tags) <= set(names):
                return None  # No number stands for the tag.
            return {column: [names.index(tag) for tag in tags]}
        column = entities_column(row, reading)
        if column is None or any(place_of(entity) is None for entity in row.values[column]):
            return None
        entities = list(row.values[column])
        counted = reading.entity_offsets
        model = entities[0] if entities else {"start": 0, "end": 0, "label": ""}
        for span, new in edits:
            at = [
                i for i, entity in enumerate(entities) if stands_at(entity, example, span, counted)
            ]
            if new is None:
                entities = [entity for i, entity in enumerate(entities) if i not in at]
            elif at and span is not None and span[:2] == new[:2]:  # Its place may have been mended.
                entities[at[0]] = renamed(entities[at[0]], example, new[2], counted)
            elif at:
                entities[at[0]] = rewritten(entities[at[0]], example, new, counted)
            elif span is None:
                entities.append(rewritten(without_id(model), example, new, counted))
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
