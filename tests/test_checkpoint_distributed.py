"""Two processes stop, go on and run out of memory together, whichever of them it began with."""

import json
import os
import subprocess
import sys

import pytest
import torch
from safetensors.torch import load_file
from small_runs import RECIPES, flags

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not torch.distributed.is_available(), reason="no torch.distributed"),
]

# Runs the recipe; in the second process something happens at its twelfth micro-batch.
MISHAP = """
import os, runpy, signal, sys
import torch
from lowcost_ft.training.steps import StepRunner

real, calls = StepRunner.loss, []

def loss(self, rows):
    value = real(self, rows)
    calls.append(len(rows))
    if os.environ["RANK"] == "1" and len(calls) >= 12 and len(rows) > 1 and not loss.happened:
        loss.happened = True
        if os.environ["MISHAP"] == "signal":
            os.kill(os.getpid(), signal.SIGTERM)
        elif os.environ["MISHAP"] == "memory":
            raise torch.OutOfMemoryError("CUDA out of memory.")
    return value

loss.happened = False
StepRunner.loss = loss
sys.argv = sys.argv[1:]
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture
def run(tmp_path, tiny_model, small_files):
    script = tmp_path / "mishap.py"
    script.write_text(MISHAP)

    def launch(folder, *more, mishap="", **changes):
        values = {"model_id": tiny_model("bert"), "num_train_epochs": 3, "batch_size": 20}
        values |= {"output_dir": folder, "max_length": 32, "micro_batch_tokens": 64}
        values |= small_files["ner"] | changes
        command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
        return subprocess.run(
            [sys.executable, *command, script, RECIPES / "lora_ner.py", *flags(**values), *more],
            env={**os.environ, "OMP_NUM_THREADS": "1", "MISHAP": mishap},
            cwd=tmp_path,
            capture_output=True,
            text=True,
            timeout=400,
        )

    return launch


def weights(folder):
    return (folder / "adapter_model.safetensors").read_bytes()


def test_a_signal_to_one_process_stops_both_and_both_go_on(tmp_path, run):
    whole, folder = tmp_path / "whole", tmp_path / "run"
    options = {"lora_dropout": 0.2}  # Each process draws numbers of its own.
    assert run(whole, **options).returncode == 0
    stopped = run(folder, mishap="signal", **options)
    assert stopped.returncode != 0
    record = json.loads((folder / "run.json").read_text())
    assert record["status"] == "interrupted"
    assert 0 < record["train"]["optimizer_steps"] < 12
    assert "Run the same command with --resume" in stopped.stdout
    resumed = run(folder, "--resume", **options)
    assert resumed.returncode == 0, resumed.stderr
    record = json.loads((folder / "run.json").read_text())
    assert len(record["train"]["resumed_at_steps"]) == 1
    assert weights(folder) == weights(whole)


def test_memory_that_ran_out_in_one_process_is_made_up_for_in_both(tmp_path, run):
    whole, folder = tmp_path / "whole", tmp_path / "run"
    options = {"dropout": 0.0}
    assert run(whole, **options).returncode == 0
    done = run(folder, mishap="memory", **options)
    assert done.returncode == 0, done.stderr
    record = json.loads((folder / "run.json").read_text())
    assert len(record["train"]["recoveries"]) == 1
    assert done.stderr.count("out of memory in step") == 1
    found, expected = (load_file(f / "adapter_model.safetensors") for f in (folder, whole))
    for key, weight in expected.items():
        torch.testing.assert_close(found[key], weight, rtol=0, atol=1e-5)
