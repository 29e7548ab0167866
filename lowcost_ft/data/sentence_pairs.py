"""Pairs of sentences in a table without a header, as Tatoeba and Anki's decks of it export them.

Go.<tab>Geh.<tab>CC-BY 2.0 (France) Attribution: tatoeba.org #2877272 (CM) & #8597805 (Roujin)
1276<tab>Let us try it.<tab>2481<tab>Lass es uns versuchen.
"""

import re

from lowcost_ft.data.rows import LINE_BREAK, Row, counted

__all__ = ["read_sentence_pairs"]

_WITH_ATTRIBUTION = re.compile(r"([^\t]+)\t([^\t]+)\t(CC-BY[^\t]*tatoeba\.org[^\t]*)")
_WITH_IDS = re.compile(r"([0-9]+)\t([^\t]+)\t([0-9]+)\t([^\t]+)")


def read_sentence_pairs(path: str, text: str, notices: list[str]) -> list[Row] | None:
    """Rows with `source` and `target`; None where a file is another one.

    The number of the first sentence is the row's `id`.

    Args:
        path: For the messages.
        text: Content of the file.
        notices: Gets a line that says what the file was taken for.
    """
    lines = [(n, line) for n, line in enumerate(LINE_BREAK.split(text), 1) if line.strip()]
    for pattern, names, what in (
        (_WITH_ATTRIBUTION, ("source", "target", "attribution"), "source, target, attribution"),
        (_WITH_IDS, ("id", "source", "target_id", "target"), "number, source, number, target"),
    ):
        if not lines or not pattern.fullmatch(lines[0][1]):
            continue
        found = [(number, pattern.fullmatch(line)) for number, line in lines]
        rows = [
            Row(dict(zip(names, match.groups(), strict=True)), f"{path}:{number}")
            for number, match in found
            if match is not None
        ]
        sentences = sum(" " in row.values["source"] for row in rows)
        # Numbered words and tags are no sentences.
        if len(rows) < 0.9 * len(lines) or ("id" in names and sentences * 2 < len(rows)):
            return None
        notices.append(
            f"{path}: read as pairs of sentences of Tatoeba ({what}); to translate the other way "
            "round, give --source-column target --target-column source"
        )
        if left := [number for number, match in found if match is None]:
            notices.append(
                f"{path}: {counted(len(left), 'line')} in another form left out, first {left[0]}"
            )
        return rows
    return None
