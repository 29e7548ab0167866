"""Two files whose lines belong together, line by line -> rows."""

import os
from collections.abc import Sequence

from lowcost_ft.data.language_codes import same_language
from lowcost_ft.data.rows import Row, counted
from lowcost_ft.data.text_lines import read_texts

__all__ = ["exchanged", "pair_lines", "parallel_paths"]


def parallel_paths(path: str) -> tuple[str, str] | None:
    """The two files that "train.en,train.fr" names; None where it is the name of one file."""
    first, comma, second = path.partition(",")
    if not comma or os.path.exists(path) or "," in second:
        return None
    return first.strip(), second.strip()


def exchanged(paths: Sequence[str], source: str | None, target: str | None) -> str | None:
    """What is wrong where the names of two files say that the languages stand the other way round.

    Args:
        paths: Both files, such as train.en and train.fr.
        source: Code of the language to translate from, if the user gave it.
        target: Code of the language to translate into.
    """
    first, second = (
        {
            side
            for side, code in (("source", source), ("target", target))
            for part in os.path.basename(path).split(".")[1:]
            if code and same_language(part, code)
        }
        for path in paths
    )
    if first != {"target"} and second != {"source"}:
        return None
    side, code = ("target", target) if first == {"target"} else ("source", source)
    place = "first" if side == "target" else "second"
    return (
        f"{','.join(paths)}: by its name, the {place} file is in the language --{side}-language "
        f"{code}, and the first file must hold the sources; exchange the files or the languages"
    )


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
