"""A run that was stopped goes on bit by bit, from whatever is whole on the disk."""

import json
import os
import random
import re
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_runs import RECIPES, call_recipe, flags, write_jsonl

import lowcost_ft.pipeline.save
import lowcost_ft.pipeline.train
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.stopping import stopped_text
from lowcost_ft.planning import find_plan
from lowcost_ft.training import checkpoint_files, training_length
from lowcost_ft.training.checkpoint_files import Checkpoint, newest_checkpoint, write_checkpoint
from lowcost_ft.training.resume import check_settings
from lowcost_ft.training.steps import StepRunner

TENSORS = {"weights": {"a": torch.arange(6.0)}, "optimizer": {"0.step": torch.tensor(3.0)}}


@pytest.fixture(scope="module")
def options(tiny_model, small_files):
    """Flags of a run of 12 steps in 3 epochs; dropout is on, so that random states count."""

    def values(name="lora_ner", **changes):
        kind = "ner" if "ner" in name else "single"
        chosen = {"model_id": tiny_model("bert"), "num_train_epochs": 3, "batch_size": 20}
        chosen |= {"lora_dropout": 0.2, "dropout": "model", "keep_checkpoints": 2}
        chosen["mixed_precision"] = "no"  # Runs of this process are compared with another one's.
        chosen |= small_files[kind]
        return flags(**{k: v for k, v in (chosen | changes).items() if v is not None})

    return values


@pytest.fixture(scope="module")
def whole(tmp_path_factory, options):
    """The folder of the run that nothing happened to, by its recipe and settings."""
    folders = {}

    def run(name="lora_ner", **changes):
        key = (name, *sorted(changes.items()))
        if key not in folders:
            folders[key] = tmp_path_factory.mktemp("whole") / "run"
            assert call_recipe(name, *options(name, output_dir=folders[key], **changes)) == 0
        return folders[key]

    return run


def stop_after(monkeypatch, step, how):
    """Does `how` after so many training steps (the rehearsal's two are not counted)."""
    real, calls = StepRunner.step, []

    def counted(self, optimizer, planned):
        outcome = real(self, optimizer, planned)
        calls.append(planned.number)
        if len(calls) == step + 2:
            how()
        return outcome

    monkeypatch.setattr(StepRunner, "step", counted)


def crash():
    raise KeyError("as if the machine had died")


def terminate():
    signal.raise_signal(signal.SIGTERM)


def interrupt():
    signal.raise_signal(signal.SIGINT)


def record(folder):
    return json.loads((folder / "run.json").read_text())


def weights(folder):
    (path,) = folder.glob("*model.safetensors")
    return path.read_bytes()


TIMES = {"seconds", "real_tokens_per_second", "seconds_per_step", "cache_seconds"}
TIMES |= {"first_steps", "first_step_seconds", "first_step_tokens", "start_seconds"}
TIMES |= {"cpu_seconds", "cpu_seconds_possible", "cpu_share"}
TIMES |= {"resumed_at_steps", "peak_resident_bytes", "peak_memory_bytes"}


def without_times(train):
    kept = {key: value for key, value in train.items() if key not in TIMES}
    for name in ("loss_history", "validation_history"):
        kept[name] = [{k: v for k, v in e.items() if k != "seconds"} for e in kept[name]]
    return kept


def assert_same_run(resumed, reference):
    assert weights(resumed) == weights(reference)
    one, other = record(resumed), record(reference)
    assert one["evaluation"] == other["evaluation"]
    assert without_times(one["train"]) == without_times(other["train"])
    predictions = [(f / "predictions.jsonl").read_bytes() for f in (resumed, reference)]
    assert predictions[0] == predictions[1]
    left = {path.name for path in resumed.iterdir()}
    assert "checkpoints" not in left
    assert not [name for name in left if name.startswith(".")]


