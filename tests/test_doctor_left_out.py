"""Rows and pairs that training leaves out: the doctor reads the others."""

import json
from pathlib import Path
from typing import Any

import pytest

from lowcost_ft.commands.main import main
from lowcost_ft.doctor.reading import read_data


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def test_pairs_that_are_not_drawn_belong_to_no_row(tmp_path: Path) -> None:
    names = ["Ann", "Bob", "Cy", "Di", "Eve"]
    rows = []
    for number in range(4):
        text = f"{' '.join(names)} {number}"
        entities = [
            {"id": n, "start": text.index(n), "end": text.index(n) + len(n), "label": "x"}
            for n in names
        ]
        relation = {"head": "Ann", "tail": "Bob", "label": "ab"[number % 2]}
        rows.append({"text": text, "entities": entities, "relations": [relation]})
    train = read_data({"train": write(tmp_path / "train.jsonl", rows)}).train
    assert len(train.examples) == len(train.places) == 4 + 12  # of 80 pairs
    for example, place in zip(train.examples, train.places, strict=True):
        assert example.text == rows[place]["text"]


@pytest.mark.parametrize("unknown", ["-1", ""])
def test_rows_with_a_label_that_is_left_out_are_not_examined(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], unknown: str
) -> None:
    labels = ["x", unknown, "y", "x", unknown, "y"]
    rows = [{"text": f"text {n}", "label": label} for n, label in enumerate(labels)]
    path = write(tmp_path / "train.jsonl", rows)
    words = ["doctor", path, "--task", "classification", "--no-model", "--json"]
    assert main([*words, f"--exclude-label={unknown}"]) == 0
    found = {f["kind"]: f["rows"] for f in json.loads(capsys.readouterr().out)["findings"]}
    assert [row["row"] for row in found["small_class"]] == [1, 3, 4, 6]
    assert "unreadable_row" not in found
