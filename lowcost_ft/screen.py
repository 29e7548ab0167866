"""Text for people: cut to the width of their terminal, between words and not within commands."""

import re
import shutil
import textwrap
from typing import TextIO

__all__ = ["wrapped"]

_COMMAND = re.compile(r"`[^`]*`|next:  .*")
_KEPT = "\0"


def wrapped(text: str, stream: TextIO) -> str:
    """Breaks lines that are longer than the terminal is wide; a file or a pipe gets them whole.

    Args:
        text: One or more lines.
        stream: Where they will be written.
    """
    if not stream.isatty():
        return text
    width = max(40, shutil.get_terminal_size().columns)
    return "\n".join(
        _filled(line, width) if len(line) > width else line for line in text.split("\n")
    )


def _filled(line: str, width: int) -> str:
    # Commands and paths stay whole, so that they can be copied.
    whole = _COMMAND.sub(lambda found: found[0].replace(" ", _KEPT), line)
    filled = textwrap.fill(
        whole, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    return filled.replace(_KEPT, " ")
