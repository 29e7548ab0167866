"""The end of a run, in words."""

import shlex
import sys
from pathlib import Path

import pytest

from lowcost_ft.pipeline import summary
from lowcost_ft.pipeline.summary import score_lines, summarize

ROW = {"precision": 0.5, "recall": 0.25, "f1": 1 / 3, "support": 1234}


@pytest.fixture(autouse=True)
def in_an_activated_environment(monkeypatch):
    monkeypatch.setattr(summary.shutil, "which", lambda name: f"/somewhere/{name}")


def record(**changes):
    train = {
        "peak_memory_bytes": 431_000_000,
        "peak_memory_source": "cpu_allocator",
        "peak_resident_bytes": 912_000_000,
        "real_tokens_per_second": 1318.2,
        "padding_share": 0.041,
        "seconds": 61.6,
        "optimizer_steps": 1639,
        "effective_batch_size": 16,
        "best_epoch": 3,
    }
    scores = {"f1": 0.444, "f1_ci95": [0.42, 0.47], "per_entity": {"person": ROW}, "examples": 9}
    return {
        "task": "ner",
        "train": train,
        "evaluation": {"validation": {"f1": 0.5}, "test": scores},
        "data": {"pairs": False},
    } | changes


def test_scores_cost_and_the_next_command():
    text = summarize(record(), Path("runs/ner-lora"))
    for part in (
        "test f1          0.4440   95% interval 0.4200 to 0.4700",
        "person      0.500   0.250   0.333    1,234",
        "peak memory   431 MB in a training step (CPU tensors); process 912 MB",
        "throughput    1,318 real tokens/s, 4.1% padding",
        "training      62 s, 1,639 steps of 16 examples, best epoch 3",
        "saved in      runs/ner-lora",
        'next:  lowcost-ft predict runs/ner-lora --text "',
    ):
        assert part in text


def test_without_a_test_split_the_validation_scores_are_shown():
    text = summarize(record(evaluation={"validation": {"f1": 0.5}}), Path("run"))
    assert "validation f1" in text
    assert "test" not in text


def test_the_next_command_can_be_pasted():
    text = summarize(record(data={"pairs": True}), Path("my runs/it's one"))
    command = shlex.split(text.rpartition("next:")[2])
    assert command[:3] == ["lowcost-ft", "predict", "my runs/it's one"]
    assert command[3::2] == ["--text", "--text-pair"]


def test_without_activation_the_next_command_names_the_environment(tmp_path, monkeypatch):
    program = tmp_path / ".venv" / "bin" / "lowcost-ft"
    program.parent.mkdir(parents=True)
    program.touch()
    monkeypatch.setattr(summary.shutil, "which", lambda name: None)
    monkeypatch.setattr(sys, "executable", str(program.with_name("python")))
    monkeypatch.chdir(tmp_path)
    assert "next:  .venv/bin/lowcost-ft predict run " in summarize(record(), Path("run"))


def test_the_next_command_fits_the_task():
    assert "Where is my parcel?" in summarize(record(task="classification"), Path("run"))


def test_long_tables_are_cut():
    scores = {"accuracy": 0.9, "per_class": {f"label {index}": ROW for index in range(77)}}
    lines = score_lines("test", scores)
    assert "... and 57 more in run.json" in lines
    assert len(lines) == 1 + 2 + 20 + 1
    assert score_lines("test", {"f1": 0.0, "per_entity": {}})[0].startswith("test f1")


def test_scores_without_an_interval():
    lines = score_lines("test", {"mse": 0.25, "pearson": 0.5, "pearson_ci95": [None, None]})
    assert [line.split() for line in lines] == [
        ["test", "mse", "0.2500"],
        ["test", "pearson", "0.5000"],
    ]
