"""How many operations a training step asks of a GPU: no method needs more than it did."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import operator_count

MOST = {
    "tiny-bert": {
        **{"full": 386, "lora": 295, "lora-query-value": 240},
        **{"bias": 392, "ia3": 335, "head": 145},
    },
    "tiny-decoder": {"full": 636, "lora": 574},
}
"""Operations of a step of models of four layers. Lower a number where the code got better."""


@pytest.mark.parametrize("shape", list(MOST))
def test_no_method_needs_more_operations_than_before(shape):
    found = {
        name: sum(operator_count.count(shape, name, tokens=16, rows=4).values())
        for name in MOST[shape]
    }
    assert found == MOST[shape]


def test_the_committed_counts_reach_their_targets():
    counts = json.loads(operator_count.FILE.read_text("utf-8"))["operations"]
    passes = {
        (shape, name): parts["forward"] + parts["backward"]
        for shape, methods in counts.items()
        for name, parts in methods.items()
    }
    assert passes["bert-base", "lora"] <= 760
    assert passes["roberta-large", "lora"] <= 1500
    for shape, methods in counts.items():
        assert operator_count.over_full(methods) == [], shape
