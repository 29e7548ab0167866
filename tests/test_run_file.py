"""The run folder: atomic files, every status, clear errors, no credentials."""

import json
import os
import signal
import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from lowcost_ft.errors import UserError
from lowcost_ft.record import environment
from lowcost_ft.record import run_file as runs
from lowcost_ft.record.redaction import redact
from lowcost_ft.record.run_file import (
    load_run,
    record_run,
    status_of,
    write_json,
    write_predictions,
    write_run,
)
from lowcost_ft.tasks.classification import ClassificationTask, TextExample
from lowcost_ft.tasks.ner import NerExample, NerTask

RUN: dict[str, Any] = {"task": "ner", "model_id": "m", "method": "lora", "labels": ["O"]}


@dataclass
class Point:
    x: float
    where: Path


def test_write_json_takes_what_runs_hold(tmp_path: Path) -> None:
    path = tmp_path / "value.json"
    write_json(
        path,
        {
            "nan": float("nan"),
            "infinite": np.float32("inf"),
            "array": np.array([1.0, np.nan]),
            "integer": np.int64(3),
            "tensor": torch.tensor([1, 2]),
            "tuple": (1, True, None),
            "set": {"b", "a"},
            "dataclass": Point(0.5, Path("a/b")),
            "dtype": torch.float32,
            "text": "质量 \ud83d",
        },
    )
    assert json.loads(path.read_text("utf-8")) == {
        "nan": None,
        "infinite": None,
        "array": [1.0, None],
        "integer": 3,
        "tensor": [1, 2],
        "tuple": [1, True, None],
        "set": ["a", "b"],
        "dataclass": {"x": 0.5, "where": "a/b"},
        "dtype": "torch.float32",
        "text": "质量 \ud83d",
    }
    write_json(path, "质量")
    assert "质量" in path.read_text("utf-8")  # readable where it can be


def test_interrupted_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "value.json"
    write_json(path, {"version": 1})

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space"):
        write_json(path, {"version": 2})
    assert json.loads(path.read_text()) == {"version": 1}
    assert os.listdir(tmp_path) == ["value.json"]


def test_new_files_follow_the_umask(tmp_path: Path) -> None:
    write_json(tmp_path / "value.json", 1)
    (tmp_path / "plain").touch()
    modes = {path.stat().st_mode for path in tmp_path.iterdir()}
    assert len(modes) == 1


@pytest.mark.parametrize(
    ("error", "status"),
    [
        (KeyboardInterrupt(), "interrupted"),
        (SystemExit(143), "interrupted"),
        (SystemExit(2), "failed"),
        (MemoryError(), "out_of_memory"),
        (torch.OutOfMemoryError("CUDA out of memory. Tried"), "out_of_memory"),
        (RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried"), "out_of_memory"),
        (ValueError("out of memory of old times"), "failed"),
        (UserError("wrong flag"), "failed"),
    ],
)
def test_failures_are_recorded_and_go_on(tmp_path: Path, error: BaseException, status: str) -> None:
    assert status_of(error) == status
    with pytest.raises(type(error)), record_run(tmp_path, dict(RUN)) as run:
        run["train"] = {"final_loss": float("nan")}
        raise error
    written = load_run(tmp_path, completed=False)
    assert (written["status"], written["schema_version"]) == (status, 1)
    assert written["error"].startswith(type(error).__name__)
    assert written["train"] == {"final_loss": None}
    with pytest.raises(UserError, match=f"did not complete: its status is {status}"):
        load_run(tmp_path)


def test_a_run_that_can_go_on_is_told_to(tmp_path: Path) -> None:
    (tmp_path / "checkpoints").mkdir()
    with pytest.raises(UserError, match="stopped before its end: go on with its command and --res"):
        load_run(tmp_path)
    with pytest.raises(KeyboardInterrupt), record_run(tmp_path, dict(RUN)):
        raise KeyboardInterrupt
    with pytest.raises(UserError, match=r"is interrupted.*Go on with its command and --resume"):
        load_run(tmp_path)
    (tmp_path / "checkpoints").rmdir()
    with pytest.raises(UserError, match=r"is interrupted.*Train again, or give another folder"):
        load_run(tmp_path)


def test_a_mistake_before_training_and_an_earlier_run_leave_no_record(tmp_path: Path) -> None:
    with pytest.raises(UserError), record_run(tmp_path, dict(RUN)):
        raise UserError("wrong file")
    assert os.listdir(tmp_path) == []
    with record_run(tmp_path, dict(RUN)):
        pass
    before = (tmp_path / "run.json").read_bytes()
    with pytest.raises(KeyError), record_run(tmp_path, dict(RUN)):
        raise KeyError("while the earlier run is still whole")
    assert (tmp_path / "run.json").read_bytes() == before


def test_completed_run(tmp_path: Path) -> None:
    with record_run(tmp_path, dict(RUN)) as run:
        run["seed"] = 0
    written = load_run(tmp_path)
    assert written == {"schema_version": 1, **RUN, "seed": 0, "status": "completed"}


def test_only_the_main_process_writes(tmp_path: Path) -> None:
    with record_run(tmp_path, dict(RUN), enabled=False):
        pass
    with pytest.raises(KeyError), record_run(tmp_path, dict(RUN), enabled=False):
        raise KeyError
    assert os.listdir(tmp_path) == []


def test_a_full_disk_does_not_hide_the_error(tmp_path: Path) -> None:
    with pytest.raises(KeyError, match="the cause"), record_run(tmp_path / "gone", dict(RUN)):
        raise KeyError("the cause")


def test_unknown_status_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'done' is not one of completed"):
        write_run(tmp_path, {**RUN, "status": "done"})


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, "is not a run folder: it has no run.json"),
        ("{", "run.json is damaged"),
        ("[1]", "is not the record of a run"),
        ('{"name": "an npm package"}', "is not the record of a run"),
        ('{"status": "completed", "schema_version": 9}', "has schema version 9, this .* reads 1"),
        ('{"status": "failed", "schema_version": 1}', "its status is failed"),
        ('{"status": "completed", "schema_version": 1, "task": "ner"}', "lacks model_id, method"),
        (b"\xff\xfe", "run.json is damaged"),
    ],
)
def test_unusable_run_folders(tmp_path: Path, content: str | bytes | None, message: str) -> None:
    if content is not None:
        data = content if isinstance(content, bytes) else content.encode()
        (tmp_path / "run.json").write_bytes(data)
    with pytest.raises(UserError, match=message) as caught:
        load_run(tmp_path)
    assert str(tmp_path) in str(caught.value)


