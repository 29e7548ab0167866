"""The doctor on rows and pairs that training leaves out, and on relations in lists."""

import json
from pathlib import Path
from typing import Any

import pytest

from lowcost_ft.commands.main import main
from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.doctor.answer import scores_text
from lowcost_ft.doctor.examination import examine
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


def test_rows_that_are_left_out_have_no_score(tmp_path: Path) -> None:
    rows: list[dict[str, Any]] = [{"text": f"where is {n}", "label": "ab"[n % 2]} for n in range(6)]
    rows += [{"text": "no", "label": "?"}, {"text": "", "label": "a"}]
    examination = examine(
        {"train": write(tmp_path / "train.jsonl", rows)},
        reading=ReadingOptions(exclude_label="?"),
        model_id=None,
        max_length=64,
    )
    scored = [json.loads(line) for line in scores_text(examination, as_csv=False).splitlines()]
    assert [row["score"] for row in scored] == [None] * 7 + [1.0]


def test_a_file_that_is_read_with_wrong_flags_is_refused_and_not_mended(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    entity = {"start": 3, "end": 7, "label": "x", "text": "Jane"}
    rows = [
        {"text": "\U0001f44d Jane", "entities": [entity]},  # In UTF-16 units.
        {"text": "ab Jane", "entities": [entity]},
    ]
    mended = tmp_path / "mended.jsonl"
    path = write(tmp_path / "train.jsonl", rows)
    assert main(["doctor", path, "--no-model", "--fix", str(mended)]) == 2
    assert "--entity-offsets utf16" in " ".join(capsys.readouterr().err.split())
    assert not mended.exists()
    assert main(["doctor", path, "--no-model", "--entity-offsets", "utf16"]) == 0
    (tmp_path / "brat").mkdir()
    (tmp_path / "brat" / "a.txt").write_text("Jane of Oslo Smith")
    (tmp_path / "brat" / "a.ann").write_text("T1\tx 0 4;13 18\tJane Smith\nT2\tx 8 12\tOslo\n")
    assert main(["doctor", str(tmp_path / "brat"), "--no-model"]) == 2
    assert "--discontinuous" in capsys.readouterr().err


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


def test_a_name_in_another_case_and_a_mistyped_one_are_renamed_in_one_run(tmp_path: Path) -> None:
    labels = [["payment"], ["delivery"]] * 40
    labels += [["Payment", "delivry"], ["paymnt"], ["paymnt"], ["PAYMNT"]]
    rows = [{"text": f"text {n}", "label": label} for n, label in enumerate(labels)]
    mended = tmp_path / "mended.jsonl"
    path = write(tmp_path / "train.jsonl", rows)
    assert main(["doctor", path, "--no-model", "--fix", str(mended)]) == 0
    found = [json.loads(line)["label"] for line in mended.read_text("utf-8").splitlines()]
    assert found == [*labels[:80], ["payment", "delivery"], *[["payment"]] * 3]
    log = [json.loads(line) for line in Path(f"{mended}.changes.jsonl").read_text().splitlines()]
    assert log[0]["kinds"] == ["label_spelling", "label_typo"]


def test_a_spelling_of_a_class_is_no_small_class(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = ["payment", "delivery"] * 10 + ["Payment", "delivry", "new"]
    rows = [{"text": f"text {n}", "label": label} for n, label in enumerate(labels)]
    path = write(tmp_path / "train.jsonl", rows)
    assert main(["doctor", path, "--no-model", "--json"]) == 0
    found = {f["kind"]: f["rows"] for f in json.loads(capsys.readouterr().out)["findings"]}
    assert [row["row"] for row in found["label_spelling"] + found["label_typo"]] == [21, 22]
    assert [row["row"] for row in found["small_class"]] == [23]


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


@pytest.mark.parametrize(
    ("cells", "flags", "right"),
    [
        (["bill; late"] * 3 + ["Bill; late ;new", "Bill"], ["--label-separator", ";"], 1),
        (["bill|late"] * 3 + ["Bill|late|new", "bill|Bill"], ["--label-separator", "|"], 2),
        (["['bill', 'late']"] * 3 + ['["Bill", "late", "new"]', "['Bill']"], [], 3),
    ],
    ids=["separator and blank", "separator", "lists as text"],
)
def test_labels_of_one_cell_are_renamed(
    tmp_path: Path, cells: list[str], flags: list[str], right: int
) -> None:
    rows = [{"text": f"text {n}", "label": cell} for n, cell in enumerate(cells)]
    rows += [{"text": f"other {n}", "label": cells[0].replace("bill", "new")} for n in range(2)]
    path, mended = write(tmp_path / "train.jsonl", rows), tmp_path / "mended.jsonl"
    assert main(["doctor", path, "--no-model", *flags, "--fix", str(mended)]) == 0
    found = [json.loads(line)["label"] for line in mended.read_text("utf-8").splitlines()]
    expected = {
        1: ["bill; late; new", "bill"],
        2: ["bill|late|new", "bill"],
        3: ['["bill", "late", "new"]', '["bill"]'],
    }[right]
    assert found == [*cells[:3], *expected, *(row["label"] for row in rows[5:])]


@pytest.mark.parametrize(
    ("labels", "flag"),
    [
        (["late;broken", "late"], '--label-separator ";"'),
        (["pos#neg", "pos", "neg"], '--label-separator "#"'),
        (["0,5", "1", "1,5"], "--decimal-comma"),
        (["-1", "good", "bad"], "--exclude-label=-1"),
    ],
)
def test_labels_that_a_flag_decides_about_are_asked_for_and_not_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], labels: list[str], flag: str
) -> None:
    rows = [{"text": f"text {n}", "label": labels[n % len(labels)]} for n in range(12)]
    path = write(tmp_path / "train.jsonl", rows)
    assert main(["doctor", path, "--no-model", "--fix", str(tmp_path / "mended.jsonl")]) == 2
    said = " ".join(capsys.readouterr().err.split())
    assert said.count("train.jsonl:1: the label") == 1 and flag in said
    assert not (tmp_path / "mended.jsonl").exists()


def test_rows_behind_an_open_quote_are_not_lost_in_a_mended_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [f"text {n},{'ab'[n % 2]}" for n in range(12)]
    path = tmp_path / "train.csv"
    path.write_text("\n".join(["text,label", *rows[:6], '"open,a', *rows[6:]]) + "\n")
    mended = tmp_path / "mended.csv"
    assert main(["doctor", str(path), "--no-model", "--fix", str(mended)]) == 2
    assert "train.csv:8: the quote that opens here is not closed" in capsys.readouterr().err
    assert not mended.exists()


def test_a_mended_file_keeps_rows_that_reading_leaves_out_and_says_so(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [{"text": f"text {n}", "label": "abc"[n % 3]} for n in range(12)]
    mended = tmp_path / "mended.jsonl"
    words = [write(tmp_path / "train.jsonl", rows), "--no-model", "--fix", str(mended)]
    assert main(["doctor", *words, "--exclude-label", "c"]) == 0
    assert "keeps the rows that --exclude-label leaves out" in " ".join(
        capsys.readouterr().err.split()
    )
    assert len(mended.read_text("utf-8").splitlines()) == 12
