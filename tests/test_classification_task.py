"""Text classification: inputs, labels, class weights, decoding, and what a decoder reads."""

import numpy as np
import pytest
import torch
from sklearn.utils.class_weight import compute_class_weight

from lowcost_ft.data.features import collate, model_inputs
from lowcost_ft.models.loading import build_model, forward_module, load_tokenizer
from lowcost_ft.tasks.classification import (
    ClassificationTask,
    TextExample,
    balanced_class_weights,
)
from lowcost_ft.tasks.classification.featurizing import label_array
from lowcost_ft.tasks.classification.flags import ClassificationFlags

SINGLE, MULTI, REGRESSION = (
    "single_label_classification",
    "multi_label_classification",
    "regression",
)
LABELS = ["a", "b", "c"]


def examples_of(*labels, texts=None, pair=None):
    texts = texts or ["where is my order"] * len(labels)
    return [
        TextExample(text=text, text_pair=pair, label=label, source="test")
        for text, label in zip(texts, labels, strict=True)
    ]


@pytest.fixture(scope="module")
def bert(tiny_model):
    return load_tokenizer(tiny_model("bert"))


@pytest.mark.parametrize("pair", [None, "send the money back"])
def test_inputs_are_those_of_the_tokenizer(bert, pair):
    texts = ["where is my order", "hello"]
    features = ClassificationTask(LABELS).featurize(
        examples_of("a", "c", texts=texts, pair=pair), bert, max_length=64
    )
    for index, text in enumerate(texts):
        part = slice(*features.starts[index : index + 2])
        expected = bert(text, pair) if pair else bert(text)
        assert features.input_ids[part].tolist() == expected["input_ids"]
        assert features.token_type_ids[part].tolist() == expected["token_type_ids"]
    assert (1 in features.token_type_ids) == (pair is not None)
    assert features["labels"].tolist() == [0, 2]
    assert features.truncated == 0


@pytest.mark.parametrize("pair", [None, "hello"])
def test_texts_that_lose_their_end_are_counted(bert, pair):
    texts = ["hello", "hello " * 40, "thank you " * 40]
    features = ClassificationTask(LABELS).featurize(
        examples_of("a", "b", "c", texts=texts, pair=pair), bert, max_length=16
    )
    assert features.truncated == 2
    assert features.lengths.max() == 16
    # The special tokens at the end stay.
    assert (features.input_ids[features.starts[1:] - 1] == bert.sep_token_id).all()


def test_labels_of_each_problem_type(bert):
    def labels(task, *values):
        return task.featurize(examples_of(*values), bert, max_length=16).arrays.get("labels")

    assert labels(ClassificationTask(LABELS), "c", "a").tolist() == [2, 0]
    multi = labels(ClassificationTask(LABELS, problem_type=MULTI), ("c", "a"), (), ("b",))
    assert multi.tolist() == [[1, 0, 1], [0, 0, 0], [0, 1, 0]]
    number = labels(ClassificationTask(["value"], problem_type=REGRESSION), 0.5, -2.0)
    assert (number.dtype, number.tolist()) == (np.float32, [0.5, -2.0])
    assert labels(ClassificationTask(LABELS), None, None) is None


def test_losses_are_sums_over_examples():
    torch.manual_seed(0)
    logits = torch.randn(4, 3)
    labels = torch.tensor([0, 2, 2, 1])
    loss = ClassificationTask(LABELS).loss(logits, {"labels": labels})
    torch.testing.assert_close(loss, -logits.log_softmax(-1)[range(4), labels].sum())

    weights = [0.5, 2.0, 3.0]
    weighted = ClassificationTask(LABELS, class_weights=weights)
    total = torch.tensor(weights)[labels].sum()
    torch.testing.assert_close(
        weighted.loss(logits, {"labels": labels}) / total,
        torch.nn.functional.cross_entropy(logits, labels, weight=torch.tensor(weights)),
    )

    targets = torch.tensor([[1.0, 0, 1], [0, 0, 0], [0, 1, 0], [1, 1, 1]])
    multi = ClassificationTask(LABELS, problem_type=MULTI)
    mean = torch.nn.functional.binary_cross_entropy_with_logits(logits, targets)
    torch.testing.assert_close(multi.loss(logits, {"labels": targets}) / 4, mean)
    positive = ClassificationTask(LABELS, problem_type=MULTI, class_weights=weights)
    mean = torch.nn.functional.binary_cross_entropy_with_logits(
        logits, targets, pos_weight=torch.tensor(weights)
    )
    torch.testing.assert_close(positive.loss(logits, {"labels": targets}) / 4, mean)

    numbers = ClassificationTask(["value"], problem_type=REGRESSION)
    loss = numbers.loss(torch.tensor([[1.0], [3.0]]), {"labels": torch.tensor([0.0, 1.0])})
    assert loss.item() == 1.0 + 4.0


