"""Scores of answers: the official SQuAD script, characters, kinds, articles, thresholds."""

import json
import os
from pathlib import Path

import numpy as np
import pytest

from lowcost_ft.scores.answers import (
    best_threshold,
    character_f1,
    exact_match,
    has_blanks,
    score_answers,
    token_f1,
)

DATA = Path(
    os.environ.get("LOWCOST_FT_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
)
CASES = DATA / "xquad_en" / "squad_cases.json"


def test_every_case_of_the_official_script():
    if not CASES.exists():
        pytest.skip(f"{CASES} is not on this machine")
    known = json.loads(CASES.read_text("utf-8"))
    cases = known["cases"]
    for case in cases:
        assert exact_match(case["prediction"], case["answers"]) == case["exact_match"]
        assert round(token_f1(case["prediction"], case["answers"]), 6) == case["f1"]
    scores = score_answers(
        [case["prediction"] for case in cases],
        [case["answers"] for case in cases],
        groups=range(len(cases)),
    )
    for ours, theirs in (
        ("exact_match", "exact"),
        ("answer_f1", "f1"),
        ("answerable_exact_match", "HasAns_exact"),
        ("answerable_f1", "HasAns_f1"),
        ("unanswerable_accuracy", "NoAns_exact"),
    ):
        assert 100 * scores[ours] == pytest.approx(known["overall"][theirs], abs=1e-9)
    assert scores["unanswerable"] == known["overall"]["NoAns_total"]


@pytest.mark.parametrize(
    ("answer", "truths", "exact", "f1"),
    [
        ("The Eiffel Tower!", ["eiffel tower"], 1, 1),
        ("eiffel  a tower", ["Eiffel Tower"], 1, 1),
        ("in Paris", ["Paris"], 0, 2 / 3),
        ("Paris", ["London", "in Paris", "Paris."], 1, 1),
        ("the", [], 1, 1),  # Nothing is left of it, as the script has it.
        ("", [], 1, 1),
        ("Paris", [], 0, 0),
        ("", ["Paris"], 0, 0),
        ("", ["the"], 1, 1),
        ("to be to be", ["to be"], 0, 2 / 3),
        ("20 000", ["20,000"], 0, 0),
        ("巴黎", ["巴黎。"], 0, 0),  # Only punctuation of ASCII goes away.
    ],
)
def test_single_answers(answer, truths, exact, f1):
    assert exact_match(answer, truths) == exact
    assert token_f1(answer, truths) == pytest.approx(f1)


def test_characters_of_texts_without_blanks():
    assert character_f1("法国巴黎", ["巴黎。"]) == pytest.approx(2 / 3)
    assert character_f1("巴黎", ["《巴黎》", "伦敦"]) == 1
    assert character_f1("", []) == 1
    assert not has_blanks("埃菲尔铁塔Eiffel Tower位于法国巴黎战神广场建成于一八八九年。")
    assert has_blanks("The tower stands in Paris.")


def test_the_interval_draws_whole_articles():
    truths = [["a1"], ["b1"]] * 20
    right = ["a1", "b1"] * 10 + ["x"] * 20
    by_question = score_answers(right, truths, groups=range(40))
    by_article = score_answers(right, truths, groups=[n // 10 for n in range(40)])
    assert by_article["answer_f1"] == by_question["answer_f1"] == 0.5
    wide, narrow = (
        scores["answer_f1_ci95"][1] - scores["answer_f1_ci95"][0]
        for scores in (by_article, by_question)
    )
    assert wide > 2 * narrow
    assert (by_article["groups"], by_question["groups"]) == (4, 40)
    assert score_answers(right, truths, groups=["one"] * 40)["answer_f1_ci95"][0] < 0.5
    assert "answerable_f1" not in by_article
    assert "character_f1" not in by_article
    with pytest.raises(ValueError, match="3 groups"):
        score_answers(right, truths, groups=[1, 2, 3])


def test_the_threshold_gives_the_best_mean_score():
    draw = np.random.default_rng(0)
    advantage = draw.normal(size=50)
    has_answer = draw.random(50) < 0.6
    answered = np.where(has_answer, draw.random(50), 0.0)
    unanswered = np.where(has_answer, 0.0, 1.0)

    def mean(threshold):
        return np.where(advantage > threshold, unanswered, answered).mean()

    chosen = mean(best_threshold(advantage, answered, unanswered))
    assert chosen == pytest.approx(max(mean(t) for t in np.linspace(-4, 4, 4001)))
    # Of equal ones the middle of the widest gap.
    found = best_threshold(np.array([0.0, 5.0]), np.array([1.0, 0.0]), np.array([0.0, 1.0]))
    assert found == pytest.approx(2.5)
