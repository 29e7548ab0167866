"""Figures that cards, summaries and reports tell are those of the data."""

import json
import re
from collections import Counter
from pathlib import Path

import pytest
from small_runs import call_recipe, flags, ner_rows, text_rows, write_jsonl

from lowcost_ft.pipeline.summary import summarize
from lowcost_ft.record.run_file import load_run
from lowcost_ft.report.collect import collect
from lowcost_ft.report.details import class_table, confusion_of
from lowcost_ft.report.grouping import compare
from lowcost_ft.report.repeat import facts_of


def support(kind, rows):
    """How often each class or entity type occurs."""
    if kind == "ner":
        return Counter(tag[2:] for row in rows for tag in row["tags"] if tag.startswith("B-"))
    return Counter(row["label"] for row in rows)


@pytest.fixture(scope="module", params=["ner", "single"])
def finished(request, tmp_path_factory, tiny_model):
    """A run of 3 epochs, 64 rows a file, cut for validation; its rows and what it printed."""
    kind = request.param
    folder = tmp_path_factory.mktemp("figures")
    make = ner_rows if kind == "ner" else text_rows
    rows = {"train": make(64, seed=1), "test": make(23, seed=2)}
    files = {f"{name}_file": write_jsonl(folder / f"{name}.jsonl", r) for name, r in rows.items()}
    values = {"model_id": tiny_model("bert"), "num_train_epochs": 3, "batch_size": 10}
    values |= {"max_length": 48, "validation_share": 0.25, "output_dir": folder / "run"}
    name = "lora_ner" if kind == "ner" else "lora_classification"
    assert call_recipe(name, *flags(**values, **files)) == 0
    return kind, folder / "run", rows


def numbers(text):
    return [int(number.replace(",", "")) for number in re.findall(r"\d[\d,]*", text)]


def test_figures_of_the_card(finished):
    kind, folder, rows = finished
    card = (folder / "README.md").read_text("utf-8")
    (data,) = re.findall(r"^- Data: (.*)$", card, re.MULTILINE)
    train, validation = numbers(data)
    assert train + validation == 64
    assert f"{train} training examples of `train.jsonl`, and {validation} of it" in data
    (length,) = re.findall(r"^- Length: (.*)$", card, re.MULTILINE)
    assert numbers(length) == [3, 3 * -(-train // 10), 10]
    unit = "sentences" if kind == "ner" else "texts"
    assert f"| test split, 23 {unit} |" in card
    for label, count in support(kind, rows["test"]).items():
        (row,) = re.findall(rf"^\| `{label}` \|.*$", card, re.MULTILINE)
        assert int(row.split("|")[-2]) == count
    assert f"| test {'entities' if kind == 'ner' else 'examples'} |" in card
    weakest = re.search(r"weakest label is `(.*?)`, with F1 [\d.]+ on (\d+) (\w+)", card)
    assert int(weakest[2]) == support(kind, rows["test"])[weakest[1]]
    assert weakest[3] == ("entities" if kind == "ner" else "examples")
    types = len(support(kind, rows["train"]))
    assert (f"of {types} types" if kind == "ner" else f"one of {types} labels") in card
    run = load_run(folder)
    (weights,) = re.findall(r"^- Trained weights: (.*) \(", card, re.MULTILINE)
    assert numbers(weights) == [run["parameters"]["trainable"], run["parameters"]["total"]]


def test_figures_of_the_summary(finished):
    kind, folder, rows = finished
    run = load_run(folder)
    text = summarize(run, folder)
    train = run["data"]["rows"]["train"]
    assert f"{3 * -(-train // 10)} steps of up to 10 examples" in text
    for label, count in support(kind, rows["test"]).items():
        (row,) = re.findall(rf"^{label} .*$", text, re.MULTILINE)
        assert int(row.split()[-1]) == count
    assert run["train"]["examples"] == 3 * train  # What it saw: rows times epochs.


def test_figures_of_the_report(finished):
    kind, folder, rows = finished
    results, _ = collect([str(folder)])
    (comparison,) = compare(results)
    expected = support(kind, rows["test"])
    table = class_table(comparison)
    assert {row[0].text: int(row[1].text) for row in table.rows} == dict(expected)
    confusion = confusion_of(comparison.rows[0])
    for name, row in zip(confusion.classes, confusion.matrix, strict=True):
        if name != "(none)":
            assert sum(count for count, _ in row) == expected[name]
            assert sum(share for _, share in row) == pytest.approx(1)
    told = dict(facts_of(results[0]))["rows"]
    split = load_run(folder)["data"]["rows"]
    assert numbers(told) == [split["train"], split["validation"], 23]
    assert split["train"] + split["validation"] == 64
    predictions = Path(results[0].predictions).read_text().splitlines()
    assert len(predictions) == len(rows["test"]) == len(list(map(json.loads, predictions)))
