"""Files by extension -> rows. Whatever is wrong with a file is said with its name and line."""

import codecs
import os
import re

from lowcost_ft.data.rows import Columns, Row
from lowcost_ft.data.tables import read_dataset, read_parquet
from lowcost_ft.data.text_files import read_conll, read_csv, read_json, read_json_lines

__all__ = ["Columns", "Row", "read_dataset", "read_rows"]

_EXTENSIONS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
_CONLL_EXTENSIONS = (".conll", ".bio", ".iob", ".iob2", ".txt")
_LINE_BREAK = re.compile(rb"\r\n|\r|\n")
_UTF16 = (codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)


def read_rows(path: str, problems: list[str], notices: list[str]) -> list[Row]:
    """All rows of a file, read by its extension.

    Args:
        path: .jsonl or .ndjson (an object a line), .json (a list, or an object a line), .csv,
            .tsv, .parquet, or CoNLL columns as .conll, .bio, .iob, .iob2 or .txt.
        problems: Gets a line for each problem: file, line, what is wrong, how to mend it.
        notices: Gets a line for whatever is left out on purpose.

    Returns:
        The rows that could be read, in the file's order; CoNLL sentences as `{"tokens": [...],
        "tags": [...]}`.
    """
    before = len(problems)
    extension = os.path.splitext(path)[1].lower()
    if not _is_readable_file(path, problems):
        return []
    if extension == ".parquet":
        rows = read_parquet(path, problems)
    elif extension not in (*_EXTENSIONS, *_CONLL_EXTENSIONS):
        known = ", ".join((*_EXTENSIONS, *_CONLL_EXTENSIONS))
        problems.append(
            f"{path}: unknown kind of file {extension or '(no extension)'}; rename it to what it "
            f"is: {known}"
        )
        return []
    elif (text := _decode(path, problems)) is None:
        return []
    elif extension in _CONLL_EXTENSIONS:
        rows = read_conll(path, text, problems, notices)
    elif extension in (".csv", ".tsv"):
        rows = read_csv(path, text, "\t" if extension == ".tsv" else None, problems)
    elif extension == ".json":
        rows = read_json(path, text, problems)
    else:
        rows = read_json_lines(path, text, problems)
    if not rows and len(problems) == before:
        problems.append(f"{path}: holds no rows; add some or give another file")
    return rows


def _is_readable_file(path: str, problems: list[str]) -> bool:
    if os.path.isdir(path):
        problems.append(
            f"{path}: is a folder, not a file; give a file in it, or --dataset for a folder "
            f"written by datasets.save_to_disk"
        )
    elif not os.path.exists(path):
        problems.append(f"{path}: no such file; check the path")
    else:
        try:
            with open(path, "rb") as file:
                if file.read(1):
                    return True
            problems.append(f"{path}: the file is empty; give one with rows")
        except OSError as error:
            problems.append(f"{path}: cannot be read ({error.strerror}); check its permissions")
    return False


def _decode(path: str, problems: list[str]) -> str | None:
    """The file's text without a byte order mark, or None and a problem."""
    with open(path, "rb") as file:
        data = file.read()
    fix = "save it as UTF-8 text (such as: iconv -f WINDOWS-1252 -t UTF-8 OLD > NEW)"
    if data.startswith(_UTF16):
        problems.append(f"{path}: UTF-16 text; save it as UTF-8")
        return None
    if (position := data.find(b"\0")) >= 0:
        problems.append(
            f"{path}:{_line_at(data, position)}: a binary file (zero byte at offset {position}); "
            f"give a text file"
        )
        return None
    mark = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
    try:
        text = data[mark:].decode("utf-8")
    except UnicodeDecodeError as error:
        position = error.start + mark
        problems.append(
            f"{path}:{_line_at(data, position)}: not UTF-8 (byte 0x{data[position]:02x} at offset "
            f"{position}); {fix}"
        )
        return None
    if not text.strip():
        problems.append(f"{path}: the file is empty but for blank lines; give one with rows")
        return None
    return text


def _line_at(data: bytes, position: int) -> int:
    return 1 + len(_LINE_BREAK.findall(data[:position]))