@pytest.mark.parametrize(
    ("name", "step", "changes"),
    [
        ("lora_ner", 3, {}),
        # The end of an epoch, before its validation.
        ("lora_ner", 4, {"lora_start": "gradient"}),
        ("lora_ner", 7, {"early_stopping_patience": 1, "optimizer": "sgd"}),
        (
            "lora_classification",
            6,
            {"method": "full", "lr_scheduler_type": "cosine", "head_start": "fitted"},
        ),
        (
            "cached_lora_ner",
            5,
            {"trainable_layers": 1, "lora_dropout": 0.2, "quantization": "int8"},
        ),
        # Of 12 steps it takes ranks away in 3 to 9.
        ("lora_ner", 5, {"method": "adalora", "quantization": "nf4"}),
        # Large enough for bitsandbytes to keep its state in 8 bits.
        ("lora_ner", 5, {"optimizer": "adamw8bit", "lora_r": 128}),
        ("lora_classification", 7, {"optimizer": "adafactor", "quantization": "8bit"}),
        ("lora_ner", 6, {"method": "prefix", "max_length": 48, "lora_dropout": None}),
    ],
)
def test_a_run_told_to_stop_goes_on_to_the_same_bits(
    tmp_path, options, whole, monkeypatch, capfd, name, step, changes
):
    if changes.get("method") == "full":
        changes = changes | {"lora_dropout": None, "dropout": 0.2}
    reference = whole(name, **changes)
    folder = tmp_path / "run"
    arguments = options(name, output_dir=folder, **changes)
    with monkeypatch.context() as patched:
        stop_after(patched, step, terminate)
        assert call_recipe(name, *arguments) == 143
    stopped = record(folder)
    assert (stopped["status"], stopped["train"]["optimizer_steps"]) == ("interrupted", step)
    assert (folder / "checkpoints" / f"step-{step:08d}" / "manifest.json").is_file()
    printed = capfd.readouterr()
    assert f"Stopped after step {step}." in printed.out
    assert "Run the same command with --resume to continue" in printed.out
    assert "Traceback" not in printed.err

    assert call_recipe(name, *arguments, "--resume") == 0
    assert f"after step {step}" in capfd.readouterr().out
    assert record(folder)["train"]["resumed_at_steps"] == [step]
    assert_same_run(folder, reference)


def test_a_run_whose_epochs_are_chosen_for_it_goes_on_to_the_same_bits(
    tmp_path, options, whole, monkeypatch, capfd
):
    monkeypatch.setattr(training_length, "LEAST_EPOCHS", 2)
    monkeypatch.setattr(training_length, "LEAST_STEPS", 12)
    folder = tmp_path / "run"
    arguments = options(output_dir=folder, num_train_epochs=None, validate_every_epochs=1)
    with monkeypatch.context() as patched:
        stop_after(patched, 5, terminate)
        assert call_recipe("lora_ner", *arguments) == 143
    assert "so the run takes 3 epochs (12 optimizer steps) instead of 2" in capfd.readouterr().out
    with monkeypatch.context() as patched:  # As if another version chose otherwise.
        patched.setattr(training_length, "LEAST_STEPS", 40)
        assert call_recipe("lora_ner", *arguments, "--resume") == 2
    assert "--num-train-epochs auto is 10 epochs, not 3 epochs" in capfd.readouterr().err
    assert call_recipe("lora_ner", *arguments, "--resume") == 0
    assert record(folder)["config"]["num_train_epochs"] == 3
    assert_same_run(folder, whole())


def test_a_crash_loses_what_came_after_the_last_checkpoint(tmp_path, options, whole, monkeypatch):
    reference, folder = whole(), tmp_path / "run"
    arguments = options(output_dir=folder, checkpoint_every_steps=2)
    with monkeypatch.context() as patched:
        stop_after(patched, 7, crash)
        assert call_recipe("lora_ner", *arguments) == 1
    names = sorted(os.listdir(folder / "checkpoints"))
    assert names == ["best.safetensors", "step-00000004", "step-00000006"]
    with monkeypatch.context() as patched:
        stop_after(patched, 3, crash)
        assert call_recipe("lora_ner", *arguments, "--resume") == 1
    assert call_recipe("lora_ner", *arguments, "--resume") == 0
    assert record(folder)["train"]["resumed_at_steps"] == [6, 8]
    assert_same_run(folder, reference)


def test_a_crash_while_the_result_is_saved(tmp_path, options, whole, monkeypatch, capfd):
    reference, folder = whole(), tmp_path / "run"
    arguments = options(output_dir=folder)

    def half_saved(model, tokenizer, path, **_):
        (Path(path) / "adapter_model.safetensors").write_bytes(b"half")
        crash()

    with monkeypatch.context() as patched:
        patched.setattr(lowcost_ft.pipeline.save, "save_model", half_saved)
        assert call_recipe("lora_ner", *arguments) == 1
    assert record(folder)["status"] == "failed"
    (folder / "run.json").unlink()  # As after kill -9.
    assert call_recipe("lora_ner", *arguments) == 2
    assert "continue it with --resume" in capfd.readouterr().err
    assert call_recipe("lora_ner", *arguments, "--resume") == 0
    assert_same_run(folder, reference)


