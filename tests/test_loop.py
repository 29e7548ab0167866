"""The training loop on tiny models: what moves, what stays, when it stops, what it leaves."""

import json
import math

import numpy as np
import pytest
import torch
from bitsandbytes.optim import AdamW8bit
from small_training import Trainer

from lowcost_ft.config.tasks import task_names
from lowcost_ft.errors import UserError
from lowcost_ft.record.longer_training import longer_may_help
from lowcost_ft.tasks import task_class
from lowcost_ft.training.best_epoch import BestEpoch
from lowcost_ft.training.optimizer import (
    build_optimizer,
    build_scheduler,
    choose_optimizer,
    default_learning_rate,
    parameter_groups,
)
from lowcost_ft.training.setup import build_accelerator

CPU = torch.device("cpu")


@pytest.fixture
def trainer(tiny_model, tmp_path):
    return lambda name="ner", family="bert", **options: Trainer(
        tiny_model, tmp_path, name, family, **options
    )


@pytest.mark.parametrize("family", ["bert", "llama"])
@pytest.mark.parametrize("name", ["ner", "classification"])
def test_after_3_steps_frozen_weights_are_untouched_and_every_adapter_and_head_moved(
    trainer, name, family
):
    run = trainer(name, family)
    before = run.weights()
    result = run(max_steps=3)
    assert result.optimizer_steps == 3
    moved = {n for n, p in run.weights().items() if not torch.equal(p, before[n])}
    trainable = {n for n, p in run.model.named_parameters() if p.requires_grad}
    assert moved == trainable
    assert any(".lora_A." in n for n in moved)
    assert any(".lora_B." in n for n in moved)
    assert all(".lora_" in n or ".modules_to_save." in n for n in moved)


def test_full_fine_tuning_moves_everything(trainer):
    run = trainer("classification", method="full")
    before = run.weights()
    run(max_steps=3)
    still = {n for n, p in run.weights().items() if torch.equal(p, before[n])}
    assert still == set()


def test_the_best_epoch_is_restored_and_training_stops_when_nothing_gets_better(trainer):
    run = trainer()
    result = run([0.1, 0.5, 0.5, 0.4, 0.9], num_train_epochs=9, early_stopping_patience=2)
    assert result.stopped_early
    assert (result.best_epoch, result.epochs, len(run.seen)) == (2, 4.0, 4)
    for name, weight in run.weights().items():
        assert torch.equal(weight, run.seen[1][name]), name
    assert [entry["f1"] for entry in result.validation_history] == [0.1, 0.5, 0.5, 0.4]
    assert [entry["epoch"] for entry in result.validation_history] == [1.0, 2.0, 3.0, 4.0]


def test_of_equal_scores_the_one_with_the_lower_loss_is_kept_and_patience_starts_anew(trainer):
    run = trainer()
    script = [(0.0, 0.9), (0.0, 0.8), (0.0, 0.8), (0.0, 0.7), (0.0, 0.75), (0.0, None), (1.0, 9.0)]
    result = run(script, num_train_epochs=9, early_stopping_patience=2)
    # The tie of epoch 3 counts, epoch 4 starts the count anew, 5 and 6 end it.
    assert (result.best_epoch, len(run.seen), result.stopped_early) == (4, 6, True)
    for name, weight in run.weights().items():
        assert torch.equal(weight, run.seen[3][name]), name
    assert [e.get("loss") for e in result.validation_history] == [0.9, 0.8, 0.8, 0.7, 0.75, None]


def test_a_higher_score_counts_more_than_a_lower_loss(trainer):
    result = trainer()([(0.5, 0.9), (0.6, 2.0), (0.5, 0.1)], num_train_epochs=3)
    assert result.best_epoch == 2


