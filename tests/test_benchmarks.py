"""The benchmark scripts, and the tables of README and docs, which are made from their results."""

import json
import shutil
import sys
from contextlib import redirect_stdout
from dataclasses import replace
from io import StringIO
from pathlib import Path

import numpy as np
import pytest
import torch
from small_runs import ner_rows, write_jsonl

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.readers import read_rows
from lowcost_ft.report.collect import collect
from lowcost_ft.training import loop

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "benchmarks"))

import compare_methods  # noqa: E402
import default_arms  # noqa: E402
import defaults  # noqa: E402
import defaults_tables  # noqa: E402
import messy_export  # noqa: E402
import one_run  # noqa: E402
import results_tables  # noqa: E402
import suites  # noqa: E402
import tables  # noqa: E402
from compare_methods import Options  # noqa: E402
from suites import Entry  # noqa: E402


@pytest.mark.parametrize("page", tables.PAGES)
def test_pages_show_the_committed_results(page):
    assert tables.with_results(page) == (ROOT / page).read_text("utf-8"), "run `make results`"


def test_results_name_no_place_on_a_machine():
    for file in (ROOT / "benchmarks" / "results").glob("*.json"):
        result = read(file)
        texts = [*result["config"].values(), *result.get("command", [])]
        assert not [text for text in texts if isinstance(text, str) and text[:1] in "/.~"]


def make_suite(folder, model_id, monkeypatch):
    (folder / "data").mkdir()
    files = {"train-file": "train.jsonl", "validation-file": "dev.jsonl", "test-file": "test.jsonl"}
    for seed, file in enumerate(files.values()):
        write_jsonl(folder / "data" / file, ner_rows(20, seed=seed))
    flags = ("--model-id", model_id, "--max-steps", "2")
    entry = Entry(name="tiny-lora", program="recipes/lora_ner.py", flags=flags, files=files)
    monkeypatch.setitem(suites.SUITES, "standard", [entry])
    monkeypatch.setattr(compare_methods, "RESULTS", folder / "results")
    monkeypatch.setattr(results_tables, "RESULTS", folder / "results")
    return folder


@pytest.fixture
def suite(tmp_path, tiny_model, monkeypatch):
    """A standard suite of one run that takes seconds, in folders of the test."""
    return make_suite(tmp_path, tiny_model("bert"), monkeypatch)


@pytest.fixture(scope="module")
def ran(tmp_path_factory, tiny_model):
    """The folder of such a suite after it ran, and what that printed."""
    folder = tmp_path_factory.mktemp("suite")
    with pytest.MonkeyPatch.context() as monkeypatch, redirect_stdout(StringIO()) as printed:
        make_suite(folder, tiny_model("bert"), monkeypatch)
        assert compare_methods.main(standard(folder)) == 0
    return folder, printed.getvalue()


@pytest.fixture
def suite_that_ran(suite, ran):
    """The suite with its result, which is the test's own."""
    shutil.copytree(ran[0] / "results", suite / "results")
    return suite


def standard(suite, **changes):
    return Options(suite="standard", **{"data_dir": suite / "data", "seeds": "0", **changes})


def read(file):
    return json.loads(file.read_text("utf-8"))


def test_runs_are_kept_and_not_repeated(suite_that_ran, ran, capfd):
    suite, (first, printed) = suite_that_ran, ran
    file = suite / "results" / "tiny-lora-seed0.json"
    result = read(file)
    assert result["status"] == "completed"
    assert result["config"]["train_file"] == "train.jsonl"
    assert result["config"]["output_dir"] is None
    assert result["command"][0] == "recipes/lora_ner.py"
    assert "DATA/train.jsonl" in result["command"]
    assert str(first / "data") not in json.dumps(result)
    assert not list(first.glob("results/*.predictions.jsonl"))
    assert "throughput" in printed
    assert "saved in" not in printed and " predict " not in printed  # That folder is gone.
    assert compare_methods.main(standard(suite)) == 0
    assert "tiny-lora-seed0.json: there already\n" in capfd.readouterr().out
    (row,) = [line for line in results_tables.results_tables().splitlines() if "| LoRA" in line]
    assert f"{result['evaluation']['test']['f1']:.3f}" in row
    assert compare_methods.main(standard(suite, list=True)) == 0
    assert "tiny-lora  (seeds 0, done 0)" in capfd.readouterr().out
    # Run again: the same score to the last digit, and the same memory.
    assert compare_methods.main(standard(suite, results_dir=suite / "again")) == 0
    again = read(suite / "again" / "tiny-lora-seed0.json")
    assert again["evaluation"] == result["evaluation"]
    peaks = [run["train"]["peak_memory_bytes"] for run in (again, result)]
    assert peaks[0] == pytest.approx(peaks[1], rel=0.01)
    assert again["command"] == result["command"]