def test_interrupted_validation_is_done_again(tmp_path, options, whole, monkeypatch):
    reference, folder = whole(), tmp_path / "run"
    arguments = options(output_dir=folder)
    real, calls = lowcost_ft.pipeline.train.predict_and_score, []

    def evaluate(*positional, **named):
        calls.append(1)
        if len(calls) == 2:
            terminate()
        return real(*positional, **named)

    with monkeypatch.context() as patched:
        patched.setattr(lowcost_ft.pipeline.train, "predict_and_score", evaluate)
        assert call_recipe("lora_ner", *arguments) == 143
    stopped = record(folder)
    assert stopped["train"]["optimizer_steps"] == 8
    assert len(stopped["train"]["validation_history"]) == 1
    assert call_recipe("lora_ner", *arguments, "--resume") == 0
    assert_same_run(folder, reference)


@pytest.mark.parametrize("ending", [terminate, interrupt])
@pytest.mark.parametrize(
    ("module", "name", "said"),
    [
        ("data", "load_run_splits", "Stopped before the first checkpoint."),
        ("train.loop", "train", "Stopped before the first checkpoint."),
        (
            "evaluate",
            "predict_and_score",
            "Stopped after training, before the run was evaluated and saved.",
        ),
        ("save", "save_model", "Stopped after training, before the run was evaluated and saved."),
    ],
)
def test_a_stop_says_what_is_kept_and_how_to_continue(
    tmp_path, options, whole, monkeypatch, capfd, module, name, said, ending
):
    reference, folder = whole(), tmp_path / "run"
    arguments = options(output_dir=folder)
    with monkeypatch.context() as patched:
        patched.setattr(f"lowcost_ft.pipeline.{module}.{name}", lambda *_, **__: ending())
        code = call_recipe("lora_ner", *arguments)
    assert code in (130, 143)
    printed = capfd.readouterr()
    assert said in printed.out
    assert "Run the same command with --resume to" in printed.out
    assert ("interrupted (Ctrl-C)" if code == 130 else "interrupted (SIGTERM)") in printed.err
    # What it advises, works.
    assert call_recipe("lora_ner", *arguments, "--resume") == 0
    assert_same_run(folder, reference)


def test_a_stop_says_what_works_beside_overwrite_and_resume(tmp_path):
    folder = tmp_path / "run"
    settings = {"config": {"overwrite": True, "resume": False}}
    trained = settings | {"train": {"optimizer_steps": 7, "best_epoch": None}}
    assert "with --resume instead of --overwrite to start over" in stopped_text(settings, folder)
    (folder / "checkpoints" / "step-00000004").mkdir(parents=True)
    text = stopped_text(trained, folder)
    assert "Stopped after step 7." in text
    assert text.endswith("with --resume instead of --overwrite to continue after step 4.")
    # Nothing was replaced yet: --overwrite is needed again.
    text = stopped_text(settings, folder)
    assert text.endswith(f"what was in {folder} is unchanged. Run the same command again.")
    resumed = trained | {"config": {"overwrite": False, "resume": True}}
    assert "Run the same command again to continue after step 4." in stopped_text(resumed, folder)


# What may be resumed, and what not.


@pytest.fixture(scope="module")
def stopped(tmp_path_factory, options):
    """A run folder with checkpoints of steps 2 and 4."""
    folder = tmp_path_factory.mktemp("stopped") / "run"
    with pytest.MonkeyPatch.context() as patched:
        stop_after(patched, 5, crash)
        arguments = options(output_dir=folder, checkpoint_every_steps=2)
        assert call_recipe("lora_ner", *arguments) == 1

    def copy(to):
        shutil.copytree(folder, to)
        return to

    return copy


def test_checkpoints_older_than_the_default_dropout_kept_the_models():
    checkpoint = Checkpoint(
        folder=Path("x"), step=1, state={"identity": {"settings": {"dropout": None, "seed": 0}}}
    )
    check_settings(checkpoint, {"dropout": "model", "seed": 0})
    check_settings(checkpoint, {"dropout": "model", "seed": 0, "lora_start": "random"})
    with pytest.raises(UserError, match="--lora-start was 'random' and is now 'gradient'"):
        check_settings(checkpoint, {"dropout": "model", "seed": 0, "lora_start": "gradient"})
    with pytest.raises(UserError, match=r"--dropout was 'model' and is now 0\.0"):
        check_settings(checkpoint, {"dropout": 0.0, "seed": 0})


