"""What only a CUDA GPU can show: run by `make test-gpu`."""

import json
import os
import signal
import subprocess
import sys

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from safetensors.torch import load_file
from small_runs import RECIPES, call_recipe, flags, forget_precision, ner_rows, write_jsonl
from small_training import Trainer, poison
from support_matrix import RESULTS, all_cases, run_cases
from tiny import make_tiny

from lowcost_ft.commands.main import main
from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.batching import cut_step
from lowcost_ft.memory import limits
from lowcost_ft.pipeline import memory as recipe_memory
from lowcost_ft.pipeline.load_predictor import load_predictor
from lowcost_ft.tasks.classification import ClassificationTask
from lowcost_ft.training.finite_check import may_read_later
from lowcost_ft.training.setup import build_accelerator
from lowcost_ft.training.step_plan import planned_steps
from lowcost_ft.training.steps import StepRunner

pytestmark = pytest.mark.gpu

MEDIUM = {"hidden_size": 256, "intermediate_size": 1024, "num_attention_heads": 4}
"""Large enough that activations, and not the allocator's segments, decide what fits."""


def record(folder):
    return json.loads((folder / "run.json").read_text("utf-8"))


def same_adapters(one, two, **tolerance):
    """Two run folders hold the same weights, and they have moved."""
    expected, found = (load_file(f / "adapter_model.safetensors") for f in (one, two))
    assert expected.keys() == found.keys()
    assert max(w.abs().max() for name, w in expected.items() if "lora_B" in name) > 1e-3
    for name, weight in expected.items():
        torch.testing.assert_close(found[name], weight, **tolerance)


@pytest.fixture(scope="module")
def long_rows(tmp_path_factory):
    """Flags of files with sentences of very different lengths, up to a hundred words."""
    folder = tmp_path_factory.mktemp("long")
    rows = ner_rows(96)
    for number, row in enumerate(rows):
        for key in ("tokens", "tags"):
            row[key] = row[key] * (1 + number % 16)
    return {
        "train_file": write_jsonl(folder / "train.jsonl", rows),
        "validation_file": write_jsonl(folder / "validation.jsonl", ner_rows(21, seed=1)),
        "max_length": 128,
        "batch_size": 48,
        "dropout": 0.0,
    }


@pytest.mark.parametrize("precision", ["auto", "no", "fp16"])
@pytest.mark.parametrize(
    ("name", "family", "kind"),
    [("lora_ner", "bert", "ner"), ("lora_gpt_classification", "llama", "single")],
)
def test_a_recipe_trains_saves_and_reloads(
    tmp_path, tiny_model, small_files, name, family, kind, precision
):
    values = {"model_id": tiny_model(family), "output_dir": tmp_path, "max_steps": 12}
    values |= {"mixed_precision": precision, "batch_size": 8, **small_files[kind]}
    assert call_recipe(name, *flags(**values)) == 0
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["hardware"]["gpus"]
    assert run["train"]["peak_memory_source"] == "cuda_allocator"
    assert run["train"]["peak_memory_bytes"] > 0
    assert run["train"]["final_loss"] > 0
    weights = load_file(tmp_path / "adapter_model.safetensors")
    assert all(weight.dtype == torch.float32 for weight in weights.values())
    assert all(weight.isfinite().all() for weight in weights.values())
    forget_precision()
    scores = load_predictor(tmp_path).evaluate(small_files[kind]["test_file"])
    metric = "f1" if kind == "ner" else "accuracy"
    assert scores[metric] == pytest.approx(run["evaluation"]["test"][metric], abs=0.1)


def test_a_step_cut_into_micro_batches_is_the_same_step(tmp_path, tiny_model, small_files):
    adapters = []
    for tokens in (4096, 64):
        folder = tmp_path / str(tokens)
        values = {"model_id": tiny_model("bert"), "output_dir": folder, "max_steps": 4}
        values |= {"mixed_precision": "no", "dropout": 0.0, "lora_dropout": 0.0, "max_length": 32}
        values |= {"micro_batch_tokens": tokens, "optimizer": "sgd", "learning_rate": 0.01}
        values |= {"batch_size": 8}
        assert call_recipe("lora_ner", *flags(**values, **small_files["ner"])) == 0
        adapters.append(load_file(folder / "adapter_model.safetensors"))
    for name, weight in adapters[0].items():
        torch.testing.assert_close(adapters[1][name], weight, rtol=1e-3, atol=1e-4)


