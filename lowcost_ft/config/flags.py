"""Command lines from dataclasses: flags in groups, explained by the docstrings of their fields.

tyro would keep the line breaks of a docstring; here a text is broken for the terminal alone.
"""

import ast
import inspect
import sys
import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, Field, field, fields, make_dataclass
from functools import cache
from itertools import pairwise
from typing import Annotated, Any, Literal, get_args, get_origin

import tyro

from lowcost_ft.errors import UserError

__all__ = ["explanations", "narrow", "parse_flags", "parse_groups"]

_WIDTH = 76
"""Characters of a line of a description, besides the blank that `narrow` puts in front."""


def explanations(settings: type) -> dict[str, str]:
    """What each field of a dataclass is for, on one line: the docstring below it.

    Args:
        settings: The dataclass, whose fields may be inherited.

    Returns:
        Field -> text, in the order in which they are written, the class's own fields first. A
        field without a docstring has an empty text.
    """
    known = [one.name for one in fields(settings)]
    found: dict[str, str] = {}
    for owner in settings.__mro__[:-1]:
        for name, text in _docstrings(owner).items():
            if name in known:
                found.setdefault(name, text)
    return found | {name: "" for name in known if name not in found}


@cache
def _docstrings(owner: type) -> dict[str, str]:
    (tree,) = ast.parse(textwrap.dedent(inspect.getsource(owner))).body
    assert isinstance(tree, ast.ClassDef)
    return {
        above.target.id: " ".join(below.value.value.split())
        for above, below in zip(tree.body, tree.body[1:], strict=False)
        if isinstance(above, ast.AnnAssign) and isinstance(above.target, ast.Name)
        if isinstance(below, ast.Expr) and isinstance(below.value, ast.Constant)
        if isinstance(below.value.value, str)
    }


def parse_flags(settings: type, arguments: Sequence[str], **program: Any) -> Any:
    """Reads a command line into a dataclass.

    Args:
        settings: The dataclass; its fields are the flags.
        arguments: The command line without the program's name.
        program: What `tyro.cli` takes besides, such as `prog` and `description`.

    Raises:
        SystemExit: As `tyro.cli` does, for `--help` and for wrong flags.
        UserError: A value is no number where one is wanted.
    """
    program.setdefault("description", narrow(inspect.getdoc(settings) or ""))
    _check_numbers({one.name: one.type for one in fields(settings)}, arguments)
    owners = dict.fromkeys(explanations(settings), settings)
    flags = _with_help(settings.__name__, owners)
    return settings(**vars(tyro.cli(flags, args=arguments, **program)))


def parse_groups(
    groups: Mapping[str, Sequence[str]],
    default: Any,
    arguments: Sequence[str] | None,
    *,
    more: Mapping[str, Mapping[str, type]] | None = None,
    **program: Any,
) -> dict[str, Any]:
    """Reads a command line whose flags `--help` shows in groups.

    Args:
        groups: Title -> the fields that it stands above.
        default: A dataclass with all of the fields: what the flags change. The class itself where
            a field has no default.
        arguments: The command line without the program's name; None: that of the process.
        more: Further groups, whose fields belong to other dataclasses: title -> field -> the
            dataclass that has it.
        program: What `tyro.cli` takes besides.

    Returns:
        Field -> value.

    Raises:
        SystemExit: As `tyro.cli` does, for `--help` and for wrong flags.
        UserError: A value is no number where one is wanted.
    """
    kind, values = (default, None) if isinstance(default, type) else (type(default), default)
    owned = [dict.fromkeys(names, kind) for names in groups.values()]
    types = {
        name: one.type
        for owners in (*owned, *(more or {}).values())
        for name, owner in owners.items()
        for one in fields(owner)
        if one.name == name
    }
    _check_numbers(types, sys.argv[1:] if arguments is None else arguments)
    classes = {
        title: _with_help(title, dict.fromkeys(names, kind), values)
        for title, names in groups.items()
    }
    classes |= {title: _with_help(title, owners) for title, owners in (more or {}).items()}
    keys = {title: title.replace(" ", "_") for title in classes}
    together = make_dataclass(
        "Flags",
        [
            (keys[title], Annotated[made, tyro.conf.arg(name=title)])
            for title, made in classes.items()
        ],
    )
    typed = tyro.cli(together, args=arguments, config=(tyro.conf.OmitArgPrefixes,), **program)
    found = (vars(getattr(typed, key)) for key in keys.values())
    return {name: value for group in found for name, value in group.items()}


