"""What only a CUDA GPU can show: run by `make test-gpu`."""

import json

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from small_runs import call_recipe, flags, forget_precision
from small_training import Trainer
from support_matrix import RESULTS, all_cases, run_cases

from lowcost_ft.data.batching import cut_step
from lowcost_ft.predictor import load_predictor
from lowcost_ft.tasks.classification import ClassificationTask
from lowcost_ft.training.setup import build_accelerator
from lowcost_ft.training.steps import StepRunner

pytestmark = pytest.mark.gpu


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


@pytest.mark.parametrize(("name", "family"), [("ner", "bert"), ("single", "llama")])
def test_no_micro_batch_makes_the_host_wait(tmp_path, tiny_model, name, family):
    trainer = Trainer(tiny_model, tmp_path, name, family)
    if name == "single":
        trainer.task = ClassificationTask(trainer.task.labels, class_weights=[0.5, 1.0, 2.0])
    accelerator = build_accelerator()
    runner = StepRunner(
        accelerator,
        trainer.model.to(accelerator.device).train(),
        trainer.task,
        trainer.features,
        pad_token_id=trainer.pad_token_id,
        max_grad_norm=1.0,
    )
    micro_batches = cut_step(np.arange(16), trainer.features.lengths, micro_batch_tokens=64)
    assert len(micro_batches) > 1
    runner.backward(micro_batches, 16.0)  # Kernels are loaded, class weights copied.
    torch.cuda.set_sync_debug_mode("error")
    try:
        loss = runner.backward(micro_batches, 16.0)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert loss.isfinite()


def test_the_table_of_what_works_holds_here_too(tmp_path, tiny_model):
    cases = all_cases()
    outcomes = run_cases(cases, tmp_path, tiny_model, device="cuda")
    rows = json.loads(RESULTS.read_text("utf-8"))
    for case, row in zip(cases, rows, strict=True):
        assert outcomes[case.name] == {key: row[key] for key in ("result", "merged")}, case.name


def test_qlora_keeps_its_optimizer_in_pages_of_8_bits(tmp_path, tiny_model, small_files):
    values = {"model_id": tiny_model("llama"), "output_dir": tmp_path, "max_steps": 4}
    arguments = flags(**values, batch_size=8, **small_files["single"])
    assert call_recipe("qlora_gpt_classification", *arguments) == 0
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["config"]["optimizer"] == "paged_adamw8bit"
    assert run["quantization"] == "nf4"