def test_the_loss_of_the_best_epoch_is_in_a_checkpoint(tmp_path):
    model = torch.nn.Linear(2, 2)
    best = BestEpoch(build_accelerator(), tmp_path / "best.safetensors")
    best.update(model, 0.5, 1, loss=0.25)
    again = BestEpoch(best.accelerator, tmp_path / "again.safetensors")
    again.load(json.loads(json.dumps(best.state_dict())), best.path)
    again.update(model, 0.5, 2, loss=0.25)
    assert (again.epoch, again.without_better) == (1, 1)
    again.update(model, 0.5, 3, loss=0.2)
    assert (again.epoch, again.loss, again.without_better) == (3, 0.2, 0)
    # A checkpoint of before knows no loss: the earlier epoch stays.
    older = {name: value for name, value in best.state_dict().items() if name != "loss"}
    again.load(older, best.path)
    again.update(model, 0.5, 2, loss=0.1)
    assert again.epoch == 1


def test_only_some_epochs_are_scored_and_the_last_one_is(trainer):
    run = trainer()
    script = [0.1, 0.5, 0.3]
    result = run(script, num_train_epochs=7, validate_every_epochs=3, early_stopping_patience=2)
    assert [epoch["epoch"] for epoch in result.validation_history] == [3.0, 6.0, 7.0]
    assert (result.best_epoch, result.stopped_early) == (6, False)
    record = {"task": "ner", "metric": "f1", "train": result.to_dict()}
    assert not longer_may_help(record)
    record["train"]["best_epoch"] = 7
    assert longer_may_help(record)


def test_without_patience_every_epoch_is_trained(trainer):
    run = trainer()
    result = run([0.5, 0.4, 0.3, 0.2, 0.1], num_train_epochs=5, early_stopping_patience=0)
    assert (result.stopped_early, result.best_epoch, len(run.seen)) == (False, 1, 5)
    for name, weight in run.weights().items():
        assert torch.equal(weight, run.seen[0][name]), name


def test_the_last_epoch_stays_when_it_is_the_best(trainer):
    run = trainer()
    result = run([0.5, 0.4, 0.6], num_train_epochs=3)
    assert (result.best_epoch, result.stopped_early) == (3, False)
    for name, weight in run.weights().items():
        assert torch.equal(weight, run.seen[2][name]), name


def test_a_score_of_zero_counts_as_a_first_one(trainer):
    run = trainer()
    result = run([0.0, 0.0, -0.5], num_train_epochs=3)  # A correlation may be below zero.
    assert result.best_epoch == 1
    for name, weight in run.weights().items():
        assert torch.equal(weight, run.seen[0][name]), name


@pytest.mark.parametrize(("max_steps", "evaluations"), [(2, 1), (3, 1), (7, 3)])
def test_max_steps_ends_within_or_beyond_the_epochs(trainer, max_steps, evaluations):
    run = trainer()  # 20 examples, 8 a step: 3 steps an epoch
    result = run(max_steps=max_steps, num_train_epochs=1)
    assert result.optimizer_steps == max_steps
    assert len(run.seen) == evaluations
    assert result.loss_history[-1]["step"] == max_steps


def test_what_training_counts(trainer):
    run = trainer()
    result = run(num_train_epochs=2).to_dict()
    lengths = run.features.lengths
    assert result["examples"] == 40
    assert result["optimizer_steps"] == 6
    assert result["real_tokens"] == 2 * lengths.sum()
    assert result["padded_tokens"] >= result["real_tokens"]
    share = 1 - result["real_tokens"] / result["padded_tokens"]
    assert result["padding_share"] == pytest.approx(share, abs=1e-4)
    # On a GPU the first step takes long, once: it is no part of the speed.
    first, seconds = result["first_step_seconds"], result["seconds"]
    assert 0 < first == pytest.approx(result["loss_history"][0]["seconds"], abs=1e-3)
    rate = (result["real_tokens"] - result["first_step_tokens"]) / (seconds - first)
    assert result["real_tokens_per_second"] == pytest.approx(rate, rel=0.01)
    assert result["seconds_per_step"] == pytest.approx((seconds - first) / 5, rel=0.01)
    assert result["peak_memory_bytes"] > sum(p.nbytes for p in run.model.parameters())
    assert math.isfinite(result["final_loss"])
    assert [entry["step"] for entry in result["loss_history"]] == list(range(1, 7))


