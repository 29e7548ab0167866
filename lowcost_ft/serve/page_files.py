"""The files of the server's page, and the paths that they have there."""

from pathlib import Path

__all__ = ["PAGE_FILES"]

_FOLDER = Path(__file__).parent / "page"

PAGE_FILES = {
    "/" if file.name == "page.html" else f"/{file.name}": file
    for file in sorted(_FOLDER.iterdir())
    if file.suffix in (".html", ".css", ".js")  # An editor may leave others there.
}
"""Path -> file."""
