"""TMX, the exchange format of translation memories -> rows of texts by language.

Source:
    TMX 1.4b Specification (LISA OSCAR, 2005): units `tu` of variants `tuv` with a segment `seg`.
"""

import re
from typing import Any
from xml.parsers import expat

from lowcost_ft.data.known_names import TRANSLATION_NAME
from lowcost_ft.data.rows import Row, counted, shown, told_apart

__all__ = ["is_tmx", "read_tmx"]

_CODES_OF_FORMAT = frozenset({"bpt", "ept", "ph", "it", "ut"})
"""Elements inside a segment that hold formatting of the program the text is from, not text."""

_XML_BLANKS = re.compile(r"[ \t\r\n]+")
"""Not the narrow and protected blanks that belong to a text, as in front of a French "?"."""

_LOOKED_AT = 2000


def is_tmx(path: str) -> bool:
    """Whether a file begins like TMX."""
    with open(path, "rb") as file:
        start = file.read(_LOOKED_AT)
    start = start.replace(b"\0", b"").lstrip(b"\xef\xbb\xbf\xff\xfe \t\r\n")
    return start.startswith((b"<tmx", b"<?xml", b"<!DOCTYPE tmx")) and b"<tmx" in start


class _RefusedError(ValueError):
    """XML that is not read, with the reason."""


class _Units:
    """Collects the units of a file while it is parsed."""

    def __init__(self, path: str, parser: Any) -> None:
        self.rows: list[Row] = []
        self.with_codes: list[str] = []
        self._path = path
        self._parser = parser
        self._unit: dict[str, Any] | None = None
        self._language: str | None = None
        self._spellings: dict[str, str] = {}
        self._text: list[str] | None = None
        self._skipped = 0
        self._source = path
        self._has_codes = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        if name == "tu":
            self._source = f"{self._path}:{self._parser.CurrentLineNumber}"
            self._unit = {"id": attributes["tuid"]} if "tuid" in attributes else {}
            self._unit[TRANSLATION_NAME] = {}
            self._has_codes = False
        elif name == "tuv" and self._unit is not None:
            self._language = attributes.get("xml:lang") or attributes.get("lang")
            if not self._language:
                line = self._parser.CurrentLineNumber
                raise _RefusedError(
                    f"{self._path}:{line}: a tuv without xml:lang; name its language"
                )
            else:
                # Case means nothing in these codes.
                code = self._language
                self._language = self._spellings.setdefault(code.lower(), code)
        elif name == "seg" and self._language is not None:
            self._text = []
        elif name in _CODES_OF_FORMAT and self._text is not None:
            self._skipped += 1
            self._has_codes = True

    def end(self, name: str) -> None:
        if name in _CODES_OF_FORMAT and self._text is not None:
            self._skipped -= 1
        elif name == "seg" and self._text is not None and self._unit is not None:
            texts = self._unit[TRANSLATION_NAME]
            text = _XML_BLANKS.sub(" ", "".join(self._text)).strip(" ")
            language = str(self._language)
            if language not in texts:
                texts[language] = text
            elif isinstance(texts[language], list):
                texts[language].append(text)
            else:
                texts[language] = [texts[language], text]
            self._text = None
        elif name == "tuv":
            self._language = None
        elif name == "tu" and self._unit is not None:
            self.rows.append(Row(self._unit, self._source))
            if self._has_codes:
                self.with_codes.append(self._source)
            self._unit = None

    def characters(self, text: str) -> None:
        if self._text is not None and not self._skipped:
            self._text.append(text)


def read_tmx(path: str, problems: list[str], notices: list[str]) -> list[Row]:
    """Rows of a file's units: an `id`, if any, and under `translation` a text by language.

    Blanks, tabs and line ends become one blank, since they are layout of the XML.
    Nothing outside the file is read, and entities that a file defines are refused.

    Args:
        path: The file, whose encoding its XML states.
        problems: Gets a line where the file is broken.
        notices: Gets a line where formatting codes are left out.
    """
    parser = expat.ParserCreate()
    parser.buffer_text = True
    units = _Units(path, parser)
    parser.StartElementHandler = units.start
    parser.EndElementHandler = units.end
    parser.CharacterDataHandler = units.characters

    def refuse(name: str, *_: Any) -> None:
        line = parser.CurrentLineNumber
        raise _RefusedError(
            f"{path}:{line}: defines the entity {shown(name)}; write it out instead"
        )

    parser.EntityDeclHandler = refuse
    try:
        with open(path, "rb") as file:
            parser.ParseFile(file)
    except _RefusedError as error:
        problems.append(str(error))
        return []
    except (expat.ExpatError, LookupError, ValueError) as error:
        line = getattr(error, "lineno", parser.CurrentLineNumber)
        what = expat.ErrorString(error.code) if isinstance(error, expat.ExpatError) else str(error)
        problems.append(f"{path}:{line}: broken TMX, {what}; write the file again")
        return []
    if units.with_codes:
        notices.append(
            f"{path}: formatting codes left out of {counted(len(units.with_codes), 'unit')}, first "
            f"at {units.with_codes[0]}"
        )
    return told_apart(units.rows)
