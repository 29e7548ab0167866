"""No command deletes or overwrites what it reads."""

import json
import os
import shutil
from pathlib import Path

import datasets
import pytest
from small_runs import call_recipe, flags, text_rows, write_jsonl

from lowcost_ft.commands.main import main
from lowcost_ft.data.feature_cache import _remove_unused
from lowcost_ft.errors import UserError
from lowcost_ft.record.overwriting import check_not_read, paths_of_settings
from lowcost_ft.record.run_folder import check_output_dir


@pytest.fixture
def run(trained_run, tmp_path):
    """A finished run of one's own, every weight of which was trained."""
    return Path(shutil.copytree(trained_run("single", "bert", method="full"), tmp_path / "run"))


@pytest.fixture
def adapter(trained_run, tmp_path):
    return Path(shutil.copytree(trained_run("single", "bert"), tmp_path / "adapter"))


def content(folder):
    return {path: path.read_bytes() for path in Path(folder).rglob("*") if path.is_file()}


def train(capfd, **values):
    """Exit code 2, nothing changed, and the message."""
    code = call_recipe("lora_classification", *flags(max_steps=1, overwrite=True, **values))
    assert code == 2
    return " ".join(capfd.readouterr().err.split())


@pytest.mark.parametrize("name", ["same", "relative", "link", "parent"])
def test_the_model_folder_is_not_replaced_under_any_name(run, tmp_path, capfd, monkeypatch, name):
    before = content(run)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "link").symlink_to(run)
    output = {
        "same": run,
        "relative": "./run/../run",
        "link": "link",
        "parent": run.parent / "run" / ".",
    }[name]
    file = write_jsonl(tmp_path / "train.jsonl", text_rows(60))
    error = train(capfd, model_id=run, output_dir=output, train_file=file)
    assert "is the folder that --model-id is read from" in error
    assert "Nothing was changed" in error
    assert content(run) == before


def test_a_model_among_the_checkpoints_of_a_run_is_kept(run, tmp_path, capfd):
    inside = Path(shutil.copytree(run, run / "checkpoints" / "mine"))
    before = content(run)
    file = write_jsonl(tmp_path / "train.jsonl", text_rows(60))
    error = train(capfd, model_id=inside, output_dir=run, train_file=file)
    assert "would replace" in error
    assert "which is read as --model-id" in error
    assert content(run) == before


@pytest.mark.parametrize("link", [os.link, os.symlink])
@pytest.mark.parametrize("name", ["model.safetensors", "tokenizer.json"])
def test_a_link_to_a_file_of_the_model_counts_as_that_file(run, tmp_path, tiny_model, link, name):
    model = Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))
    (run / name).unlink()
    link(model / name, run / name)
    with pytest.raises(UserError, match=f"{name}, which is read as --model-id"):
        check_output_dir(run, {"--model-id": model})
    check_output_dir(run, {"--model-id": tiny_model("bert")})


def test_files_that_a_run_reads(run, adapter, tmp_path, capfd, tiny_model):
    shutil.copy(adapter / "adapter_config.json", run)
    before = content(run)
    rows = {"train_file": run / "predictions.jsonl"}
    error = train(capfd, model_id=tiny_model("bert"), output_dir=run, **rows)
    assert "predictions.jsonl, which is read as --train-file" in error
    file = write_jsonl(tmp_path / "train.jsonl", text_rows(60))
    rows = {"train_file": file, "adapter_config": run / "adapter_config.json"}
    error = train(capfd, model_id=tiny_model("bert"), output_dir=run, **rows)
    assert "which is read as --adapter-config" in error
    saved = run / "checkpoints"
    datasets.DatasetDict({"train": datasets.Dataset.from_list(text_rows(60))}).save_to_disk(saved)
    before = content(run)
    error = train(capfd, model_id=tiny_model("bert"), output_dir=run, dataset=saved)
    assert "which is read as --dataset" in error
    assert content(run) == before


def test_what_loses_nothing_is_not_refused(run, tmp_path):
    """Beside, inside and around what is read, as before."""
    model = run
    write_jsonl(run / "train.jsonl", text_rows(3))
    for folder in (run / "out", run.parent, tmp_path / "new"):
        check_output_dir(folder, {"--model-id": model})
    check_output_dir(run, {"--train-file": run / "train.jsonl", "--dataset": tmp_path})
    inside = Path(shutil.copytree(run, run / "out"))
    check_output_dir(inside, {"--model-id": run})
    check_output_dir(run, {"--model-id": inside})
    check_output_dir(run, {"--model-id": "some/model", "--test-file": None, "--x": "a\0b"})


def test_a_merge_keeps_its_run_and_its_base_model(adapter, run, capsys):
    record = json.loads((adapter / "run.json").read_text())
    before = content(adapter)
    assert main(["merge", str(adapter), "--output-dir", str(adapter)]) == 2
    error = capsys.readouterr().err
    assert "which is read as RUN" in error
    assert "delete" not in error
    assert main(["merge", str(adapter), "--output-dir", record["model_id"]]) == 2
    assert "is the folder that --model-id is read from" in capsys.readouterr().err
    assert content(adapter) == before


def test_a_report_keeps_the_runs_that_it_is_about(adapter, tmp_path, capsys):
    before = content(adapter)
    assert main(["report", str(adapter), "--output", str(adapter / "README.md")]) == 2
    assert "README.md" in capsys.readouterr().err
    results = tmp_path / "results.csv"
    shutil.copy(adapter / "run.json", results)
    assert main(["report", str(results), "--output", str(tmp_path / "." / "results.csv")]) == 2
    assert "would replace" in capsys.readouterr().err
    assert json.loads(results.read_text())
    assert main(["report", str(adapter), "--output", str(adapter / "report.csv")]) == 0
    (adapter / "report.csv").unlink()
    assert content(adapter) == before


@pytest.mark.parametrize("link", [None, os.link, os.symlink])
def test_a_picture_of_a_plan_keeps_the_configuration(tmp_path, tiny_model, capsys, link):
    pytest.importorskip("matplotlib")
    config = tmp_path / ("config.json" if link else "config.svg")
    shutil.copy(Path(tiny_model("bert")) / "config.json", config)
    picture = tmp_path / "plan.svg" if link else config
    if link:
        link(config, picture)
    before = config.read_bytes()
    assert main(["plan", "--config-file", str(config), "--plot", str(picture)]) == 2
    assert "which is read as --config-file" in capsys.readouterr().err
    assert config.read_bytes() == before


def test_a_cache_is_cleaned_of_its_own_files_alone(tmp_path):
    ours, model = tmp_path / f"{'0a' * 16}.safetensors", tmp_path / "model.safetensors"
    for file in (ours, model):
        file.touch()
        os.utime(file, (0, 0))
    _remove_unused(tmp_path, lambda _: None)
    assert not ours.exists()
    assert model.exists()


def test_every_file_that_would_be_lost_is_named_once(tmp_path):
    for name in ("a", "b"):
        (tmp_path / name).touch()
    files = [tmp_path / "a", tmp_path / "b"]
    reads = {"--train-file": files[0], "--test-file": files[1]}
    with pytest.raises(UserError) as caught:
        check_not_read("--output-dir", tmp_path, replaced=files, reads=reads)
    assert len(caught.value.problems) == 2


def test_settings_that_name_something(tmp_path):
    settings = {"train_file": str(tmp_path), "output_dir": str(tmp_path), "seed": 3, "method": "x"}
    assert paths_of_settings(settings) == {"--train-file": str(tmp_path)}
