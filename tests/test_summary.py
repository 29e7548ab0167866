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
        "training      62 s, 1,639 steps of up to 16 examples, best epoch 3",
        "saved in      runs/ner-lora",
        'next:  lowcost-ft predict runs/ner-lora --text "',
    ):
        assert part in text


def test_without_a_test_split_the_validation_scores_are_shown():
    text = summarize(record(evaluation={"validation": {"f1": 0.5}}), Path("run"))
    assert "validation f1" in text
    assert "test" not in text


def test_the_next_command_can_be_pasted():
    text = summarize(record(task="classification", data={"pairs": True}), Path("my runs/it's one"))
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


def test_texts_that_rounding_decides_are_counted():
    scores = {"chrf": 40.0, "examples": 200, "written": 200, "near_ties": 3}
    assert score_lines("test", scores)[-1] == (
        "test near_ties: 3 of 200 texts may read otherwise if written alone"
    )
    assert len(score_lines("test", scores | {"near_ties": 0})) == 1


def test_scores_without_an_interval():
    lines = score_lines("test", {"mse": 0.25, "pearson": 0.5, "pearson_ci95": [None, None]})
    assert [line.split() for line in lines] == [
        ["test", "mse", "0.2500"],
        ["test", "pearson", "0.5000"],
    ]


def test_tables_that_are_cut_show_the_worst_classes():
    table = {f"label {i}": ROW | {"f1": i / 100, "support": 5} for i in range(99, -1, -1)}
    table["never seen"] = ROW | {"f1": 0.0, "support": 0}
    lines = score_lines("test", {"accuracy": 0.9, "per_class": table}, rest="(--json prints all)")
    assert lines[2].startswith("lowest F1")
    assert [line.split("  ")[0].strip() for line in lines[3:23]] == [
        f"label {i}" for i in range(20)
    ]
    assert lines[23] == "... and 81 more (--json prints all)"
    few = dict(list(table.items())[:20])
    shown = score_lines("test", {"accuracy": 0.9, "per_class": few})
    assert [line.split("  ")[0].strip() for line in shown[3:]] == list(few)


def test_the_speed_says_how_much_of_the_cpu_it_got():
    train = record()["train"] | {"cpu_share": 0.48}
    text = summarize(record(train=train, hardware={"threads": 2}), Path("run"))
    assert "4.1% padding, with 48% of the CPU time of 2 threads" in text
    on_gpu = train | {"peak_memory_source": "cuda_allocator"}
    assert "of the CPU" not in summarize(record(train=on_gpu), Path("run"))
    assert "of the CPU" not in summarize(record(), Path("run"))


def ended(best, scores=(0.1, 0.2, 0.3), *, config=None, **changes):
    history = [{"epoch": i, "f1": score} for i, score in enumerate(scores, 1)]
    train = {"best_epoch": best, "validation_history": history, "stopped_early": False}
    config = {"num_train_epochs": 3, "max_steps": None} | (config or {})
    changed = record(train=record()["train"] | train, config=config)
    return {"metric": "f1"} | changed | changes


def test_a_run_that_was_still_getting_better_says_how_to_train_longer():
    command = ["recipes/lora_ner.py", "--train-file", "my data.conll", "--num-train-epochs", "3"]
    command += ["--output-dir=a b", "--overwrite", "--seed", "1"]
    monkeyed = ended(3, command=command)
    text = summarize(monkeyed, Path("runs/a b"))
    (line,) = [line for line in text.splitlines() if "longer training may help" in line]
    assert line.startswith("note: the last epoch was the best")
    words = shlex.split(line.split("`")[1])
    assert words[0].endswith("python")
    assert words[1:] == [
        *("recipes/lora_ner.py", "--train-file", "my data.conll", "--seed", "1"),
        *("--num-train-epochs", "6", "--output-dir", "runs/a b-6-epochs"),
    ]
    steps = ended(3, command=["recipes/lora_ner.py", "--max-steps", "50"], config={"max_steps": 50})
    assert "recipes/lora_ner.py --max-steps 100`" in summarize(steps, Path("run"))
    launched = ended(3, command=["recipes/lora_ner.py"], hardware={"processes": 2, "threads": 1})
    assert "`accelerate launch recipes/lora_ner.py" in summarize(launched, Path("run"))
    from_python = ended(3, command=["/usr/bin/pytest"])
    assert "may help: raise num_train_epochs or max_steps" in summarize(from_python, Path("run"))


@pytest.mark.parametrize(
    "run", [ended(2), ended(None, ()), ended(3, (0.1, 0.2, 1.0)), ended(1, (0.5, 0.4, 0.3))]
)
def test_a_run_that_had_its_best_epoch_before_says_nothing_of_it(run):
    assert "longer training" not in summarize(run, Path("run"))


def test_a_run_that_stopped_early_says_nothing_of_it():
    run = ended(3)
    run["train"]["stopped_early"] = True
    assert "longer training" not in summarize(run, Path("run"))
