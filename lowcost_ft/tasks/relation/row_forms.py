"""Rows -> relation examples: which form a file has, and an example for each pair in it."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.cells import unpacked_rows
from lowcost_ft.data.known_names import LABEL_NAMES, TEXT_NAMES
from lowcost_ft.data.rows import (
    Row,
    column_names,
    counted,
    file_of,
    find_column,
    read_id,
    same_column,
    shown,
    surrogate_fault,
)
from lowcost_ft.tasks.classification.examples import is_missing
from lowcost_ft.tasks.relation.candidates import DEFAULT_WINDOW, candidate_pairs
from lowcost_ft.tasks.relation.entity_rows import read_entity_rows, read_relations
from lowcost_ft.tasks.relation.examples import Mention, Pair, RelationExample
from lowcost_ft.tasks.relation.form_faults import form_fault, layout_fault
from lowcost_ft.tasks.relation.marked_rows import (
    PLACE_FORM,
    TAG_FORM,
    read_offsets,
    read_tags,
    untagged,
    word_places,
)
from lowcost_ft.tasks.relation.negatives import NO_RELATION
from lowcost_ft.tasks.relation.opennre_rows import plain_pair
from lowcost_ft.tasks.relation.word_rows import WORD_ENDS, read_words

__all__ = ["LABELS", "entities_example", "names_pairs", "pair_columns", "read_examples"]
__all__ += ["with_cells"]

_TOKENS = ("tokens", "token", "words")
LABELS = ("label", "relation", *LABEL_NAMES[1:])
_HOLD_MORE = ("head", "tail", "h", "t", "entities", "relations", *_TOKENS)
"""Columns that hold a list or an object, which tables have as text."""


def read_examples(
    rows: Sequence[Row],
    reading: ReadingOptions,
    *,
    problems: list[str],
    notices: list[str],
    labelled: bool = True,
) -> list[RelationExample]:
    """Reads one split's rows, in the form that its columns tell.

    - `head` and `tail` beside a text: characters where the two entities stand;
    - `subj_start`, `subj_end`, `obj_start`, `obj_end` beside a list of words: TACRED;
    - `h` and `t` with `pos` beside a text or a list of words: OpenNRE;
    - `entities` and, where there are labels, `relations`: all pairs within the window;
    - a text with `<e1>..</e1>` and `<e2>..</e2>`: SemEval-2010 task 8.

    Args:
        rows: Rows of one file or split.
        reading: How the rows are read; what is not given is guessed.
        problems: Gets a line for each problem.
        notices: Gets a line for guesses and for what was changed.
        labelled: Whether to read labels. If not, a text needs no pair: it may be one in which the
            entities are yet to be found.
    """
    if not rows:
        return []
    found: dict[str, Any] = {"problems": problems, "notices": notices}
    rows = [with_cells(row) for row in rows]
    names = column_names(rows)
    if fault := layout_fault(rows) or form_fault(rows, labelled=labelled):
        problems.append(fault)
        return []
    if all(name in names for name in WORD_ENDS):
        column = find_column(rows, reading.tokens_column, _TOKENS, "tokens", **found)
        texts = [] if column is None else read_words(rows, column, problems=problems)
        used = [column or "", *WORD_ENDS, "subj_type", "obj_type"]
        return _labelled(texts, rows, used, reading, labelled=labelled, **found)
    words = reading.tokens_column
    has_text = any(same_column(names, name) for name in TEXT_NAMES)
    if words is None and reading.text_column is None and not has_text:
        words = next((name for name in _TOKENS if name in names), None)
    if words is not None:
        problems.append(
            f"{file_of(rows[0].source)}: the words in {shown(words)} need the columns "
            f"{', '.join(WORD_ENDS)} beside them: the first and last word of head and tail, "
            f"counted from 0"
        )
        return []
    column = find_column(rows, reading.text_column, TEXT_NAMES, "text", **found)
    if column is None:
        return []
    if "head" in names and "tail" in names:
        texts = read_offsets(rows, column, reading, **found)
        return _labelled(texts, rows, [column, "head", "tail"], reading, labelled=labelled, **found)
    if "entities" in names and (not labelled or "relations" in names):
        return _of_entities(rows, column, reading, labelled=labelled, **found)
    texts, plain = read_tags(rows, column, **found)
    if labelled:
        problems += [
            f"{row.source}: {shown(column)} marks no pair; write {TAG_FORM}, or give the columns "
            f"head and tail, each as {PLACE_FORM}, or the lists entities and relations"
            for row, _ in plain
        ]
        return _labelled(texts, rows, [column], reading, labelled=True, **found)
    marked = {id(row): (text, pair) for row, text, pair in texts}
    unmarked = {id(row): text for row, text in plain}
    examples = []
    for row in rows:
        if id(row) in marked:
            text, pair = marked[id(row)]
            examples.append(_example(row, [column], text, (pair,)))
        elif id(row) in unmarked:
            examples.append(_example(row, [column], unmarked[id(row)], ()))
    return examples


def with_cells(row: Row) -> Row:
    """A row with the lists and objects that cells of a table write down, and no form of OpenNRE."""
    return plain_pair(unpacked_rows([row], _HOLD_MORE)[0])


def names_pairs(rows: Sequence[Row], reading: ReadingOptions) -> bool:
    """Whether each row names one pair of entities: by places, by words, or by tags in its text."""
    names = column_names(rows)
    if all(name in names for name in WORD_ENDS):
        return True
    column = find_column(rows, reading.text_column, TEXT_NAMES, "text", problems=[], notices=[])
    if column is None:
        return False
    if "head" in names and "tail" in names:
        return any(
            isinstance(head := row.values.get("head"), dict | list | tuple)
            or (isinstance(head, str) and bool(word_places(head, str(row.values.get(column)))))
            for row in rows
        )
    texts = [row.values.get(column) for row in rows]
    return all(isinstance(text, str) and untagged(text) is not None for text in texts)


def pair_columns(rows: Sequence[Row], reading: ReadingOptions, *, labelled: bool) -> set[str]:
    """The columns that say what the pair, its text and its label are (see `names_pairs`)."""
    silent: dict[str, Any] = {"problems": [], "notices": []}
    if all(name in column_names(rows) for name in WORD_ENDS):
        text = find_column(rows, reading.tokens_column, _TOKENS, "tokens", **silent)
        used = {text or "", *WORD_ENDS, "subj_type", "obj_type"}
    else:
        text = find_column(rows, reading.text_column, TEXT_NAMES, "text", **silent)
        used = {text or "", "head", "tail"}
    guesses = [name for name in LABELS if name not in used]
    label = find_column(rows, reading.label_column, guesses, "label", **silent)
    return used if label is None or not labelled else {*used, label}


def _example(
    row: Row, used: Sequence[str], text: str, pairs: tuple[Pair, ...], **more: Any
) -> RelationExample:
    more.setdefault("label", None)
    return RelationExample(
        text=text, pairs=pairs, source=row.source, row_id=read_id(row, used), **more
    )


def _labelled(
    texts: Sequence[tuple[Row, str, Pair]],
    rows: Sequence[Row],
    used: Sequence[str],
    reading: ReadingOptions,
    *,
    labelled: bool,
    problems: list[str],
    notices: list[str],
) -> list[RelationExample]:
    """Examples of rows with one pair each, and with a column of labels."""
    if not labelled:
        return [_example(row, used, text, (pair,)) for row, text, pair in texts]
    guesses = [name for name in LABELS if name not in used]
    column = find_column(
        rows, reading.label_column, guesses, "label", problems=problems, notices=notices
    )
    if column is None:
        return []
    if column in used:
        problems.append(f"{file_of(rows[0].source)}: one column is used twice: {shown(column)}")
        return []
    examples = []
    may_lack = reading.exclude_label is not None and not reading.exclude_label.strip()
    for row, text, pair in texts:
        label = row.values.get(column)
        if may_lack and is_missing(label):
            label = None
        elif isinstance(label, str) and label.strip() and not surrogate_fault(label):
            label = label.strip()
        elif type(label) is not int:
            told = f"is {shown(label)}; a relation has a name"
            if is_missing(label):
                told = "is missing; name the relation, or leave such rows out (--exclude-label=)"
            problems.append(f"{row.source}: {shown(column)} {told}")
            continue
        examples.append(_example(row, [*used, column], text, (pair,), label=label))
    return examples


def _of_entities(
    rows: Sequence[Row],
    column: str,
    reading: ReadingOptions,
    *,
    labelled: bool,
    problems: list[str],
    notices: list[str],
) -> list[RelationExample]:
    window = DEFAULT_WINDOW if reading.pair_window is None else reading.pair_window
    used = [column, "entities", "relations"]
    found: dict[str, Any] = {"problems": problems, "notices": notices}
    label = reading.label_column
    if labelled and label is not None and label != "relations":
        if label not in column_names(rows):
            problems.append(
                f"{file_of(rows[0].source)}: --label-column {label} is no column; labels are those "
                f'of "relations" here, so leave the flag out'
            )
            return []
        notices.append(
            f"{file_of(rows[0].source)}: the column {shown(label)} (--label-column) is not read: "
            f'labels are those of "relations"'
        )
    texts = read_entity_rows(rows, column, reading, **found)
    if not labelled:
        return [
            entities_example(
                text,
                entities,
                source=row.source,
                row_id=read_id(row, used),
                window=window,
            )
            for row, text, entities in texts
        ]
    negative = reading.negative_label or NO_RELATION
    read = read_relations(texts, window=window, negative=negative, **found)
    examples = [
        _example(row, used, text, (pair,), label=label, made=made)
        for row, text, pairs in read
        for pair, label, made in pairs
    ]
    made_count = sum(example.made for example in examples)
    if read:
        notices.append(
            f"{file_of(rows[0].source)}: {counted(len(examples) - made_count, 'pair')} of entities "
            f"with a relation in {counted(len(read), 'text')}, and {made_count:,} without one "
            f"within --pair-window {window}, labelled {negative}"
        )
    return examples


def entities_example(
    text: str,
    entities: Sequence[Mention],
    *,
    source: str,
    row_id: str | int | float | None = None,
    window: Any = DEFAULT_WINDOW,
) -> RelationExample:
    """An unlabelled example of a text whose entities are known: all pairs within the window."""
    return RelationExample(
        text=text,
        label=None,
        source=source,
        row_id=row_id,
        pairs=tuple(candidate_pairs(text, entities, window)),
        entities=tuple(entities),
    )
