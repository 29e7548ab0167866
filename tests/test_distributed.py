"""Two processes give what one gives: the steps are shared, not changed."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from small_runs import RECIPES, call_recipe, flags, ner_rows, text_rows, write_jsonl

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="PyTorch was built without torch.distributed"
)


def launch(arguments, folder, environment=None):
    """Two CPU processes on this machine; returns what both of them printed."""
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", *arguments]
    done = subprocess.run(
        [sys.executable, *command],
        env={**os.environ, "OMP_NUM_THREADS": "1", **(environment or {})},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
    )
    return done.returncode, done.stdout, done.stderr


def weights(folder):
    adapter = folder / "adapter_model.safetensors"
    return load_file(adapter if adapter.exists() else folder / "model.safetensors")


@pytest.mark.parametrize("name", ["lora_ner", "lora_classification"])
def test_two_processes_train_what_one_trains(tmp_path, tiny_model, name):
    # Steps of 4, 4 and 1 rows: in the last one the second process has none. Rows of several
    # windows, and of several micro-batches.
    if name == "lora_ner":
        train, other = ner_rows(9), ner_rows(5, seed=1)
        train[3] = {key: value * 8 for key, value in train[3].items()}
        options = {"max_length": 24, "micro_batch_tokens": 48, "learning_rate": 1e-3}
    else:
        train, other = text_rows(9), text_rows(6, seed=1)
        options = {"max_length": 24, "gradient_accumulation_steps": 2, "class_weights": "balanced"}
        # AdamW would not notice a gradient that is twice as long.
        options |= {"optimizer": "sgd", "learning_rate": 0.05, "max_grad_norm": 0}
    arguments = flags(
        model_id=tiny_model("bert"),
        train_file=write_jsonl(tmp_path / "train.jsonl", train),
        validation_file=write_jsonl(tmp_path / "validation.jsonl", other),
        test_file=write_jsonl(tmp_path / "test.jsonl", other),
        batch_size=4,
        num_train_epochs=2,
        dropout=0.0,
        lora_dropout=0.0,
        **options,
    )
    one, two = tmp_path / "one", tmp_path / "two"
    assert call_recipe(name, *arguments, *flags(output_dir=one)) == 0
    code, printed, errors = launch(
        [str(RECIPES / f"{name}.py"), *arguments, *flags(output_dir=two)], tmp_path
    )
    assert code == 0, errors
    assert printed.count("epoch 1:") == 1  # Said once.

    assert_same_runs(one, two)
    runs = [json.loads((folder / "run.json").read_text()) for folder in (one, two)]
    assert [run["hardware"]["processes"] for run in runs] == [1, 2]
    for run in runs:
        predicted = run["train"]["predicted_peak_memory_bytes"]
        assert predicted == pytest.approx(run["train"]["peak_memory_bytes"], rel=1e-3, abs=6000)


def assert_same_runs(one, two):
    """The weights, losses, scores and predictions of two runs agree."""
    expected, found = weights(one), weights(two)
    assert expected.keys() == found.keys()
    # LoRA's B begins at zero: training has moved it far beyond what is allowed to differ.
    moved = [p.abs().max() for key, p in expected.items() if "lora_B" in key]
    assert min(moved, default=1) > 1e-3
    for key, weight in expected.items():
        torch.testing.assert_close(found[key], weight, rtol=0, atol=1e-4)
    runs = [json.loads((folder / "run.json").read_text()) for folder in (one, two)]
    for key in ("optimizer_steps", "examples", "real_tokens", "effective_batch_size"):
        assert runs[0]["train"][key] == runs[1]["train"][key]
    losses = [[entry["loss"] for entry in run["train"]["loss_history"]] for run in runs]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert runs[0]["evaluation"] == runs[1]["evaluation"]
    rows = [(folder / "predictions.jsonl").read_text().splitlines() for folder in (one, two)]
    for first, second in zip(*rows, strict=True):
        first, second = json.loads(first), json.loads(second)
        for number in ("score", "loss"):  # Rounded to four digits.
            assert first.pop(number, 0) == pytest.approx(second.pop(number, 0), abs=2e-4)
        assert first == second


SHARDED = """
import runpy, sys
from accelerate import PartialState
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
from torch.distributed.tensor import DTensor
from lowcost_ft.pipeline import start

build = start.build_accelerator

def build_sharded(**arguments):
    # Accelerate turns FSDP on for accelerators only; PyTorch's shards over gloo just as well.
    accelerator = build(**arguments)
    PartialState._shared_state["distributed_type"] = DistributedType.FSDP
    accelerator.state.distributed_type = DistributedType.FSDP
    accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin()
    prepare = accelerator.prepare

    def checked(*objects):
        prepared = prepare(*objects)
        assert all(isinstance(weight, DTensor) for weight in prepared[0].parameters())
        return prepared

    accelerator.prepare = checked
    return accelerator

start.build_accelerator = build_sharded
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""
# What `accelerate launch` sets after a configuration with FSDP.
FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
}


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_model_split_over_two_processes_trains_what_a_whole_one_trains(
    tmp_path, tiny_model, method
):
    train, other = ner_rows(9), ner_rows(5, seed=1)
    arguments = flags(
        model_id=tiny_model("bert"),
        train_file=write_jsonl(tmp_path / "train.jsonl", train),
        validation_file=write_jsonl(tmp_path / "validation.jsonl", other),
        test_file=write_jsonl(tmp_path / "test.jsonl", other),
        batch_size=4,
        micro_batch_tokens=128,
        num_train_epochs=3,
        dropout=0.0,
        method=method,
        optimizer="sgd",
        learning_rate=0.05,
        max_grad_norm=1.0,
    )
    one, two = tmp_path / "one", tmp_path / "two"
    assert call_recipe("lora_ner", *arguments, *flags(output_dir=one)) == 0
    driver = tmp_path / "sharded.py"
    driver.write_text(SHARDED)
    recipe = str(RECIPES / "lora_ner.py")
    code, _, errors = launch(
        [str(driver), recipe, *arguments, *flags(output_dir=two)], tmp_path, FSDP
    )
    assert code == 0, errors
    assert_same_runs(one, two)