def test_a_result_older_than_the_default_dropout_is_of_other_settings(suite_that_ran, capfd):
    suite = suite_that_ran
    file = suite / "results" / "tiny-lora-seed0.json"
    result = read(file)
    assert result["config"]["dropout"] == "model"
    for before, code in ((None, 0), (0.0, 2)):  # NER has always trained with the model's.
        result["config"]["dropout"] = before
        file.write_text(json.dumps(result), "utf-8")
        capfd.readouterr()
        assert compare_methods.main(standard(suite)) == code
    assert "--dropout 0.0" in capfd.readouterr().err


def test_a_run_that_failed_is_kept_with_its_reason_and_tried_again(suite, monkeypatch, capfd):
    (broken,) = suites.SUITES["standard"]
    broken = replace(broken, flags=(*broken.flags, "--learning-rate", "-1"))
    monkeypatch.setitem(suites.SUITES, "standard", [broken])
    assert compare_methods.main(standard(suite)) == 1
    result = read(suite / "results" / "tiny-lora-seed0.json")
    assert (result["status"], result["method"], result["schema_version"]) == ("failed", "lora", 1)
    assert "--learning-rate -1" in result["error"]
    assert "failed: tiny-lora seed 0" in capfd.readouterr().err
    assert not one_run.is_finished(suite / "results" / "tiny-lora-seed0.json")
    # What the system kills is taken to have been out of memory, and is not tried again.
    broken = replace(broken, flags=("--trainable-layers", "3", "--cache-frozen-layers"))
    record = one_run._record_of_a_death(broken, 0, -9, "")
    assert record["status"] == "out_of_memory"
    # Or a report would take it for another method's run.
    assert record["config"]["trainable_layers"] == 3
    assert record["config"]["cache_frozen_layers"] is True
    assert record["config"]["dropout"] == "model"
    text = replace(broken, program="recipes/lora_classification.py")
    assert one_run._record_of_a_death(text, 0, -9, "")["config"]["dropout"] == 0.0


def test_wrong_flags_are_refused_all_at_once(suite, capfd):
    assert compare_methods.main(standard(suite, only="tiny-lora,nope", seeds="0,x")) == 2
    printed = capfd.readouterr().err
    assert "unknown nope; known: tiny-lora" in printed and "--seeds x" in printed
    assert compare_methods.main(standard(suite, data_dir=suite / "elsewhere")) == 2
    assert "lacks train.jsonl" in capfd.readouterr().err
    assert compare_methods.main(standard(suite, data_dir=None)) == 2
    assert "needs --data-dir" in capfd.readouterr().err
    assert compare_methods.main(Options(test_file="x.csv")) == 2
    assert "--test-file go with data of your own" in capfd.readouterr().err
    assert compare_methods.main(Options(train_file="x.csv", seeds="0,0", num_threads=0)) == 2
    printed = capfd.readouterr().err
    assert "--task ner or --task classification" in printed
    assert "--train-file x.csv does not exist" in printed
    assert "--seeds 0,0: one of them is named twice" in printed
    assert "--num-threads 0 is too small" in printed
    (suite / "results").write_text("")
    assert compare_methods.main(standard(suite)) == 2
    assert "is a file: name a folder" in capfd.readouterr().err


