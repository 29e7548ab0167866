"""Bytes -> text, or what is wrong with them: their encoding, zero bytes, a file cut short."""

import codecs
import os
import re

from lowcost_ft.data.rows import shown

__all__ = ["binary_fault", "decode"]

_BREAK_BYTES = re.compile(rb"\r\n|\r|\n")
_ARCHIVE = "is a spreadsheet or an archive, not text, whatever its name says; export it as CSV, or"
_ARCHIVE += " unpack it"
_COMPRESSED = "is compressed, whatever its name says; unpack it and give what is inside"
_CODE = "is a pickle, which can run code when it is read; write its rows as JSONL or Parquet"
_BEGINNINGS = {
    **{b"PK\x03\x04": _ARCHIVE, b"\xd0\xcf\x11\xe0": _ARCHIVE},
    **dict.fromkeys((b"\x1f\x8b", b"BZh9", b"\xfd7zXZ", b"(\xb5/\xfd", b"7z\xbc\xaf"), _COMPRESSED),
    **dict.fromkeys((b"\x80\x02", b"\x80\x03", b"\x80\x04\x95", b"\x80\x05\x95"), _CODE),
    b"%PDF-": "is a document; put its texts into a table, export that as CSV and give it",
}


def binary_fault(data: bytes) -> str | None:
    """What a file is that is not text, by its first bytes, and what to do; None for others."""
    return next((fault for mark, fault in _BEGINNINGS.items() if data.startswith(mark)), None)


def decode(name: str, data: bytes, problems: list[str]) -> str | None:
    """The text without a byte order mark, or None and a problem.

    Args:
        name: Name of the file or other source, for messages.
        data: The bytes.
        problems: Gets a line where they are not a text in UTF-8, or hold only white space.
    """
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
