"""The benchmark scripts, and the README's tables, which are made from their results."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from small_runs import ner_rows, write_jsonl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import compare_methods  # noqa: E402
import compare_speed  # noqa: E402
import tables  # noqa: E402


def test_the_readme_shows_the_committed_results():
    readme = (ROOT / "README.md").read_text("utf-8")
    assert tables.with_results(readme) == readme, "run `make results`"


def test_results_name_no_place_on_a_machine():
    for file in (ROOT / "benchmarks" / "results").glob("*.json"):
        result = json.loads(file.read_text("utf-8"))
        assert result["status"] == "completed"
        assert not [v for v in result["config"].values() if isinstance(v, str) and v[:1] in "/.~"]


@pytest.fixture
def suite(tmp_path, tiny_model, monkeypatch):
    """A suite of one run that takes seconds; its results go into a folder of the test."""
    (tmp_path / "data").mkdir()
    for seed, split in enumerate(("train", "dev", "test")):
        write_jsonl(tmp_path / "data" / f"{split}.jsonl", ner_rows(20, seed=seed))
    files = {"train-file": "train.jsonl", "validation-file": "dev.jsonl", "test-file": "test.jsonl"}
    flags = ["--model-id", tiny_model("bert"), "--max-steps", "2"]
    monkeypatch.setattr(compare_methods, "SUITE", {"tiny-lora": ("lora_ner.py", files, flags)})
    monkeypatch.setattr(compare_methods, "RESULTS", tmp_path / "results")
    monkeypatch.setattr(tables, "RESULTS", tmp_path / "results")
    return tmp_path


def test_runs_are_kept_and_not_repeated(suite, capfd):
    options = compare_methods.Options(data_dir=suite / "data", seeds="0")
    assert compare_methods.main(options) == 0
    result = json.loads((suite / "results" / "tiny-lora-seed0.json").read_text("utf-8"))
    assert result["status"] == "completed"
    assert result["config"]["train_file"] == "train.jsonl"
    assert result["config"]["output_dir"] is None
    assert str(suite) not in json.dumps(result["data"])
    capfd.readouterr()
    assert compare_methods.main(options) == 0
    assert capfd.readouterr().out == "tiny-lora-seed0.json: there already\n"
    (row,) = [line for line in tables.results_table().splitlines() if "tiny-lora" in line]
    assert f"{result['evaluation']['test']['f1']:.3f}" in row


def test_a_run_that_cannot_start_is_told(suite, capfd):
    options = compare_methods.Options(data_dir=suite / "elsewhere", seeds="0")
    assert compare_methods.main(options) == 1
    assert "failed: tiny-lora seed 0" in capfd.readouterr().err


def test_unknown_names_are_refused(suite, capfd):
    options = compare_methods.Options(data_dir=suite, only="tiny-lora,nope")
    assert compare_methods.main(options) == 2
    assert "unknown nope; known: tiny-lora" in capfd.readouterr().err


def test_speed_is_compared_arm_by_arm_and_rounds_add_up(tmp_path, tiny_model, capsys):
    file = tmp_path / "speed.json"
    data = write_jsonl(tmp_path / "train.jsonl", ner_rows(40))
    options = compare_speed.Options(
        train_file=data, model_id=tiny_model("bert"), steps=2, rounds=1, max_length=32, output=file
    )
    for rounds in (1, 2):
        assert compare_speed.main(options) == 0
        result = json.loads(file.read_text("utf-8"))
        assert len(result["rounds"]) == rounds
    assert len(result["arms"]) == 8
    steps = {name: arm["steps"] for name, arm in result["rounds"][1]["arms"].items()}
    assert set(steps.values()) == {2}
    assert result["arms"]["trainer-peft"]["over_trainer_peft"] == 1.0
    assert result["arms"]["textbook-full"]["padding_share"] > 0.5
    assert result["arms"]["ours-lora"]["padding_share"] < 0.2
    assert 0 < result["arms"]["ours-lora"]["share_of_matmul_rate"] < 1
    assert result["arms"]["ours-lora-top-cached"]["cache_bytes"] > 0
    capsys.readouterr()
    assert compare_speed.main(replace(options, batch_size=8)) == 2
    assert "another config" in capsys.readouterr().err
    assert compare_speed.main(replace(options, only="ours-lora,nope")) == 2
    assert "unknown nope" in capsys.readouterr().err