def test_the_loss_falls(trainer):
    result = trainer("classification", "llama")(num_train_epochs=6, early_stopping_patience=0)
    losses = [entry["loss"] for entry in result.loss_history]
    assert losses[-1] < 0.5 * losses[0]


@pytest.mark.parametrize("cut", [{"micro_batch_tokens": 32}, {"gradient_accumulation_steps": 4}])
def test_memory_decides_the_cut_and_not_the_result(trainer, cut):
    options = {"dropout": 0.0}
    whole, pieces = trainer(**options), trainer(**options)
    whole(num_train_epochs=2)
    pieces(num_train_epochs=2, max_length=32, **cut)
    for name, weight in whole.weights().items():
        torch.testing.assert_close(pieces.weights()[name], weight, rtol=1e-3, atol=1e-4)


def test_gradients_are_clipped(trainer):
    sizes = {}
    for limit in (1e-3, 0.0):
        run = trainer(dropout=0.0)
        before = run.weights()
        run(
            max_steps=1,
            max_grad_norm=limit,
            optimizer="sgd",
            learning_rate=1.0,
            weight_decay=0.0,
            warmup_ratio=0.0,
        )
        changes = [(p - before[n]).flatten() for n, p in run.weights().items()]
        sizes[limit] = torch.cat(changes).norm().item()
    # The first step of Nesterov momentum 0.9 is 1.9 times the gradient.
    assert sizes[1e-3] == pytest.approx(1.9e-3, rel=1e-3)
    assert sizes[0.0] > 0.1


