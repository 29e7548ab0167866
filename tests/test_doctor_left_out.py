"""The doctor on rows and pairs that training leaves out, and on relations in lists."""

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


def test_labels_in_lists_of_relations_are_renamed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = [["knows", "likes"]] * 4 + [["Knows", "Likes "], ["knows", "Likes"]]
    rows = []
    for number, (one, two) in enumerate(labels):
        entities = [{"id": n, "start": 2 * n, "end": 2 * n + 1, "label": "x"} for n in range(3)]
        relations = [
            {"id": 5, "head": 0, "tail": 1, "type": one},
            {"head": 1, "tail": 2, "label": two},
        ]
        rows.append({"text": f"a b c {number}", "entities": entities, "relations": relations})
    path = write(tmp_path / "train.jsonl", rows)
    mended = tmp_path / "mended.jsonl"
    assert main(["doctor", path, "--no-model", "--fix", str(mended)]) == 0
    told = capsys.readouterr()
    assert "0 rows left out, 2 changed" in told.err and "label_spelling: 3 rows" in told.out
    found = [json.loads(line) for line in mended.read_text("utf-8").splitlines()]
    assert [row["relations"] for row in found] == [rows[0]["relations"]] * 6
    log = [json.loads(line) for line in Path(f"{mended}.changes.jsonl").read_text().splitlines()]
    assert [change["row"] for change in log] == [5, 6]


def test_two_labels_of_one_list_are_renamed_together(tmp_path: Path) -> None:
    labels = [["knows", "likes"]] * 3 + [["Knows", "Likes"]]
    rows = [{"text": f"text {n}", "label": label} for n, label in enumerate(labels)]
    mended = tmp_path / "mended.jsonl"
    path = write(tmp_path / "train.jsonl", rows)
    assert main(["doctor", path, "--no-model", "--fix", str(mended)]) == 0
    found = [json.loads(line)["label"] for line in mended.read_text("utf-8").splitlines()]
    assert found == [["knows", "likes"]] * 4


def test_what_else_goes_with_a_small_class_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = []
    for number in range(9):
        entities = [{"id": n, "start": 2 * n, "end": 2 * n + 1, "label": "x"} for n in range(2)]
        relations = [{"head": 0, "tail": 1, "label": "knows"}]
        relations += [{"head": 1, "tail": 0, "label": "rare"}] * (number == 0)
        rows.append({"text": f"a b {number}", "entities": entities, "relations": relations})
    path = write(tmp_path / "train.jsonl", rows)
    assert main(["doctor", path, "--task", "relation", "--no-model"]) == 0
    assert "whole, and with them 1 other label)" in capsys.readouterr().out
