"""Text for people: cut to the width of their terminal, between words."""

import shutil
import textwrap
from typing import TextIO

__all__ = ["wrapped"]


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
        textwrap.fill(
            line,
            width,
            subsequent_indent="    ",
            break_long_words=False,  # paths stay whole, so that they can be copied
            break_on_hyphens=False,
            drop_whitespace=True,
        )
        if len(line) > width
        else line
        for line in text.split("\n")
    )
