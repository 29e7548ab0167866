"""The doctor: what it takes for wrong, what its `--fix` leaves alone, and what it says it did."""

import json
import random
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lowcost_ft.commands.main import main
from lowcost_ft.doctor import wrong_labels
from lowcost_ft.doctor.mending import changes_file, restore
from lowcost_ft.doctor.near_texts import near_pairs
from lowcost_ft.doctor.noise_model import Doubts
from lowcost_ft.doctor.reading import read_data


def write(path: Path, rows: list[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def mended(tmp_path: Path, rows: list[dict[str, Any]], *flags: str) -> tuple[list[Any], list[Any]]:
    """The rows that `--fix` writes, and its list of changes."""
    out = tmp_path / "mended.jsonl"
    train = write(tmp_path / "train.jsonl", rows)
    assert main(["doctor", train, "--no-model", *flags, "--fix", str(out)]) == 0
    files = (out, changes_file(out))
    left, log = ([json.loads(x) for x in f.read_text("utf-8").splitlines()] for f in files)
    return left, log


QUESTION = {"question": "Who?", "context": "Ann met Bob in Rome."}


@pytest.mark.parametrize(
    ("rows", "flags", "told"),
    [
        (
            [{"en": "Hello.", "de": "Hallo."}, {"en": "Hello.", "de": "Guten Tag."}],
            ["--source-language", "en", "--target-language", "de"],
            None,
        ),
        (
            [{"en": "Hello.", "de": "hallo."}, {"en": "Hello.", "de": "Hallo."}],
            ["--source-language", "en", "--target-language", "de"],
            None,
        ),
        (
            [
                QUESTION | {"answers": {"text": ["Ann"], "answer_start": [0]}},
                QUESTION | {"answers": {"text": ["Bob"], "answer_start": [8]}},
            ],
            [],
            "another answer",
        ),
        (
            [{"text": "fine", "label": 4.5}, {"text": "fine", "label": 4.0}],
            ["--problem-type", "regression"],
            "another value",
        ),
    ],
)
def test_answers_that_may_all_be_right_are_not_left_out(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    rows: list[dict[str, Any]],
    flags: list[str],
    told: str | None,
) -> None:
    left, log = mended(tmp_path, rows, *flags)
    assert left == rows and log == []
    said = capsys.readouterr().out
    assert "SEVERE" not in said and ("contradiction" in said) == (told is not None)
    assert told is None or told in said


def test_labels_in_another_spelling_do_not_contradict_a_row_that_is_alike(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    text = "please send my money back for the broken lamp"
    rows = [{"text": text, "label": "refund"}, {"text": f"{text}!", "label": "Refund"}]
    rows.append({"text": "where is my order", "label": "status"})
    assert main(["doctor", write(tmp_path / "a.jsonl", rows), "--no-model"]) == 0
    said = capsys.readouterr().out
    assert "near_contradiction" not in said and "near_duplicate" in said


def test_several_labels_in_another_case_and_order_are_the_same(tmp_path: Path) -> None:
    rows = [
        {"text": "one text", "label": label} for label in (["Urgent", "pos"], ["urgent", "pos"])
    ]
    rows += [{"text": f"other {n}", "label": ["urgent"]} for n in range(3)]
    left, log = mended(tmp_path, rows)
    assert left == [rows[0] | {"label": ["urgent", "pos"]}, *rows[2:]]
    assert {change["row"]: change["kinds"] for change in log} == {
        1: ["label_spelling"],
        2: ["exact_duplicate"],
    }


@pytest.mark.parametrize("entity", [[11, 15, "p"], {"start": 11, "end": 15, "label": "p"}])
def test_a_text_beside_entities_is_not_repaired(tmp_path: Path, entity: Any) -> None:
    rows = [{"text": "cafÃ© with Jane", "label": "x", "entities": [entity]}]
    rows += [{"text": "no tea with Bob", "label": "y", "entities": []}]
    left, log = mended(tmp_path, rows, "--task", "classification", "--format", "jsonl")
    assert left == rows and log == []
    del rows[0]["entities"], rows[1]["entities"]
    (tmp_path / "mended.jsonl").unlink()
    changes_file(tmp_path / "mended.jsonl").unlink()
    left, _ = mended(tmp_path, rows, "--task", "classification")
    assert left[0]["text"] == "café with Jane"


def test_a_string_with_two_common_types_is_not_odd(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    rows = [
        {"text": f"Jordan {n}", "entities": [{"start": 0, "end": 6, "label": label}]}
        for n, label in enumerate(["person"] * 10 + ["place"] * 9)
    ]
    assert main(["doctor", write(tmp_path / "a.jsonl", rows), "--no-model"]) == 0
    assert "odd_type" not in capsys.readouterr().out
    rows = [*rows[:10], rows[-1]]
    assert main(["doctor", write(tmp_path / "a.jsonl", rows), "--no-model"]) == 0
    assert "1 entity of train with an entity of a type" in capsys.readouterr().out


def test_changes_name_what_was_done_and_nothing_else(tmp_path: Path) -> None:
    """Both findings would change the one entity; the first of them does."""
    rows: list[dict[str, Any]] = [
        {"text": f"Jordan {n}", "entities": [{"start": 0, "end": 6, "label": "person"}]}
        for n in range(12)
    ]
    rows.append({"text": "Jordan 99", "entities": [{"start": 0, "end": 6, "label": "Person"}]})
    rows.append({"text": "Jordan 98", "entities": [{"start": 0, "end": 7, "label": "Person"}]})
    left, log = mended(tmp_path, rows, "--kinds", "label_spelling,span_edge,odd_type")
    assert left[12]["entities"][0]["label"] == "person"
    assert {change["row"]: change["kinds"] for change in log} == {
        13: ["label_spelling"],
        14: ["label_spelling", "span_edge"],
    }


def test_texts_that_differ_in_case_judge_one_another_never(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows = [{"text": text, "label": "ab"[n % 2]} for n, text in enumerate(["Hi you", "HI  YOU"])]
    data = read_data({"train": write(tmp_path / "train.jsonl", rows)})
    given: list[np.ndarray] = []

    def doubt(states: np.ndarray, classes: np.ndarray, groups: np.ndarray, **_: Any) -> Doubts:
        given.append(groups)
        none = np.zeros(2)
        return Doubts(none, none.astype(int), none, none.astype(bool), 0.0)

    monkeypatch.setattr(wrong_labels, "doubt_classes", doubt)
    wrong_labels.judge_classes(data, np.eye(2), seed=0)
    assert given[0].tolist() == [0, 0]


def test_a_row_that_repeats_one_of_its_pairs_alone_is_kept(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The whole row would be left out, and with it relations that no other row has."""
    ends = {"a": (0, 3), "b": (8, 11), "c": (15, 19)}
    entities = [{"id": i, "start": s, "end": e, "label": "x"} for i, (s, e) in ends.items()]
    both = [{"head": "a", "tail": "b", "label": "met"}, {"head": "a", "tail": "c", "label": "in"}]
    text = {"text": "Ann met Bob in Rome"}
    part = text | {"entities": entities[:2], "relations": both[:1]}
    whole = text | {"entities": entities, "relations": both}
    other = whole | {"relations": [both[0] | {"label": "saw"}, both[1]]}
    left, log = mended(tmp_path, [part, whole, other, whole])
    assert left == [part, whole, other]
    assert [(change["row"], change["kinds"]) for change in log] == [(4, ["exact_duplicate"])]
    said = capsys.readouterr().out
    assert "1 row of train repeating another row" in said
    assert "4 rows of train whose text also has another label" in said


def test_rows_are_named_by_their_place_in_the_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The second task of the one-line export has no annotation: it is not read."""
    result = {"from_name": "s", "to_name": "text", "type": "choices", "value": {"choices": ["a"]}}
    tasks = [
        {"id": n, "data": {"text": text}, "annotations": [{"result": [result]}] if text else []}
        for n, text in enumerate(["one", "", "two", "two"])
    ]
    train, out = tmp_path / "train.json", tmp_path / "mended.jsonl"
    train.write_text(json.dumps(tasks), "utf-8")
    assert main(["doctor", str(train), "--no-model", "--fix", str(out)]) == 0
    assert "train.json:row 4: the same as row 3" in capsys.readouterr().out
    log = [json.loads(line) for line in changes_file(out).read_text("utf-8").splitlines()]
    assert [(change["row"], change["place"]) for change in log] == [(4, 3)]
    left = [json.loads(line) for line in out.read_text("utf-8").splitlines()]
    assert [row["text"] for row in restore(left, log)] == ["one", "two", "two"]
    assert main(["doctor", str(train), "--no-model", "--json"]) == 0
    found = {f["kind"]: f["rows"] for f in json.loads(capsys.readouterr().out)["findings"]}
    assert [row["row"] for row in found["exact_duplicate"]] == [4]


def test_entities_that_contradict_one_another_are_told_by_their_words(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row = {"tokens": ["Ann", "saw", "Rome"], "tags": ["B-P", "O", "B-L"]}
    rows = [row, row | {"tags": ["B-P", "O", "O"]}, row]
    assert main(["doctor", write(tmp_path / "a.jsonl", rows), "--no-model"]) == 0
    said = capsys.readouterr().out
    assert 'a.jsonl:2: "Ann" P here, another label in line 1, line 3, in' in said


def test_nothing_of_some_kinds_is_not_nothing_at_all(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train = write(tmp_path / "a.jsonl", [{"text": "one", "label": "a"}])
    assert main(["doctor", train, "--no-model", "--kinds", "leak"]) == 0
    said = capsys.readouterr().out
    assert said == "train 1 row\n\nNothing of the kinds asked for was found.\n"


def test_rows_that_nothing_tells_apart_are_told_before_they_are_left_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = ["a", "b", "a", "b", "b"]
    texts = ["tied", "tied", "most", "most", "most"]
    rows = [{"text": t, "label": label} for t, label in zip(texts, labels, strict=True)]
    left, _ = mended(tmp_path, rows)
    assert left == [{"text": "most", "label": "b"}]
    said = capsys.readouterr().out
    assert "5 rows of train whose text also has another label" in said
    assert "one of them is wrong; for 2 rows nothing tells which, and --fix leaves them out" in said


@pytest.mark.parametrize("other", [[0, 3, "p"], {"start": 0, "end": 3, "label": "p"}])
def test_an_entity_whose_edge_is_mended_and_whose_type_is_renamed_gets_both(
    tmp_path: Path, other: Any
) -> None:
    """The new name came with the old place, and the list of changes named both."""
    first = [5, 16, "P"] if isinstance(other, list) else {"start": 5, "end": 16, "label": "P"}
    right = [5, 15, "p"] if isinstance(other, list) else {"start": 5, "end": 15, "label": "p"}
    rows = [{"text": "Call Jane Smith, now", "entities": [first]}]
    rows += [{"text": f"{name} left", "entities": [other]} for name in ("Ann", "Bob", "Eve")]
    left, log = mended(tmp_path, rows, "--format", "jsonl")
    assert left[0]["entities"] == [right]
    assert [change["kinds"] for change in log] == [["label_spelling", "span_edge"]]


def test_the_entities_of_words_follow_their_tags(tmp_path: Path) -> None:
    rows = [{"tokenized_text": ["Ann", ",", "met", "Cy"], "ner": [[0, 1, "p"], [3, 3, "P"]]}]
    rows += [{"tokenized_text": [name, "met"], "ner": [[0, 0, "P"]]} for name in ("Bob", "Eve")]
    left, log = mended(tmp_path, rows)
    assert [change["kinds"] for change in log] == [["label_spelling"]]
    assert left[0]["tags"] == ["B-P", "I-P", "O", "B-P"]
    places = [(e["start"], e["end"], e["label"]) for e in left[0]["entities"]]
    assert places == [(0, 5, "P"), (10, 12, "P")]


def test_of_rows_that_are_alike_in_a_chain_each_kept_one_has_its_own(tmp_path: Path) -> None:
    """The third is like the second alone, which is left out: it would leave no row like it."""
    draw = random.Random(0)
    letters = "".join(draw.choice("abcdefghijklmnopqrstuvwxyz") for _ in range(120))
    texts = [letters[:100], letters[6:106], letters[12:112]]
    assert [pair[:2] for pair in near_pairs(texts)] == [(0, 1), (1, 2)]
    rows = [{"text": text, "label": "a"} for text in texts] + [{"text": "other", "label": "b"}]
    left, log = mended(tmp_path, rows, "--kinds", "near_duplicate")
    assert left == [rows[0], rows[2], rows[3]]
    assert [change["row"] for change in log] == [2]


def test_entities_are_mended_under_the_names_that_reading_knows(tmp_path: Path) -> None:
    def row(text: str, start: int, end: int, label: str) -> dict[str, Any]:
        entity = {"start_char": start, "end_char": end, "type": label, "word": text[start:end]}
        return {"text": text, "entities": [entity | {"lemma": "x"}]}

    rows = [row("Call Ann, now", 5, 9, "P"), *(row(f"{n} left", 0, 2, "p") for n in ("Cy", "Di"))]
    left, log = mended(tmp_path, rows)
    assert left == [row("Call Ann, now", 5, 8, "p"), *rows[1:]]
    assert [change["kinds"] for change in log] == [["label_spelling", "span_edge"]]


def test_lines_that_a_mended_file_lacks_are_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    train, out = tmp_path / "a.csv", tmp_path / "mended.csv"
    train.write_text("text,label\none,a,b\ntwo,c\nthree,d\n")
    assert main(["doctor", str(train), "--no-model", "--fix", str(out)]) == 0
    said = " ".join(capsys.readouterr().err.split())
    assert "mended.csv lacks 1 line that cannot be read, first" in said and "a.csv:2: 3" in said
    for name, line in (("a", "T1\tP 0 3\tAda"), ("b", "T1\tP 0")):
        (tmp_path / f"{name}.txt").write_text("Ada met Bo")
        (tmp_path / f"{name}.ann").write_text(line)
    folder, rows = str(tmp_path), str(tmp_path / "b.jsonl")
    assert main(["doctor", folder, "--no-model", "--format", "brat", "--fix", rows]) == 0
    assert "b.jsonl lacks 1 line that cannot be read" in " ".join(capsys.readouterr().err.split())
    missing = str(tmp_path / "nope.csv")
    assert main(["doctor", str(out), "--no-model", "--test-file", missing]) == 2
    said = capsys.readouterr().err
    assert "no such file" in said and "no row can be read" not in said


@pytest.mark.parametrize(("near", "left_out"), [(2, 2), (3, 0)])
def test_rows_made_from_a_template_are_left_out_on_request_alone(
    tmp_path: Path, near: int, left_out: int
) -> None:
    draw = random.Random(0)
    texts = ["".join(draw.choice("abcdefghij ") for _ in range(80)) for _ in range(20)]
    rows = [{"text": text, "label": "ab"[n % 2]} for n, text in enumerate(texts)]
    test = write(
        tmp_path / "test.jsonl", [row | {"text": f"{row['text']}!?"} for row in rows[:near]]
    )
    left, log = mended(tmp_path, rows, "--test-file", test)
    assert len(left) == 20 - left_out and len(log) == left_out
    asked = ("--test-file", test, "--kinds", "near_leak", "--overwrite")
    left, log = mended(tmp_path, rows, *asked)
    assert [change["kinds"] for change in log] == [["near_leak"]] * near
