"""The benchmark scripts, and the README's tables, which are made from their results."""

import json
import sys
from pathlib import Path

import pytest
from small_runs import ner_rows, write_jsonl

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import compare_methods  # noqa: E402
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