def test_own_data(suite, tiny_model, capfd):
    data = suite / "data"
    options = Options(
        task="ner",
        train_file=str(data / "train.jsonl"),
        validation_file=str(data / "dev.jsonl"),
        test_file=str(data / "test.jsonl"),
        model_id=tiny_model("bert"),
        num_train_epochs=1,
        only="lora",
        results_dir=suite / "own",
        num_threads=1,
    )
    assert compare_methods.main(options) == 0
    result = read(suite / "own" / "own-lora-seed0.json")
    assert result["config"]["num_threads"] == 1
    (collected,), _ = collect([str(suite / "own")])
    assert collected.predictions is not None  # The report shows the worst of them.
    assert f"lowcost-ft report {suite / 'own'}" in capfd.readouterr().out
    # A result is not taken for one on other data, with other settings; threads may differ.
    assert compare_methods.main(replace(options, num_threads=2)) == 0
    assert "there already" in capfd.readouterr().out
    for changes in ({"train_file": str(data / "dev.jsonl")}, {"num_train_epochs": 2}):
        assert compare_methods.main(replace(options, **changes)) == 2
        printed = capfd.readouterr().err
        assert "own-lora-seed0.json is the result of other settings: recipes/lora_ner.py" in printed
    (suite / "own" / "own-lora-seed0.json").write_text("{")
    assert compare_methods.main(replace(options, list=True)) == 2
    assert "own-lora-seed0.json" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("shape", "method"),
    [
        ("tiny-decoder", "lora-cached3"),
        *(pytest.param("tiny-bert", method, marks=pytest.mark.slow) for method in suites.METHODS),
    ],
)
def test_shapes_without_a_hub(tmp_path, monkeypatch, shape, method):
    (entry,) = [e for e in suites.SUITES["gpu"] if e.name == "bert-base-128-lora"]
    entry = replace(entry, name=f"{shape}-32-{method}", shape=shape, text_tokens=32)
    few = ("--max-length", "32", "--max-steps", "2", *suites.METHODS[method])
    monkeypatch.setitem(suites.SUITES, "gpu", [replace(entry, flags=few)])
    options = Options(suite="gpu", results_dir=tmp_path)
    assert compare_methods.main(options) == 0
    result = read(tmp_path / f"{entry.name}-seed0.json")
    assert result["model_id"] == f"random/{shape}"
    assert result["evaluation"] == {}
    assert result["benchmark"]["no_scores"].startswith("the weights are random")
    assert result["command"][:3] == ["benchmarks/compare_methods.py", "--suite", "gpu"]
    train = result["train"]
    assert train["peak_memory_bytes"] > 0 and train["real_tokens"] == 2 * 16 * 32


def test_names_are_unique_and_every_shape_has_all_methods():
    for entries in suites.SUITES.values():
        names = [entry.name for entry in entries]
        assert len(set(names)) == len(names)
    shapes = {entry.shape for entry in suites.SUITES["gpu"]}
    assert {"bert-base", "bert-large", "roberta-large", "decoder-8b"} < shapes
    assert not any(shape.startswith("tiny") for shape in shapes if shape)


def test_defaults_are_chosen_on_the_other_sets():
    scores = {
        "lora": {"a": 0.9, "b": 0.5, "c": 0.5},
        "lora:x=1": {"a": 0.4, "b": 0.8, "c": 0.8},
        "lora:x=2": {"a": 1.0},  # Not run on all sets.
    }
    found = defaults_tables.choices(scores)
    assert [choice["arm"] for choice in found] == ["lora:x=1", "lora", "lora"]
    assert [round(choice["regret"], 3) for choice in found] == [0.5, 0.3, 0.3]
    assert defaults_tables.choices({"lora": {"a": 1.0}}) == []


def test_arms_are_told_in_words():
    assert defaults_tables.arm_title("lora:least_steps=600") == "LoRA"
    assert defaults_tables.arm_title("full") == "full fine-tuning, 6 epochs"
    arm = "lora:ema=0:learning_rate=0.0005:least_steps=600:lora_r=16:zero_bias=true"
    title = "LoRA, no average, rate 0.0005, rank 16, head from zero"
    assert defaults_tables.arm_title(arm) == title


