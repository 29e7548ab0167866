"""Which settings a budget changes, in which order, and what it says when nothing fits."""

import pytest

from lowcost_ft.config.run import RunConfig
from lowcost_ft.errors import UserError
from lowcost_ft.memory.simulate import MemoryPrediction
from lowcost_ft.planning.budget import fit_to_budget, megabytes
from lowcost_ft.planning.part_to_change import part_to_change

WEIGHTS = {"none": 400e6, "8bit": 150e6, "nf4": 100e6}


def predict(config):
    """A model whose memory can be reckoned: 12 layers, 1 kB a token and layer."""
    layers = config.trainable_layers or 12
    if config.method == "pissa" and config.quantization != "none":
        raise UserError("method: pissa takes no rounded weights")
    weights = WEIGHTS[config.quantization]
    if config.cache_frozen_layers:
        weights *= layers / 12
    kept = 100 if config.gradient_checkpointing else 1000
    activations = config.micro_batch_tokens * layers * kept
    work = 3 * layers + 12 - layers + (layers if config.gradient_checkpointing else 0)
    parts = {"weights": int(weights), "activations": activations}
    total = sum(parts.values())
    return MemoryPrediction(
        peak_bytes=total, parts=parts, reserved_bytes=total, context_bytes=0, flops=work
    )


def fit(budget, **values):
    config = RunConfig(task="ner", memory_budget=str(int(budget)), **values)
    return fit_to_budget(
        config,
        int(budget),
        predict,
        num_layers=12,
        longest_row=100,
        can_checkpoint=values.get("method") != "pissa",
        can_choose_layers=True,
    )


def test_what_fits_is_left_alone():
    plan = fit(460e6)
    assert plan.choices == []
    assert plan.config.micro_batch_tokens == 4096


def test_smaller_micro_batches_come_first_and_use_what_there_is():
    plan = fit(420e6)
    assert [c.setting for c in plan.choices] == ["micro_batch_tokens"]
    # 20 MB are left for tokens of 12 kB: 1,666 of them.
    assert 1500 < plan.config.micro_batch_tokens <= 1666
    assert plan.prediction.needed_bytes <= 420e6
    assert plan.unplanned.needed_bytes > 420e6


def test_checkpointing_comes_second_and_has_its_price():
    plan = fit(401e6)
    assert [c.setting for c in plan.choices] == ["gradient_checkpointing", "micro_batch_tokens"]
    assert plan.choices[0].cost == "1.33 times the arithmetic of a step"
    assert [c.needed_bytes for c in plan.choices] == sorted(
        (c.needed_bytes for c in plan.choices), reverse=True
    )


def test_frozen_layers_are_cached_only_where_they_are_frozen_anyway():
    plan = fit(390e6, trainable_layers=6)
    settings = [c.setting for c in plan.choices]
    assert settings == ["gradient_checkpointing", "cache_frozen_layers"]
    with pytest.raises(UserError):
        fit(390e6)


def test_the_model_changes_only_where_that_is_allowed():
    with pytest.raises(UserError) as refused:
        fit(160e6)
    message = str(refused.value)
    assert "one step needs at least 400 MB" in message
    assert "--micro-batch-tokens 100 --gradient-checkpointing" in message
    assert "add --allow-model-change: 150 MB are enough with --quantization 8bit" in message
    plan = fit(160e6, allow_model_change=True)
    assert [c.setting for c in plan.choices] == ["gradient_checkpointing", "quantization"]
    assert plan.config.quantization == "8bit"
    assert fit(140e6, allow_model_change=True).config.quantization == "nf4"
    few = fit(100_090_000, allow_model_change=True).config
    assert (few.quantization, few.trainable_layers) == ("nf4", 6)


def test_an_adapter_that_takes_no_rounded_weights_gets_none():
    with pytest.raises(UserError, match=r"at least 401 MB .* with --trainable-layers 6"):
        fit(400.7e6, method="pissa")
    plan = fit(400.7e6, method="pissa", allow_model_change=True)
    assert [c.setting for c in plan.choices] == ["trainable_layers", "micro_batch_tokens"]


def test_the_optimization_never_changes():
    plan = fit(100_090_000, allow_model_change=True)
    for name in ("batch_size", "learning_rate", "num_train_epochs", "optimizer", "seed"):
        assert getattr(plan.config, name) == getattr(RunConfig(task="ner"), name)


def test_where_nothing_helps_the_message_says_what_a_step_needs():
    with pytest.raises(UserError, match="use a smaller model"):
        fit(50e6, allow_model_change=True)


def test_a_plan_as_json():
    record = fit(420e6).to_dict(int(420e6))
    assert record["budget_bytes"] == 420e6
    assert sum(record["parts"].values()) == record["needed_bytes"]
    assert record["choices"][0]["setting"] == "micro_batch_tokens"


@pytest.mark.parametrize(
    ("values", "parts", "named"),
    [
        ({"method": "full"}, {"weights": 4, "optimizer": 8, "gradients": 4}, "--method lora"),
        ({}, {"weights": 9, "activations": 1}, "--quantization nf4"),
        ({"method": "pissa"}, {"weights": 9, "activations": 1}, "--gradient-checkpointing"),
        ({}, {"weights": 4, "activations": 9}, "--gradient-checkpointing"),
        ({}, {"weights": 1, "activations": 9}, "--micro-batch-tokens"),
    ],
)
def test_which_part_to_change(values, parts, named):
    total = sum(parts.values())
    prediction = MemoryPrediction(
        peak_bytes=total, parts=parts, reserved_bytes=total, context_bytes=0, flops=1
    )
    assert named in part_to_change(RunConfig(task="ner", **values), prediction)


def test_sizes_are_readable():
    assert [megabytes(n) for n in (310_000, 391e6, 12.4e9)] == ["0.31 MB", "391 MB", "12.4 GB"]