def test_other_settings_are_refused_by_name_and_cuts_are_free(
    tmp_path, stopped, options, whole, capfd
):
    folder = stopped(tmp_path / "run")
    changed = options(output_dir=folder, learning_rate=0.1, batch_size=10, resume=True)
    assert call_recipe("lora_ner", *changed) == 2
    printed = capfd.readouterr().err
    assert "--learning-rate was None and is now 0.1" in printed
    assert "--batch-size was 20 and is now 10" in printed
    assert "--num-train-epochs" not in printed
    free = {"micro_batch_tokens": 128, "gradient_checkpointing": True, "keep_checkpoints": 1}
    free |= {"memory_budget": "1GB", "allow_model_change": True}
    assert call_recipe("lora_ner", *options(output_dir=folder, resume=True, **free)) == 0
    one, other = (load_file(f / "adapter_model.safetensors") for f in (folder, whole()))
    for key, weight in other.items():  # Dropout falls otherwise on other micro-batches.
        assert one[key].shape == weight.shape


def test_a_cut_that_was_left_open_stays_as_it_was(tmp_path, stopped, options, whole, monkeypatch):
    folder, reference = stopped(tmp_path / "run"), whole()
    # As if it went on elsewhere: on a machine that would begin with another cut.
    monkeypatch.setattr(find_plan, "cpu_tokens", lambda width, caches: 128)
    assert call_recipe("lora_ner", *options(output_dir=folder, resume=True)) == 0
    assert_same_run(folder, reference)
    assert record(folder)["config"]["micro_batch_tokens"] != 128


def test_a_budget_that_makes_another_model_is_refused(
    tmp_path, stopped, options, tiny_model, capfd
):
    folder = stopped(tmp_path / "run")
    # The smallest that the model itself can do with, less what is saved by fewer layers only.
    assert call_recipe("lora_ner", *options(output_dir=tmp_path / "no", memory_budget="1KB")) == 2
    size, unit = re.search(r"needs at least ([\d.]+) (MB|GB)", capfd.readouterr().err).groups()
    assert unit == "MB"
    budget = {"memory_budget": f"{int(float(size) * 0.97e6)}B", "allow_model_change": True}
    assert call_recipe("lora_ner", *options(output_dir=folder, resume=True, **budget)) == 2
    assert "--memory-budget makes it" in capfd.readouterr().err


def test_changed_data_are_refused(tmp_path, stopped, options, small_files, capfd):
    folder = stopped(tmp_path / "run")
    rows = [
        json.loads(line) for line in Path(small_files["ner"]["train_file"]).read_text().splitlines()
    ]
    rows[7]["tags"] = ["O"] * len(rows[7]["tags"])
    changed = write_jsonl(tmp_path / "train.jsonl", rows)
    before = sorted(os.listdir(folder / "checkpoints"))
    arguments = options(output_dir=folder, resume=True, train_file=changed)
    assert call_recipe("lora_ner", *arguments) == 2
    assert "the examples of the data files have changed" in capfd.readouterr().err
    assert sorted(os.listdir(folder / "checkpoints")) == before
    # The same rows under another name are the same data.
    moved = shutil.copy(small_files["ner"]["train_file"], tmp_path / "moved.jsonl")
    assert call_recipe("lora_ner", *options(output_dir=folder, resume=True, train_file=moved)) == 0


def test_changed_pretrained_weights_are_refused(tmp_path, options, tiny_model, monkeypatch, capfd):
    model = tmp_path / "model"
    shutil.copytree(tiny_model("bert"), model)
    arguments = options(output_dir=tmp_path / "run", model_id=model)
    with monkeypatch.context() as patched:
        stop_after(patched, 2, terminate)
        assert call_recipe("lora_ner", *arguments) == 143
    tensors = load_file(model / "model.safetensors")
    name = next(key for key in tensors if "word_embeddings" in key)
    tensors[name][5, 5] += 1
    save_file(tensors, model / "model.safetensors", metadata={"format": "pt"})
    assert call_recipe("lora_ner", *arguments, "--resume") == 2
    assert "the pretrained weights have changed" in capfd.readouterr().err


