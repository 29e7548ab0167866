"""Labelled data of any form -> JSONL, CoNLL columns, tasks for Label Studio or doccano."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowcost_ft.config.reading import ReadingOptions, label_conflicts
from lowcost_ft.data.column_layout import is_tag_like
from lowcost_ft.data.exports.writing import (
    Canonical,
    doccano_lines,
    json_lines,
    label_studio_tasks,
)
from lowcost_ft.data.file_kinds import extension_of
from lowcost_ft.data.readers import read_rows
from lowcost_ft.data.rows import Row, counted, file_of
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.convert_questions import (
    is_question,
    open_questions,
    question_rows,
    with_marks,
)
from lowcost_ft.pipeline.convert_relations import doubtful_ends, is_pair, with_entities
from lowcost_ft.pipeline.convert_rows import canonical_rows
from lowcost_ft.record.overwriting import check_not_read
from lowcost_ft.tasks.problems import capped

__all__ = ["FORMS", "Conversion", "convert_file", "form_of", "read_texts", "write_new"]

FORMS = ("jsonl", "conll", "label_studio", "doccano")
"""What can be written: values of --to."""

_BY_EXTENSION = {
    **{".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "label_studio"},
    **dict.fromkeys((".conll", ".bio", ".iob", ".iob2"), "conll"),
}


@dataclass(frozen=True)
class Conversion:
    """What was written.

    Attributes:
        to: Its form, one of `FORMS`.
        rows: How many rows.
        entities: How many entities.
        relations: How many relations.
        notices: What the user should know.
    """

    to: str
    rows: int
    entities: int
    relations: int
    notices: list[str]


def convert_file(
    source: str,
    target: str,
    *,
    to: str | None = None,
    reading: ReadingOptions | None = None,
    labelled: bool = True,
) -> Conversion:
    """Reads a file or folder of any form and writes it in another.

    Spans keep their characters; CoNLL holds words, which are cut at the edges of spans.

    Args:
        source: What to read.
        target: The file to write, which must not exist.
        to: One of `FORMS`; None: by the extension of the target.
        reading: How the source is read; None: all is guessed.
        labelled: Whether labels are wanted.

    Raises:
        UserError: Every problem in the source, or the target cannot be written.
    """
    to = form_of(target, to)
    check_not_read("OUT", target, replaced=[Path(target)], reads={"IN": source})
    reading = reading or ReadingOptions()
    problems = label_conflicts(reading)
    notices: list[str] = []
    if problems:
        raise UserError(problems)
    rows = read_rows(source, problems, notices, reading, labelled=labelled, words=labelled)
    rows = [row for row in rows if not row.is_line or row.values["text"].strip()]
    found: list[dict[str, Any]] = []
    if not problems:
        lists: dict[str, Any] = {"problems": problems, "notices": notices}
        asked = question_rows(rows, reading, labelled, **lists)
        if asked is None:
            given = rows
            found, rows = canonical_rows(rows, reading, labelled, problems, notices)
            if found and not labelled and (blank := len(given) - len(rows)):
                file = file_of(rows[0].source)
                notices.append(f"{file}: {counted(blank, 'row')} without a text left out")
        else:
            found = asked
    questions = bool(found) and is_question(found[0])
    if questions and to == "conll":
        problems.append(
            f"{file_of(rows[0].source)}: has questions, which columns of words cannot hold; write "
            "JSONL (--to jsonl)"
        )
    elif questions and to != "jsonl":
        found = with_marks(found)
    pairs = labelled and bool(found) and is_pair(found[0])
    # Without labels, texts to be tagged are wanted; with classes, every word would be tagged O.
    if (
        labelled
        and not questions
        and to == "conll"
        and found
        and not any("entities" in row for row in found)
    ):
        pair = "names one pair of entities a row and not all of a text's entities"
        has = pair if pairs else "has no entities"
        problems.append(
            f"{file_of(rows[0].source)}: {has}, which is what columns of words hold; write JSONL "
            "(--to jsonl)"
        )
    if to != "conll" and labelled and not questions and not problems:  # Columns hold no relations.
        problems += doubtful_ends(found, [row.source for row in rows])
    if pairs and to != "jsonl" and not problems:
        found = with_entities(found, [row.source for row in rows], notices)
    content = "" if problems else _written(to, found, rows, problems, notices)
    if problems and labelled and _are_bare_lines(source, reading):
        problems.append(f"{source}: if each line is a text without a label, add --no-labels")
    if problems:
        raise UserError(problems)
    write_new(target, content)
    of_pairs = len(found) if pairs and to == "jsonl" else 0
    related = of_pairs + sum(len(row.get("relations") or ()) for row in found)
    return Conversion(
        to=to,
        rows=len(found),
        entities=2 * of_pairs + sum(len(row.get("entities") or ()) for row in found),
        relations=0 if to == "conll" else related,
        notices=notices,
    )


def _are_bare_lines(source: str, reading: ReadingOptions) -> bool:
    """Whether a file that was read for its labels could also be one text a line."""
    if Path(source).is_dir() or extension_of(source) not in ("", ".txt"):
        return False
    problems: list[str] = []
    rows = read_rows(source, problems, [], reading, labelled=False, words=False)
    lines = [row.values["text"].split() for row in rows if row.is_line]
    return (
        not problems and bool(lines) and not any(line and is_tag_like(line[-1]) for line in lines)
    )


def form_of(target: str, to: str | None, forms: Sequence[str] = FORMS) -> str:
    """What is written into a file that must not exist yet.

    Args:
        target: The file.
        to: What the user asks for; None: by the extension of the target.
        forms: What can be written.

    Raises:
        UserError: The extension does not tell, or there is such a file.
    """
    to = to or _BY_EXTENSION.get(extension_of(target))
    if to is None or to not in forms:
        known = ", ".join(forms)
        raise UserError(
            f"{target}: say with --to what to write ({known}); {extension_of(target) or 'no'} "
            f"extension does not tell"
        )
    if os.path.lexists(target):
        raise UserError(f"{target} exists already; give another name, or delete it")
    return to


def write_new(target: str, content: str) -> None:
    """Writes a file that must not exist yet.

    Raises:
        UserError: It cannot be written.
    """
    folder = os.path.dirname(os.path.abspath(target))
    try:
        os.makedirs(folder, exist_ok=True)
        with open(target, "x", encoding="utf-8", newline="") as file:
            file.write(content)
    except OSError as error:
        raise UserError(f"{target} cannot be written ({error.strerror})") from error


def read_texts(
    source: str, *, reading: ReadingOptions | None = None, notices: list[str]
) -> list[tuple[dict[str, Any], tuple[str, ...], str]]:
    """The rows of a file of any form, without their labels.

    Each comes with its text, the two of a pair, or a question and its text, and with its place in
    the file. Rows without a text have an empty one.

    Args:
        source: What to read.
        reading: How it is read; None: all is guessed.
        notices: Gets a line for what the user should know.

    Raises:
        UserError: Every problem in the source.
    """
    problems: list[str] = []
    reading = reading or ReadingOptions()
    given = read_rows(source, problems, notices, reading, labelled=False)
    rows = [row for row in given if not row.is_line or row.values["text"].strip()]
    found: list[dict[str, Any]] = []
    second = "text_pair"
    if not problems:
        asked = open_questions(rows, reading, problems, notices)
        if asked is not None:
            second, (found, rows) = "question", asked
        elif not problems:
            found, rows = canonical_rows(rows, reading, False, problems, notices)
    if problems:
        raise UserError(capped(problems), total=len(problems))
    of_source = dict(zip((row.source for row in rows), found, strict=True))
    read = []
    for row in given:
        values = of_source.get(row.source, {"text": ""})
        texts = tuple(
            str(values[name]) for name in (second, "text") if values.get(name) is not None
        )
        read.append((values, texts if second == "question" else texts[::-1], row.source))
    return read


def _written(
    to: str,
    found: Sequence[Canonical],
    rows: Sequence[Row],
    problems: list[str],
    notices: list[str],
) -> str:
    if to == "jsonl":
        return json_lines(found)
    if to == "label_studio":
        return label_studio_tasks(found)
    if to == "doccano":
        return doccano_lines(found)
    from lowcost_ft.pipeline.convert_words import conll_columns

    sources = [row.source for row in rows]
    return conll_columns(found, sources, problems=problems, notices=notices)
