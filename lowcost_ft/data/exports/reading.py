"""Which labelling tool wrote rows, by their content; and its rows in the package's own form."""

from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.exports import doccano, gliner, label_studio_min, prodigy, spacy_json
from lowcost_ft.data.exports.annotated import Annotated, ExportError, are_triples
from lowcost_ft.data.exports.annotators import join_annotations
from lowcost_ft.data.exports.label_studio import is_label_studio, read_label_studio
from lowcost_ft.data.rows import Row, file_of

__all__ = ["EXPORTS", "TOOLS", "read_export", "tool_of"]

TOOLS = {
    "label_studio": "an export of Label Studio",
    "label_studio_min": "a short export (JSON-MIN) of Label Studio",
    "doccano": "an export of doccano",
    "spacy": "training data in spaCy's form",
    "gliner": "GLiNER's training data",
    "brat": "a folder of brat's",
    "prodigy": "an export of Prodigy",
}
"""What to call the exports in messages."""

EXPORTS = tuple(tool for tool in TOOLS if tool != "label_studio_min")
"""Values of --format."""

_IS = {
    "label_studio": is_label_studio,
    "label_studio_min": label_studio_min.is_label_studio_min,
    "prodigy": prodigy.is_prodigy,
    "doccano": doccano.is_doccano,
    "spacy": spacy_json.is_spacy,
    "gliner": gliner.is_gliner,
}
_COLUMNS = [field.name for field in fields(ReadingOptions) if field.name.endswith("_column")]


def tool_of(rows: Sequence[Row]) -> str | None:
    """The tool that wrote rows; None for rows that any program could have written."""
    for tool, is_its in _IS.items():
        if any(is_its(row.values) for row in rows):
            return tool
    return None


def read_export(
    rows: Sequence[Row],
    reading: ReadingOptions,
    *,
    labelled: bool,
    problems: list[str],
    notices: list[str],
) -> list[Row]:
    """Rows of a labelling tool in the package's own form; other rows as they are.

    Classes stand in `label`, spans in `entities` (objects with id, start, end and label, offsets
    as the file has them), relations in `relations` (head, tail, label), beside the input's own
    fields. With --format other than auto, rows are read as that format, and JSON as it stands.

    Args:
        rows: The rows of one file or split.
        reading: How they are read.
        labelled: Whether annotations are wanted; if not, every input is kept.
        problems: Gets a line for each problem.
        notices: Gets a line that names the tool, and for what is left out.
    """
    if not rows:
        return []
    tool = _chosen_tool(rows, reading)
    file = file_of(rows[0].source)
    if tool is None:
        if labelled and reading.annotations is not None:
            notices.append(
                f"{file}: --annotations {reading.annotations} changes nothing: it is for exports "
                f"of labelling tools, which say who labelled what"
            )
        return list(rows)
    if problem := _other_tool(tool, rows, file) or (_mixture(tool, rows) if labelled else None):
        problems.append(problem)
        return []
    if reading.format == "auto":
        notices.append(
            f"{file}: read as {TOOLS[tool]}, by its content (--format json or jsonl reads it as "
            f"it stands)"
        )
    if not labelled:
        return [item.row for item in _inputs(tool, rows, reading, problems)]
    before = len(problems)
    items = _annotated(tool, rows, reading, problems, notices)
    if len(problems) > before:
        return []
    joined = join_annotations(
        items,
        reading.annotations,
        file=file,
        column=reading.label_column,
        problems=problems,
        notices=notices,
    )
    return _with_chosen(joined, rows, reading)


def _chosen_tool(rows: Sequence[Row], reading: ReadingOptions) -> str | None:
    if reading.format == "auto":
        chosen = (getattr(reading, name) for name in _COLUMNS)
        return None if "answer" in chosen else tool_of(rows)
    if reading.format == "label_studio" and any(
        _IS["label_studio_min"](row.values) for row in rows
    ):
        return "label_studio_min"
    return reading.format if reading.format in EXPORTS else None


def _other_tool(tool: str, rows: Sequence[Row], file: str) -> str | None:
    """What is wrong where --format names a tool and the rows are plainly another one's."""
    is_its = _IS.get(tool)
    if is_its is None or any(is_its(row.values) for row in rows):
        return None
    other = tool_of(rows)
    if other is None:
        return None
    fix = "label_studio" if other == "label_studio_min" else other
    return (
        f"{file}: by its content, it is {TOOLS[other]} and not {TOOLS[tool]}; give --format {fix}, "
        f"or leave --format out"
    )


def _mixture(tool: str, rows: Sequence[Row]) -> str | None:
    """What is wrong where a row is plainly another tool's: its annotations would be lost."""
    its = _IS.get(tool)
    if its is None:
        return None
    first = next((row for row in rows if its(row.values)), None)
    if first is None:
        return None
    for row in rows:
        other = None if its(row.values) else tool_of([row])
        # doccano's older files have spans as [start, end, label], too.
        if other is None or (tool == "doccano" and are_triples(row.values.get("entities"))):
            continue
        return (
            f"{row.source}: is {TOOLS[other]}, by its content, and {first.source} is "
            f"{TOOLS[tool]}; put the rows of each tool into a file of their own"
        )
    return None


def _annotated(
    tool: str,
    rows: Sequence[Row],
    reading: ReadingOptions,
    problems: list[str],
    notices: list[str],
) -> list[Annotated]:
    """The inputs with their annotations."""
    lists: dict[str, Any] = {"problems": problems, "notices": notices}
    columns: dict[str, Any] = {
        "text_column": reading.text_column,
        "label_column": reading.label_column,
    }
    if tool == "label_studio":
        return read_label_studio(rows, **columns, **lists)
    if tool == "label_studio_min":
        return label_studio_min.read_label_studio_min(rows, **columns, **lists)
    if tool == "prodigy":
        return prodigy.read_prodigy(rows, **lists)
    if tool == "gliner":
        return gliner.read_gliner(rows, problems=problems)
    if tool == "spacy":
        return spacy_json.read_spacy(rows, **lists)
    return doccano.read_doccano(rows, problems=problems)


def _inputs(
    tool: str, rows: Sequence[Row], reading: ReadingOptions, problems: list[str]
) -> list[Annotated]:
    """The inputs alone: nothing that is wrong with annotations matters."""
    if tool == "label_studio":
        return read_label_studio(
            rows,
            text_column=reading.text_column,
            label_column=None,
            labelled=False,
            problems=problems,
            notices=[],
        )
    modules = {"label_studio_min": label_studio_min, "prodigy": prodigy}
    modules |= {"doccano": doccano, "spacy": spacy_json, "gliner": gliner}
    try:
        found: list[Annotated] = modules[tool].read_inputs(rows)
    except ExportError as error:
        problems.append(f"{file_of(rows[0].source)}: {error}")
        return []
    return found


def _with_chosen(rows: Sequence[Row], given: Sequence[Row], reading: ReadingOptions) -> list[Row]:
    """Rows that also hold the columns which the user named, as the file has them."""
    names = [name for name in (getattr(reading, field) for field in _COLUMNS) if name is not None]
    found = {row.source: row.values for row in given}
    return [
        Row(
            row.values
            | {
                name: found[row.source][name]
                for name in names
                if name not in row.values and name in found[row.source]
            },
            row.source,
        )
        for row in rows
    ]
