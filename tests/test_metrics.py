"""Scores against values computed by hand and against scikit-learn, scipy and seqeval."""

import json
import os
import random
import subprocess
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from seqeval.metrics import f1_score as seqeval_f1
from seqeval.scheme import IOB2
from sklearn import metrics as sklearn_metrics
from sklearn.preprocessing import MultiLabelBinarizer

from lowcost_ft.scores import bootstrap
from lowcost_ft.scores import sums as score_sums
from lowcost_ft.scores.metrics import (
    ClassificationScores,
    EntityScores,
    score_classes,
    score_entities,
    score_values,
)
from lowcost_ft.scores.relations import score_relations

TAGS = ["O", "O", "O", "B-per", "I-per", "B-org", "I-org"]


@pytest.fixture(autouse=True)
def no_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        yield


def random_tags(sentences: int, seed: int = 0) -> tuple[list[list[str]], list[list[str]]]:
    """Tags with illegal sequences among them, as an untrained model predicts them."""
    draw = random.Random(seed)
    references = [draw.choices(TAGS, k=draw.randint(0, 20)) for _ in range(sentences)]
    predictions = [
        [tag if draw.random() < 0.8 else draw.choice(TAGS) for tag in tags] for tags in references
    ]
    return predictions, references


def test_entities_by_hand() -> None:
    references = [["B-per", "I-per", "O", "B-org"], ["O", "B-per"], ["O"]]
    predictions = [["B-per", "O", "O", "B-org"], ["O", "B-per"], ["B-org"]]
    scores = score_entities(predictions, references)
    # 4 predicted, 3 true; right: the org of the first sentence, the person of the second.
    assert scores["precision"] == pytest.approx(2 / 4)
    assert scores["recall"] == pytest.approx(2 / 3)
    assert scores["f1"] == pytest.approx(4 / 7)
    assert scores["per_entity"] == {
        "org": {"precision": 0.5, "recall": 1.0, "f1": pytest.approx(2 / 3), "support": 1},
        "per": {"precision": 0.5, "recall": 0.5, "f1": 0.5, "support": 2},
    }
    assert scores["examples"] == 3


def test_inside_without_begin_is_no_entity() -> None:
    scores = score_entities([["O", "I-per"]], [["O", "B-per"]])
    assert (scores["f1"], scores["per_entity"]["per"]["support"]) == (0.0, 1)


@pytest.mark.parametrize("seed", range(3))
def test_f1_from_counts_is_seqevals(seed: int) -> None:
    predictions, references = random_tags(200, seed)
    expected = seqeval_f1(references, predictions, mode="strict", scheme=IOB2)
    counts = score_sums.entity_counts(predictions, references)
    assert float(score_sums.f1_of(counts.sum(axis=0))) == pytest.approx(expected, abs=1e-12)
    scores = score_entities(predictions, references)
    assert scores["f1"] == pytest.approx(expected, abs=1e-12)
    low, high = scores["f1_ci95"]
    assert low < scores["f1"] < high


@pytest.mark.parametrize(
    ("predictions", "references", "types"),
    [
        ([], [], []),
        ([[]], [[]], []),
        ([["O"]], [["O"]], []),
        ([["O", "O"]], [["B-per", "O"]], ["per"]),
        ([["B-per", "O"]], [["O", "O"]], ["per"]),
    ],
    ids=["empty split", "empty sentence", "no entities", "none predicted", "none true"],
)
def test_undefined_entity_scores_are_zero(
    predictions: list[list[str]], references: list[list[str]], types: list[str]
) -> None:
    scores = score_entities(predictions, references)
    assert [scores[name] for name in ("precision", "recall", "f1")] == [0.0, 0.0, 0.0]
    # One sentence with entities has the widest interval; without any there is nothing to say.
    counted = any(tag != "O" for row in [*predictions, *references] for tag in row)
    assert scores["f1_ci95"] == [0.0, pytest.approx(0.975) if counted else 0.0]
    assert list(scores["per_entity"]) == types


@pytest.mark.parametrize("right", [0, 12])
def test_scores_at_the_ends_have_the_exact_interval_of_a_share(right: int) -> None:
    exact = stats.binomtest(right, 12).proportion_ci(method="exact")
    classes = score_classes(["a"] * 12, ["a" if right else "b"] * 12, ["a", "b"])
    assert classes["accuracy"] == right / 12
    assert classes["accuracy_ci95"] == pytest.approx([exact.low, exact.high])
    # Sentences without entities, true or found, say nothing about F1.
    tags = [["B-per", "O"]] * 12 + [["O", "O"]] * 30
    found = tags if right else [["O", "B-per"]] * 12 + tags[12:]
    entities = score_entities(found, tags)
    assert entities["f1"] == right / 12
    assert entities["f1_ci95"] == pytest.approx([exact.low, exact.high])
    relations = score_relations(["x"] * 12, ["x" if right else "y"] * 12, negative=None)
    assert relations["micro_f1_ci95"] == pytest.approx([exact.low, exact.high])
    assert relations["per_class"]["x"]["f1_ci95"] == pytest.approx([exact.low, exact.high])