def test_a_folder_of_several_seeds_is_told_from_a_run(tmp_path: Path) -> None:
    for seed in (0, 1):
        (tmp_path / f"seed-{seed}").mkdir()
        (tmp_path / f"seed-{seed}" / "run.json").write_text("{}")
    with pytest.raises(UserError, match=r"folder of 2 runs: give one of them, such as .*seed-0$"):
        load_run(tmp_path)


def test_paths_that_are_no_folders(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="missing does not exist"):
        load_run(tmp_path / "missing")
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is a file: give the run folder"):
        load_run(tmp_path / "file")


def test_credentials_are_redacted(tmp_path: Path) -> None:
    token = "hf_" + "a1B2" * 9
    config = {
        "hub_token": "x",
        "api-key": "x",
        "nested": [{"password": "x"}],
        "dataset": f"https://ann:pass@example.org/data?token={token}&rows=5",
        "note": f"downloaded with {token}.",
        "micro_batch_tokens": 4096,
        "pad_token": "[PAD]",
        "tokens_column": "tokens",
        "token": None,
        "lora_r": 16,
    }
    write_run(tmp_path, {**RUN, "config": config, "status": "completed"})
    assert load_run(tmp_path)["config"] == {
        "hub_token": "<redacted>",
        "api-key": "<redacted>",
        "nested": [{"password": "<redacted>"}],
        "dataset": "https://<redacted>@example.org/data?token=<redacted>&rows=5",
        "note": "downloaded with <redacted>.",
        "micro_batch_tokens": 4096,
        "pad_token": "[PAD]",
        "tokens_column": "tokens",
        "token": None,
        "lora_r": 16,
    }
    assert redact({"a": (1, "b")}) == {"a": [1, "b"]}
    # Classes of an NER model, not credentials.
    scores = {"per_entity": {"password": {"f1": 0.5}, "api_key": 3}, "labels": ["token", "secret"]}
    assert redact(scores) == scores


def test_credentials_of_the_environment_are_redacted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    monkeypatch.setenv("MLFLOW_TRACKING_PASSWORD", "correct horse")
    monkeypatch.setenv("SHORT_TOKEN", "the")
    text = "login with 0123456789abcdef and correct horse failed, the server said"
    assert redact(text) == "login with <redacted> and <redacted> failed, the server said"
    command = ["a.py", "--hub-token", "abc", "--api-key=abc", "--micro-batch-tokens", "64"]
    assert redact(command) == [
        *("a.py", "--hub-token", "<redacted>", "--api-key=<redacted>"),
        *("--micro-batch-tokens", "64"),
    ]


LABELS = ["sk-ii-facial-treatment-essence", "customer-service-desk", "https://a@b.org"]


