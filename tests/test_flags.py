"""Command lines from dataclasses, explained by the docstrings of their fields."""

import ast
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated

import pytest
import tyro

from lowcost_ft.config.flags import explanations, narrow, parse_flags, parse_groups

RECIPES = sorted((Path(__file__).parents[1] / "recipes").glob("*.py"))


@dataclass(frozen=True, kw_only=True)
class Common:
    """What is shared."""

    json: bool = False
    """Print JSON."""


@dataclass(frozen=True, kw_only=True)
class Command(Common):
    """Does something."""

    run: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RUN")]
    """Folder of
    a run."""
    count: int = 2
    silent: bool = False
    """Say nothing."""
    names: list[str] = field(default_factory=list)
    """Some names."""
    files: tuple[str, ...] = ()
    """Some files."""


def test_texts_are_on_one_line_and_own_fields_come_first():
    assert explanations(Command) == {
        "run": "Folder of a run.",
        "silent": "Say nothing.",
        "names": "Some names.",
        "files": "Some files.",
        "json": "Print JSON.",
        "count": "",
    }


def test_a_field_without_a_docstring_is_a_flag_like_any_other():
    assert parse_flags(Command, ["here", "--count", "3"]).count == 3


def test_a_command_line_becomes_the_dataclass():
    assert parse_flags(Command, ["here", "--json"]) == Command(run="here", json=True)
    assert parse_flags(Command, ["here", "--names", "a", "b"]).names == ["a", "b"]


def test_what_is_required_stays_required(capsys):
    with pytest.raises(SystemExit) as stop:
        parse_flags(Command, [], prog="program")
    assert stop.value.code == 2
    assert "RUN" in capsys.readouterr().err


def test_help_says_what_the_program_and_its_flags_are_for(capsys):
    with pytest.raises(SystemExit) as stop:
        parse_flags(Command, ["--help"], prog="program")
    assert stop.value.code == 0
    printed = capsys.readouterr().out
    for text in ("Does something.", "Folder of a run.", "RUN", "Say nothing.", "Some files."):
        assert text in printed
    assert "(default: )" not in printed


@pytest.mark.parametrize("recipe", RECIPES, ids=lambda path: path.stem)
def test_the_help_of_a_recipe_fits_a_small_terminal_and_its_commands_are_whole(recipe):
    text = ast.get_docstring(ast.parse(recipe.read_text("utf-8")))
    narrowed = narrow(text)
    assert max(map(len, narrowed.splitlines())) < 80
    assert " ".join(narrowed.replace("\\\n", " ").split()) == " ".join(
        text.replace("\\\n", " ").split()
    )


def test_flags_of_groups_start_from_the_given_default():
    groups = {"first things": ["count"], "second": ["silent", "json"]}
    default = Command(run="here", count=5, json=True)
    assert parse_groups(groups, default, ["--silent"]) == {
        "count": 5,
        "silent": True,
        "json": True,
    }
