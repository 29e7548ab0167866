"""Rows with all entities of a text, and the relations among them: pairs, and made negatives."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.config.reading import PairWindow, ReadingOptions
from lowcost_ft.data.rows import Row, counted, file_of, read_text, shown, surrogate_fault
from lowcost_ft.tasks.ner.entity_spans import (
    Entity,
    agreeing_spans,
    entity_id_fault,
    read_entities,
)
from lowcost_ft.tasks.relation.candidates import candidate_pairs
from lowcost_ft.tasks.relation.examples import Mention, Pair
from lowcost_ft.tasks.relation.marked_rows import inside, tell_cut, tell_trimmed

__all__ = ["HEADS", "RELATION_FORM", "RELATION_LABELS", "TAILS", "LabelledPair"]
__all__ += ["read_entity_rows", "read_relations", "relation_parts"]

RELATION_FORM = '{"head": ID, "tail": ID, "label": "works_for"}'

HEADS, TAILS = ("head", "from_id"), ("tail", "child", "to_id")
RELATION_LABELS = ("label", "type", "relation")
"""What files call the parts of a relation, as `HEADS` and `TAILS`."""

LabelledPair = tuple[Pair, str, bool]
"""Head and tail, the label, and whether the pair was made as a negative."""


def read_entity_rows(
    rows: Sequence[Row],
    column: str,
    reading: ReadingOptions,
    *,
    problems: list[str],
    notices: list[str],
) -> list[tuple[Row, str, list[Mention]]]:
    """Texts and their entities, whose ids are the file's, or else their places in the list."""
    read: list[tuple[Row, str, list[Entity], list[Any]]] = []
    forms: dict[str, str] = {}
    for row in rows:
        before = len(problems)
        text = read_text(row, column, problems)
        found = read_entities(
            row, "entities", text=text or "", names=[], found=forms, problems=problems
        )
        if text is None or len(problems) > before:
            continue
        given = row.values["entities"]
        given = given["entities"] if isinstance(given, dict) else given
        ids = [one.get("id") if isinstance(one, dict) else None for one in given]
        ids = list(range(len(given))) if all(one is None for one in ids) else ids
        faults = [fault for one in ids if one is not None and (fault := entity_id_fault(one))]
        if faults:
            problems.append(f"{row.source}: {faults[0]}")
            continue
        repeated = [one for i, one in enumerate(ids) if one is None or one in ids[:i]]
        if repeated:
            problems.append(
                f"{row.source}: an entity has the id {shown(repeated[0])}, which is missing or "
                f"another's; give each its own"
            )
            continue
        read.append((row, text, found, ids))
    found_in = [(row.source, text, entities) for row, text, entities, _ in read]
    spans = agreeing_spans(found_in, reading.entity_offsets, problems)
    tell_cut(found_in, spans, reading.entity_offsets, notices)
    texts: list[tuple[Row, str, list[Mention]]] = []
    ends: dict[str, Any] = {"problems": problems, "trimmed": []}
    for (row, text, _, ids), agreed in zip(read, spans, strict=True):
        mentions = [
            inside(row, text, start, end, label, name="entity", id=name, **ends)
            for (start, end, label), name in zip(agreed or (), ids, strict=agreed is not None)
        ]
        texts.append((row, text, [mention for mention in mentions if mention is not None]))
    tell_trimmed(rows, ends["trimmed"], notices)
    return texts


