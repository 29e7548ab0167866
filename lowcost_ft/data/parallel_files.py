"""Two files whose lines belong together, line by line -> rows."""

import os
from collections.abc import Sequence

from lowcost_ft.data.rows import Row, counted
from lowcost_ft.data.text_lines import read_texts

__all__ = ["pair_lines", "parallel_paths"]


def parallel_paths(path: str) -> tuple[str, str] | None:
    """The two files that "train.en,train.fr" names; None where it is the name of one file."""
    first, comma, second = path.partition(",")
    if not comma or os.path.exists(path) or "," in second:
        return None
    return first.strip(), second.strip()


def pair_lines(
    paths: Sequence[str], texts: Sequence[str], problems: list[str], notices: list[str]
) -> list[Row]:
    """Rows `{"source", "target"}` of two files with one text a line.

    Lines that are blank in both files are left out; a line that is blank in one of them stays, so
    that it is told as a missing text.

    Args:
        paths: Both files.
        texts: Their contents.
        problems: Gets a line if the numbers of lines differ.
        notices: Gets a line for blank ones.
    """
    sources, targets = (read_texts(*both) for both in zip(paths, texts, strict=True))
    if len(sources) != len(targets):
        problems.append(
            f"{paths[0]} has {counted(len(sources), 'line')} and {paths[1]} has "
            f"{len(targets):,}; line n of one must be the translation of line n of the other"
        )
        return []
    rows, blank = [], list[str]()
    for source, target in zip(sources, targets, strict=True):
        texts_of = [row.values["text"] for row in (source, target)]
        if not any(text.strip() for text in texts_of):
            blank.append(source.source)
            continue
        rows.append(Row({"source": texts_of[0], "target": texts_of[1]}, source.source))
    if blank:
        notices.append(
            f"{paths[0]}: {counted(len(blank), 'line')} blank in both files left out, first at "
            f"{blank[0]}"
        )
    return rows
