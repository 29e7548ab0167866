"""The documentation's tables of settings and of modules, from their docstrings."""

import ast
import re
from dataclasses import fields
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from lowcost_ft.config.flags import explanations
from lowcost_ft.config.run import RunConfig, flag_groups

ROOT = Path(__file__).resolve().parent.parent
PACKAGES = (
    *("config", "scores", "data", "tasks", "record", "models", "frozen", "memory", "training"),
    *("planning", "pipeline", "export", "compress", "report", "doctor", "suggest", "serve"),
    *("tuning", "explain", "attack", "audit", "commands"),
)
"""Folders of the package: each imports from those before it, and never from those after it."""

FOLDERS = {
    "recipes": "One training program each, which reads from top to bottom as its pipeline.",
    "lowcost_ft": "The package. A folder imports from those above it here, never from those below.",
    **{f"lowcost_ft/{package}": "" for package in PACKAGES},
    "benchmarks": "Scripts whose results are committed as JSON, and the tables made from them.",
}
"""Folder -> what is in it; the folders of the package say it themselves."""

TITLES = {
    "data": "Data",
    "model": "Model",
    "training": "Training",
    "extensions": "Extensions",
    "text generation": "Text generation",
    "memory and time": "Memory and time",
    "output": "Output",
}


def settings_tables() -> str:
    """A heading and a table for each group of flags, as `--help` has them."""
    texts = explanations(RunConfig)
    known = {field.name: field for field in fields(RunConfig)}
    parts = []
    for group, names in flag_groups().items():
        lines = [f"## {TITLES[group]}", "", "| flag | what it does |", "|---|---|"]
        for name in names:
            told = _markdown(texts[name])
            if values := _choices(known[name].type):
                told += f" One of {', '.join(f'`{value}`' for value in values)}."
            if (default := known[name].default) is not None:
                told += f" Default: {_shown(default)}."
            lines.append(f"| `--{name.replace('_', '-')}` | {told} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _choices(kind: Any) -> list[str]:
    """The words that a flag may be; none where it takes anything else."""
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    parts = [part for part in get_args(kind) if part is not type(None)]
    return [word for part in parts for word in _choices(part)]


def _shown(default: Any) -> str:
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"`{default}`"


def layout_tables() -> str:
    """A heading and a table for each folder: what each file is for, in its own words."""
    parts = []
    for folder, what in FOLDERS.items():
        told = what or _purpose(ROOT / folder / "__init__.py")
        lines = [f"## {folder}", "", told, "", "| file | what it is for |", "|---|---|"]
        inside = sorted((ROOT / folder).glob("*/__init__.py")) if not what else []
        files = [*sorted((ROOT / folder).glob("*.py")), *(f for i in inside for f in _modules(i))]
        for file in files:
            if file.parent != ROOT / folder or file.name != "__init__.py":
                name = file.relative_to(ROOT / folder).as_posix().removesuffix("__init__.py")
                lines.append(f"| `{name}` | {_purpose(file)} |")
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _modules(init: Path) -> list[Path]:
    """A folder's own docstring first, then its modules."""
    return [init, *sorted(file for file in init.parent.glob("*.py") if file != init)]


def _purpose(file: Path) -> str:
    docstring = ast.get_docstring(ast.parse(file.read_text("utf-8"))) or ""
    first = " ".join(docstring.partition("\n\n")[0].split())
    return _markdown(first)


def _markdown(text: str) -> str:
    """A docstring in a cell; flags become code."""
    escaped = text.replace("|", "\\|").replace("<", "&lt;")
    return re.sub(r"(?<![`\w-])--[a-z][a-z0-9-]*", r"`\g<0>`", escaped)
