"""Mixup: its equation, cuts, memory, cached layers, and what it cannot be used with."""

import json

import numpy as np
import pytest
import torch
from small_runs import call_recipe, flags
from test_simulated_step import Case, assert_equal, config
from test_steps import gradient, make_runner
from torch.nn import functional

from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import collate, model_inputs
from lowcost_ft.errors import UserError
from lowcost_ft.training.extensions.base import TrainingContext
from lowcost_ft.training.extensions.mixup import deal_pairs
from lowcost_ft.training.extensions.registry import build_extensions

WEIGHTED = {"class_weights": [0.5, 2.0, 3.0]}
MULTI = {"problem_type": "multi_label_classification"}


def test_each_text_has_one_partner():
    for texts in (1, 6, 7):
        pairs = deal_pairs(texts, np.random.default_rng(0))
        assert pairs.shape == (-(-texts // 2), 2)
        assert set(pairs.ravel()) == set(range(texts))
    assert pairs[-1, 0] == pairs[-1, 1]


@pytest.mark.parametrize("options", [{}, WEIGHTED, MULTI], ids=["plain", "weighted", "multi"])
def test_the_loss_is_that_of_both_mixtures_however_a_step_is_cut(tmp_path, options):
    runner = make_runner(tmp_path, "bert", "classification", **options)
    features = runner.features
    context = TrainingContext(
        settings=RunConfig(task="classification", mixup=0.4),
        model=runner.model,
        task=runner.task,
        features=features,
        pad_token_id=runner.pad_token_id,
    )
    runner.extensions = build_extensions(context)
    runner.features = runner.extensions.epoch(features, 0)
    assert runner.features.weights.sum() >= features.weights.sum()
    batch = collate(features, np.arange(len(features.lengths)), pad_token_id=runner.pad_token_id)
    outputs = runner.task.forward(runner.model, model_inputs(batch, features))
    choices = runner.task.choices(outputs, batch)
    total = 0.0
    counted = torch.zeros(len(features.lengths))
    for pair, share in zip(runner.features.members, runner.features["mixup.shares"], strict=True):
        for one, other in (pair, pair[::-1]):
            mixed = share * choices.logits[one] + (1 - share) * choices.logits[other]
            for text, part in ((one, share), (other, 1 - share)):
                label = choices.labels[text]
                if choices.yes_or_no:
                    loss = functional.binary_cross_entropy_with_logits(mixed, label)
                else:
                    weight = 1.0 if choices.weights is None else choices.weights[label]
                    loss = -weight * mixed.log_softmax(-1)[label]
                total = total + part * loss
                counted[text] += part
    # Each text counts once, whatever the shares; of an odd number, one counts twice.
    assert counted.round(decimals=5).unique().tolist() in ([1.0], [1.0, 2.0])
    expected = total / runner.features.weights.sum()
    expected.backward()
    right = torch.cat([p.grad.flatten() for p in runner.trainable])
    for parameter in runner.trainable:
        parameter.grad = None
    for cuts in (1, 2, 3):
        found, loss = gradient(runner, cuts)
        torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=1e-6)
        assert (found - right).norm() / right.norm() < 1e-5


def test_its_memory_is_predicted_as_it_is_measured(tiny_model):
    case = Case(tiny_model("bert"), config("classification", mixup=0.4))
    assert_equal(case.predict(), case.measure())


def test_cached_layers_and_cuts_give_the_same_losses(tiny_model, small_files, tmp_path):
    found = []
    for number, more in enumerate(
        ({}, {"cache_frozen_layers": True}, {"gradient_accumulation_steps": 2})
    ):
        folder = tmp_path / str(number)
        values = {"model_id": tiny_model("bert"), "trainable_layers": 1, "max_steps": 2}
        values |= {"batch_size": 4, "mixup": 0.4, "output_dir": folder} | small_files["single"]
        assert call_recipe("lora_classification", *flags(**values, **more)) == 0
        record = json.loads((folder / "run.json").read_text())
        assert record["train"]["extensions"]["mixup"] == {"alpha": 0.4, "pairs": 40}
        predicted, measured = (
            record["train"][f"{kind}peak_memory_bytes"] for kind in ("predicted_", "")
        )
        assert predicted == pytest.approx(measured, rel=0.02)
        found.append([entry["loss"] for entry in record["train"]["loss_history"]])
    assert found[1] == pytest.approx(found[0], rel=1e-4)
    assert found[2] == pytest.approx(found[0], rel=1e-4)


def test_other_losses_are_refused_beside_it():
    with pytest.raises(UserError, match="--label-smoothing, --consistency: for the loss of single"):
        RunConfig(mixup=0.4, label_smoothing=0.1, consistency="r-drop")
