"""Files by extension -> rows. Whatever is wrong with a file is said with its name and line."""

import codecs
import os
import re

from lowcost_ft.data.rows import Row, shown
from lowcost_ft.data.tables import read_dataset, read_parquet
from lowcost_ft.data.text_files import (
    LINE_BREAK,
    is_json_list,
    read_conll,
    read_csv,
    read_json,
    read_json_lines,
)

__all__ = ["Row", "read_dataset", "read_lines", "read_rows"]

_EXTENSIONS = (".jsonl", ".ndjson", ".json", ".csv", ".tsv", ".parquet")
_CONLL_EXTENSIONS = (".conll", ".bio", ".iob", ".iob2", ".txt")
_OTHER_KINDS = {
    **dict.fromkeys(
        (".xlsx", ".xls", ".xlsm", ".ods", ".numbers"),
        "a spreadsheet; export it as CSV (in Excel: CSV UTF-8) and give that",
    ),
    **dict.fromkeys(
        (".docx", ".doc", ".odt", ".rtf", ".pdf"),
        "a document; put its texts into a table, export that as CSV and give it",
    ),
    **dict.fromkeys(
        (".gz", ".bz2", ".xz", ".zst", ".zip", ".7z", ".tar"),
        "compressed; unpack it and give what is inside",
    ),
    **dict.fromkeys(
        (".pkl", ".pickle", ".pt", ".pth", ".bin", ".npy", ".joblib"),
        "a file that can run code when it is read; write its rows as JSONL or Parquet",
    ),
}
_BREAK_BYTES = re.compile(rb"\r\n|\r|\n")
_ZIP = b"PK\x03\x04"
_OLE = b"\xd0\xcf\x11\xe0"


def read_rows(path: str, problems: list[str], notices: list[str]) -> list[Row]:
    """All rows of a file, read by its extension.

    Args:
        path: .jsonl, .ndjson or .json (an object a line, or one list of them), .csv, .tsv,
            .parquet, or CoNLL columns as .conll, .bio, .iob, .iob2 or .txt.
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
    elif extension in _OTHER_KINDS:
        problems.append(f"{path}: {extension} is {_OTHER_KINDS[extension]}")
        return []
    elif extension not in (*_EXTENSIONS, *_CONLL_EXTENSIONS):
        known = ", ".join((*_EXTENSIONS, *_CONLL_EXTENSIONS))
        problems.append(
            f"{path}: unknown kind of file {extension or '(no extension)'}; rename it to what it "
            f"is: {known}"
        )
        return []
    elif (text := _decode_file(path, problems)) is None:
        return []
    elif extension in _CONLL_EXTENSIONS:
        rows = read_conll(path, text, problems, notices)
    elif extension in (".csv", ".tsv"):
        rows = read_csv(path, text, "\t" if extension == ".tsv" else None, problems)
    elif extension == ".json" or is_json_list(text):
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


def read_lines(name: str, data: bytes, problems: list[str]) -> list[Row]:
    """Rows `{"text": ...}` of texts that come one a line, blank lines among them.

    Args:
        name: What to call the source in messages, such as "standard input".
        data: The bytes.
        problems: Gets a line for each problem.
    """
    if (text := _decode(name, data, problems)) is None:
        return []
    lines = LINE_BREAK.split(text)
    if not lines[-1]:  # What follows the last line break is not a line.
        del lines[-1]
    return [Row({"text": line}, f"{name}:{number}") for number, line in enumerate(lines, 1)]


def _decode_file(path: str, problems: list[str]) -> str | None:
    with open(path, "rb") as file:
        data = file.read()
    if data.startswith((_ZIP, _OLE)):
        problems.append(
            f"{path}: is a spreadsheet or an archive, not text, whatever its name says; export it "
            f"as CSV, or unpack it"
        )
        return None
    return _decode(path, data, problems)


def _decode(name: str, data: bytes, problems: list[str]) -> str | None:
    """The text without a byte order mark, or None and a problem."""
    if encoding := _utf_16_or_32(data):
        problems.append(f"{name}: is {encoding} text; {_conversion(name, encoding)}")
        return None
    if (position := data.find(b"\0")) >= 0:
        problems.append(
            f"{name}:{_line_at(data, position)}: a binary file (zero byte at offset {position}); "
            f"give a text file"
        )
        return None
    mark = len(codecs.BOM_UTF8) if data.startswith(codecs.BOM_UTF8) else 0
    try:
        text = data[mark:].decode("utf-8")
    except UnicodeDecodeError as error:
        position = error.start + mark
        problems.append(
            f"{name}:{_line_at(data, position)}: not UTF-8 (byte 0x{data[position]:02x} at offset "
            f"{position}); {_other_encoding(name, data, position)}"
        )
        return None
    if not text.strip():
        what = "the file is empty but for blank lines" if text else "the file is empty"
        problems.append(f"{name}: {what}; give one with rows")
        return None
    return text


def _utf_16_or_32(data: bytes) -> str | None:
    """The encoding of text that Windows calls Unicode: by its mark, or by every other zero byte."""
    for mark, encoding in (
        (codecs.BOM_UTF32_LE, "UTF-32"),  # begins like UTF-16
        (codecs.BOM_UTF32_BE, "UTF-32"),
        (codecs.BOM_UTF16_LE, "UTF-16"),
        (codecs.BOM_UTF16_BE, "UTF-16"),
    ):
        if data.startswith(mark):
            return encoding
    start = data[:1000]
    for zeros, others, encoding in ((1, 0, "UTF-16LE"), (0, 1, "UTF-16BE")):
        half = len(start) // 2
        if half > 1 and start[zeros::2].count(0) > half // 2 and 0 not in start[others::2]:
            return encoding
    return None


def _other_encoding(name: str, data: bytes, position: int) -> str:
    """Which encoding the text may be in, told by what the byte would be in it, and the fix."""
    byte = data[position : position + 1]
    if position + 4 > len(data) and not data[:position].isascii():
        return "the file ends inside a character, as if it were cut off; give the whole file"
    try:
        character = byte.decode("windows-1252")
    except UnicodeDecodeError:
        return "save it as UTF-8 text (`iconv -f ITS_ENCODING -t UTF-8`; in Excel: CSV UTF-8)"
    return (
        f"likely WINDOWS-1252, where the byte is {shown(character)}; "
        f"{_conversion(name, 'WINDOWS-1252')}"
    )


def _conversion(name: str, encoding: str) -> str:
    source = name if os.path.isfile(name) else "OLD"
    return f"convert it (`iconv -f {encoding} -t UTF-8 {source} > NEW`; in Excel: CSV UTF-8)"


def _line_at(data: bytes, position: int) -> int:
    return 1 + len(_BREAK_BYTES.findall(data[:position]))
