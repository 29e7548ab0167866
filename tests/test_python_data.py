"""Data that is in Python already trains what the same data in files trains."""

import json
import re
from pathlib import Path

import datasets
import pandas
import pytest
from safetensors.torch import load_file
from small_runs import ner_rows, text_rows, write_jsonl

import lowcost_ft as ft
from lowcost_ft.errors import UserError

LIMITS = {"max_steps": 4, "batch_size": 8, "max_length": 32, "learning_rate": 1e-2}


def as_dataset(rows):
    return datasets.Dataset.from_list(rows)


def trained(config, **rows):
    """Runs the pipeline; returns the folder and the run's record."""
    with ft.start_run(config) as run:
        data = ft.load_data(run, **rows)
        built = ft.build(run, data)
        result = ft.train(run, built, data)
        evaluated = ft.evaluate(run, built, data, result)
        return ft.save(run, built, data, result, evaluated), run.record


@pytest.fixture(scope="module")
def of_files(tmp_path_factory, tiny_model):
    """`of_files("ner", train, test)`: the run on these rows in files, trained once a task."""
    runs = {}

    def run(task, train, test):
        if task not in runs:
            place = tmp_path_factory.mktemp("files")
            files = {
                "train_file": write_jsonl(place / "train.jsonl", train),
                "test_file": write_jsonl(place / "test.jsonl", test),
            }
            config = {"task": task, "model_id": tiny_model("bert"), **LIMITS, **files}
            runs[task] = trained(ft.RunConfig(output_dir=str(place / "run"), **config))
        return runs[task]

    return run


@pytest.mark.parametrize("form", [list, iter, as_dataset, pandas.DataFrame])
@pytest.mark.parametrize(("task", "make"), [("classification", text_rows), ("ner", ner_rows)])
def test_rows_in_python_are_those_of_a_file(tmp_path, tiny_model, of_files, task, make, form):
    train, test = make(40), make(8, seed=1)
    config = {"task": task, "model_id": tiny_model("bert"), **LIMITS}
    folder, record = of_files(task, train, test)
    other, same = trained(
        ft.RunConfig(output_dir=str(tmp_path / "python"), **config),
        train=form(train),
        test=form(test),
    )
    assert record["data"]["fingerprint"] == same["data"]["fingerprint"]
    assert same["data"]["in_python"] and not record["data"]["in_python"]
    weights, again = (load_file(f / "adapter_model.safetensors") for f in (folder, other))
    assert all((weights[name] == again[name]).all() for name in weights)
    assert record["evaluation"] == same["evaluation"]


def test_what_needs_the_rows_again_asks_for_them(tmp_path, tiny_model):
    rows = text_rows(40)
    config = ft.RunConfig(
        task="classification", model_id=tiny_model("bert"), output_dir=str(tmp_path / "a"), **LIMITS
    )
    folder, _ = trained(config, train=rows)
    with pytest.raises(UserError, match=r"validation=rows"):
        ft.merge_run(folder, tmp_path / "merged")
    report = ft.merge_run(folder, tmp_path / "merged", validation=rows[:8])
    assert report.predictions == 8 and report.changed == 0


def test_a_run_that_is_left_early_is_not_complete(tmp_path, tiny_model, capsys):
    config = ft.RunConfig(
        task="classification", model_id=tiny_model("bert"), output_dir=str(tmp_path / "a")
    )
    rows = [{"text": f"{word} {n}", "label": word} for n in range(20) for word in ("up", "down")]
    with ft.start_run(config) as run:
        ft.load_data(run, train=rows)
    assert "was left before its end: its model was not trained or saved" in capsys.readouterr().out
    with pytest.raises(ft.UserError, match="interrupted"):
        ft.load_predictor(tmp_path / "a")


def test_texts_that_a_tokenizer_cannot_read_are_told(tmp_path, tiny_model, capsys):
    config = ft.RunConfig(
        task="classification", model_id=tiny_model("bert"), output_dir=str(tmp_path / "a")
    )
    rows = [{"text": f"\u9f98\u9750 {n}", "label": "ab"[n % 2]} for n in range(40)]
    with ft.start_run(config) as run:
        ft.load_data(run, train=rows)
    told = " ".join(capsys.readouterr().out.split())
    assert "of the training tokens are unknown to the tokenizer" in told


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ({"train": "train.csv"}, "a file goes into --train-file"),
        ({"train": {"text": ["a"], "label": ["b"]}}, "is not a list of rows"),
        ({"train": [["a", "b"]]}, "is not a dictionary from columns to values"),
        ({"train": []}, "there are no rows"),
        ({"test": [{"text": "a", "label": "b"}]}, "give training rows"),
    ],
)
def test_what_are_not_rows_is_refused(tmp_path, tiny_model, rows, message):
    config = ft.RunConfig(
        task="classification", model_id=tiny_model("bert"), output_dir=str(tmp_path / "a")
    )
    with pytest.raises(UserError, match=message), ft.start_run(config) as run:
        ft.load_data(run, **rows)
    assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("page", ["README.md", "README.zh-CN.md", "docs/use.md"])
def test_the_snippets_of_the_pages_run(tmp_path, tiny_model, monkeypatch, page):
    text = (Path(__file__).resolve().parents[1] / page).read_text("utf-8")
    (code,) = (c for c in re.findall(r"```python\n(.*?)```", text, re.DOTALL) if "load_data" in c)
    monkeypatch.chdir(tmp_path)
    model = repr(tiny_model("bert"))  # For the test's time; everything else is the page's.
    exec(code.replace('RunConfig(task="', f'RunConfig(model_id={model}, task="'), {})
    (record,) = (tmp_path / "runs").glob("*/run.json")
    assert json.loads(record.read_text())["status"] == "completed"
