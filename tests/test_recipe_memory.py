"""A run says beforehand what its steps will need, and keeps to a budget without changing them."""

import json

import pytest
import torch
from safetensors.torch import load_file
from small_runs import call_recipe, flags


def run(folder, tiny_model, files, family="bert", **values):
    values = {"model_id": tiny_model(family), "max_steps": 2, "batch_size": 40} | values
    values |= {"max_length": 48, "output_dir": folder, **files}
    code = call_recipe("lora_ner", *flags(**values))
    return code, json.loads((folder / "run.json").read_text("utf-8")) if code == 0 else None


def test_the_prediction_stands_beside_the_measurement(tmp_path, tiny_model, small_files):
    code, record = run(tmp_path, tiny_model, small_files["ner"])
    assert code == 0
    train, plan = record["train"], record["memory_plan"]
    assert train["predicted_peak_memory_bytes"] == plan["peak_bytes"]
    assert plan["peak_bytes"] == pytest.approx(train["peak_memory_bytes"], rel=1e-3)
    assert sum(plan["parts"].values()) == plan["needed_bytes"]
    assert plan["budget_bytes"] is None
    assert plan["choices"] == []
    assert plan["flops_per_step"] > 0


def test_half_the_memory_is_kept_to_and_gives_the_weights_of_a_step_cut_by_hand(
    tmp_path, tiny_model, small_files, capsys
):
    same = {"dropout": 0.0, "optimizer": "sgd", "learning_rate": 0.1}
    _, whole = run(tmp_path / "whole", tiny_model, small_files["ner"], **same)
    budget = whole["train"]["peak_memory_bytes"] // 2
    capsys.readouterr()
    _, planned = run(
        tmp_path / "planned", tiny_model, small_files["ner"], memory_budget=f"{budget}B", **same
    )
    assert planned["train"]["peak_memory_bytes"] <= budget
    (choice,) = planned["memory_plan"]["choices"]
    assert choice["setting"] == "micro_batch_tokens"
    assert planned["config"]["micro_batch_tokens"] == choice["value"] < 4096
    # The budget is used: the next larger micro-batch would not have fitted.
    assert planned["train"]["peak_memory_bytes"] > 0.6 * budget
    assert f"memory: --micro-batch-tokens {choice['value']}: " in capsys.readouterr().out
    tokens = choice["value"]
    by_hand = same | {"micro_batch_tokens": tokens, "max_length": 48}
    values = {"model_id": tiny_model("bert"), "max_steps": 2, "batch_size": 40} | by_hand
    values |= {"output_dir": tmp_path / "hand", **small_files["ner"]}
    if tokens < 48:  # The flag alone would be refused, since a text could be longer.
        del values["micro_batch_tokens"]
        values["memory_budget"] = f"{budget}B"
    assert call_recipe("lora_ner", *flags(**values)) == 0
    folders = [tmp_path / name for name in ("whole", "planned", "hand")]
    whole_weights, planned_weights, hand_weights = (
        load_file(folder / "adapter_model.safetensors") for folder in folders
    )
    for name, weight in planned_weights.items():
        assert torch.equal(weight, hand_weights[name]), name
        torch.testing.assert_close(weight, whole_weights[name], rtol=1e-4, atol=1e-6)


def test_checkpointing_follows_where_the_smallest_pieces_are_too_large(
    tmp_path, tiny_model, small_files
):
    _, whole = run(tmp_path / "whole", tiny_model, small_files["ner"], micro_batch_tokens=48)
    needed = whole["train"]["peak_memory_bytes"]
    code, planned = run(
        tmp_path / "planned",
        tiny_model,
        small_files["ner"],
        memory_budget=f"{int(needed * 0.8)}B",
    )
    assert code == 0
    settings = [choice["setting"] for choice in planned["memory_plan"]["choices"]]
    assert settings in (["micro_batch_tokens"], ["gradient_checkpointing", "micro_batch_tokens"])
    assert planned["train"]["peak_memory_bytes"] <= 0.8 * needed


def test_what_cannot_fit_is_refused_with_what_would(tmp_path, tiny_model, small_files, capsys):
    code, _ = run(tmp_path / "run", tiny_model, small_files["ner"], memory_budget="200KB")
    assert code == 2
    message = capsys.readouterr().err
    assert "--memory-budget 200KB: one step needs at least" in message
    assert "--gradient-checkpointing" in message
    assert not (tmp_path / "run").exists()
