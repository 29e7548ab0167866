"""Lines fit the terminal; files and pipes get them whole."""

import io
import json
import subprocess
import sys

import pytest
from small_runs import RECIPES

from lowcost_ft.screen import print_json, wrapped


class Terminal(io.StringIO):
    def isatty(self):
        return True


PATH = "/a/path-" * 12
TEXT = f"error: --model-id: cannot load it\n  - {'a word and then another one ' * 8}{PATH}"


def test_lines_are_cut_between_words(monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    lines = wrapped(TEXT, Terminal()).split("\n")
    assert lines[0] == "error: --model-id: cannot load it"
    assert all(len(line) <= 60 for line in lines if "/a/path" not in line)
    assert PATH in lines[-1].split()  # A path can still be copied.
    assert " ".join(" ".join(lines).split()) == " ".join(TEXT.split())


@pytest.mark.parametrize("columns", ["60", "200"])
def test_what_is_no_terminal_gets_whole_lines(monkeypatch, columns):
    monkeypatch.setenv("COLUMNS", columns)
    assert wrapped(TEXT, io.StringIO()) == TEXT


def test_texts_cannot_steer_a_terminal():
    text = "a\x1b[31mred\rover\x9b2J\tone\ntwo \u202eABC é"
    shown = wrapped(text, Terminal())
    assert shown == "a\ufffd[31mred\ufffdover\ufffd2J\tone\ntwo \u202eABC é"
    assert wrapped(text, io.StringIO()) == text


def test_json_is_one_line_that_cannot_steer_a_terminal(capsys):
    value = {"text": "a\x1bb\x7fc\x85d\x9be\u2028f\ng é 海"}
    print_json(value)
    line = capsys.readouterr().out
    assert json.loads(line) == value
    assert line.splitlines() == [line.rstrip("\n")]
    assert line.rstrip("\n").isprintable()
    assert "é 海" in line


def test_commands_can_be_copied(monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    command = 'lowcost-ft predict runs/ner --text "Send it to Jane Smith in Berlin"'
    for what in ("next", "page", "    look", "    mend", "mend together"):
        assert wrapped(f"{what}:  {command}", Terminal()) == f"{what}:  {command}"
    lines = wrapped(f"a note: the file must be written anew, `{command}`", Terminal()).split("\n")
    assert lines[-1].strip() == f"`{command}`"


@pytest.mark.parametrize(
    "command",
    [["-m", "lowcost_ft", name, "--help"] for name in ("plan", "predict", "report", "merge")]
    + [["-m", "lowcost_ft", "--help"], [str(RECIPES / "lora_ner.py"), "--help"]],
)
def test_help_may_be_cut_short(command):
    """`lowcost-ft plan --help | head -1`"""
    program = subprocess.Popen(
        [sys.executable, *command], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    program.stdout.close()  # Before anything is written.
    errors = program.stderr.read()
    assert program.wait(timeout=60) == 0
    assert errors == b""