def test_labels_are_never_redacted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DB_PASSWORD", LABELS[1])
    monkeypatch.setenv("WANDB_API_KEY", "0123456789abcdef")
    scores = {"test": {"per_class": {label: {"f1": 0.5} for label in LABELS}, "token": "x"}}
    run = {
        **RUN,
        "labels": LABELS,
        "evaluation": scores,
        "data": {"notices": [f"{label} is rare (0123456789abcdef)" for label in LABELS[:2]]},
        "config": {"label_names": LABELS[1], "hub_token": "x", "model_id": "0123456789abcdef"},
        "error": "login with 0123456789abcdef failed",
        "status": "completed",
    }
    write_run(tmp_path, run)
    found = load_run(tmp_path)
    assert found["labels"] == LABELS
    assert found["evaluation"] == scores
    notices = [f"{label} is rare (<redacted>)" for label in LABELS[:2]]
    assert found["data"]["notices"] == notices
    assert found["config"] == {
        "label_names": LABELS[1],
        "hub_token": "<redacted>",
        "model_id": "<redacted>",
    }
    assert found["error"] == "login with <redacted> failed"
    key = "sk-proj-" + "aB3-" * 10 + "x"
    assert redact(f"key {key} is wrong") == "key <redacted> is wrong"
    # Of a message alone nobody knows the labels; data stand in quotes.
    assert redact(f'a.csv:3: "{LABELS[1]}" is rare') == f'a.csv:3: "{LABELS[1]}" is rare'
    assert redact(f"/home/{LABELS[1]}/a.csv") == "/home/<redacted>/a.csv"


def test_predictions(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    rows = [{"tokens": ["Ada", "质量"], "tags": ("B-per", "O")}, {"tokens": [], "tags": ()}]
    write_predictions(path, rows, [{}, {}])
    lines = [json.loads(line) for line in path.read_text("utf-8").splitlines()]
    assert lines == [
        {"tokens": ["Ada", "质量"], "tags": ["B-per", "O"]},
        {"tokens": [], "tags": []},
    ]
    rows = [
        {"text": "a\u2028b", "label": "x", "score": np.float32(0.5)},
        {"text": "\ud83d", "text_pair": "c", "label": 1.5},
    ]
    write_predictions(path, rows, [{}, {}])
    lines = [json.loads(line) for line in path.read_bytes().split(b"\n")[:-1]]
    assert lines == [
        {"text": "a\u2028b", "label": "x", "score": 0.5},
        {"text": "\ud83d", "text_pair": "c", "label": 1.5},
    ]
    before = path.read_bytes()
    with pytest.raises(ValueError, match="longer"):
        write_predictions(path, rows, [{}, {}, {}])
    assert path.read_bytes() == before


def test_predictions_beside_the_truth(tmp_path: Path) -> None:
    path = tmp_path / "predictions.jsonl"
    task, example = NerTask(["O", "B-x"]), NerExample(words=("a",), tags=("B-x",), source="test")
    row = {"tokens": ["a"], "tags": ["O"]}
    write_predictions(path, [row], [task.truth_row(example)], losses=[2.5])
    assert json.loads(path.read_text()) == {
        "tokens": ["a"],
        "tags": ["O"],
        "true_tags": ["B-x"],
        "loss": 2.5,
    }
    text = TextExample(text="a", label=("x", "y"), source="test")
    row = {"text": "a", "label": ["x"], "score": [0.75]}
    write_predictions(path, [row], [ClassificationTask.truth_row(text)])
    assert json.loads(path.read_text())["true_label"] == ["x", "y"]


def test_the_command_of_a_run_names_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.argv", [str(Path.cwd() / "recipes" / "x.py"), "--seed", "1"])
    assert environment.command_line() == ["recipes/x.py", "--seed", "1"]


def test_environment() -> None:
    found = environment.versions()
    assert found["torch"] == torch.__version__
    assert {"python", "transformers", "peft", "lowcost_ft"} <= set(found)
    machine = environment.hardware()
    assert machine["cpu"] and machine["cores"] >= 1 and machine["threads"] >= 1
    assert machine["ram_bytes"] > 1e8
    assert len(machine["gpus"]) == torch.cuda.device_count()
    json.dumps([found, machine, environment.git_state()])


def test_git_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    package = tmp_path / "lowcost_ft"
    package.mkdir()
    file = package / "environment.py"
    file.write_text("")

    def git(*arguments: str) -> str:
        identity = ["-c", "user.name=a", "-c", "user.email=a@b", "-c", "commit.gpgsign=false"]
        command = ["git", "-C", str(tmp_path), *identity, *arguments]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    monkeypatch.setattr(environment, "__file__", str(file))
    unknown = {"commit": None, "dirty": None}
    assert environment.git_state() == unknown  # no repository
    git("init", "--quiet")
    assert environment.git_state() == unknown  # installed inside somebody else's repository
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    commit = git("rev-parse", "HEAD")
    assert environment.git_state() == {"commit": commit, "dirty": False}
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "run.json").touch()
    assert environment.git_state()["dirty"] is False  # a run's own output is no change
    file.write_text("changed")
    assert environment.git_state() == {"commit": commit, "dirty": True}
    monkeypatch.setenv("PATH", "")
    assert environment.git_state() == unknown


def test_interruption_is_recorded(tmp_path: Path) -> None:
    # A shell starts what it runs in the background with SIGINT ignored.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        with pytest.raises(KeyboardInterrupt), record_run(tmp_path, dict(RUN)):
            signal.raise_signal(signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert load_run(tmp_path, completed=False)["status"] == "interrupted"


def test_exported_names_exist() -> None:
    for module in (runs, environment):
        assert all(hasattr(module, name) for name in module.__all__)
