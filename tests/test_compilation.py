"""Compiled layers train the same model."""

import json
import shutil
from functools import partialmethod

import pytest
import torch
from safetensors.torch import load_file
from small_runs import call_recipe, flags
from tiny import FAMILY_NAMES
from torch import nn
from torch._dynamo.utils import counters
from torch.profiler import ProfilerActivity, profile

from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.cpu_dropout import lean_functions, make_dropout_lean
from lowcost_ft.models.loading import build_model, forward_module
from lowcost_ft.training import loop
from lowcost_ft.training.compilation import compiled_layers, without_compiling
from lowcost_ft.training.steps import StepRunner

NEEDS_COMPILER = pytest.mark.skipif(shutil.which("g++") is None, reason="there is no C++ compiler")


def train(tmp_path, name, model_id, files, **changes):
    folder = tmp_path / name
    values = {"model_id": model_id, "output_dir": folder, "max_steps": 3, "batch_size": 8}
    values |= {"dropout": 0.1, "max_length": 32, "trainable_layers": 1} | changes
    assert call_recipe("lora_ner", *flags(**values, **files)) == 0
    run = json.loads((folder / "run.json").read_text("utf-8"))
    return run, load_file(folder / "adapter_model.safetensors")


@pytest.fixture
def compiled_calls(monkeypatch):
    """How often compiled code ran in each step after the rehearsal."""
    calls, step, rehearsed = [], StepRunner.step, loop.rehearse

    def profiled(*args):
        with profile(activities=[ProfilerActivity.CPU]) as profiler:
            outcome = step(*args)
        names = [event.name for event in profiler.events()]
        calls.append(sum(name.startswith("Torch-Compiled Region") for name in names))
        return outcome

    def rehearse(*args):
        monkeypatch.setattr(StepRunner, "step", step)
        peak = rehearsed(*args)
        monkeypatch.setattr(StepRunner, "step", profiled)
        return peak

    monkeypatch.setattr(loop, "rehearse", rehearse)
    return calls


@pytest.mark.parametrize(
    "backend", ["eager", pytest.param("inductor", marks=[NEEDS_COMPILER, pytest.mark.slow])]
)
def test_compiled_layers_train_to_the_same_weights(
    tmp_path, tiny_model, small_files, compiled_calls, monkeypatch, capsys, backend
):
    """With dropout, which falls on the same elements."""
    compile_layer = nn.Module.compile
    monkeypatch.setattr(nn.Module, "compile", partialmethod(compile_layer, backend=backend))
    model_id, files = tiny_model("bert"), small_files["ner"]
    plain, weights = train(tmp_path, "plain", model_id, files)
    assert compiled_calls == [0, 0, 0]
    compiled, compiled_weights = train(tmp_path, "compiled", model_id, files, torch_compile=True)
    assert compiled_calls == [0, 0, 0, 1, 1, 1]
    printed = capsys.readouterr().out
    assert "rarely helps on a CPU" in printed
    assert "memory prediction is for layers that are not compiled" in printed
    assert compiled["config"]["torch_compile"]
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


@pytest.mark.slow
@NEEDS_COMPILER
@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_layer_of_every_family_is_one_piece_of_compiled_code(tiny_model, family):
    torch._dynamo.reset()
    counters.clear()
    labels = ["a", "b"]
    built = build_model(
        tiny_model(family), head="sequence", labels=labels, dropout=0.2, pad_token_id=1
    )
    model = forward_module(built.model).train()
    make_dropout_lean(model)
    with compiled_layers(layer_list(model, built.family)):
        for tokens in (12, 9, 17, 14):
            ids = torch.randint(5, 200, (3, tokens))
            mask = torch.ones_like(ids)
            mask[0, 6 + tokens % 2 * tokens :] = 0  # Padding in the even ones.
            with lean_functions():
                model(input_ids=ids, attention_mask=mask).logits.square().sum().backward()
    assert not counters["graph_break"]
    assert counters["frames"]["total"] == counters["frames"]["ok"] <= 6
