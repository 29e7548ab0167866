"""Rows with an input text and the text to write -> rows in one form."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lowcost_ft.data.known_names import REFERENCE_NAMES, TRANSLATION_NAME
from lowcost_ft.data.language_codes import same_language
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
    text_fault,
)

__all__ = ["other_texts", "read_pairs", "text_list"]


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
    """Rows `{"id"?, "source", "target", "references"}`, each with the place of the row it is from.

    Args:
        rows: Rows of one file or split: texts in two columns, or an object of texts by language in
            the column `translation`, or a column a language.
        source_names: Names that the column with the input usually has, the most usual one first.
        target_names: The same of the column with the text to write; its cells may be lists of
            several right texts, of which the first is learned.
        source_column: Column that the user named.
        target_column: The same for the text to write.
        references_column: Column with all right texts of a row.
        source_language: Code of the language to translate from.
        target_language: Code of the language to translate into.
        joins_sources: Whether an input may be a list of sentences, which become one text.
        labelled: Whether texts to write are wanted; if not, an input may be empty.
        problems: Gets a line for each problem.
        notices: Gets a line for guesses.

    Returns:
        The rows without problems. `references` are all right texts, `target` among them. Rows that
        are not `labelled` hold `id` and `source` alone.
    """
    if not rows:
        return []
    by_language = _by_language(
        rows,
        source_column or target_column,
        (source_language, target_language),
        labelled,
        problems,
        notices,
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
        references = _references_column(rows, references_column, (source, target), problems)
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


def text_list(row: Row, column: str, problems: list[str]) -> list[str]:
    """The text or the texts in a column; none and a problem where something else is there."""
    value = row.values.get(column)
    texts = value if isinstance(value, list) else [value]
    if not texts:
        problems.append(f"{row.source}: {shown(column)} is an empty list; give at least one text")
    for text in texts:
        if fault := text_fault(text):
            problems.append(f"{row.source}: {shown(column)} {fault}")
            return []
    return [str(text) for text in texts]


def other_texts(row: Row, column: str | None, problems: list[str]) -> list[str]:
    """The texts in a column of further right ones, which a row may lack."""
    if column is None or row.values.get(column) in (None, ""):
        return []
    return text_list(row, column, problems)


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


def _references_column(
    rows: Sequence[Row], given: str | None, used: Sequence[str], problems: list[str]
) -> str | None:
    names = column_names(rows)
    if given is None:
        return next((name for name in REFERENCE_NAMES if name in names and name not in used), None)
    return find_column(rows, given, (), "references", problems=problems, notices=[])


def _by_language(
    rows: Sequence[Row],
    named: str | None,
    languages: tuple[str | None, str | None],
    labelled: bool,
    problems: list[str],
    notices: list[str],
) -> tuple[list[Row], str, str] | None:
    """Rows whose columns are languages, with the two that are wanted; None for other rows."""
    names, file = column_names(rows), file_of(rows[0].source)
    if named in (None, TRANSLATION_NAME) and TRANSLATION_NAME in names:
        opened = [_opened(row) for row in rows]
        if any(texts is not None for texts in opened):
            for row, texts in zip(rows, opened, strict=True):
                if texts is None:
                    problems.append(
                        f'{row.source}: "{TRANSLATION_NAME}" is '
                        f"{shown(row.values.get(TRANSLATION_NAME))}, not an object of texts by "
                        'language, such as {"en": ..., "fr": ...}'
                    )
            rows = [
                Row({**row.values, **texts}, row.source)
                for row, texts in zip(rows, opened, strict=True)
                if texts is not None
            ]
            held = list(dict.fromkeys(name for texts in opened if texts for name in texts))
            chosen = _chosen(file, held, languages, labelled, problems, notices)
            if chosen is None:
                return [], "", ""
            return _complete(rows, chosen, labelled, notices), *chosen
    if named is None and languages[0] and languages[1]:
        wanted = [[n for n in names if same_language(n, code or "")] for code in languages]
        if all(len(found) == 1 for found in wanted) and wanted[0] != wanted[1]:
            source, target = wanted[0][0], wanted[1][0]
            notices.append(f"{file}: columns {shown(source)} and {shown(target)} read as texts")
            return list(rows), source, target
    return None


def _opened(row: Row) -> dict[str, Any] | None:
    """The texts by language of one row; CSV holds them as JSON."""
    value = row.values.get(TRANSLATION_NAME)
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return {str(name): text for name, text in value.items()} if isinstance(value, dict) else None


def _chosen(
    file: str,
    held: Sequence[str],
    languages: tuple[str | None, str | None],
    labelled: bool,
    problems: list[str],
    notices: list[str],
) -> tuple[str, str] | None:
    """Which languages of a file are translated from and into."""
    found: list[str | None] = []
    for code, flag in zip(languages, ("source", "target"), strict=True):
        alike = [name for name in held if code is not None and same_language(name, code)]
        exact = [name for name in alike if name == code]
        if code is not None and not alike:
            if flag == "target" and not labelled:
                found.append(None)
                continue
            problems.append(
                f"{file}: no texts in the language --{flag}-language {code}; the languages are "
                f"{listed(held)}"
            )
            return None
        if len(alike) > 1 and not exact:
            problems.append(
                f"{file}: {listed(alike)} are all {code}; name one with --{flag}-language"
            )
            return None
        both = exact or alike
        found.append(both[0] if both else None)
    source, target = found
    others = [name for name in held if name not in (source, target)]
    if source is None and target is not None and len(others) == 1:
        source = others[0]
        notices.append(f"{file}: translated from {shown(source)} (--source-language overrides)")
    elif target is None and source is not None and len(others) == 1 and labelled:
        target = others[0]
        notices.append(f"{file}: translated into {shown(target)} (--target-language overrides)")
    if source is None or (target is None and labelled):
        problems.append(
            f"{file}: holds texts in {listed(held)}; say which to translate from and into, with "
            "--source-language and --target-language"
        )
        return None
    if source == target:
        problems.append(
            f"{file}: --source-language and --target-language both mean {shown(source)}; give two"
        )
        return None
    return source, target or ""


def _complete(
    rows: Sequence[Row], chosen: tuple[str, str], labelled: bool, notices: list[str]
) -> list[Row]:
    """Rows that have the wanted languages: multilingual files lack some texts by design.

    An empty text is one that nobody has translated yet. Of several texts to translate, which units
    of a translation memory may have, the first is read.
    """
    wanted = chosen if labelled else chosen[:1]
    kept: list[Row] = []
    missing: list[Row] = []
    several: list[Row] = []
    for row in rows:
        values = [row.values.get(name) for name in wanted]
        if None in values or (labelled and any(_is_blank(value) for value in values)):
            missing.append(row)
            continue
        if isinstance(values[0], list) and values[0]:
            several.append(row)
            row = replace(row, values=row.values | {chosen[0]: values[0][0]})
        kept.append(row)
    if several:
        notices.append(
            f"{file_of(several[0].source)}: {counted(len(several), 'row')} with several texts in "
            f"{shown(chosen[0])}, of which the first is read, first at {several[0].source}"
        )
    if missing:
        notices.append(
            f"{file_of(missing[0].source)}: {counted(len(missing), 'row')} without a text in "
            f"{' or '.join(map(shown, wanted))} left out, first at {missing[0].source}"
        )
    return kept


def _is_blank(value: Any) -> bool:
    return isinstance(value, str) and not value.strip()


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
