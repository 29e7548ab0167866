"""Rows that hold a text for each of several languages -> the two columns to translate between."""

import json
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from lowcost_ft.data.known_names import TRANSLATION_NAME
from lowcost_ft.data.language_codes import language_name, same_language
from lowcost_ft.data.rows import (
    Row,
    column_names,
    counted,
    file_of,
    listed,
    same_column,
    shown,
)

__all__ = ["columns_by_language"]


def columns_by_language(
    rows: Sequence[Row],
    named: str | None,
    languages: tuple[str | None, str | None],
    labelled: bool,
    problems: list[str],
    notices: list[str],
    *,
    usual: Sequence[str] = (),
) -> tuple[list[Row], str, str] | None:
    """Finds the columns of two languages, after opening objects of texts by language into columns.

    Args:
        rows: Rows of one file, not empty.
        named: A column of texts that the user named; there are no languages to find then.
        languages: Codes of the languages to translate from and into; None: the file tells.
        labelled: Whether a text in the second language is wanted.
        problems: Gets a line for each problem.
        notices: Gets a line for guesses and for rows that are left out.
        usual: Names of columns that hold texts to translate in any language.

    Returns:
        The rows and the two columns, the second of which is "" where it is not wanted; no rows
        where the languages cannot be told. None where rows do not hold texts by language.
    """
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
            for code, flag in zip(languages, ("source", "target"), strict=True):
                _join_regions(file, opened, code, f"--{flag}-language {code}", notices)
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
    if named is not None:
        return None
    plain = not any(same_column(names, name) for name in usual)
    if languages[0] and languages[1]:
        wanted = [[n for n in names if same_language(n, code or "")] for code in languages]
        if all(len(found) == 1 for found in wanted) and wanted[0] != wanted[1]:
            source, target = wanted[0][0], wanted[1][0]
            notices.append(f"{file}: columns {shown(source)} and {shown(target)} read as texts")
            return list(rows), source, target
        if plain and not labelled and len(wanted[0]) == 1:
            notices.append(f"{file}: column {shown(wanted[0][0])} read as texts")
            return list(rows), wanted[0][0], ""
    held = [name for name in names if name != "id" and language_name(name)]
    if plain and len(held) > 1:
        chosen = _chosen(file, held, languages, labelled, problems, notices)
        return ([], "", "") if chosen is None else (list(rows), *chosen)
    return None


def _opened(row: Row) -> dict[str, Any] | None:
    """The texts by language of one row, which CSV holds as JSON; None for anything else."""
    value = row.values.get(TRANSLATION_NAME)
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except ValueError:
            return None
    return {str(name): text for name, text in value.items()} if isinstance(value, dict) else None


def _join_regions(
    file: str,
    opened: Sequence[dict[str, Any] | None],
    code: str | None,
    flag: str,
    notices: list[str],
) -> None:
    """Gives the texts of all regions of a language one name, if each row has those of one region.

    Translation memories hold units of several projects: of "en" here, of "en-GB" there.

    Args:
        file: For the notice.
        opened: The texts by language of each row, which are changed.
        code: Code of the language; one with a region, or None, joins nothing.
        flag: What the user wrote.
        notices: Gets a line for languages that were joined.
    """
    if code is None or not code.isalpha():
        return
    held = list(dict.fromkeys(name for texts in opened if texts for name in texts))
    alike = [name for name in held if same_language(name, code)]
    found = [[name for name in alike if texts and texts.get(name) is not None] for texts in opened]
    if len(alike) < 2 or any(len(names) > 1 and code not in names for names in found):
        return
    for texts, names in zip(opened, found, strict=True):
        if texts and names and code not in names:
            texts[code] = texts.pop(names[0])
    notices.append(f"{file}: {listed(alike)} are read as one language ({flag})")


def _chosen(
    file: str,
    held: Sequence[str],
    languages: tuple[str | None, str | None],
    labelled: bool,
    problems: list[str],
    notices: list[str],
) -> tuple[str, str] | None:
    """The languages to translate from and into; None and a problem where they cannot be told."""
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
                f"{listed(held) or 'none'}"
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
    """Leaves out rows without a text in a wanted language, as multilingual files have by design.

    An empty text is one that nobody has translated yet. A unit of a translation memory may have
    several texts to translate, of which the first is read.
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