def test_without_a_checkpoint_the_run_begins_and_a_complete_one_says_so(
    tmp_path, options, whole, capfd, monkeypatch
):
    monkeypatch.chdir(tmp_path)
    arguments = options(resume=True)  # In runs/ner-lora.
    assert call_recipe("lora_ner", *arguments) == 0
    assert "no checkpoint in runs/ner-lora: the run starts from its" in capfd.readouterr().out
    assert weights(Path("runs/ner-lora")) == weights(whole())
    assert call_recipe("lora_ner", *arguments) == 2
    assert "runs/ner-lora is complete" in capfd.readouterr().err
    assert call_recipe("lora_ner", *arguments, "--output-dir", "runs/ner-lora") == 2
    assert "there is nothing to resume" in capfd.readouterr().err
    assert os.listdir("runs") == ["ner-lora"]


def test_the_newest_unfinished_default_folder_is_resumed(tmp_path, stopped, options, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "runs").mkdir()
    stopped(tmp_path / "runs" / "ner-lora-2")
    stopped(tmp_path / "runs" / "ner-lora-10")
    assert call_recipe("lora_ner", *options(resume=True)) == 0
    assert record(tmp_path / "runs" / "ner-lora-10")["status"] == "completed"
    assert record(tmp_path / "runs" / "ner-lora-2")["status"] == "failed"
    assert sorted(os.listdir("runs")) == ["ner-lora-10", "ner-lora-2"]


def test_resume_and_overwrite_exclude_each_other(tmp_path, options, capfd):
    both = options(output_dir=tmp_path / "run", resume=True, overwrite=True)
    assert call_recipe("lora_ner", *both) == 2
    assert "--overwrite replaces it" in " ".join(capfd.readouterr().err.replace("│", "").split())


def test_overwriting_a_stopped_run_removes_its_checkpoints(tmp_path, stopped, options):
    folder = stopped(tmp_path / "run")
    (folder / "run.json").unlink()
    assert call_recipe("lora_ner", *options(output_dir=folder)) == 2
    assert (folder / "checkpoints" / "step-00000004").is_dir()
    assert call_recipe("lora_ner", *options(output_dir=folder, overwrite=True)) == 0
    assert not (folder / "checkpoints").exists()
    assert record(folder)["train"]["resumed_at_steps"] == []


# Damage.


def flip(path):
    data = bytearray(path.read_bytes())
    data[-3] ^= 1
    path.write_bytes(bytes(data))


DAMAGE = {
    "flipped": lambda folder: flip(folder / "weights.safetensors"),
    "cut": lambda folder: os.truncate(folder / "optimizer.safetensors", 100),
    "gone": lambda folder: (folder / "state.json").unlink(),
    "manifest": lambda folder: (folder / "manifest.json").unlink(),
    "no json": lambda folder: (folder / "manifest.json").write_text("{"),
    "a list": lambda folder: (folder / "manifest.json").write_text("[]"),
    "pickle": lambda folder: (folder / "pytorch_model.bin").write_bytes(b"\x80\x04."),
    "format": lambda folder: (folder / "manifest.json").write_text('{"format": 99}'),
}


@pytest.mark.parametrize("damage", DAMAGE)
def test_a_damaged_checkpoint_is_passed_over(tmp_path, damage):
    for step in (3, 12):
        write_checkpoint(tmp_path, step, state={"step": step}, tensors=TENSORS, copies={})
    DAMAGE[damage](tmp_path / "step-00000012")
    said = []
    found = newest_checkpoint(tmp_path, said.append)
    assert (found.step, found.state) == (3, {"step": 3})
    assert torch.equal(found.tensors("weights")["a"], torch.arange(6.0))
    (message,) = said
    assert "step-00000012 is skipped" in message
    DAMAGE[damage](tmp_path / "step-00000003")
    assert newest_checkpoint(tmp_path, said.append) is None


def test_a_run_goes_on_from_the_last_whole_checkpoint(tmp_path, stopped, options, whole, capfd):
    folder = stopped(tmp_path / "run")
    flip(folder / "checkpoints" / "step-00000004" / "weights.safetensors")
    assert call_recipe("lora_ner", *options(output_dir=folder, resume=True)) == 0
    printed = capfd.readouterr().out
    assert "skipped: weights.safetensors has changed since it was written" in printed
    assert "after step 2" in printed
    assert_same_run(folder, whole())


