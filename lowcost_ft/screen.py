"""Text for the terminal: as wide as it is, and no error when nobody reads on."""

import json
import os
import re
import shutil
import sys
import textwrap
from collections.abc import Callable, Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from typing import Any, TextIO

__all__ = ["print_json", "readers_may_leave", "say", "visible", "wrapped"]

_COMMAND = re.compile(r"`[^`]*`|(?:next|page|look|mend|mend together):  .*")
_KEPT = "\0"
_CONTROLS = dict.fromkeys((*range(9), *range(11, 32), *range(127, 160)), "\ufffd")
"""What could move the cursor or colour the screen, all but tabs and new lines."""

_RAW_IN_JSON = re.compile("[\x7f-\x9f\u2028\u2029\ud800-\udfff]")
"""What JSON allows as it is, and terminals obey or line readers take for the end of a line; and
halves of surrogate pairs, which cannot be printed."""


@contextmanager
def readers_may_leave() -> Iterator[None]:
    """Inside the block, a closed pipe (`| head`) ends the output, and not what writes it."""
    out, err = _Output(sys.stdout), _Output(sys.stderr)
    with redirect_stdout(out), redirect_stderr(err):
        try:
            yield
        finally:  # Here, where a closed pipe is no trouble, and not when Python ends.
            out.flush()
            err.flush()


class _Output:
    """A stream that goes on as if it were /dev/null once its reader has left."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)

    def write(self, text: str) -> int:
        self._try(lambda: self._stream.write(text))
        return len(text)

    def flush(self) -> None:
        self._try(self._stream.flush)

    def _try(self, action: Callable[[], Any]) -> None:
        try:
            action()
        except BrokenPipeError:
            null = os.open(os.devnull, os.O_WRONLY)
            # What the stream still holds, and all that follows, goes there.
            os.dup2(null, self._stream.fileno())
            os.close(null)


def say(text: str) -> None:
    """Prints to standard error, broken to the terminal's width."""
    print(wrapped(text, sys.stderr), file=sys.stderr, flush=True)


def print_json(value: Any, *, indent: int | None = None) -> None:
    """Prints JSON to standard output, in which no character is one that a terminal obeys.

    Args:
        value: What `json.dumps` takes.
        indent: Blanks for each level; None: all on one line.
    """
    text = json.dumps(value, ensure_ascii=False, indent=indent)
    print(_RAW_IN_JSON.sub(lambda found: f"\\u{ord(found[0]):04x}", text), flush=True)


def visible(text: str, stream: TextIO) -> str:
    """A text whose control characters do not reach a terminal; a file or a pipe gets them.

    Args:
        text: One or more lines.
        stream: Where they will be written.
    """
    return text.translate(_CONTROLS) if stream.isatty() else text


def wrapped(text: str, stream: TextIO) -> str:
    """Breaks lines that are longer than the terminal is wide; a file or a pipe gets them whole.

    Control characters, which a text that is shown may hold, do not reach a terminal.

    Args:
        text: One or more lines.
        stream: Where they will be written.
    """
    if not stream.isatty():
        return text
    width = max(40, shutil.get_terminal_size().columns)
    lines = visible(text, stream).split("\n")
    return "\n".join(_filled(line, width) if len(line) > width else line for line in lines)


def _filled(line: str, width: int) -> str:
    # Commands and paths stay whole, so that they can be copied.
    if _COMMAND.fullmatch(line.lstrip()):
        return line
    whole = _COMMAND.sub(lambda found: found[0].replace(" ", _KEPT), line)
    filled = textwrap.fill(
        whole, width, subsequent_indent="    ", break_long_words=False, break_on_hyphens=False
    )
    return filled.replace(_KEPT, " ")
