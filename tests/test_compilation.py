"""Compiled layers train the same model."""

import json
import shutil

import pytest
import torch
from safetensors.torch import load_file
from small_runs import call_recipe, flags

from lowcost_ft.training.compilation import without_compiling

NEEDS_COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")


def train(tmp_path, name, model_id, files, **changes):
    folder = tmp_path / name
    values = {"model_id": model_id, "output_dir": folder, "max_steps": 3, "batch_size": 8}
    values |= {"dropout": 0.0, "max_length": 32, "trainable_layers": 1} | changes
    assert call_recipe("lora_ner", *flags(**values, **files)) == 0
    run = json.loads((folder / "run.json").read_text("utf-8"))
    return run, load_file(folder / "adapter_model.safetensors")


@NEEDS_COMPILER
def test_compiled_layers_train_to_the_same_weights(tmp_path, tiny_model, small_files, capsys):
    model_id, files = tiny_model("bert"), small_files["ner"]
    plain, weights = train(tmp_path, "plain", model_id, files)
    compiled, compiled_weights = train(tmp_path, "compiled", model_id, files, torch_compile=True)
    assert "rarely pays on a CPU" in capsys.readouterr().out
    assert compiled["config"]["torch_compile"]
    assert torch._dynamo.utils.counters["stats"]["unique_graphs"] > 0
    assert compiled_weights.keys() == weights.keys()
    for name, weight in weights.items():
        torch.testing.assert_close(compiled_weights[name], weight, rtol=1e-4, atol=1e-5)
    assert compiled["train"]["final_loss"] == pytest.approx(plain["train"]["final_loss"], abs=1e-5)


def test_what_cannot_be_compiled_is_refused(tmp_path, tiny_model, small_files, monkeypatch, capsys):
    values = {"model_id": tiny_model("bert"), "output_dir": tmp_path, **small_files["ner"]}
    assert call_recipe("lora_ner", *flags(**values, torch_compile=True, memory_budget="1GB")) == 2
    assert "remove --torch-compile" in capsys.readouterr().err
    monkeypatch.setenv("CXX", "no-such-compiler")
    assert call_recipe("lora_ner", *flags(**values, torch_compile=True)) == 2
    assert "found no no-such-compiler" in capsys.readouterr().err


def test_evaluation_of_what_was_never_compiled_is_left_alone():
    with without_compiling():
        assert torch.ones(2).sum() == 2