def full_after(real, calls):
    """Lets so many calls through, then the disk is full."""
    left = [calls]

    def write(*positional, **named):
        left[0] -= 1
        if left[0] < 0:
            raise OSError(28, "No space left on device")
        return real(*positional, **named)

    return write


WRITES = [
    *[(Path, "mkdir", 0), (Path, "write_text", 0), (Path, "write_text", 1), (os, "rename", 0)],
    *[(checkpoint_files, "save_file", 0), (checkpoint_files, "save_file", 1)],
    *[(os, "fsync", calls) for calls in range(6)],
]


@pytest.mark.parametrize(("owner", "name", "calls"), WRITES)
def test_a_checkpoint_that_cannot_be_written_leaves_the_earlier_ones(
    tmp_path, monkeypatch, owner, name, calls
):
    write_checkpoint(tmp_path, 1, state={"step": 1}, tensors=TENSORS, copies={})
    before = sorted(os.listdir(tmp_path))
    with monkeypatch.context() as patched:
        patched.setattr(owner, name, full_after(getattr(owner, name), calls))
        with pytest.raises(OSError, match="No space left"):
            write_checkpoint(tmp_path, 2, state={"step": 2}, tensors=TENSORS, copies={})
    found = newest_checkpoint(tmp_path, print)
    if (name, calls) == ("fsync", 5):  # After the rename: it is there, and whole.
        assert found.step == 2
    else:
        assert sorted(os.listdir(tmp_path)) == before
        assert found.step == 1


def test_training_goes_on_when_a_checkpoint_cannot_be_written(
    tmp_path, options, whole, monkeypatch, capfd
):
    folder = tmp_path / "run"
    with monkeypatch.context() as patched:
        patched.setattr(checkpoint_files, "_describe", full_after(None, 0))
        arguments = options(output_dir=folder, checkpoint_every_steps=5)
        assert call_recipe("lora_ner", *arguments) == 0
    assert (
        "warning: the checkpoint of step 5 could not be written: [Errno 28] No space left"
        in capfd.readouterr().err
    )
    assert_same_run(folder, whole())


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None,
    reason="mounting needs root",
)
def test_a_disk_that_is_full(tmp_path, options, capfd):
    """A real one, on which the result does not fit beside the first checkpoint."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=400k", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine does not let us mount")
    try:
        arguments = options(output_dir=disk / "run", checkpoint_every_steps=3, lora_r=16)
        assert call_recipe("lora_ner", *arguments) == 2
        printed = capfd.readouterr().err
        assert "No space left on device" in printed
        assert "--resume" in printed
        assert "Traceback" not in printed
        subprocess.run(
            ["mount", "-o", "remount,size=50m", str(disk)], check=True, capture_output=True
        )
        assert call_recipe("lora_ner", *arguments, "--resume") == 0
    finally:
        subprocess.run(["umount", str(disk)], check=True)


@pytest.mark.skipif(
    not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("mount") is None,
    reason="mounting needs root",
)
def test_a_disk_that_became_read_only(tmp_path, stopped, options, whole, capfd):
    disk = tmp_path / "disk"
    disk.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", "size=50m", "tmpfs", str(disk)]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("this machine does not let us mount")
    try:
        folder = stopped(disk / "run")
        arguments = options(output_dir=folder, resume=True)
        subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
        assert call_recipe("lora_ner", *arguments) == 2
        assert "cannot be written: Read-only file system" in capfd.readouterr().err
        subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
        assert call_recipe("lora_ner", *arguments) == 0
        assert_same_run(folder, whole())
    finally:
        subprocess.run(["umount", str(disk)], check=True)


def test_a_file_that_vanished_while_the_run_went_on(tmp_path, options, monkeypatch, capfd):
    folder = tmp_path / "run"
    scores = iter([0.9, 0.1, 0.2])

    def evaluate(*_, **__):
        (folder / "checkpoints" / "best.safetensors").unlink(missing_ok=True)
        return {"f1": next(scores)}, {}

    arguments = options(output_dir=folder)
    with monkeypatch.context() as patched:
        patched.setattr(lowcost_ft.pipeline.train, "predict_and_score", evaluate)
        assert call_recipe("lora_ner", *arguments) == 2
    assert "best.safetensors disappeared during the run" in capfd.readouterr().err


def test_data_that_vanished_are_named(tmp_path, stopped, options, capfd):
    folder = stopped(tmp_path / "run")
    gone = tmp_path / "gone.jsonl"
    assert call_recipe("lora_ner", *options(output_dir=folder, resume=True, train_file=gone)) == 2
    assert str(gone) in capfd.readouterr().err
    assert (folder / "checkpoints" / "step-00000004").is_dir()


# Signals, and kill -9.


# A shell starts background jobs, and whatever they start, with SIGINT ignored.
HEEDING = (
    "import runpy, signal, sys; sys.argv = sys.argv[1:];"
    "signal.signal(signal.SIGINT, signal.default_int_handler);"
    "runpy.run_path(sys.argv[0], run_name='__main__')"
)


def start(arguments, folder, *, name="lora_ner"):
    return subprocess.Popen(
        [sys.executable, "-c", HEEDING, str(RECIPES / f"{name}.py"), *arguments],
        cwd=folder,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_a_second_signal_stops_at_once():
    """Noted within a second of the first it counts as the same one."""
    program = """