def test_unequal_lengths_are_refused() -> None:
    with pytest.raises(ValueError, match="1 predictions for 2 references"):
        score_entities([["O"]], [["O"], ["O"]])
    with pytest.raises(ValueError, match="sentence 1: 1 predicted, 2 true tags"):
        score_entities([["O"], ["O"]], [["O"], ["O", "O"]])


def test_interval_is_seeded_and_has_the_binomial_width() -> None:
    references = ["a"] * 400
    predictions = ["a"] * 320 + ["b"] * 80
    first = score_classes(predictions, references, ["a", "b"], seed=1)
    assert first == score_classes(predictions, references, ["a", "b"], seed=1)
    low, high = first["accuracy_ci95"]
    # Normal approximation: 0.8 +- 1.96 sqrt(0.8 * 0.2 / 400) = 0.8 +- 0.0392.
    assert (low, high) == (pytest.approx(0.7608, abs=0.006), pytest.approx(0.8392, abs=0.006))


def test_interval_of_ten_thousand_sentences_is_fast() -> None:
    counts = np.random.default_rng(0).integers(0, 5, (10_000, 3)).astype(float)
    start = time.perf_counter()
    bootstrap.interval(score_sums.f1_of, counts, 0)
    assert time.perf_counter() - start < 2  # 0.25 s measured; the rest is room for a busy machine


def test_classes_agree_with_scikit_learn() -> None:
    draw = random.Random(0)
    labels = ["a", "b", "c", "never"]
    references = draw.choices(labels[:3], weights=[6, 3, 1], k=150)
    predictions = [row if draw.random() < 0.7 else draw.choice(labels[:3]) for row in references]
    scores = score_classes(predictions, references, labels)
    assert scores["accuracy"] == sklearn_metrics.accuracy_score(references, predictions)
    for average in ("macro", "micro"):
        expected = sklearn_metrics.f1_score(references, predictions, average=average)
        assert scores[f"{average}_f1"] == pytest.approx(expected, abs=1e-12)
    expected = sklearn_metrics.precision_recall_fscore_support(
        references, predictions, labels=labels, zero_division=0
    )
    for row, (name, table) in enumerate(scores["per_class"].items()):
        assert name == labels[row]
        assert list(table.values()) == pytest.approx([column[row] for column in expected])
    assert scores["per_class"]["never"]["support"] == 0


def test_single_class_in_test() -> None:
    scores = score_classes(["a", "a", "b", "a"], ["a"] * 4, ["a", "b", "c"])
    assert scores["accuracy"] == scores["micro_f1"] == 0.75
    # a: 2 * 3 / (3 + 4); b, predicted once and never true: 0; c occurs nowhere and is left out.
    assert scores["macro_f1"] == pytest.approx((6 / 7 + 0) / 2)


def test_several_labels_agree_with_scikit_learn() -> None:
    draw = random.Random(0)
    labels = ["a", "b", "c", "d"]
    references = [draw.sample(labels[:3], k=draw.randint(0, 3)) for _ in range(120)]
    predictions = [row if draw.random() < 0.5 else draw.sample(labels, k=1) for row in references]
    scores = score_classes(predictions, references, labels, multi_label=True)
    binarizer = MultiLabelBinarizer(classes=labels).fit([])
    actual, predicted = binarizer.transform(references), binarizer.transform(predictions)
    assert scores["accuracy"] == sklearn_metrics.accuracy_score(actual, predicted)
    for average in ("macro", "micro"):
        expected = sklearn_metrics.f1_score(actual, predicted, average=average, zero_division=0)
        assert scores[f"{average}_f1"] == pytest.approx(expected, abs=1e-12)
    low, high = scores["micro_f1_ci95"]
    assert low < scores["micro_f1"] < high
    assert "accuracy_ci95" not in scores


@pytest.mark.parametrize("multi_label", [False, True])
def test_empty_split_of_classes(multi_label: bool) -> None:
    scores = score_classes([], [], ["a"], multi_label=multi_label)
    assert (scores["accuracy"], scores["macro_f1"], scores["micro_f1"]) == (0.0, 0.0, 0.0)
    assert scores["per_class"]["a"]["support"] == scores["examples"] == 0


