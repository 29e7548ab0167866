"""Rows with an input text and the text to write -> rows in one form."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lowcost_ft.data.known_names import REFERENCE_NAMES
from lowcost_ft.data.right_texts import find_references, other_texts, text_list
from lowcost_ft.data.rows import (
    Row,
    blank_notice,
    blank_rows,
    column_names,
    counted,
    file_of,
    find_column,
    listed,
    read_id,
    read_text,
    shown,
)
from lowcost_ft.data.texts_by_language import columns_by_language

__all__ = ["read_pairs"]


def read_pairs(
    rows: Sequence[Row],
    *,
    source_names: Sequence[str],
    target_names: Sequence[str],
    source_column: str | None = None,
    target_column: str | None = None,
    references_column: str | None = None,
    source_language: str | None = None,
    target_language: str | None = None,
    joins_sources: bool = False,
    labelled: bool = True,
    problems: list[str],
    notices: list[str],
) -> list[Row]:
    """Reads pairs of texts as rows `{"id"?, "source", "target", "references"}`.

    Args:
        rows: Rows of one file or split: texts in two columns, or an object of texts by language in
            the column `translation`, or a column a language.
        source_names: Names that the column with the input usually has, the most usual one first.
        target_names: The same for the column with the text to write; its cells may be lists of
            several right texts, of which the first is learned.
        source_column: The column that the user named for the input.
        target_column: The same for the text to write.
        references_column: The column that the user named for lists of right texts.
        source_language: Code of the language to translate from.
        target_language: Code of the language to translate into.
        joins_sources: Whether an input may be a list of sentences, which become one text.
        labelled: Whether texts to write are wanted; otherwise an input may be empty.
        problems: Gets a line for each problem.
        notices: Gets a line for guesses.

    Returns:
        The rows without problems, each with the place (`Row.source`) that it had. `references` are
        all right texts, `target` among them. Rows that are not `labelled` hold only `id` and
        `source`.
    """
    if not rows:
        return []
    by_language = columns_by_language(
        rows,
        source_column or target_column,
        (source_language, target_language),
        labelled,
        problems,
        notices,
        usual=source_names,
    )
    if by_language is not None:
        rows, source, target = by_language
        if not rows:
            return []
    else:
        found = _columns(
            rows,
            (source_column, source_names),
            (target_column, target_names) if labelled else None,
            problems,
            notices,
        )
        if found is None:
            return []
        source, target = found
    if joins_sources:
        rows = _joined(rows, source, notices)
    references = None
    if labelled:
        usual = [name for name in REFERENCE_NAMES if name not in (source, target)]
        references = find_references(rows, references_column, usual, problems)
    pairs, several = [], 0
    blank = [False] * len(rows) if labelled else blank_rows(rows, source)
    notices += blank_notice(rows, blank)
    for row, is_blank in zip(rows, blank, strict=True):
        before = len(problems)
        text = "" if is_blank else read_text(row, source, problems)
        values: dict[str, Any] = {"source": text}
        if labelled:
            texts = text_list(row, target, problems)
            others = other_texts(row, references, problems)
            several += len(texts) > 1
            values |= {
                "target": texts[0] if texts else None,
                "references": list(dict.fromkeys([*texts, *others])),
            }
        if len(problems) > before:
            continue
        row_id = read_id(row, (source, target))
        pairs.append(Row(({} if row_id is None else {"id": row_id}) | values, row.source))
    if several:
        notices.append(
            f"{file_of(rows[0].source)}: {counted(several, 'row')} with several texts in "
            f"{shown(target)}; the first is learned, and scores take all of them"
        )
    return pairs


def _columns(
    rows: Sequence[Row],
    source: tuple[str | None, Sequence[str]],
    target: tuple[str | None, Sequence[str]] | None,
    problems: list[str],
    notices: list[str],
) -> tuple[str, str] | None:
    """The columns with the two texts; the second is "" where it is not wanted."""
    names = column_names(rows)
    if source[0] is None and {*names} <= {"tokens", "tags"}:
        problems.append(
            f"{file_of(rows[0].source)}: read as columns of words and tags; if it is a table of "
            "texts without a header, add --format tsv --source-column 1 --target-column 2"
        )
        return None
    found = find_column(rows, *source, "source", problems=problems, notices=notices)
    if found is None or target is None:
        return None if found is None else (found, "")
    given, guesses = target
    other = find_column(
        rows,
        given,
        [guess for guess in guesses if guess != found],
        "target",
        problems=problems,
        notices=notices,
    )
    if other is None:
        return None
    if other == found:
        problems.append(
            f"{file_of(rows[0].source)}: source and target are both read from {shown(found)}; name "
            f"two columns with --source-column and --target-column; the columns are {listed(names)}"
        )
        return None
    if "instruction" in names and "instruction" not in (found, other):
        notices.append(
            f'{file_of(rows[0].source)}: the column "instruction" is not read; its rows may be '
            "meant for a dialogue, which reads it"
        )
    return found, other


def _joined(rows: Sequence[Row], source: str, notices: list[str]) -> list[Row]:
    """Rows whose source is one text, where it may be a list of sentences, as in SciTLDR."""
    joined, changed = [], list[Row]()
    for row in rows:
        value = row.values.get(source)
        if isinstance(value, list) and value and all(isinstance(text, str) for text in value):
            changed.append(row)
            row = replace(row, values=row.values | {source: " ".join(map(str.strip, value))})
        joined.append(row)
    if changed:
        notices.append(
            f"{file_of(rows[0].source)}: the sentences in {shown(source)} of "
            f"{counted(len(changed), 'row')} were joined, first at {changed[0].source}"
        )
    return joined