import os, signal, time
from lowcost_ft.training.interruption import noted_signals
signal.signal(signal.SIGINT, signal.default_int_handler)
with noted_signals() as interruption:
    os.kill(os.getpid(), signal.SIGTERM)
    os.kill(os.getpid(), signal.SIGTERM)
    assert interruption.signal == signal.SIGTERM
    print("noted", flush=True)
    time.sleep(1.1)
    try:
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(5)
    except KeyboardInterrupt:
        print("stopped", flush=True)
assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL
"""
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, timeout=60
    )
    assert done.stdout.split() == ["noted", "stopped"], done.stderr


def test_a_launcher_that_died_counts_as_a_signal(tmp_path):
    """`accelerate launch` ends at a SIGTERM, and leaves its process alone."""
    child = f"""
import pathlib, signal, time
from lowcost_ft.training.interruption import noted_signals
with noted_signals() as interruption:
    print(interruption.signal, flush=True)
    while not interruption.signal:
        time.sleep(0.05)
pathlib.Path({str(tmp_path / "signal")!r}).write_text(str(int(interruption.signal)))
"""
    launcher = f"""
import subprocess, sys
child = subprocess.Popen([sys.executable, "-c", {child!r}], stdout=subprocess.PIPE)
assert child.stdout.readline() == b"0\\n"
"""
    environment = {**os.environ, "ACCELERATE_MIXED_PRECISION": "no"}
    subprocess.run([sys.executable, "-c", launcher], env=environment, check=True, timeout=60)
    for _ in range(200):
        if (tmp_path / "signal").exists():
            break
        time.sleep(0.05)
    assert (tmp_path / "signal").read_text() == "15"


def test_sigint_of_a_program_of_its_own(tmp_path, options, whole):
    folder = tmp_path / "run"
    arguments = options(output_dir=folder, num_train_epochs=500, early_stopping_patience=0)
    program = start(arguments, tmp_path)
    try:
        for line in program.stdout:
            if line.startswith("epoch 2:"):
                break
        program.send_signal(signal.SIGINT)
        output, errors = program.communicate(timeout=60)
    finally:
        program.kill()
    assert program.returncode == 130, errors
    assert "Run the same command with --resume to continue" in output
    assert record(folder)["status"] == "interrupted"
    assert newest_checkpoint(folder / "checkpoints", print) is not None


def test_a_run_goes_on_when_nobody_reads_it_any_more(tmp_path, options, whole):
    """`python recipes/lora_ner.py | head -1`"""
    folder = tmp_path / "run"
    program = start(options(output_dir=folder), tmp_path)
    try:
        program.stdout.readline()
        program.stdout.close()
        program.stderr.close()
        assert program.wait(timeout=120) == 0
    finally:
        program.kill()
    assert record(folder)["status"] == "completed"
    assert_same_run(folder, whole())


@pytest.mark.slow
def test_ten_kills_at_random_moments(tmp_path):
    """See benchmarks/kill_and_resume.py, which kills any number of times."""
    script = Path(__file__).parents[1] / "benchmarks" / "kill_and_resume.py"
    result = tmp_path / "result.json"
    command = [sys.executable, str(script), "--kills", "10", "--output", str(result)]
    subprocess.run([*command, "--seed", str(random.randrange(10**6))], check=True, timeout=1200)
    found = json.loads(result.read_text())
    assert found["identical"] == found["kills"] == 10
