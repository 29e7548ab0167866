"""`--seeds`: one command, a run a seed, a report; and a series that was stopped half-way."""

import json
import shutil
from pathlib import Path

import pytest
from small_runs import call_recipe, flags

from lowcost_ft import RunConfig, start_run
from lowcost_ft.commands.series import _report, run_series
from lowcost_ft.errors import UserError
from lowcost_ft.record.longer_training import longer_command
from lowcost_ft.report.collect import collect
from lowcost_ft.report.repeat import repeat_command


@pytest.fixture(scope="module")
def options(tiny_model, small_files):
    values = {"model_id": tiny_model("bert"), "num_train_epochs": 1, "batch_size": 16}
    return flags(**values, max_length=48, **small_files["single"])


@pytest.fixture(scope="module")
def series(tmp_path_factory, options):
    folder = tmp_path_factory.mktemp("series") / "runs"
    arguments = [*options, *flags(seeds="3,1", output_dir=folder)]
    assert call_recipe("lora_classification", *arguments) == 0
    return folder


def files_of(folder):
    return sorted(path.name for path in folder.iterdir())


def adapter(folder):
    return (folder / "adapter_model.safetensors").read_bytes()


def test_a_series_is_a_run_a_seed_and_a_report(series):
    assert files_of(series) == ["report.html", "seed-1", "seed-3"]
    for seed in (3, 1):
        run = json.loads((series / f"seed-{seed}" / "run.json").read_text("utf-8"))
        assert (run["status"], run["seed"]) == ("completed", seed)
        assert run["config"]["seeds"] is None
    assert "2 runs in 1 row" in (series / "report.html").read_text("utf-8")


def test_a_run_of_a_series_is_that_of_its_seed_alone(series, options, tmp_path):
    arguments = [*options, *flags(seed=1, output_dir=tmp_path / "alone")]
    assert call_recipe("lora_classification", *arguments) == 0
    assert adapter(tmp_path / "alone") == adapter(series / "seed-1")


def test_commands_that_repeat_a_run_of_a_series_name_its_seed(series):
    results, _ = collect([str(series / "seed-1")])
    command = repeat_command(results[0])
    assert "--seeds" not in command
    assert "--output-dir" not in command
    assert command.count("--seed 1") == 1
    longer = longer_command(results[0].run, series / "seed-1")
    assert "--seeds" not in longer
    assert "--seed 1" in longer


def test_half_of_a_series_goes_on_where_it_stopped(series, options, tmp_path, capsys):
    again = shutil.copytree(series, tmp_path / "again")
    shutil.rmtree(again / "seed-1")
    (again / "report.html").unlink()
    before = (again / "seed-3" / "run.json").stat().st_mtime_ns
    arguments = [*options, *flags(seeds="3,1", output_dir=again)]
    assert call_recipe("lora_classification", *arguments) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "holds runs already" in message
    assert "go on with --resume" in message
    other = [*arguments, "--resume", "--lora-r", "4"]
    assert call_recipe("lora_classification", *other) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "--lora-r was 32" in message
    assert "is now 4" in message
    assert not (again / "seed-1").exists()
    assert call_recipe("lora_classification", *arguments, "--resume") == 0
    assert "2 seeds: test accuracy" in capsys.readouterr().out
    assert (again / "seed-3" / "run.json").stat().st_mtime_ns == before
    assert adapter(again / "seed-1") == adapter(series / "seed-1")
    assert (again / "report.html").exists()


def test_a_series_does_not_go_on_with_another_model(series, options, tiny_model, capsys):
    other = tiny_model("distilbert")
    arguments = [*options, *flags(seeds="3,1,2", output_dir=series, resume=True)]
    arguments[arguments.index("--model-id") + 1] = str(other)
    assert call_recipe("lora_classification", *arguments) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "--model-id was" in message
    assert "the runs of a series differ in their seeds alone" in message
    assert not (series / "seed-2").exists()


def test_a_series_does_not_go_on_with_another_column(series, options, capsys):
    arguments = [*options, *flags(seeds="3,1,2", output_dir=series, resume=True)]
    assert call_recipe("lora_classification", *arguments, "--label-column", "topic") == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "--label-column was None" in message
    assert "is now 'topic'" in message
    assert not (series / "seed-2").exists()


def test_scores_of_a_series_whose_files_changed_in_between_are_told(series, tmp_path, capsys):
    again = shutil.copytree(series, tmp_path / "again")
    file = again / "seed-1" / "run.json"
    run = json.loads(file.read_text("utf-8"))
    run["data"]["fingerprint"] = "another"
    file.write_text(json.dumps(run), "utf-8")
    _report(again, [3, 1])
    assert "these scores are of different data" in " ".join(capsys.readouterr().out.split())


def test_a_single_seed_is_told_as_one(series, tmp_path, capsys):
    again = shutil.copytree(series, tmp_path / "again")
    _report(again, [1])
    assert "\n1 seed: test accuracy" in capsys.readouterr().out


def test_a_series_whose_run_fails_says_how_to_go_on(tmp_path, capsys):
    def fails_at_1(config):
        place = Path(config.output_dir)
        place.mkdir(parents=True)
        (place / "run.json").write_text("{}")
        if config.seed == 1:
            raise RuntimeError("boom")

    with pytest.raises(RuntimeError, match="boom"):
        run_series(fails_at_1, RunConfig(seeds="0,1,2", output_dir=str(tmp_path / "runs")))
    expected = "seed 1 (2 of 3) did not finish, and 1 more has not begun: the same command goes on"
    assert expected in " ".join(capsys.readouterr().err.split())


def test_a_folder_of_one_run_is_not_that_of_a_series(series, options, capsys):
    arguments = [*options, *flags(seeds="0,1", output_dir=series / "seed-1")]
    assert call_recipe("lora_classification", *arguments) == 2
    assert "holds a run of its own" in " ".join(capsys.readouterr().err.split())


def test_without_a_folder_a_series_takes_a_free_name(options, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    # Stopped before training: the name stays free.
    wrong = [*options, "--seeds", "0", "--quantization", "nf4", "--method", "pissa"]
    assert call_recipe("lora_classification", *wrong) == 2
    assert not (tmp_path / "runs" / "classification-pissa-seeds").exists()
    assert call_recipe("lora_classification", *options, "--seeds", "0") == 0
    assert files_of(tmp_path / "runs" / "classification-lora-seeds" / "seed-0")
    assert call_recipe("lora_classification", *options, "--seeds", "0", "--resume") == 2
    assert "leave --resume out" in " ".join(capsys.readouterr().err.split())


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"seeds": "0,0"}, "names a seed twice"),
        ({"seeds": "a"}, "not a list of seeds"),
        ({"seeds": ","}, "not a list of seeds"),
        ({"seeds": "0,-1"}, "not a list of seeds"),
        ({"seeds": "0,1", "seed": 2}, "--seed is for one run"),
    ],
)
def test_seeds_that_cannot_be_run_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        RunConfig(task="ner", **values)


def test_a_single_run_with_several_seeds_is_refused():
    with pytest.raises(UserError, match="one run has one seed"), start_run(RunConfig(seeds="0,1")):
        pass
