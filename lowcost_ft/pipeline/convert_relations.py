"""Relations as `convert` reads and writes them: in lists beside entities, or one pair a row."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.exports.writing import Canonical
from lowcost_ft.data.rows import Row, counted, file_of, shown
from lowcost_ft.tasks.classification.label_cells import read_cells
from lowcost_ft.tasks.relation.entity_rows import (
    HEADS,
    RELATION_FORM,
    RELATION_LABELS,
    TAILS,
    relation_parts,
)
from lowcost_ft.tasks.relation.examples import Mention
from lowcost_ft.tasks.relation.form_faults import layout_fault
from lowcost_ft.tasks.relation.reading import relation_examples
from lowcost_ft.tasks.relation.row_forms import names_pairs, pair_columns, read_examples

__all__ = ["UNTYPED", "doubtful_ends", "is_pair", "pair_rows", "relations_of", "with_entities"]

UNTYPED = "entity"
"""The type that tools are given for an entity without one: there, each span needs a label."""


_KEYS = {*HEADS, *TAILS, *RELATION_LABELS}


def pair_rows(
    rows: Sequence[Row],
    reading: ReadingOptions,
    labelled: bool,
    *,
    problems: list[str],
    notices: list[str],
) -> tuple[list[dict[str, Any]], list[Row]] | None:
    """Rows whose pairs stand in `head` and `tail`, in `<e1>` tags or in numbers of words.

    Args:
        rows: The rows of one file.
        reading: How they are read.
        labelled: Whether labels are wanted. If not, texts are all that is kept of the form.
        problems: Gets a line for each row that cannot be read.
        notices: Gets a line for guesses.

    Returns:
        `{"id"?, "text", "head", "tail", "label"}` with the other fields of each row, and the rows
        without those that `--exclude-label` leaves out; None where the rows name no pairs.
    """
    if fault := layout_fault(rows):
        problems.append(fault)
        return [], []
    if not names_pairs(rows, reading):
        return None
    lists: dict[str, Any] = {"problems": problems, "notices": notices}
    examples = read_examples(rows, reading, labelled=labelled, **lists)
    if labelled and not problems:
        classes: dict[str, Any] = {"": examples}
        examples = relation_examples(read_cells(classes, reading, **lists)[0][""])
    if problems:
        return [], []
    used = pair_columns(rows, reading, labelled=labelled)
    by_source = {row.source: row for row in rows}
    rows = [by_source[example.source] for example in examples]
    found = []
    for row, example in zip(rows, examples, strict=True):
        values: dict[str, Any] = {} if "id" not in row.values else {"id": row.values["id"]}
        values["text"] = example.text
        if labelled:
            head, tail = example.pairs[0]
            values |= {"head": _place(head), "tail": _place(tail), "label": example.label}
        found.append(
            values | {n: v for n, v in row.values.items() if n not in used and n not in values}
        )
    return found, rows


def _place(mention: Mention) -> dict[str, Any]:
    kind = {} if mention.type is None else {"type": mention.type}
    return {"start": mention.start, "end": mention.end} | kind


def is_pair(row: Canonical) -> bool:
    """Whether `pair_rows` wrote the row."""
    return all(isinstance(row.get(name), dict) for name in ("head", "tail")) and "label" in row


def with_entities(
    rows: Sequence[Canonical], sources: Sequence[str], notices: list[str]
) -> list[dict[str, Any]]:
    """The same rows with lists of entities and relations, the only form that tools import.

    Args:
        rows: What `pair_rows` gave.
        sources: Where each row stands.
        notices: Gets a line for what the lists say otherwise.
    """
    found, untyped = [], 0
    for row in rows:
        places = [row["head"], row["tail"]]
        untyped += sum("type" not in place for place in places)
        entities = [
            {"id": f"T{number}", "start": place["start"], "end": place["end"]}
            | {"label": place.get("type", UNTYPED)}
            for number, place in enumerate(places, 1)
        ]
        relations = [{"head": "T1", "tail": "T2", "label": str(row["label"])}]
        kept = {n: v for n, v in row.items() if n not in ("head", "tail", "label")}
        found.append(kept | {"entities": entities, "relations": relations})
    file = file_of(sources[0])
    notices.append(
        f"{file}: {counted(len(found), 'row')} with one pair written as two entities and a "
        f"relation; training takes the other direction of such a pair for one without a relation "
        f"(--to jsonl keeps the pairs as they are)"
    )
    if untyped:
        count = f"{untyped:,} {'entity' if untyped == 1 else 'entities'}"
        notices.append(f'{file}: {count} without a type got the label "{UNTYPED}"')
    return found


def relations_of(
    row: Row, column: str | None, entities: Sequence[Canonical], problems: list[str]
) -> list[dict[str, Any]]:
    """The relations of a row in lists, whose ends are the ids of entities.

    Args:
        row: The row, with `relations`.
        column: The column of its entities.
        entities: These, with the ids that they are written with.
        problems: Gets a line for each relation that joins nothing.
    """
    given = row.values.get(column) if column is not None else None
    given = (given.get("entities") if isinstance(given, dict) else given) or []
    named = any(isinstance(one, dict) and one.get("id") is not None for one in given)
    # Without ids, relations name places in the list.
    ids = {(e["id"] if named else n): e["id"] for n, e in enumerate(entities)}
    found = []
    for relation in row.values["relations"] or ():
        head, tail, label = relation_parts(relation)
        if head is not None and tail is not None and label is None:  # Tools have such, too.
            problems.append(
                f"{row.source}: the relation from {shown(head)} to {shown(tail)} has no label; "
                f"give it one, or delete it"
            )
        elif head is None or tail is None:
            problems.append(f"{row.source}: {shown(relation)} must be of the form {RELATION_FORM}")
        elif missing := [
            one for one in (head, tail) if not isinstance(one, str | int) or one not in ids
        ]:
            problems.append(
                f"{row.source}: a relation names the entity {shown(missing[0])}, which the row "
                f"does not have; correct or delete it"
            )
        else:
            own = {n: v for n, v in relation.items() if n not in _KEYS}
            found.append(own | {"head": ids[head], "tail": ids[tail], "label": label})
    return found


def doubtful_ends(rows: Sequence[Canonical], sources: Sequence[str]) -> list[str]:
    """A line for each row with a relation that names an id which several entities have.

    Args:
        rows: What is to be written.
        sources: Where each row stands.
    """
    problems = []
    for row, source in zip(rows, sources, strict=True):
        ids = [entity.get("id") for entity in row.get("entities") or ()]
        ends = [one.get(end) for one in row.get("relations") or () for end in ("head", "tail")]
        if shared := [end for end in ends if ids.count(end) > 1]:
            problems.append(
                f"{source}: a relation names the entity {shown(shared[0])}, and several of the row "
                f"have this id; give each its own"
            )
    return problems
