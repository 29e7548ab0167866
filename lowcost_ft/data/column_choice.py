"""Which columns of a file with one word a line the user wants: by name or by number."""

import re
from collections.abc import Sequence
from dataclasses import replace

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.column_layout import COMMENT, Layout
from lowcost_ft.data.rows import same_column, shown

__all__ = ["chosen_layout", "column_names_of", "with_usual"]

_NAMES = re.compile(r"#\s*global\.columns\s*=\s*(.+)")


def column_names_of(lines: Sequence[str], header: list[str] | None, width: int) -> list[str]:
    """Names of the columns, by the header or a line `# global.columns = ...`."""
    if header is not None and len(header) == width:
        return header
    for line in lines:
        if match := _NAMES.match(line):
            names = match[1].split()
            return names if len(names) == width else []
        if line and not line.startswith(COMMENT):
            break
    return []


def with_usual(
    reading: ReadingOptions, usual: ReadingOptions | None, names: Sequence[str], width: int
) -> ReadingOptions:
    """The reading, and of what training used the columns that this file has."""
    for name in ("tokens_column", "tags_column"):
        known = None if usual is None else getattr(usual, name)
        if known is None or getattr(reading, name) is not None:
            continue
        if same_column(names, known) is not None or _place(known, width) is not None:
            reading = replace(reading, **{name: known})
    return reading


def _place(number: str, width: int) -> int | None:
    """The place, from 0, of the column that the user counted from 1; None if there is none."""
    if not number.isascii() or not number.isdecimal() or not 1 <= int(number[:9]) <= width:
        return None
    return int(number) - 1


def chosen_layout(
    path: str, layout: Layout, names: Sequence[str], reading: ReadingOptions, problems: list[str]
) -> Layout | None:
    """The layout with the columns that the user chose; None and a problem where they are not."""
    places = {}
    for what, given in (("tokens", reading.tokens_column), ("tags", reading.tags_column)):
        if given is None:
            continue
        found = same_column(names, given)
        if found is not None:
            places[what] = list(names).index(found)
        elif (place := _place(given, layout.width)) is not None:
            places[what] = place
        elif given != what:
            known = (
                f"its columns are {', '.join(map(shown, names))}"
                if names
                else (f"its columns have no names: give a number from 1 to {layout.width}")
            )
            problems.append(f"{path}: no column {shown(given)} (--{what}-column); {known}")
            return None
    words, tags = places.get("tokens", layout.words), places.get("tags", layout.tags)
    if words == tags and "tokens" in places and "tags" in places:
        problems.append(f"{path}: --tokens-column and --tags-column are the same column")
        return None
    if words == tags and "tokens" in places:
        tags = next((place for place in reversed(layout.tag_columns) if place != words), None)
    elif words == tags:
        words = next(place for place in range(layout.width) if place != tags)
    return replace(layout, words=words, tags=tags) if places else layout