def test_weights_of_a_step_are_those_of_its_loss(bert):
    task = ClassificationTask(LABELS, class_weights=[0.5, 2.0, 3.0])
    features = task.featurize(examples_of("c", "a", "a"), bert, max_length=16)
    assert features.weights.tolist() == [3.0, 0.5, 0.5]
    # Multi-label and regression count examples.
    multi = ClassificationTask(LABELS, problem_type=MULTI, class_weights=[0.5, 2.0, 3.0])
    assert multi.featurize(examples_of(("c",), ()), bert, max_length=16).weights.tolist() == [1, 1]


def test_balanced_weights_are_scikit_learns():
    labels = ["a"] * 6 + ["b"] * 3 + ["c"]
    weights = balanced_class_weights(examples_of(*labels), LABELS, problem_type=SINGLE)
    expected = compute_class_weight("balanced", classes=np.array(LABELS), y=np.array(labels))
    np.testing.assert_allclose(weights, expected)


def test_balanced_weights_of_several_labels_weigh_positives():
    examples = examples_of(("a",), ("a", "b"), ("a",), ("c",))
    weights = balanced_class_weights(examples, LABELS, problem_type=MULTI)
    assert weights == [1 / 3, 3.0, 3.0]


def test_answers_of_each_problem_type():
    scores = {"scores": np.array([[0.2, 0.7, 0.1], [0.6, 0.5, 0.4]], np.float32)}
    examples = examples_of("b", "b", pair="hello")
    single = ClassificationTask(LABELS).answer(examples, scores)
    assert [row["label"] for row in single] == ["b", "a"]
    assert single[0]["score"] == pytest.approx(0.7)
    assert single[0]["text_pair"] == "hello"
    multi = ClassificationTask(LABELS, problem_type=MULTI).answer(examples_of((), ()), scores)
    assert [row["label"] for row in multi] == [["b"], ["a", "b"]]
    assert multi[1]["score"] == pytest.approx([0.6, 0.5])
    none = {"scores": np.array([[0.2, 0.4, 0.1]], np.float32)}
    (answer,) = ClassificationTask(LABELS, problem_type=MULTI).answer(examples_of(()), none)
    assert (answer["label"], answer["score"]) == ([], [])
    number = {"scores": np.array([[2.5]], np.float32)}
    (answer,) = ClassificationTask(["value"], problem_type=REGRESSION).answer(
        examples_of(1.0), number
    )
    assert answer == {"text": "where is my order", "score": 2.5}


def test_scores_of_each_problem_type():
    scores = {"scores": np.array([[0.2, 0.7, 0.1], [0.6, 0.5, 0.4]], np.float32)}
    single = ClassificationTask(LABELS)
    assert single.metric == "accuracy"
    assert single.score(examples_of("b", "b"), scores)["accuracy"] == 0.5
    multi = ClassificationTask(LABELS, problem_type=MULTI)
    assert multi.metric == "micro_f1"
    assert multi.score(examples_of(("b",), ("a", "b")), scores)["micro_f1"] == 1.0
    number = ClassificationTask(["value"], problem_type=REGRESSION)
    values = {"scores": np.array([[1.0], [2.0], [4.0]], np.float32)}
    assert number.score(examples_of(2.0, 4.0, 8.0), values)[number.metric] == pytest.approx(1.0)


def test_a_label_that_the_model_does_not_know_is_a_mistake_and_no_loss(bert):
    task = ClassificationTask(LABELS, class_weights=[0.5, 2.0, 3.0])
    examples = examples_of("b", "new", "a", "new")
    features = task.featurize(examples, bert, max_length=16)
    assert features.weights.tolist() == [2.0, 0.0, 0.5, 0.0]
    logits = torch.tensor([[0.0, 9.0, 0.0], [9.0, 0.0, 0.0], [9.0, 0.0, 0.0], [0.0, 0.0, 9.0]])
    labels = torch.from_numpy(features["labels"])
    known = labels >= 0
    both = [task.loss(logits[k], {"labels": labels[k]}).item() for k in (known, known | True)]
    assert both[0] == pytest.approx(both[1])
    predictions = {"scores": task.decode(logits)["scores"].numpy()}
    losses = task.losses(examples, predictions)
    assert np.isnan(losses).tolist() == [False, True, False, True]
    scores = task.score(examples, predictions)
    assert scores["accuracy"] == 0.5
    assert list(scores["per_class"]) == [*LABELS, "new"]
    assert scores["per_class"]["new"] == {"precision": 0, "recall": 0, "f1": 0, "support": 2}
    # a: 2 / 3, b: 1, c and new: 0.
    assert scores["macro_f1"] == pytest.approx((2 / 3 + 1) / 4)
    assert scores["confusion"]["new"] == {"a": 1, "c": 1}


def test_unknown_labels_among_several_are_missed(bert):
    task = ClassificationTask(LABELS, problem_type=MULTI)
    examples = examples_of(("a", "new"), ("new",))
    features = task.featurize(examples, bert, max_length=16)
    assert features["labels"].tolist() == [[1, 0, 0], [0, 0, 0]]
    assert features.weights.tolist() == [1, 1]
    scores = task.score(examples, {"scores": np.array([[0.9, 0, 0], [0, 0, 0]], np.float32)})
    assert scores["micro_f1"] == pytest.approx(2 / (1 + 3))
    assert scores["per_class"]["new"]["support"] == 2


