"""The house: one direction of imports, and no task named outside of the tasks."""

import ast
import importlib.util
import re
import sys
from pathlib import Path

import pytest

from lowcost_ft.config.tasks import task_names, task_settings

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "benchmarks"))
from docstring_tables import PACKAGES  # noqa: E402

PACKAGE = ROOT / "lowcost_ft"
TOP = ("errors", "screen")
"""Modules at the top that every folder may import."""
FILES = sorted(PACKAGE.rglob("*.py"))


def imported(file: Path) -> set[str]:
    """Modules of the package that a file imports, anywhere in it."""
    found = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and (node.module or "").startswith("lowcost_ft"):
            found.add(node.module)
            found |= {f"{node.module}.{alias.name}" for alias in node.names}
    return {name for name in found if name != "lowcost_ft"}


def test_every_folder_is_in_the_list():
    folders = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert folders == set(PACKAGES)


@pytest.mark.parametrize("package", PACKAGES)
def test_a_folder_imports_from_those_before_it(package):
    allowed = {*TOP, *PACKAGES[: PACKAGES.index(package) + 1]}
    wrong = [
        f"{file.relative_to(ROOT)}: {name}"
        for file in (PACKAGE / package).rglob("*.py")
        for name in imported(file)
        if name.split(".")[1] not in allowed
    ]
    assert not wrong


def test_no_file_imports_itself_through_others():
    names = {".".join(file.relative_to(ROOT).with_suffix("").parts): file for file in FILES}
    graph = {name: {n for n in imported(file) if n in names} for name, file in names.items()}
    seen: dict[str, bool] = {}

    def visit(name: str, path: tuple[str, ...]) -> None:
        assert name not in path, " -> ".join((*path[path.index(name) :], name))
        if not seen.get(name):
            for other in sorted(graph[name]):
                visit(other, (*path, name))
            seen[name] = True

    for name in names:
        visit(name, ())


def test_no_task_is_named_outside_of_the_tasks():
    # Other tests may have registered tasks of their own.
    own = [name for name in task_names() if task_settings(name).module.startswith("lowcost_ft.")]
    names = "|".join(own)
    assert len(own) >= 7
    named = re.compile(
        rf"""["']({names})["']|\b(NerTask|ClassificationTask|NerExample|TextExample)\b"""
    )
    found = [
        f"{file.relative_to(ROOT)}:{number}: {line.strip()}"
        for file in FILES
        if file.relative_to(PACKAGE).parts[0] != "tasks" and file != PACKAGE / "__init__.py"
        for number, line in enumerate(file.read_text("utf-8").splitlines(), 1)
        # A file may have a column of that name.
        if named.search(line) and file.name != "known_names.py"
    ]
    assert not found, "\n".join(found)


def test_modules_that_scripts_name_in_texts_exist():
    named = {
        node.value
        for file in (ROOT / "benchmarks").glob("*.py")
        for node in ast.walk(ast.parse(file.read_text("utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
        if re.fullmatch(r"lowcost_ft(\.\w+)+", node.value)
    }
    assert named
    assert [name for name in named if importlib.util.find_spec(name) is None] == []
