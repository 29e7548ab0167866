"""What `benchmarks/same_bits.py` takes for a difference."""

import json
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import same_bits
import short_runs


@pytest.fixture
def run(tmp_path):
    """`run(name, part=...)`: the fingerprint of a run folder in which one part is another."""

    def write(name, *, weights=b"weights", predictions="{}\n", f1=0.5, loss=1.0, **changes):
        folder = tmp_path / name
        folder.mkdir()
        (folder / "adapter_model.safetensors").write_bytes(weights)
        (folder / "predictions.jsonl").write_text(predictions)
        points = {"loss_history": [{"step": 1, "loss": loss, "seconds": changes.get("seconds", 1)}]}
        train = {"final_loss": loss, "best_epoch": 1, "real_tokens": 9, "padded_tokens": 9}
        train |= {"validation_history": [], "predicted_peak_memory_bytes": changes.get("memory", 7)}
        train |= points | {"seconds": changes.get("seconds", 1)}
        record = {"train": train, "evaluation": {"test": {"f1": f1}}, "git": changes.get("git")}
        (folder / "run.json").write_text(json.dumps(record))
        return same_bits.fingerprint(folder)

    return write


@pytest.mark.parametrize(
    ("changes", "verdict"),
    [
        ({"weights": b"weightt"}, "DIFFERS: weights"),
        ({"predictions": '{"a": 1}\n'}, "DIFFERS: predictions"),
        ({"f1": 0.5000000001}, "DIFFERS: scores"),
        ({"loss": 1.0000000001}, "DIFFERS: losses"),
        ({"loss": 2.0, "f1": 0.4}, "DIFFERS: scores, losses"),
    ],
)
def test_what_a_run_computed_is_compared_to_the_last_bit(run, changes, verdict):
    assert same_bits.compare(run("old"), run("new", **changes)) == (verdict, False)


def test_times_and_versions_may_differ_and_predicted_memory_is_mentioned(run):
    old = run("old")
    assert same_bits.compare(old, run("new", seconds=2, git={"commit": "b"})) == ("same", True)
    said = "same (predicted memory: 7 -> 8 bytes)"
    assert same_bits.compare(old, run("other", memory=8)) == (said, True)


def test_what_only_the_newer_side_records_is_mentioned(run):
    old, new = run("old"), run("new")
    new["losses"]["validation_history.loss"] = "a"
    said = "same (recorded by the newer side alone: validation_history.loss)"
    assert same_bits.compare(old, new) == (said, True)
    assert same_bits.compare(new, old) == ("DIFFERS: losses", False)


def test_a_run_that_failed_is_not_the_same(run):
    verdict, same = same_bits.compare({"failed": "broke"}, run("new"))
    assert (verdict, same) == ("FAILED: old broke", False)


def test_unknown_runs_and_commits_are_named(capsys):
    assert same_bits.main(same_bits.Options(only="ner-lora,ner-lore")) == 2
    assert "--only ner-lore: the runs are ner-lora," in capsys.readouterr().err
    assert same_bits.main(same_bits.Options(commit="no-such-commit")) == 2
    assert "no-such-commit" in capsys.readouterr().err


def test_the_runs_cover_what_a_restructuring_could_break():
    said = " ".join(f"{name} {run.recipe} {run.flags}" for name, run in short_runs.RUNS.items())
    for part in ("full", "adalora", "prefix", "qlora", "cached", "stream", "decoder", "windows"):
        assert part in said
    assert any(run.processes == 2 for run in short_runs.RUNS.values())
    assert any(run.stopped for run in short_runs.RUNS.values())
    assert {name.split("-")[0] for name in short_runs.RUNS} == {"ner", "classification"}
