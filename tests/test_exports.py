"""The public names: one table, and what type checkers and completion make of it."""

import ast
import importlib
import subprocess
import sys
from pathlib import Path

import lowcost_ft


def test_every_public_name_is_there():
    for name in lowcost_ft.__all__:
        assert getattr(lowcost_ft, name) is not None
    for name, module in lowcost_ft._HOMES.items():
        assert hasattr(importlib.import_module(f"lowcost_ft.{module}"), name), module


def test_completion_shows_the_public_names():
    assert dir(lowcost_ft) == sorted(lowcost_ft.__all__)
    assert {"start_run", "load_predictor", "RunConfig"} <= set(dir(lowcost_ft))
    # Also before anything was used.
    code = "import lowcost_ft, sys; print('train' in dir(lowcost_ft), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout.split() == ["True", "False"]


def test_type_checkers_see_the_same_names():
    tree = ast.parse(Path(lowcost_ft.__file__).read_text("utf-8"))
    block = next(node for node in tree.body if isinstance(node, ast.If))
    seen = {
        (str(line.module).removeprefix("lowcost_ft."), alias.name)
        for line in block.body
        if isinstance(line, ast.ImportFrom)
        for alias in line.names
    }
    assert seen == {(module, name) for name, module in lowcost_ft._HOMES.items()}
