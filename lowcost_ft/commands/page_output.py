"""The HTML page that a command writes with --output."""

import sys
from pathlib import Path

from lowcost_ft.record.overwriting import check_not_read
from lowcost_ft.record.run_file import write_atomically

__all__ = ["check_page_libraries", "output_problems", "write_page"]


def output_problems(path: str | None, **reads: str | None) -> list[str]:
    """What is wrong with the name of a page.

    Args:
        path: The page; None where none is written.
        reads: The files that are read, by the name of their flag.

    Raises:
        UserError: The page would replace a file that is read.
    """
    if path is None:
        return []
    if not path.lower().endswith(".html"):
        return [f"--output {path}: the name must end in .html"]
    if Path(path).is_dir() or not Path(path).absolute().parent.is_dir():
        return [f"--output {path}: name a file in a folder that exists"]
    named = {f"--{name.replace('_', '-')}": file for name, file in reads.items()}
    check_not_read("--output", path, replaced=[Path(path)], reads=named)
    return []


def check_page_libraries(path: str | None) -> None:
    """Refuses a page, if one is asked for, where the libraries that draw it are missing.

    Raises:
        UserError: They are missing.
    """
    if path is not None:
        from lowcost_ft.report.drawing import check_libraries

        check_libraries()


def write_page(path: str, html: str) -> None:
    """Writes a page and says so on standard error."""
    write_atomically(Path(path), lambda file: file.write(html.encode("utf-8", "replace")))
    print(f"wrote {path}", file=sys.stderr)