def test_no_labels_at_all_count_as_right_for_accuracy_only() -> None:
    scores = score_classes([[], []], [[], []], ["a"], multi_label=True)
    assert (scores["accuracy"], scores["micro_f1"], scores["macro_f1"]) == (1.0, 0.0, 0.0)


def test_unknown_label_is_refused() -> None:
    with pytest.raises(ValueError, match="label 'z' is not among"):
        score_classes(["z"], ["a"], ["a", "b"])


def test_values_agree_with_scipy() -> None:
    generator = np.random.default_rng(0)
    references = generator.normal(1000.0, 1e-3, 200)  # a small spread around a large mean
    predictions = references + generator.normal(0, 1e-3, 200)
    scores = score_values(predictions.tolist(), references.tolist())
    assert scores["mse"] == pytest.approx(np.mean((predictions - references) ** 2))
    pearson = stats.pearsonr(predictions, references).statistic
    assert scores["pearson"] == pytest.approx(pearson, abs=1e-6)
    assert scores["spearman"] == pytest.approx(stats.spearmanr(predictions, references).statistic)
    low, high = scores["pearson_ci95"]
    assert low < scores["pearson"] < high


def test_values_by_hand() -> None:
    scores = score_values([1.0, 2.0, 4.0], [1.0, 2.0, 3.0])
    assert scores["mse"] == pytest.approx(1 / 3)
    assert scores["pearson"] == pytest.approx(3 / np.sqrt(2 * 14 / 3))
    assert scores["spearman"] == pytest.approx(1.0)


@pytest.mark.parametrize(
    ("predictions", "references"),
    [
        ([0.1, 0.1, 0.1], [1.0, 2.0, 3.0]),
        ([1.0, 2.0, 3.0], [0.1, 0.1, 0.1]),
        ([1.0], [2.0]),
        ([], []),
    ],
    ids=["constant predictions", "constant references", "one example", "empty split"],
)
def test_undefined_correlation_is_zero(predictions: list[float], references: list[float]) -> None:
    scores = score_values(predictions, references)
    assert (scores["pearson"], scores["spearman"]) == (0.0, 0.0)
    assert scores["pearson_ci95"] == [0.0, 0.0]
    assert np.isfinite(scores["mse"])


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_values_that_are_not_finite(bad: float) -> None:
    scores = score_values([bad, 1.0, 2.0], [1.0, 2.0, 3.0])
    assert np.isnan(scores["mse"])
    assert (scores["pearson"], scores["spearman"]) == (0.0, 0.0)


def test_resamples_of_equal_values_do_not_disturb_the_interval() -> None:
    # 0.1 is not exact in binary: summed squares leave rounding errors where the spread is zero.
    scores = score_values([0.1, 0.1, 0.1, 0.7], [0.3, 0.3, 0.3, 0.9])
    assert scores["pearson"] == pytest.approx(1.0)
    low, high = scores["pearson_ci95"]
    assert (low, high) == (pytest.approx(0.0), pytest.approx(1.0))


def test_scores_are_plain_json() -> None:
    for scores in (
        score_entities(*random_tags(20)),
        score_classes(["a", "b"], ["a", "a"], ["a", "b"]),
        score_values([1.0, 2.0], [2.0, 1.0]),
    ):
        assert json.loads(json.dumps(scores, allow_nan=False)) == scores


def test_evaluate_interface() -> None:
    entities = EntityScores()
    entities.add_batch(predictions=[["B-per"]], references=[["B-per"]])
    entities.add(prediction=["O"], reference=["B-per"])
    assert entities.compute()["recall"] == 0.5
    classes = ClassificationScores()
    assert classes.compute(predictions=["a"], references=["a"], labels=["a"])["accuracy"] == 1.0


def test_nothing_is_left_in_the_cache(tmp_path: Path) -> None:
    script = (
        "from lowcost_ft.scores.metrics import score_entities, score_classes, score_values\n"
        "score_entities([['B-x']], [['B-x']])\n"
        "score_classes(['a'], ['a'], ['a'])\n"
        "score_classes([['a']], [['a']], ['a'], multi_label=True)\n"
        "score_values([1.0, 2.0], [1.0, 2.0])\n"
    )
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("HF_")},
        "HOME": str(tmp_path),
        "HF_HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path),
        "HF_HUB_OFFLINE": "1",
        "PYTHONPATH": os.pathsep.join(path for path in sys.path if path),
    }
    finished = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, timeout=120
    )
    assert (finished.returncode, finished.stdout, finished.stderr) == (0, "", "")
    assert os.listdir(tmp_path) == []
