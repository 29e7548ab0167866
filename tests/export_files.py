"""Files as labelling tools write them, and how tests read them."""

import json
from pathlib import Path
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.readers import read_rows


def write(folder: Path, content: Any, name: str = "export.json") -> str:
    """Writes rows as JSON, or an object a line where the name ends in .jsonl."""
    path = folder / name
    text = "\n".join(map(json.dumps, content)) if name.endswith("l") else json.dumps(content)
    path.write_text(text, "utf-8")
    return str(path)


def read(
    path: str, *, labelled: bool = True, **reading: Any
) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    """Rows of a file, problems and notices."""
    problems: list[str] = []
    notices: list[str] = []
    rows = read_rows(path, problems, notices, ReadingOptions(**reading), labelled=labelled)
    return [row.values for row in rows], problems, notices


def span(start: int, end: int, label: str, text: str, **more: Any) -> dict[str, Any]:
    """A span as Label Studio writes it."""
    value = {"start": start, "end": end, "text": text[start:end], "labels": [label]}
    result = {"id": f"r{start}", "from_name": "label", "to_name": "text", "type": "labels"}
    return result | {"value": value} | more


def choice(*names: str, control: str = "sentiment") -> dict[str, Any]:
    """Classes as Label Studio writes them."""
    result = {"id": f"c-{control}", "from_name": control, "to_name": "text", "type": "choices"}
    return result | {"value": {"choices": list(names)}}


def task(text: str, *annotations: list[dict[str, Any]], **more: Any) -> dict[str, Any]:
    """A task of Label Studio's with one annotation a list of results."""
    given = [
        {"id": number, "completed_by": number, "was_cancelled": False, "result": results}
        for number, results in enumerate(annotations, 1)
    ]
    return {"id": 7, "data": {"text": text}, "annotations": given, "predictions": []} | more
