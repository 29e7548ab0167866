"""Agreement of annotators, against published examples and scikit-learn."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import cohen_kappa_score

from lowcost_ft.scores.agreement import cohen_kappa, krippendorff_alpha, span_f1

# Krippendorff (2011), "Computing Krippendorff's Alpha-Reliability", part C: four observers.
OBSERVERS = [
    "1 2 3 3 2 1 4 1 2 . . .",
    "1 2 3 3 2 2 4 1 2 5 . 3",
    ". 3 3 3 2 3 4 2 2 5 1 .",
    "1 2 3 3 2 4 4 1 2 5 1 .",
]


def test_alpha_is_that_of_the_published_example():
    units = zip(*(line.split() for line in OBSERVERS), strict=True)
    alpha = krippendorff_alpha([[v for v in unit if v != "."] for unit in units])
    assert alpha == pytest.approx(0.743, abs=5e-4)


def test_kappa_is_that_of_the_textbook_example():
    pairs = [("y", "y")] * 20 + [("y", "n")] * 5 + [("n", "y")] * 10 + [("n", "n")] * 15
    assert cohen_kappa(pairs) == pytest.approx(0.4)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from("abc")), min_size=1))
def test_kappa_is_scikit_learns(pairs: list[tuple[str, str]]) -> None:
    kappa = cohen_kappa(pairs)
    if len({label for pair in pairs for label in pair}) == 1:
        assert kappa is None
    else:
        assert kappa == pytest.approx(cohen_kappa_score(*zip(*pairs, strict=True)))


def test_chance_is_about_zero_and_agreement_one():
    draw = random.Random(0)
    items = [[draw.choice("ab") for _ in range(3)] for _ in range(3000)]
    alpha = krippendorff_alpha(items)
    assert alpha is not None and abs(alpha) < 0.05
    assert krippendorff_alpha([["a", "a"], ["b", "b", "b"]]) == 1
    assert krippendorff_alpha([["a", "a"], ["a"]]) is None
    assert krippendorff_alpha([]) is None and cohen_kappa([]) is None


def test_f1_between_annotators_counts_exact_entities():
    one, two = frozenset({(0, 3), (5, 8)}), frozenset({(0, 3), (5, 9)})
    assert span_f1([[one, two]]) == 0.5
    assert span_f1([[one, one], [frozenset(), frozenset()]]) == 1
    assert span_f1([[frozenset(), frozenset()]]) is None