def test_a_subclass_may_name_its_metric():
    class Macro(ClassificationTask):
        metric = "macro_f1"

    assert Macro(LABELS).metric == "macro_f1"
    assert Macro(LABELS, problem_type=MULTI).metric == "macro_f1"
    assert ClassificationTask(LABELS).metric == "accuracy"


def test_thresholds_decide_and_all_scores_are_told():
    scores = {"scores": np.array([[0.2, 0.7, 0.1], [0.6, 0.5, 0.4]], np.float32)}
    task = ClassificationTask(LABELS, problem_type=MULTI, thresholds=[0.6, 0.8, 0.1])
    first, second = task.answer(examples_of((), ()), scores)
    assert (first["label"], second["label"]) == (["c"], ["a", "c"])
    assert list(first["scores"].items()) == [("b", 0.7), ("a", 0.2), ("c", 0.1)]
    assert task.use(ClassificationFlags(top_k=1)) == []
    assert [a["scores"] for a in task.answer(examples_of((), ()), scores)] == [
        {"b": 0.7},
        {"a": 0.6},
    ]
    assert ClassificationTask(LABELS).thresholds is None
    assert "scores" not in ClassificationTask(LABELS).answer(examples_of("a", "a"), scores)[0]
    # Chosen by validation data.
    task = ClassificationTask(LABELS, problem_type=MULTI)
    assert task.thresholds == [0.5] * 3
    low = {"scores": scores["scores"] / 10}
    examples = examples_of(("b",), ("a", "b"))
    assert task.score(examples, low)["micro_f1"] == 0.0
    task.choose_decisions(examples, low)
    assert task.thresholds == pytest.approx([0.045] * 3)
    assert task.score(examples, low)["micro_f1"] == 1.0


def test_decoding_gives_probabilities():
    logits = torch.tensor([[0.0, 1.0, -1.0]])
    single = ClassificationTask(LABELS).decode(logits)["scores"]
    torch.testing.assert_close(single, logits.softmax(-1))
    multi = ClassificationTask(LABELS, problem_type=MULTI).decode(logits)["scores"]
    torch.testing.assert_close(multi, logits.sigmoid())
    number = ClassificationTask(["value"], problem_type=REGRESSION).decode(logits[:, :1])
    assert torch.equal(number["scores"], logits[:, :1])


@pytest.mark.parametrize("family", ["gpt2", "llama", "qwen2", "gemma"])
def test_a_decoder_reads_the_last_real_token_of_a_padded_text(tiny_model, family):
    tokenizer = load_tokenizer(tiny_model(family))
    task = ClassificationTask(LABELS)
    texts = ["hello", "where is my parcel ? it does not work .", "thank you"]
    features = task.featurize(examples_of("a", "b", "c", texts=texts), tokenizer, max_length=64)
    built = build_model(
        tiny_model(family),
        head="sequence",
        labels=LABELS,
        problem_type=SINGLE,
        pad_token_id=tokenizer.pad_token_id,
    )
    assert built.model.config.pad_token_id == tokenizer.pad_token_id
    model = forward_module(built.model).eval()

    def logits(rows):
        batch = collate(features, np.array(rows), pad_token_id=tokenizer.pad_token_id)
        with torch.no_grad():
            return model(**model_inputs(batch, features)).logits

    alone = torch.cat([logits([index]) for index in range(3)])
    assert not torch.allclose(alone[0], alone[2])
    torch.testing.assert_close(logits([0, 1, 2]), alone, rtol=1e-4, atol=1e-5)
    # What is read is the last real token's hidden state.
    with torch.no_grad():
        batch = collate(features, np.array([0, 1]), pad_token_id=tokenizer.pad_token_id)
        hidden = model.base_model(**model_inputs(batch, features)).last_hidden_state
        last = hidden[[0, 1], features.lengths[:2] - 1]
        torch.testing.assert_close(model.score(last), alone[:2], rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("problem_type", "truth"),
    [
        ("single_label_classification", list("abca")),
        ("multi_label_classification", [(), ("a",), ("a", "c"), ("b",)]),
        ("regression", [0.5, 1.0, -2.0, 0.0]),
    ],
)
def test_losses_of_predictions_are_those_of_training(problem_type, truth):
    labels = ["value"] if problem_type == "regression" else ["a", "b", "c"]
    task = ClassificationTask(labels, problem_type=problem_type)
    torch.manual_seed(0)
    logits = torch.randn(4, len(labels))
    examples = [TextExample(text="t", text_pair=None, label=label, source="t") for label in truth]
    losses = task.losses(examples, {"scores": task.decode(logits)["scores"].numpy()})
    ids = {label: place for place, label in enumerate(labels)}
    batch = {"labels": torch.from_numpy(label_array(examples, ids, problem_type))}
    assert losses.shape == (4,)
    assert losses.sum() == pytest.approx(float(task.loss(logits, batch)), rel=1e-5)
