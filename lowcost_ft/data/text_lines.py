"""Files with one text a line: plain, or behind fastText's labels."""

import re
from typing import Any

from lowcost_ft.data.rows import LINE_BREAK, Row

__all__ = ["read_fasttext", "read_texts"]

_PREFIX = "__label__"
_BEFORE = re.compile(rf"(?:\s*{_PREFIX}\S+)+(?:\s*,(?=\s))?\s*")
_LABEL = re.compile(rf"{_PREFIX}(\S+)")


def read_texts(source: str, text: str) -> list[Row]:
    """Rows `{"text": ...}` of texts that come one a line, blank lines among them."""
    lines = LINE_BREAK.split(text)
    if not lines[-1]:  # What follows the last line break is not a line.
        del lines[-1]
    return [
        Row({"text": line}, f"{source}:{number}", is_line=True)
        for number, line in enumerate(lines, 1)
    ]


def read_fasttext(path: str, text: str) -> list[Row]:
    """Rows `{"text": ..., "label": [...]}` of lines `__label__a __label__b text`.

    Labels may stand behind the text, too. A line without one gets None; blank lines are not rows.
    """
    rows = []
    for number, line in enumerate(LINE_BREAK.split(text), 1):
        if not line.strip():
            continue
        labels: list[str] = []
        if before := _BEFORE.match(line):
            labels += _LABEL.findall(before[0])
            line = line[before.end() :]
        while (parts := line.rsplit(None, 1))[1:] and _LABEL.fullmatch(parts[1]):
            labels.append(parts[1].removeprefix(_PREFIX))
            line = parts[0]
        values: dict[str, Any] = {"text": line.strip()}
        values["label"] = list(dict.fromkeys(labels)) or None
        rows.append(Row(values, f"{path}:{number}"))
    return rows
