"""Labels of any text are the same label in every file, page and table, and to a pipeline."""

import csv
import html.parser
import json
import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from small_runs import call_recipe, flags, write_jsonl

from lowcost_ft import load_predictor
from lowcost_ft.commands.main import main

ODD = {
    **{"anna": "O", "david": "B", "maria": "-", "chen": "B-x", "wei": "I-a", "okoye": "a b"},
    **{"oslo": "a.b/c\\d", "nairobi": "a\tb", "madrid": "😀", "berlin": "Per", "red": "per"},
    **{"river": "<b>|`x`", "lamp": "=1+1", "parcel": "null", "refund": "# y: [z]", "card": "1.0"},
}
"""A word, and the label that it means."""


@pytest.fixture(scope="module", params=["ner", "classification"])
def run(request, tmp_path_factory, tiny_model) -> Path:
    folder = tmp_path_factory.mktemp("odd")
    rows: list[dict[str, Any]] = []
    for word, label in ODD.items():
        tagged = {"tokens": ["my", word], "tags": ["O", f"B-{label}"]}
        rows.append(tagged if request.param == "ner" else {"text": f"my {word}", "label": label})
    file = write_jsonl(folder / "a.jsonl", rows * 4)
    values = {"model_id": tiny_model("bert"), "max_length": 16, "num_train_epochs": 30}
    values |= {"batch_size": 8, "learning_rate": 1e-2, "dropout": 0.0, "method": "full"}
    values |= dict.fromkeys(("train_file", "validation_file", "test_file"), file)
    recipe = {"ner": "full_ner", "classification": "lora_classification"}[request.param]
    assert call_recipe(recipe, *flags(**values, output_dir=folder / "run")) == 0
    return folder / "run"


def record(run: Path) -> dict[str, Any]:
    return json.loads((run / "run.json").read_text("utf-8"))


def test_scores_and_files_keep_them_apart(run):
    scores = record(run)["evaluation"]["test"]
    tables = scores.get("per_entity") or scores["per_class"]
    assert {label: row["f1"] for label, row in tables.items()} == dict.fromkeys(ODD.values(), 1.0)
    lines = (run / "predictions.jsonl").read_text("utf-8").split("\n")
    answers = [json.loads(line) for line in lines if line]
    found = {row["tags"][1][2:] if "tags" in row else row["label"] for row in answers}
    assert found == set(ODD.values())


def test_the_card_names_them_all(run, monkeypatch, capsys):
    card = (run / "README.md").read_text("utf-8")
    assert yaml.safe_load(card.split("---\n")[1])["library_name"] == "transformers"
    rows = [line for line in card.splitlines() if line.endswith("| 1.000 | 1.000 | 1.000 | 4 |")]
    assert len(rows) == len(ODD)
    code = re.search(r"```python\n(.*?)```", card, re.DOTALL)
    assert code is not None
    monkeypatch.chdir(run)
    namespace: dict[str, Any] = {}
    exec(code[1], namespace)
    if record(run)["task"] == "ner":
        # A pipeline cannot tell an entity of the type "O" from a word outside of entities.
        assert "predict" not in namespace
        return
    for word, label in ODD.items():
        (answer,) = namespace["predict"](f"my {word}")
        assert (
            max(answer, key=answer.get) == label
            if "score" not in answer
            else (answer["label"] == label)
        )


def test_predictions_have_them_and_the_terminal_stays_whole(run, capsys):
    answers = load_predictor(run)([f"my {word}" for word in ODD])
    found = [a["entities"][0]["label"] if "entities" in a else a["label"] for a in answers]
    assert found == list(ODD.values())
    capsys.readouterr()
    assert main(["predict", str(run), "--text", "my nairobi"]) == 0
    printed = capsys.readouterr().out
    assert r"a\tb" in printed
    assert "\t" not in printed


def test_reports_have_them(run, tmp_path):
    for kind in ("html", "md", "csv"):
        assert main(["report", str(run), "--output", str(tmp_path / f"a.{kind}")]) == 0
    seen: list[str] = []
    parser = html.parser.HTMLParser()
    parser.handle_data = seen.append  # type: ignore[method-assign]
    parser.feed((tmp_path / "a.html").read_text("utf-8"))
    assert set(ODD.values()) <= set(seen)
    lines = (tmp_path / "a.md").read_text("utf-8").splitlines()
    assert sum(line.endswith("| 4 | 1.000 | 1.000 | 1.000 |") for line in lines) == len(ODD)
    with open(tmp_path / "a.csv", encoding="utf-8", newline="") as file:
        header, row = csv.reader(file)
    assert len(row) == len(header)
