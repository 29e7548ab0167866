"""The documentation's list of settings, from the docstrings of their fields."""

from dataclasses import fields
from typing import Any, Literal, get_args, get_origin

from lowcost_ft.config import RunConfig, flag_groups
from lowcost_ft.flags import explanations

TITLES = {
    "data": "Data",
    "model": "Model",
    "training": "Training",
    "memory and time": "Memory and time",
    "output": "Output",
}


def settings_tables() -> str:
    """A heading and a table for each group of flags, as `--help` has them."""
    texts = explanations(RunConfig)
    known = {field.name: field for field in fields(RunConfig)}
    parts = []
    for group, names in flag_groups().items():
        lines = [f"## {TITLES[group]}", "", "| flag | default | |", "|---|---|---|"]
        for name in names:
            values = "".join(f" `{value}`" for value in _choices(known[name].type))
            text = texts[name].replace("|", "\\|").replace("<", "&lt;")
            told = text + (f" One of:{values}." if values else "")
            lines.append(
                f"| `--{name.replace('_', '-')}` | {_shown(known[name].default)} | {told} |"
            )
        parts.append("\n".join(lines))
    return "\n\n".join(parts)


def _choices(kind: Any) -> list[str]:
    """The words that a flag may be; none where it takes anything else."""
    if get_origin(kind) is Literal:
        return [str(value) for value in get_args(kind)]
    parts = [part for part in get_args(kind) if part is not type(None)]
    return [word for part in parts for word in _choices(part)]


def _shown(default: Any) -> str:
    if default is None:
        return ""
    if isinstance(default, bool):
        return "on" if default else "off"
    return f"`{default}`"