def read_relations(
    texts: Sequence[tuple[Row, str, list[Mention]]],
    *,
    window: PairWindow,
    negative: str,
    problems: list[str],
    notices: list[str],
) -> list[tuple[Row, str, list[LabelledPair]]]:
    """The labelled pairs of each text, and all pairs within the window that have no label.

    Args:
        texts: Each row with its text and entities.
        window: Which pairs could be related.
        negative: The label of the pairs that are not.
        problems: Gets a line for each problem.
        notices: Gets a line for what stands there twice, or lies outside the window.
    """
    read = []
    twice: list[str] = []
    outside: list[str] = []
    missing = [row.source for row, _, _ in texts if row.values.get("relations") is None]
    for row, text, entities in texts:
        before = len(problems)
        labels = _labels_of(row, entities, twice, problems)
        if len(problems) > before:
            continue  # Pairs whose relation cannot be read are not pairs without one.
        near = candidate_pairs(text, entities, window)
        pairs: list[LabelledPair] = [
            (pair, labels.get((pair[0].id, pair[1].id), negative), _key(pair) not in labels)
            for pair in near
        ]
        seen = {_key(pair) for pair in near}
        by_id = {entity.id: entity for entity in entities}
        for ids, label in labels.items():
            if ids not in seen:
                outside.append(row.source)
                pairs.append(((by_id[ids[0]], by_id[ids[1]]), label, False))
        read.append((row, text, pairs))
    if missing:
        notices.append(
            f"{file_of(texts[0][0].source)}: {counted(len(missing), 'row')} without relations, "
            f"first at {missing[0]}: their entities are taken to be unrelated"
        )
    if twice:
        notices.append(
            f"{file_of(texts[0][0].source)}: {counted(len(twice), 'relation')} listed twice and "
            f"read once, first at {twice[0]}"
        )
    if outside:
        notices.append(
            f"{file_of(texts[0][0].source)}: {counted(len(outside), 'relation')} between entities "
            f"farther apart than --pair-window {window}, first at {outside[0]}: they are learned "
            f"and scored, but not looked for in other texts; a wider window finds them"
        )
    return read


def _key(pair: Pair) -> tuple[Any, Any]:
    return pair[0].id, pair[1].id


def relation_parts(relation: Any) -> list[Any]:
    """Head, tail and label of one relation, whatever a file calls them; None for what it lacks."""
    given = relation if isinstance(relation, dict) else {}
    return [
        next((given[key] for key in keys if given.get(key) is not None), None)
        for keys in (HEADS, TAILS, RELATION_LABELS)
    ]


def _named(head: Any, tail: Any, label: Any) -> str:
    what = "" if label in (None, "", []) else f"{shown(label)} "
    return f"{what}from {shown(head)} to {shown(tail)}"


def _labels_of(
    row: Row, entities: Sequence[Mention], twice: list[str], problems: list[str]
) -> dict[tuple[Any, Any], str]:
    """Ids of head and tail -> label."""
    given = row.values.get("relations") or ()
    if not isinstance(given, list | tuple):
        problems.append(
            f'{row.source}: "relations" is {shown(given)}; give a list of {RELATION_FORM}, empty '
            f"if no entities are related"
        )
        return {}
    by_id = {entity.id: entity for entity in entities}
    labels: dict[tuple[Any, Any], str] = {}
    for one in given:
        head, tail, label = relation_parts(one)
        named = None not in (head, tail)
        where = f"{row.source}: relation {_named(head, tail, label) if named else shown(one)}"
        if head is not None and tail is not None and label in (None, "", []):
            problems.append(f"{where} has no label; give it one, or delete the relation")
            continue
        if head is None or tail is None or not isinstance(label, str) or not label.strip():
            problems.append(f"{where} must be of the form {RELATION_FORM}")
            continue
        missing = [
            end for end in (head, tail) if not isinstance(end, str | int) or end not in by_id
        ]
        if missing:
            problems.append(
                f"{where}: there is no entity with the id {shown(missing[0])} in this row"
            )
            continue
        ends = [(by_id[end].start, by_id[end].end) for end in (head, tail)]
        label = label.strip()
        if fault := surrogate_fault(label):
            problems.append(f"{where}: the label {fault}")
        elif ends[0] == ends[1]:
            problems.append(f"{where} joins an entity with itself; a relation joins two")
        elif labels.get((head, tail), label) != label:
            problems.append(
                f"{where}: the same two entities are already related by "
                f"{shown(labels[head, tail])}; a pair has one label: keep one of the two"
            )
        elif (head, tail) in labels:
            twice.append(row.source)
        else:
            labels[head, tail] = label
    return labels
