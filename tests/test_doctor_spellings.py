"""The doctor judges labels by what their names mean, however they are spelled."""

import numpy as np
import pytest
from small_runs import write_jsonl

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.doctor.examination import Examination
from lowcost_ft.doctor.label_names import check_label_names, names_meant
from lowcost_ft.doctor.mending import mend
from lowcost_ft.doctor.reading import read_data
from lowcost_ft.doctor.wrong_entities import doubts_of_rows, judge_entities, tag_numbers
from lowcost_ft.doctor.wrong_labels import judge_classes

SPELLED = {"refund": "Refund ", "status": "Status"}


@pytest.fixture
def classes(tmp_path):
    """60 rows of two classes, 16 of them in another spelling, and two that are wrong."""
    names = [("refund", "status")[n % 2] for n in range(60)]
    given = [SPELLED[name] if n < 16 else name for n, name in enumerate(names)]
    given[0], given[40] = "Status", "status"
    rows = [{"text": f"text {n}", "label": name} for n, name in enumerate(given)]
    data = read_data({"train": write_jsonl(tmp_path / "train.jsonl", rows)})
    states = np.eye(2)[[n % 2 for n in range(60)]]
    return data, states


def test_no_spelling_is_suggested_that_is_to_be_renamed(classes):
    data, states = classes
    assert names_meant(data) == {"Refund": "refund", "Status": "status"}
    scores, findings = judge_classes(data, states, seed=0)
    assert [row.place for row in findings[0].rows] == [0, 40]
    assert {row.suggested for row in findings[0].rows} == {"refund"}
    assert set(scores.suggested) == {"refund", "status"}
    mended, _ = mend(Examination(data, [*check_label_names(data), *findings], scores))
    assert [row["label"] for row in mended] == ["refund", "status"] * 30


def test_adapters_that_learn_each_spelling_are_asked_for_what_is_meant(classes):
    data, states = classes

    def train(folds, trusted):
        """Sure of the class, and not of its spelling."""
        found = np.zeros((60, len(data.labels)))
        for column, name in enumerate(data.labels):
            found[:, column] = states[:, ["refund", "status"].index(name.lower())] / 2
        return found

    _, findings = judge_classes(data, states, seed=0, train=train)
    assert [row.place for row in findings[0].rows] == [0, 40]


def test_types_in_two_spellings_are_one_type(tmp_path):
    rows = []
    for n in range(40):
        word, label = (("Anna", "person"), ("Oslo", "place"))[n % 2]
        label = label.upper() if n < 10 else label
        rows.append({"tokens": ["see", word, f"no{n}"], "tags": ["O", f"B-{label}", "O"]})
    rows[12]["tags"][1] = "B-place"
    data = read_data({"train": write_jsonl(tmp_path / "train.jsonl", rows)})
    words = [word for row in rows for word in row["tokens"]]
    states = np.eye(3)[[{"Anna": 1, "Oslo": 2}.get(word, 0) for word in words]]
    assert {data.labels[number] for number in tag_numbers(data)} == {"O", "B-person", "B-place"}
    doubts = doubts_of_rows(data, states, seed=0)
    assert doubts[0][0].span == (1, 2, "PERSON")  # As the file has it.
    assert max(doubts[0][0].scores.values()) < 0.1
    _, findings = judge_entities(data, states, seed=0)
    assert {(f.kind, row.place) for f in findings for row in f.rows} == {("wrong_type", 12)}
    assert findings[0].rows[0].edits in ([], [((1, 2, "place"), (1, 2, "person"))])


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        *(("-1", "1", False), ("A-", "A", False), ("HER2-", "HER2", False), ("x²", "x2", False)),
        *(("1.0", "1", False), ("level-1", "level 1", False), ("C+", "C", False)),
        *(("Card arrival", "card_arrival", True), ("card-arrival", "card_arrival", True)),
        *(("A", "a", True), ("late ", "Late", True), ("level_1", "level 1", True)),
    ],
)
def test_a_hyphen_that_says_something_is_no_other_spelling(tmp_path, one, other, alike):
    rows = [{"text": f"text {n}", "label": (one, other, "third")[n % 3]} for n in range(30)]
    reading = ReadingOptions(problem_type="single_label_classification")
    data = read_data({"train": write_jsonl(tmp_path / "train.jsonl", rows)}, reading=reading)
    assert bool(names_meant(data)) == alike


@pytest.mark.parametrize(
    ("rare", "slip"), [("atypical", False), ("amoral", False), ("tipical", True), ("moal", False)]
)
def test_a_first_letter_is_no_slip(tmp_path, rare, slip):
    frequent = {"a": rare[1:], "t": "typical", "m": "moral"}[rare[0]]
    rows = [{"text": f"text {n}", "label": (frequent, "x")[n % 2]} for n in range(60)]
    rows.append({"text": "one more", "label": rare})
    data = read_data({"train": write_jsonl(tmp_path / "train.jsonl", rows)})
    assert names_meant(data) == ({rare: frequent} if slip else {})
