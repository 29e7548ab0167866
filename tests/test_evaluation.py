"""Predictions of a split do not depend on how it is cut into micro-batches."""

import threading

import numpy as np
import pytest
import torch
from small_runs import ner_rows, text_rows

import lowcost_ft.pipeline.predicting
from lowcost_ft.data.features import collate, model_inputs
from lowcost_ft.errors import UserError
from lowcost_ft.models.loading import build_model, forward_module, load_tokenizer
from lowcost_ft.pipeline.predicting import predict, predict_and_score
from lowcost_ft.tasks.classification import ClassificationTask, TextExample
from lowcost_ft.tasks.ner import NerExample, NerTask
from lowcost_ft.training.setup import build_accelerator

TAGS = ["O", "B-person", "I-person", "B-place", "I-place"]


@pytest.fixture(scope="module", params=["ner", "classification"])
def setting(request, tiny_model):
    """Task, examples, features, model and padding token."""
    ner = request.param == "ner"
    tokenizer = load_tokenizer(tiny_model("bert"), words=ner)
    if ner:
        task = NerTask(TAGS)
        examples = [
            NerExample(words=tuple(row["tokens"]), tags=tuple(row["tags"]), source="test")
            for row in ner_rows(23)
        ]
    else:
        task = ClassificationTask(["None", "delivery", "refund"])
        examples = [
            TextExample(text=row["text"], label=row["label"], source="test")
            for row in text_rows(23)
        ]
    features = task.featurize(examples, tokenizer, max_length=12)
    built = build_model(
        tiny_model("bert"), head=task.head, labels=task.labels, pad_token_id=tokenizer.pad_token_id
    )
    return task, examples, features, forward_module(built.model), tokenizer.pad_token_id


def predicted(setting, micro_batch_tokens, **options):
    task, _, features, model, pad_token_id = setting
    return predict(
        build_accelerator(),
        model,
        task,
        features,
        pad_token_id=pad_token_id,
        micro_batch_tokens=micro_batch_tokens,
        **options,
    )


@pytest.fixture
def threads():
    """Sets PyTorch's threads for a test."""
    before = torch.get_num_threads()
    yield torch.set_num_threads
    torch.set_num_threads(before)


def test_threads_of_their_own_predict_the_same_bits(setting, threads, monkeypatch):
    monkeypatch.setattr(lowcost_ft.pipeline.predicting, "_LEAST_TOKENS", 12)
    seen, forward = set(), type(setting[3]).forward

    def noted(self, *args, **kwargs):
        seen.add((id(self), threading.get_ident(), torch.get_num_threads()))
        return forward(self, *args, **kwargs)

    monkeypatch.setattr(type(setting[3]), "forward", noted)
    threads(1)
    alone = predicted(setting, 12)
    assert len(seen) == 1
    seen.clear()
    threads(3)
    together = predicted(setting, 36, concurrent=True)
    assert len({model for model, _, _ in seen}) == len(seen) == 3
    assert {count for _, _, count in seen} == {1}
    assert torch.get_num_threads() == 3
    for name, values in alone.items():
        assert (together[name] == values).all()


def test_memory_that_runs_out_in_one_thread_cuts_its_micro_batches(setting, threads, monkeypatch):
    monkeypatch.setattr(lowcost_ft.pipeline.predicting, "_LEAST_TOKENS", 24)
    whole, forward = predicted(setting, 4096), type(setting[3]).forward

    def limited(self, input_ids, **kwargs):
        if input_ids.numel() > 12:
            raise MemoryError
        return forward(self, input_ids=input_ids, **kwargs)

    monkeypatch.setattr(type(setting[3]), "forward", limited)
    threads(2)
    recoveries = []
    cut = predicted(setting, 48, concurrent=True, recoveries=recoveries)
    assert recoveries
    for name, values in whole.items():
        np.testing.assert_allclose(cut[name], values, atol=1e-6)


def test_micro_batches_do_not_change_predictions(setting):
    whole = predicted(setting, 4096)
    for tokens in (1, 30):
        cut = predicted(setting, tokens)
        assert cut.keys() == whole.keys()
        for name, values in whole.items():
            np.testing.assert_allclose(cut[name], values, atol=1e-6)


def test_predictions_stand_in_the_order_of_the_examples(setting):
    task, _, features, model, _ = setting
    predictions = predicted(setting, 64)
    if isinstance(task, NerTask):
        # One number a word, not logits of every token.
        assert {len(values) for values in predictions.values()} == {features["word_starts"][-1]}
        return
    with torch.no_grad():
        for index, scores in enumerate(predictions["scores"]):
            ids = features.input_ids[slice(*features.starts[index : index + 2])]
            logits = model(input_ids=torch.tensor(ids[None]).long()).logits[0]
            np.testing.assert_allclose(scores, logits.softmax(-1).numpy(), atol=1e-6)


def test_dropout_is_off_and_gradients_are_not_kept(setting):
    model = setting[3].train()
    first, second = predicted(setting, 64), predicted(setting, 64)
    for name in first:
        assert (first[name] == second[name]).all()
    assert not model.training
    assert all(parameter.grad is None for parameter in model.parameters())


@pytest.mark.parametrize("tokens", [16, 4096])
def test_validation_data_are_scored_with_their_loss(setting, tokens):
    task, examples, features, model, pad_token_id = setting
    options = {"pad_token_id": pad_token_id, "micro_batch_tokens": tokens}
    scores, _ = predict_and_score(
        build_accelerator(), model, task, examples, features, validation=True, **options
    )
    batch = collate(features, np.arange(len(features.lengths)), pad_token_id=pad_token_id)
    with torch.no_grad():
        loss = task.loss(model.eval()(**model_inputs(batch, features)).logits, batch)
    assert scores["loss"] == pytest.approx(loss.item() / features.weights.sum(), rel=1e-4)


def test_a_metric_that_is_not_among_the_scores_is_told(setting, monkeypatch):
    task, examples, features, model, pad_token_id = setting
    monkeypatch.setattr(task, "metric", "kappa")
    with pytest.raises(UserError, match=r"metric 'kappa' is not among its scores: .*precision|acc"):
        predict_and_score(
            build_accelerator(),
            model,
            task,
            examples,
            features,
            pad_token_id=pad_token_id,
            micro_batch_tokens=64,
        )


def test_scores_are_those_of_the_predictions(setting):
    task, examples, features, model, pad_token_id = setting
    scores, predictions = predict_and_score(
        build_accelerator(),
        model,
        task,
        examples,
        features,
        pad_token_id=pad_token_id,
        micro_batch_tokens=64,
        seed=3,
    )
    assert scores == task.score(examples, predictions, seed=3)
    assert task.metric in scores
    assert f"{task.metric}_ci95" in scores
    assert scores["examples"] == 23
