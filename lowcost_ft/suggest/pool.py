"""The rows of a pool that could be labelled next: read, told apart, and compared with old ones."""

import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from lowcost_ft.config.arguments import is_missing
from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.exports.label_studio import is_waiting
from lowcost_ft.data.file_kinds import extension_of
from lowcost_ft.data.known_names import LABEL_NAMES
from lowcost_ft.data.readers import read_rows
from lowcost_ft.data.rows import column_names, counted, without_blank_notices
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.convert import read_texts
from lowcost_ft.pipeline.run_input import read_unlabelled_file
from lowcost_ft.tasks import task_class

__all__ = ["Pool", "read_pool"]

_LABELS = frozenset(
    ("label", "labels", "tags", "entities", "spans", "relations", "answers", "score")
)
"""Columns that a pool may have and that nobody has asked for: labels are not looked at."""


@dataclass(frozen=True, kw_only=True)
class Pool:
    """What can be suggested.

    Attributes:
        rows: Each with its text, without labels: examples of a run's task, or dictionaries.
        texts: What is compared and embedded of each.
        sources: File and line of each.
        places: The number of each in its file, from 1.
        extras: Other fields of each row, which its tasks keep, where a run's examples hold none.
        labelled: Texts that are labelled already.
    """

    rows: list[Any]
    texts: list[str]
    sources: list[str]
    places: list[int]
    extras: list[dict[str, Any]] = field(default_factory=list)
    labelled: list[str] = field(default_factory=list)


def read_pool(
    path: str,
    *,
    run: Mapping[str, Any] | None,
    labelled_file: str | None = None,
    reading: ReadingOptions | None = None,
    notices: list[str],
) -> Pool:
    """Reads a pool; blank rows, repeated ones and those that are labelled already are left out.

    Args:
        path: A file of any form that training reads, or with one text a line. Labels in it are not
            looked at.
        run: The `run.json` of the model that is asked; None: no model is.
        labelled_file: A file of rows that are labelled already.
        reading: How the files are read; None: all is guessed.
        notices: Gets a line for what the user should know.

    Raises:
        UserError: Every problem in the files, or nothing is left to label.
    """
    labelled: list[str] = []
    known: set[tuple[str, ...]] = set()
    if labelled_file is not None:
        usual = None if run is None else task_class(run["task"]).recorded_reading(run)
        own = _labelled_reading(labelled_file, reading or ReadingOptions(), usual)
        read = read_texts(labelled_file, reading=own, notices=[])
        waiting = _waiting(labelled_file, own)
        if waiting:
            many = counted(len(waiting), "row")
            notices.append(
                f"{labelled_file}: {many} that nobody has labelled not taken for labelled"
            )
        done = [found for _, found, at in read if any(map(_plain, found)) and at not in waiting]
        labelled, known = [" ".join(found) for found in done], {_plain_all(one) for one in done}
    rows: list[Any]
    fields: dict[str, dict[str, Any]] = {}
    if run is None:
        given = read_texts(path, reading=reading, notices=notices)
        hidden = _LABELS - {"score"}  # No answer has a score here that it could be taken for.
        rows = [{n: v for n, v in row.items() if n not in hidden} for row, _, _ in given]
        parts, sources = [texts for _, texts, _ in given], [source for _, _, source in given]
    else:
        kind = task_class(run["task"])
        told: list[str] = []
        rows = read_unlabelled_file(run, path, reading=reading, notices=told)
        notices += without_blank_notices(told)
        sources = [row.source for row in rows]
        parts = [() if kind.is_blank(row) else tuple(kind.texts_of(row)) for row in rows]
        raw = read_rows(path, [], [], reading, usual=kind.recorded_reading(run), labelled=False)
        fields = {row.source: row.values for row in raw if not row.is_line}
    texts = [" ".join(found) for found in parts]
    seen: set[tuple[str, ...]] = set()
    kept: list[int] = []
    blank = repeated = 0
    for place, found in enumerate(parts):
        plain = _plain_all(found)
        if not any(plain):
            blank += 1
        elif plain in seen and plain not in known:
            repeated += 1
        else:
            seen.add(plain)
            kept += [] if plain in known else [place]
    known_already = len(texts) - len(kept) - blank - repeated
    for count, why in (
        (blank, "without text"),
        (repeated, "with the text of an earlier one"),
        (known_already, f"labelled already in {labelled_file}"),
    ):
        if count:
            notices.append(f"{path}: {counted(count, 'row')} {why}, left out")
    if not kept:
        raise UserError(f"{path}: no row is left to label; give another pool")
    return Pool(
        rows=[rows[place] for place in kept],
        texts=[texts[place] for place in kept],
        sources=[sources[place] for place in kept],
        places=[place + 1 for place in kept],
        extras=[
            {}
            if run is None
            else _extras(fields.get(sources[place], {}), kind.texts_of(rows[place]))
            for place in kept
        ],
        labelled=labelled,
    )