def runner_of(trainer: Trainer, accelerator: Accelerator) -> StepRunner:
    return StepRunner(
        accelerator,
        trainer.model.to(accelerator.device).train(),
        trainer.task,
        trainer.features,
        pad_token_id=trainer.pad_token_id,
        max_grad_norm=1.0,
    )


@pytest.mark.parametrize(("name", "family"), [("ner", "bert"), ("single", "llama")])
def test_no_micro_batch_makes_the_host_wait(tmp_path, tiny_model, name, family):
    forget_precision()
    trainer = Trainer(tiny_model, tmp_path, name, family)
    if name == "single":
        trainer.task = ClassificationTask(trainer.task.labels, class_weights=[0.5, 1.0, 2.0])
    accelerator = build_accelerator()
    runner = runner_of(trainer, accelerator)
    micro_batches = cut_step(np.arange(16), trainer.features.lengths, micro_batch_tokens=64)
    assert len(micro_batches) > 1
    runner.backward(micro_batches, 16.0)  # Kernels are loaded, class weights copied.
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss = runner.backward(micro_batches, 16.0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert loss.isfinite()


def test_no_step_makes_the_host_wait_for_its_own_numbers(tmp_path, tiny_model):
    forget_precision()
    trainer = Trainer(tiny_model, tmp_path, "ner", "bert")
    accelerator = build_accelerator()
    runner = runner_of(trainer, accelerator)
    optimizer = torch.optim.AdamW(runner.trainable, lr=0.01, fused=True)
    runner.reads_later = may_read_later(accelerator, optimizer, runner.extensions)
    assert runner.reads_later
    first, *steps = planned_steps(trainer.features, RunConfig(task="ner", batch_size=8), 1)
    runner.step(optimizer, first)  # Kernels are loaded, and the optimizer's state is made.
    torch.cuda.set_sync_debug_mode("error")
    try:
        for step in steps[:4]:
            outcome = runner.step(optimizer, step)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    runner.settle()
    assert runner.late_outcomes() == [] and outcome.loss.isfinite()


def test_a_bad_step_changes_nothing_and_is_told_one_step_later(tmp_path, tiny_model):
    forget_precision()
    run = Trainer(tiny_model, tmp_path, "ner", "bert")
    poison(run, 5)
    result = run(num_train_epochs=2, max_bad_steps=9, early_stopping_patience=0)
    assert len(result.bad_steps) == 2
    assert all("row 5" in bad["examples"] for bad in result.bad_steps)
    assert all(weight.isfinite().all() for weight in run.weights().values())


def test_cached_states_stay_on_the_card(tmp_path, tiny_model, long_rows):
    values = {"model_id": tiny_model("bert"), "output_dir": tmp_path / "run", "max_steps": 4}
    values |= {"trainable_layers": 1, "cache_frozen_layers": True}
    values |= {"cache_dir": tmp_path / "cache"}
    assert call_recipe("lora_ner", *flags(**values, **long_rows)) == 0
    run = record(tmp_path / "run")
    assert run["memory_plan"]["states_on_device_bytes"] > 0
    predicted = run["train"]["predicted_peak_memory_bytes"]
    assert run["train"]["peak_memory_bytes"] == pytest.approx(predicted, rel=0.1)


def test_a_step_runs_whole_where_the_card_holds_it(tmp_path, tiny_model, long_rows):
    values = {"model_id": tiny_model("bert"), "output_dir": tmp_path, "max_steps": 4}
    assert call_recipe("lora_ner", *flags(**values, **long_rows)) == 0
    run = record(tmp_path)
    assert run["left_open"] == ["micro_batch_tokens"]
    assert run["config"]["micro_batch_tokens"] >= 4096
    assert run["train"]["recoveries"] == [] and run["memory_plan"]["choices"] == []


@pytest.mark.parametrize("part", range(8))
def test_the_table_of_what_works_holds_here_too(tmp_path, tiny_model, part):
    cases = all_cases()[part::8]
    outcomes = run_cases(cases, tmp_path, tiny_model, device="cuda")
    rows = json.loads(RESULTS.read_text("utf-8"))[part::8]
    for case, row in zip(cases, rows, strict=True):
        assert outcomes[case.name] == {key: row[key] for key in ("result", "merged")}, case.name


def test_qlora_keeps_its_optimizer_in_pages_of_8_bits(tmp_path, tiny_model, small_files):
    values = {"model_id": tiny_model("llama"), "output_dir": tmp_path, "max_steps": 4}
    arguments = flags(**values, batch_size=8, **small_files["single"])
    assert call_recipe("qlora_gpt_classification", *arguments) == 0
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["config"]["optimizer"] == "paged_adamw8bit"
    assert run["quantization"] == "nf4"


def test_a_gpu_and_a_cpu_train_the_same_adapter(tmp_path, tiny_model, small_files):
    values = {"model_id": tiny_model("bert"), "max_steps": 20, "batch_size": 8, "dropout": 0.0}
    values |= {"mixed_precision": "no", "optimizer": "sgd", "learning_rate": 0.1, "max_length": 32}
    values |= small_files["ner"]
    gpu, cpu = tmp_path / "gpu", tmp_path / "cpu"
    assert call_recipe("lora_ner", *flags(**values, output_dir=gpu)) == 0
    done = subprocess.run(
        [sys.executable, str(RECIPES / "lora_ner.py"), *flags(**values, output_dir=cpu)],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert record(gpu)["hardware"]["gpus"] and not record(cpu)["hardware"]["gpus"]
    same_adapters(cpu, gpu, rtol=1e-2, atol=1e-3)
    scores = [record(folder)["evaluation"]["test"]["f1"] for folder in (cpu, gpu)]
    assert scores[1] == pytest.approx(scores[0], abs=0.02)


def test_what_a_gpu_trained_a_cpu_reads(tmp_path, tiny_model, small_files):
    values = {"model_id": tiny_model("bert"), "output_dir": tmp_path / "run", "max_steps": 40}
    values |= {"mixed_precision": "no", "dropout": 0.0, "batch_size": 8, "learning_rate": 3e-3}
    assert call_recipe("lora_ner", *flags(**values, **small_files["ner"])) == 0
    test_file = small_files["ner"]["test_file"]
    command = ["evaluate", str(tmp_path / "run"), "--test-file", test_file, "--json"]
    done = subprocess.run(
        [sys.executable, "-m", "lowcost_ft", *command],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    expected = record(tmp_path / "run")["evaluation"]["test"]["f1"]
    assert json.loads(done.stdout)["f1"] == pytest.approx(expected, abs=0.02)


@pytest.mark.parametrize("precision", ["no", "auto"])
def test_memory_that_really_runs_out_changes_no_weight(tmp_path, long_rows, precision):
    model_id = make_tiny("bert", tmp_path / "model", **MEDIUM)
    values = {"model_id": model_id, "max_steps": 4, "mixed_precision": precision, **long_rows}
    values |= {"optimizer": "sgd", "learning_rate": 0.05}
    short, cut = tmp_path / "short", tmp_path / "cut"
    torch.cuda.empty_cache()
    total = torch.cuda.mem_get_info()[1]
    torch.cuda.set_per_process_memory_fraction((torch.cuda.memory_reserved() + 120e6) / total)
    try:
        arguments = flags(**values, output_dir=short, micro_batch_tokens=65536)
        assert call_recipe("lora_ner", *arguments) == 0
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    recoveries = record(short)["train"]["recoveries"]
    assert recoveries
    tokens = recoveries[-1]["micro_batch_tokens"]
    arguments = flags(**values, output_dir=cut, micro_batch_tokens=tokens)
    assert call_recipe("lora_ner", *arguments) == 0
    assert record(cut)["train"]["recoveries"] == []
    same_adapters(cut, short, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("way", ["whole", "streamed"])
def test_a_budget_is_predicted_and_kept(tmp_path, long_rows, way, monkeypatch):
    # Other tests may use the card meanwhile, and their memory would be taken for the driver's.
    for module in (recipe_memory, limits):
        monkeypatch.setattr(module, "measured_context_bytes", lambda device: 600 << 20)
    model_id = make_tiny("bert", tmp_path / "model", **MEDIUM)
    values = {"model_id": model_id, "max_steps": 4, **long_rows, "micro_batch_tokens": 65536}
    if way == "streamed":
        values |= {"trainable_layers": 2, "cache_frozen_layers": True, "stream_frozen_layers": True}
        values |= {"cache_dir": tmp_path / "cache"}
    free, kept = tmp_path / "free", tmp_path / "kept"
    assert call_recipe("lora_ner", *flags(**values, output_dir=free)) == 0
    plan = record(free)["memory_plan"]
    budget = plan["needed_bytes"] - 100_000_000
    arguments = flags(**values, output_dir=kept, memory_budget=budget)
    try:
        assert call_recipe("lora_ner", *arguments) == 0
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    train = record(kept)["train"]
    assert train["recoveries"] == []
    assert record(kept)["config"]["micro_batch_tokens"] < 65536
    for run in (record(free)["train"], train):
        assert run["predicted_peak_memory_bytes"] == pytest.approx(
            run["peak_memory_bytes"], rel=0.03
        )


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_cached_and_streamed_layers_train_the_same_adapter(
    tmp_path, tiny_model, small_files, family
):
    values = {"model_id": tiny_model(family), "max_steps": 12, "batch_size": 8, "dropout": 0.0}
    values |= {"mixed_precision": "no", "optimizer": "sgd", "learning_rate": 0.1, "max_length": 32}
    values |= {"trainable_layers": 1, **small_files["single"]}
    ways = {
        "whole": {},
        "cached": {"cache_frozen_layers": True},
        "streamed": {"cache_frozen_layers": True, "stream_frozen_layers": True},
    }
    for name, own in ways.items():
        own = own | ({"cache_dir": tmp_path / f"{name}-cache"} if own else {})
        arguments = flags(**values, **own, output_dir=tmp_path / name)
        assert call_recipe("lora_classification", *arguments) == 0
    for name in ("cached", "streamed"):
        same_adapters(tmp_path / "whole", tmp_path / name, rtol=1e-3, atol=1e-5)


def test_a_stopped_run_goes_on(tmp_path, tiny_model, small_files, monkeypatch):
    values = {"model_id": tiny_model("bert"), "num_train_epochs": 2, "batch_size": 8}
    values |= {"mixed_precision": "no", "lora_dropout": 0.2, **small_files["ner"]}
    whole, stopped = tmp_path / "whole", tmp_path / "stopped"
    assert call_recipe("lora_ner", *flags(**values, output_dir=whole)) == 0
    real, calls = StepRunner.step, []

    def step(self, optimizer, planned):
        calls.append(planned.number)
        if len(calls) == 7:
            signal.raise_signal(signal.SIGTERM)
        return real(self, optimizer, planned)

    monkeypatch.setattr(StepRunner, "step", step)
    assert call_recipe("lora_ner", *flags(**values, output_dir=stopped)) == 143
    assert record(stopped)["status"] == "interrupted"
    assert call_recipe("lora_ner", *flags(**values, output_dir=stopped, resume=True)) == 0
    assert len(calls) < 7 + 20  # It did not begin again.
    # Some kernels of a GPU add up in an order of their own.
    same_adapters(whole, stopped, rtol=1e-3, atol=1e-5)


def test_compiled_layers_train_the_same_adapter(tmp_path, tiny_model, small_files):
    values = {"model_id": tiny_model("bert"), "max_steps": 6, "batch_size": 8, "dropout": 0.0}
    values |= {"mixed_precision": "no", "optimizer": "sgd", "learning_rate": 0.1, "max_length": 32}
    values |= {"trainable_layers": 1, **small_files["ner"]}
    plain, compiled = tmp_path / "plain", tmp_path / "compiled"
    assert call_recipe("lora_ner", *flags(**values, output_dir=plain)) == 0
    arguments = flags(**values, output_dir=compiled, torch_compile=True)
    assert call_recipe("lora_ner", *arguments) == 0
    same_adapters(plain, compiled, rtol=1e-2, atol=1e-4)


def test_a_merged_model_answers_as_the_adapter_does(tmp_path, tiny_model, small_files, capsys):
    values = {"model_id": tiny_model("bert"), "output_dir": tmp_path / "run", "max_steps": 20}
    assert call_recipe("lora_ner", *flags(**values, batch_size=8, **small_files["ner"])) == 0
    forget_precision()
    capsys.readouterr()
    command = ["merge", str(tmp_path / "run"), "--output-dir", str(tmp_path / "merged"), "--json"]
    assert main(command) == 0
    assert json.loads(capsys.readouterr().out.splitlines()[-1])["parity_gap"] <= 1e-4
