"""The run folder: one run at a time, nothing replaced unasked, no name wasted."""

import fcntl
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from lowcost_ft.errors import UserError
from lowcost_ft.record import run_folder
from lowcost_ft.record.run_file import write_run
from lowcost_ft.record.run_folder import claimed_output_dir, clear_output_dir

RUN = {"task": "ner", "model_id": "m", "method": "lora", "labels": ["O"]}
CLAIM = """
import sys, time
from lowcost_ft.record.run_folder import claimed_output_dir
path, seconds = sys.argv[1:]
with claimed_output_dir(None if path == "-" else path, "ner-lora") as folder:
    (folder / "started").touch()
    print(folder, flush=True)
    time.sleep(float(seconds))
"""


def start(path, folder, *, seconds=60.0):
    """Another process that claims a folder and holds it; waits until it has said which."""
    program = subprocess.Popen(
        [sys.executable, "-c", CLAIM, str(path), str(seconds)],
        cwd=folder,
        stdout=subprocess.PIPE,
        text=True,
    )
    return program, program.stdout.readline().strip()


def claim(path, **options):
    with claimed_output_dir(None if path is None else str(path), "ner-lora", **options) as folder:
        (folder / "written").touch()
    return folder


@pytest.mark.parametrize(
    ("made", "kind"),
    [
        ({}, "a run"),
        ({"merged_from": "r"}, "a merged model"),
        ({"merged_from": "r", "compress": {"layers": 2}}, "a compressed model"),
        ({"export": {"files": []}}, "an exported model"),
    ],
)
def test_what_a_folder_holds_is_told(tmp_path, made, kind):
    write_run(tmp_path, RUN | {"status": "completed"} | made)
    with (
        pytest.raises(UserError, match=f"already holds {kind} "),
        claimed_output_dir(str(tmp_path), "x", overwrite=None),
    ):
        pass


def test_default_folders_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = [str(claim(None)) for _ in range(3)]
    assert names == ["runs/ner-lora", "runs/ner-lora-2", "runs/ner-lora-3"]
    assert os.listdir("runs/ner-lora") == ["written"]  # The lock goes with the run.


def test_an_empty_folder_is_removed_and_its_name_used_again(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(KeyError), claimed_output_dir(None, "ner-lora"):
        raise KeyError
    assert not (tmp_path / "runs" / "ner-lora").exists()
    (tmp_path / "runs" / "ner-lora").mkdir()  # Such as one that a killed run left.
    (tmp_path / "runs" / "ner-lora" / ".lock").touch()
    assert str(claim(None)) == "runs/ner-lora"


def test_a_run_is_replaced_only_on_demand(tmp_path):
    folder = tmp_path / "a" / "run"
    assert claim(folder) == folder
    assert claim(folder) == folder  # no run in it
    write_run(folder, {**RUN, "status": "failed"})
    for name in ("config.json", "model-00001-of-00002.safetensors", "notes.txt"):
        (folder / name).touch()
    (folder / "checkpoints").mkdir()
    with pytest.raises(UserError, match=r"already holds a run .* --overwrite"):
        claim(folder)
    assert claim(folder, overwrite=True) == folder
    assert (folder / "run.json").exists()  # until the new run begins to train
    clear_output_dir(folder, keep_checkpoints=True)
    assert (folder / "checkpoints").is_dir()
    clear_output_dir(folder)
    # Weights of full fine-tuning would make an adapter in the same folder unloadable.
    assert sorted(os.listdir(folder)) == ["notes.txt", "written"]


@pytest.mark.parametrize("overwrite", [False, True])
def test_files_of_others_are_never_replaced(tmp_path, overwrite):
    (tmp_path / "README.md").write_text("my project")
    with pytest.raises(UserError, match=r"not of a run .* \(README.md\)"):
        claim(tmp_path, overwrite=overwrite)
    assert os.listdir(tmp_path) == ["README.md"]
    assert (tmp_path / "README.md").read_text() == "my project"


def test_paths_that_are_no_folders(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(UserError, match="file is a file: name a folder"):
        claim(tmp_path / "file")
    with pytest.raises(UserError, match="cannot be written: Not a directory"):
        claim(tmp_path / "file" / "inside")


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_folder_without_permission(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(UserError, match="Permission denied"):
        claim(tmp_path)
    with pytest.raises(UserError, match="Permission denied"):
        claim(tmp_path / "inside")
    tmp_path.chmod(0o700)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    def read_only(*_, **__):
        raise OSError(30, "Read-only file system", str(tmp_path / "run"))

    monkeypatch.setattr(Path, "mkdir", read_only)
    with pytest.raises(UserError, match=r"run cannot be written: Read-only .* --output-dir"):
        claim(tmp_path / "run")


def test_of_two_runs_in_one_folder_the_second_is_refused(tmp_path):
    program, _ = start(tmp_path / "run", tmp_path)
    try:
        for overwrite in (False, True):
            with pytest.raises(UserError, match="is in use: another run is writing there"):
                claim(tmp_path / "run", overwrite=overwrite)
        assert (tmp_path / "run" / "started").exists()
    finally:
        program.kill()
        program.communicate()
    # Killed, it left its lock file, which holds nobody up.
    assert (tmp_path / "run" / ".lock").exists()
    claim(tmp_path / "run")


def test_runs_that_start_together_get_folders_of_their_own(tmp_path, monkeypatch):
    programs = [start("-", tmp_path) for _ in range(3)]
    try:
        monkeypatch.chdir(tmp_path)
        assert str(claim(None)) == "runs/ner-lora-4"
    finally:
        for program, _ in programs:
            program.send_signal(signal.SIGKILL)
            program.communicate()
    assert sorted(name for _, name in programs) == [
        f"runs/ner-lora{suffix}" for suffix in ("", "-2", "-3")
    ]


def test_a_race_for_one_folder_has_one_winner(tmp_path):
    """Four processes claim and give back one folder again and again: never two at once."""
    claim_and_check = f"""
import os, sys
from lowcost_ft.errors import UserError
from lowcost_ft.record.run_folder import claimed_output_dir
won = 0
for _ in range(300):
    try:
        with claimed_output_dir({str(tmp_path / "run")!r}, "x") as folder:
            mine = os.open({str(tmp_path / "mine")!r}, os.O_CREAT | os.O_EXCL)  # Fails for two.
            os.close(mine)
            os.unlink({str(tmp_path / "mine")!r})
            won += 1
    except UserError as error:
        assert "is in use" in str(error), error
print(won)
"""
    programs = [
        subprocess.Popen([sys.executable, "-c", claim_and_check], stdout=subprocess.PIPE)
        for _ in range(4)
    ]
    won = [int(program.communicate(timeout=120)[0]) for program in programs]
    assert [program.returncode for program in programs] == [0] * 4
    assert sum(won) > 0
    assert not (tmp_path / "run").exists()


def test_a_disk_without_locks_is_used_with_a_note(tmp_path, monkeypatch, capsys):
    def unsupported(*_):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(fcntl, "flock", unsupported)
    assert claim(tmp_path / "run").is_dir()
    assert "cannot lock files (Operation not supported)" in capsys.readouterr().err


def test_exported_names_exist():
    assert all(hasattr(run_folder, name) for name in run_folder.__all__)
