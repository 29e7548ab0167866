"""Scores of written texts: those of rouge-score and sacrebleu, and intervals from their sums."""

import json
import math
import random
from pathlib import Path

import numpy as np
import pytest
import sacrebleu

from lowcost_ft.data.language_codes import _NAME_OF
from lowcost_ft.scores.bootstrap import paired_difference, resampled_sums
from lowcost_ft.scores.overlap import bleu_tokenizer
from lowcost_ft.scores.rouge import ROUGE, rouge_counts, token_rule, tokens_of
from lowcost_ft.scores.texts import count_perplexity, count_texts, score_counted, score_texts

CASES = Path(__file__).parent / "rouge_cases.json"
"""Random texts with several references, and what rouge-score 0.1.2 makes of them."""

WORDS = ["the", "lamp", "chair's", "Arrived", "late,", "e-mail", "order", "77281", "café", "a_b"]
WORDS += [
    "K\u212a",
    "\u017fhip",
    "it",
    "?",
    "--",
    "naïve",
    "x" * 30,
    "Österreich",
    "don't",
    "\u00a0",
]


def random_texts(seed: int, rows: int = 60) -> tuple[list[str], list[list[str]]]:
    """Random predictions, and one to four references for each; some of them are empty."""
    rng = random.Random(seed)

    def text() -> str:
        return " ".join(rng.choices(WORDS[: rng.randint(2, len(WORDS))], k=rng.randint(0, 25)))

    return [text() for _ in range(rows)], [
        [text() for _ in range(rng.randint(1, 4))] for _ in range(rows)
    ]


def test_rouge_is_that_of_rouge_score():
    for case in json.loads(CASES.read_text("utf-8")):
        counts = rouge_counts([case["prediction"]], [case["references"]], "ascii")
        for name in ROUGE:
            assert counts[name][0, 0] == pytest.approx(case[name], abs=1e-12)


def test_rouge_is_that_of_an_installed_rouge_score():
    scorer_of = pytest.importorskip("rouge_score.rouge_scorer")
    scorer = scorer_of.RougeScorer(list(ROUGE))
    predictions, references = random_texts(1, 300)
    counts = rouge_counts(predictions, references, "ascii")
    for row, (prediction, texts) in enumerate(zip(predictions, references, strict=True)):
        found = scorer.score_multi(texts, prediction)
        for name in ROUGE:
            assert counts[name][row, 0] == pytest.approx(found[name].fmeasure, abs=1e-12)


def test_chinese_is_counted_by_characters_and_other_scripts_by_words():
    assert token_rule(["The lamp is broken, said Zoë to the shop in Berlin"]) == "unicode"
    assert token_rule(["The lamp is broken"] * 9 + ["said Zoë"]) == "ascii"
    assert tokens_of("我的订单77号到了吗?", "unicode") == [*"我的订单", "77", *"号到了吗"]
    assert tokens_of("Где мой заказ? Déjà_vu", "unicode") == ["где", "мой", "заказ", "déjà", "vu"]
    # Vowel signs belong to their letters: these two have no word in common.
    assert tokens_of("मेरा पार्सल कहाँ है?", "unicode") == ["मेरा", "पार्सल", "कहाँ", "है"]
    assert tokens_of("كِتَاب می\u200cشود", "unicode") == ["كِتَاب", "می\u200cشود"]
    assert score_texts(["मेरा पार्सल"], [["मेरी पर्सली"]])["rouge1"] == 0
    scores = score_texts(["订单到了"], [["订单没到"]], language="zh")
    assert scores["rouge1"] == pytest.approx(0.75)
    assert "tokens:unicode" in scores["rouge1_signature"]
    assert "tok:zh" in scores["bleu_signature"]


@pytest.mark.parametrize(
    ("language", "tokenizer"),
    [("fr", "13a"), (None, "13a"), ("zh-CN", "zh"), ("zho_Hans", "zh"), ("ja_XX", "char")],
)
def test_bleu_cuts_texts_as_their_language_is_written(language, tokenizer):
    assert bleu_tokenizer(language) == tokenizer


def test_bleu_knows_every_code_of_the_languages_without_blanks():
    alone = {
        "Chinese": "zh",
        **dict.fromkeys(("Japanese", "Thai", "Lao", "Burmese", "Khmer"), "char"),
    }
    for code, name in _NAME_OF.items():
        assert bleu_tokenizer(code) == alone.get(name, "13a"), code


def test_bleu_and_chrf_are_those_of_sacrebleu_for_every_resample():
    predictions, references = random_texts(2)
    counted = count_texts(predictions, references, metrics=("bleu", "chrf"))
    most = max(map(len, references))
    streams = [[texts[i] if i < len(texts) else None for texts in references] for i in range(most)]
    metrics = {"bleu": sacrebleu.metrics.BLEU(), "chrf": sacrebleu.metrics.CHRF()}
    for name, metric in metrics.items():
        one = counted[name]
        assert one.score == pytest.approx(metric.corpus_score(predictions, streams).score, abs=1e-9)
        assert one.signature == str(metric.get_signature())
        drawn = resampled_sums(one.rows, 3)[:50]
        # Sums of few rows reach the smoothing, and n-grams that no text is long enough for.
        for sums in (*drawn, *one.rows, one.rows[:2].sum(0)):
            expected = metric._compute_score_from_stats(list(sums)).score
            assert float(one.of(sums)) == pytest.approx(expected, abs=1e-9)


def test_scores_have_intervals_and_bad_calls_are_refused():
    predictions, references = random_texts(4)
    scores = score_texts(predictions, references, seed=5)
    assert scores["examples"] == 60
    for name in ("bleu", "chrf", *ROUGE):
        low, high = scores[f"{name}_ci95"]
        assert low < scores[name] < high
    assert scores == score_texts(predictions, references, seed=5)
    nothing = score_texts([], [])
    assert nothing["bleu"] == 0 and nothing["bleu_ci95"] == [0.0, 0.0]
    for wrong in (["a"], [[]], ["a", "b"]), [["a"], ["a"]]:
        with pytest.raises(ValueError):
            score_texts(["a"], wrong)
    with pytest.raises(ValueError, match="known: bleu"):
        score_texts(["a"], [["a"]], metrics=["blue"])


def test_perplexity_is_the_exponential_of_the_mean_loss_of_a_token():
    counted = count_perplexity([2.0, 6.0], [4, 4])
    assert counted.score == pytest.approx(math.e)
    scores = score_counted({"perplexity": counted})
    assert scores["perplexity_ci95"] == pytest.approx([math.exp(0.5), math.exp(1.5)])
    assert np.isfinite(count_perplexity([1e6], [1]).score)


def test_two_systems_are_compared_on_the_same_rows():
    predictions, references = random_texts(6)
    better = [texts[0] for texts in references]
    ones = count_texts(better, references)["chrf"]
    others = count_texts(predictions, references)["chrf"]
    difference, (low, high) = paired_difference(ones.of, ones.rows, others.rows, seed=0)
    assert difference == pytest.approx(ones.score - others.score)
    assert 0 < low < difference < high
    assert paired_difference(ones.of, ones.rows, ones.rows, seed=0) == (0.0, [0.0, 0.0])
