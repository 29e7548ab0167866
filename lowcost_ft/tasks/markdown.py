"""Labels in Markdown."""

__all__ = ["code"]


def code(label: str) -> str:
    """A label as code in a table cell, whatever characters it has."""
    shown = " ".join(str(label).replace("`", "'").replace("|", "\\|").split())
    return f"`{shown}`" if shown else "(empty)"