def narrow(description: str) -> str:
    """Breaks paragraphs and commands to the width of a small terminal.

    tyro makes one line of a paragraph, however wide, unless its lines begin with a space. Lines
    that are indented are commands, which are broken before a flag alone.
    """
    paragraphs = []
    for paragraph in description.strip().split("\n\n"):
        if paragraph.startswith("    "):
            lines = [part for line in paragraph.split("\n") for part in _command_lines(line)]
        else:
            lines = textwrap.wrap(paragraph, _WIDTH, break_on_hyphens=False)
        paragraphs.append("\n".join(f" {line}" for line in lines))
    return "\n\n".join(paragraphs)


def _command_lines(line: str) -> list[str]:
    """A line of a shell command as lines that are narrow, each with a backslash but the last."""
    if len(line) <= _WIDTH:
        return [line]
    indent = " " * (len(line) - len(line.lstrip()))
    first, *more = line.strip().removesuffix(" \\").split(" --")
    lines, more_indent = [indent + first], "" if first.startswith("--") else "    "
    for flag in (f"--{word}" for word in more):
        if len(lines[-1]) + len(flag) + 3 > _WIDTH:
            lines[-1] += " \\"
            lines.append(indent + more_indent + flag)
        else:
            lines[-1] += f" {flag}"
    return [*lines[:-1], lines[-1] + " \\" * line.endswith(" \\")]


def _check_numbers(types: Mapping[str, Any], arguments: Sequence[str]) -> None:
    """Refuses values that are no number where one is wanted, in plainer words than tyro's."""
    problems = []
    for word, following in pairwise([*arguments, "--"]):
        name, equals, value = word.partition("=")
        value = value if equals else following
        kind = types.get(name.removeprefix("--").replace("-", "_"))
        if not name.startswith("--") or kind is None or value.startswith("--"):
            continue
        if (wanted := _wanted(kind)) and not any(_is_a(one, value) for one in wanted):
            told = [str(_NUMBERS.get(one, one)) for one in wanted if one != "None"]
            told = [", ".join(told[:-1]), told[-1]] if told[1:] else told
            problems.append(f"{name} {value!r}: give {' or '.join(told)}")
    if problems:
        raise UserError(problems)


_NUMBERS = {int: "a whole number", float: "a number"}


def _wanted(kind: Any) -> list[Any]:
    """The kinds of numbers and the words that a flag takes; empty where it takes other things."""
    if get_origin(kind) is Annotated:
        kind = get_args(kind)[0]
    found: list[Any] = []
    for inner in get_args(kind) or (kind,):
        if get_origin(inner) is Literal:
            found += get_args(inner)
        elif inner is type(None):
            found.append("None")
        elif inner in _NUMBERS:
            found.append(inner)
        else:
            return []
    return found if any(one in _NUMBERS for one in found) else []


def _is_a(wanted: Any, value: str) -> bool:
    if wanted not in _NUMBERS:
        return value == wanted
    try:
        wanted(value)
    except ValueError:
        return False
    return True


def _with_help(title: str, owners: Mapping[str, type], default: Any = None) -> type:
    """A dataclass of the same fields, each with its text for `--help`.

    Args:
        title: What to call it.
        owners: Field -> the dataclass that has it.
        default: What holds the fields' defaults; None: those of the dataclasses.
    """
    own = []
    for name, settings in owners.items():
        known = {one.name: one for one in fields(settings)}[name]
        value = _default_of(known, default)
        shown = _told_apart(known.type) if value.default is None else {}
        if _is_list(known.type) and value.default in ((), MISSING):
            shown = {"help_behavior_hint": ""}  # tyro would write "(default: )".
        hint = tyro.conf.arg(help=explanations(settings)[name], **shown)
        own.append((name, Annotated[known.type, hint], value))
    made = make_dataclass(title.title().replace(" ", ""), own, frozen=True, kw_only=True)
    made.__doc__ = ""
    return made


def _is_list(kind: Any) -> bool:
    """Whether a flag takes several values."""
    return get_origin(get_args(kind)[0] if get_origin(kind) is Annotated else kind) in (tuple, list)


def _told_apart(kind: Any) -> dict[str, Any]:
    """How `--help` shows a flag without a default: its values, without mentioning `None`."""
    if get_origin(kind) is Annotated:  # It says what to show.
        return {"help_behavior_hint": ""}
    shown = []
    for inner in get_args(kind):
        if get_origin(inner) is Literal:
            shown.append(f"{{{','.join(get_args(inner))}}}")
        elif inner is not type(None):
            shown.append(getattr(inner, "__name__", "value").upper())
    return {"metavar": "|".join(shown), "help_behavior_hint": ""}


def _default_of(known: Field[Any], default: Any) -> Any:
    if default is not None:
        return field(default=getattr(default, known.name))
    if known.default is not MISSING or known.default_factory is MISSING:
        return field(default=known.default)
    return field(default_factory=known.default_factory)
