"""Families, methods and precisions against the table of what works: the real thing, tiny."""

import json
import sys
from pathlib import Path

import pytest
from support_matrix import (
    RESULTS,
    Case,
    all_cases,
    diagonal,
    outcomes_as_rows,
    run_cases,
)
from tiny import ENCODERS

from lowcost_ft.config.methods import METHODS
from lowcost_ft.config.run import RunConfig

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))


def committed():
    return json.loads(RESULTS.read_text("utf-8"))


def key(row):
    return tuple(row[field] for field in ("family", "task", "quantization", "method"))


def test_the_table_holds_every_case():
    rows = committed()
    assert [key(row) for row in rows] == [key(vars(case)) for case in all_cases()]
    # Whatever does not work is refused with a reason, and nothing is nearly right.
    assert {row["result"] == "works" or row["result"].startswith("method: ") for row in rows} == {
        True
    }
    assert all(
        row["merged"] in (None, "works") or row["merged"].startswith("merge: ") for row in rows
    )
    exported = {row["exported"] for row in rows if row["exported"] != "works"} - {None}
    assert exported and all(reason.startswith("export: ") for reason in exported)
    assert all(row["exported"] == "works" for row in rows if tried_encoder(row))


def tried_encoder(row):
    """Whether a row is about what must be exported."""
    plain = row["method"] == "lora" and row["quantization"] == "none"
    return plain and row["family"] in ENCODERS


def test_the_diagonal_holds_every_family_method_and_precision():
    cases, every = diagonal(all_cases()), all_cases()
    for field in ("family", "task", "quantization", "method"):
        assert {getattr(case, field) for case in cases} == {getattr(case, field) for case in every}


def test_the_table_of_methods_is_that_of_the_configuration():
    for method in METHODS:
        assert RunConfig(method=method.name).method == method.name


OTHERS = [
    Case(family=family, task="ner", quantization=quantization, method=method)
    for family, quantization, method in (
        ("gpt2", "none", "dora"),
        ("albert", "nf4", "adalora"),
        ("modernbert", "8bit", "ia3"),
        ("roberta", "none", "bias"),
        ("deberta-v2", "nf4", "oft"),
    )
]
"""Some methods on other families than the table tries them on."""


def check(cases, outcomes):
    expected = {key(row): row for row in committed()}
    for row in outcomes_as_rows(cases, outcomes):
        known = expected[key(row)]
        assert {"exported": known["exported"]} | row == known, "run `make support`"


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory, tiny_model):
    """What became of the diagonal and of the others, which are reloaded by one process."""
    cases = [*diagonal(all_cases()), *OTHERS]
    return run_cases(cases, tmp_path_factory.mktemp("support"), tiny_model)


def test_a_diagonal_of_the_table(outcomes):
    check(diagonal(all_cases()), outcomes)


@pytest.mark.slow
def test_the_whole_table(tmp_path, tiny_model):
    check(all_cases(), run_cases(all_cases(), tmp_path, tiny_model, export=True))


@pytest.mark.parametrize("case", OTHERS, ids=lambda case: case.name)
def test_some_methods_on_other_families(outcomes, case):
    assert outcomes[case.name] == {"result": "works", "merged": "works"}