def test_test_scores_of_two_arms_are_compared_row_by_row():
    def run(right):
        counts = [right, [1] * len(right), [1] * len(right)]
        return {"metric": "accuracy", "test": counts}

    worse, better = [1, 0] * 50, [1, 1] * 50
    found = defaults.paired([run(better)] * 2, [run(worse)] * 2)
    assert found["scores"] == [1.0, 0.5] and found["difference"] == 0.5
    assert found["seeds"] == 2 and found["test_rows"] == 100
    low, high = found["ci95"]
    assert 0.39 < low < 0.5 < high < 0.61
    same = defaults.paired([run(worse)], [run(worse)])
    assert same["difference"] == 0.0 and same["ci95"] == [0.0, 0.0]


def test_arms_are_settings_and_sets_of_the_sample_need_no_data(tmp_path):
    sample = [one for one in defaults.PANEL if one.name.startswith("sample-")]
    assert len(defaults.PANEL) >= 10 and len(sample) == 3
    for one in sample:
        rows = defaults.rows_of(one, tmp_path, 0.1)
        assert len(rows["train"]) == 200 and rows == defaults.rows_of(one, tmp_path, 0.1)
        texts = [str(row.get("text") or row["tokens"]) for row in rows["train"] + rows["test"]]
        assert len(texts) == len(set(texts))
    config, special = defaults.config_of(
        "lora:learning_rate=0.002:least_steps=300:b_ratio=4", sample[0], 3, "out", 200
    )
    assert (config.learning_rate, config.num_train_epochs, config.seed) == (0.002, 24, 3)
    others = ("frozen_pooler", "output_rate", "zero_bias")
    assert special == {"b_ratio": 4, **dict.fromkeys(others)}


@pytest.mark.parametrize("prefix", ["", "base_model.model."])
def test_a_part_of_the_head_can_have_a_rate_of_its_own(prefix):
    names = ("pooler.weight", "classifier.weight", "layer.lora_B.weight")
    parameters = [(prefix + name, torch.nn.Parameter(torch.zeros(2, 2))) for name in names]
    with (
        default_arms.rate_of("lora_B", 4, times=True),
        default_arms.rate_of(".classifier.", 0.5),
    ):
        groups = loop.parameter_groups(
            parameters,
            head_names=("pooler", "classifier"),
            learning_rate=0.1,
            head_learning_rate=0.2,
            weight_decay=0.0,
        )
    rates = {id(one): group["lr"] for group in groups for one in group["params"]}
    assert [rates[id(one)] for _, one in parameters] == pytest.approx([0.2, 0.5, 0.4])


def test_the_messy_export_holds_what_was_put_in(tmp_path):
    rows = [{"text": f"it's message {i}", "label": f"class_{i % 5}"} for i in range(400)]
    test = [{"text": f"test message {i}", "label": "class_0"} for i in range(30)]
    tasks, put_in, leaked = messy_export.messy_tasks(rows, test, np.random.default_rng(0))
    (tmp_path / "export.json").write_text(json.dumps(tasks), "utf-8")
    problems: list[str] = []
    notices: list[str] = []
    reading = ReadingOptions(annotations="majority")
    read = read_rows(str(tmp_path / "export.json"), problems, notices, reading)
    assert problems == [] and any("40 rows labelled by several annotators" in n for n in notices)
    assert [row.values["id"] for row in read] == [t["id"] for t in tasks if messy_export.counts(t)]
    sizes = {kind: len(ids) for kind, ids in put_in.items()}
    assert sizes == messy_export.PUT_IN | {
        "contradiction": 2 * messy_export.PUT_IN["contradiction"]
    }
    texts = {row.values["text"] for row in read}
    assert leaked < texts and sum("\u00e2\u20ac\u2122" in text for text in texts) >= 12
    labels = {row.values["id"]: row.values["label"] for row in read}
    spoiled = put_in["wrong_label"]
    assert all(labels[i] != [rows[i]["label"]] for i in spoiled) and len(spoiled) == 60