def groups(**options):
    class Layer(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.dense = torch.nn.Linear(2, 2)
            self.norm = torch.nn.LayerNorm(2)
            self.classifier = torch.nn.Linear(2, 2)
            self.frozen = torch.nn.Linear(2, 2).requires_grad_(False)

    model = Layer()
    values = {"head_names": ("classifier",), "learning_rate": 1e-3, "head_learning_rate": 5e-3}
    values |= {"weight_decay": 0.1} | options
    names = {id(p): name for name, p in model.named_parameters()}
    return {
        names[id(p)]: (group["lr"], group["weight_decay"])
        for group in parameter_groups(model.named_parameters(), **values)
        for p in group["params"]
    }


def test_norms_and_biases_do_not_decay_and_heads_have_their_own_rate():
    assert groups() == {
        "dense.weight": (1e-3, 0.1),
        "dense.bias": (1e-3, 0.0),
        "norm.weight": (1e-3, 0.0),
        "norm.bias": (1e-3, 0.0),
        "classifier.weight": (5e-3, 0.1),
        "classifier.bias": (5e-3, 0.0),
    }
    assert groups(head_learning_rate=None)["classifier.weight"] == (1e-3, 0.1)


def test_heads_train_at_their_own_rate(trainer):
    run = trainer()
    before = run.weights()
    run(max_steps=1, learning_rate=1e-9, head_learning_rate=0.1, warmup_ratio=0.0)
    for name, weight in run.weights().items():
        change = (weight - before[name]).abs().max()
        assert (change > 1e-3) == (".modules_to_save." in name), name


def rates(name, warmup_ratio=0.2, total_steps=10):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    scheduler = build_scheduler(
        optimizer, name=name, warmup_ratio=warmup_ratio, total_steps=total_steps
    )
    values = []
    for _ in range(total_steps):
        values.append(scheduler.get_last_lr()[0])
        optimizer.step()
        scheduler.step()
    return values


def test_schedules():
    # Warm-up over 2 of 10 steps.
    np.testing.assert_allclose(rates("linear"), [0, 0.5, *[i / 8 for i in range(8, 0, -1)]])
    cosine = [(1 + math.cos(math.pi * i / 8)) / 2 for i in range(8)]
    np.testing.assert_allclose(rates("cosine"), [0, 0.5, *cosine])
    np.testing.assert_allclose(rates("constant"), [0, 0.5, *[1] * 8])
    assert rates("linear", warmup_ratio=0.0)[0] == 1.0


def test_the_schedule_is_laid_out_for_the_run(trainer):
    result = trainer()(max_steps=6, lr_scheduler_type="cosine", warmup_ratio=0.34)
    logged = {round(entry["learning_rate"], 9) for entry in result.loss_history}
    cosine = [1e-2 * (1 + math.cos(math.pi * i / 4)) / 2 for i in range(4)]
    assert logged == {round(rate, 9) for rate in (0.0, 0.5e-2, *cosine)}


def test_optimizers():
    group = [{"params": [torch.nn.Parameter(torch.zeros(1))], "lr": 1.0, "weight_decay": 0.0}]
    sgd = build_optimizer(group, name="sgd", device=CPU)
    assert isinstance(sgd, torch.optim.SGD)
    assert sgd.defaults["momentum"] == 0.9
    assert sgd.defaults["nesterov"]
    assert isinstance(build_optimizer(group, name="adamw", device=CPU), torch.optim.AdamW)
    assert build_optimizer(group, name="adafactor", device=CPU).defaults["relative_step"] is False
    assert isinstance(build_optimizer(group, name="adamw8bit", device=CPU), AdamW8bit)


def test_an_optimizer_that_the_hardware_has():
    def choose(name, device="cpu", quantized=False):
        return choose_optimizer(name, device=torch.device(device), quantized=quantized)

    assert [choose(name) for name in ("auto", "sgd", "adamw8bit")] == ["adamw", "sgd", "adamw8bit"]
    assert choose("auto", quantized=True) == "adamw"
    assert choose("auto", device="cuda") == "adamw"
    assert choose("auto", device="cuda", quantized=True) == "paged_adamw8bit"
    with pytest.raises(UserError, match="no CUDA GPU: use adamw8bit"):
        choose("paged_adamw8bit")


def test_default_rates_fall_with_the_width_and_are_lower_where_a_text_gets_one_answer():
    def rates(**kind):
        return {m: default_learning_rate(m, 384, **kind) for m in ("lora", "full", "ia3")}

    usual = {"lora": 1e-3, "full": 1e-4, "ia3": 1e-2}
    assert rates(post_norm=False, sequence_level=True) == usual
    assert rates(post_norm=True, sequence_level=False) == usual
    assert rates(post_norm=True, sequence_level=True) == usual | {"lora": 5e-4}
    translating = [t for t in task_names() if task_class(t).translates]
    assert translating == ["translation"]
    tasks = ("classification", "relation", "ner", "question_answering", "dialogue")
    assert [task_class(t).sequence_level() for t in tasks] == [True, True, False, False, False]
    wide = default_learning_rate("lora", 1536, post_norm=False, sequence_level=True)
    assert wide == pytest.approx(5e-4)


def test_default_rates_of_decoders_that_translate_fall_faster_with_the_width():
    def rate(method, width):
        kind = {"post_norm": False, "sequence_level": False, "decoder_translates": True}
        return default_learning_rate(method, width, **kind)

    assert rate("lora", 64) == rate("lora", 384) == rate("dora", 384)
    assert rate("lora", 576) == pytest.approx(3.2e-3, rel=0.01)
    assert rate("lora", 4096) == pytest.approx(3e-4, rel=0.02)
    assert rate("full", 576) == pytest.approx(rate("lora", 576) / 10)
    assert rate("rslora", 384) == 1e-3 and rate("bias", 384) == 1e-2


def test_a_run_of_very_many_short_epochs(trainer):
    """Its loss is logged less often than an epoch ends."""
    result = trainer()(batch_size=20, num_train_epochs=500, early_stopping_patience=2)
    assert result.epochs == 3.0
    assert math.isfinite(result.final_loss)