def _labelled_reading(
    path: str, asked: ReadingOptions, usual: ReadingOptions | None
) -> ReadingOptions:
    """How labelled rows are read: by a guess, but from the columns of the pool and of the run's
    training data where the file has them. It may have another form than the pool."""
    plain = ReadingOptions(csv_quotes=asked.csv_quotes)
    names = column_names(read_rows(path, [], [], plain, labelled=False))
    chosen: dict[str, Any] = {}
    for known in (asked, usual or plain):
        for field_name in ("text_column", "text_pair_column", "tokens_column"):
            column = getattr(known, field_name)
            if column in names and column not in chosen.values():
                chosen.setdefault(field_name, column)
    if "text_column" in chosen:  # Words and a text exclude each other.
        chosen.pop("tokens_column", None)
    return replace(plain, **chosen)


def _waiting(path: str, reading: ReadingOptions) -> set[str]:
    """Where rows stand that nobody has labelled yet.

    These are tasks of an export of Label Studio without an annotation, and rows whose cells are
    empty in all columns that hold labels in others. A list of no entities is a label.
    """
    if os.path.isdir(path):
        return set()
    found: set[str] = set()
    if (extension := extension_of(path)) in (".json", ".jsonl", ".ndjson"):
        as_it_is = replace(reading, format="json" if extension == ".json" else "jsonl")
        raw = read_rows(path, [], [], as_it_is, labelled=False)
        found = {row.source for row in raw if is_waiting(row.values)}
    rows = [row for row in read_rows(path, [], [], reading, labelled=False) if not row.is_line]
    wanted = {*_LABELS, *LABEL_NAMES} - {reading.text_column, reading.text_pair_column}
    columns = [
        name
        for name in column_names(rows)
        if name.strip().casefold() in wanted and any(_filled(row.values.get(name)) for row in rows)
    ]
    empty = (row for row in rows if not any(_filled(row.values.get(name)) for name in columns))
    return found | ({row.source for row in empty} if columns else set())


def _filled(cell: Any) -> bool:
    return not is_missing(cell) and (not isinstance(cell, str) or bool(cell.strip()))


def _extras(values: Mapping[str, Any], texts: Sequence[str]) -> dict[str, Any]:
    """The fields of a row that are neither what the model reads nor labels."""
    plain = {_plain(text) for text in texts}
    plain.add(_plain("".join(texts)))

    def is_read(value: Any) -> bool:
        words = value if isinstance(value, list) else [value]
        return all(isinstance(one, str) for one in words) and _plain("".join(words)) in plain

    return {
        name: value
        for name, value in values.items()
        if name not in _LABELS and value is not None and not is_read(value)
    }


def _plain_all(texts: Iterable[str]) -> tuple[str, ...]:
    return tuple(map(_plain, texts))


def _plain(text: str) -> str:
    """A text without its blanks, which files of labelled words do not keep."""
    return "".join(text.split())
