"""Entities as files write them: offsets that contradict their texts, repeats, blanks, forms."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.rows import Row
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.loading import load_splits
from lowcost_ft.tasks.ner.entity_spans import Entity, agreeing_spans, clean_spans, read_entities

ROCKETS = "🚀🎉🔥🧡 Ines Valo met Ann"


def splits_of(folder: Path, rows: list[Any], task: str = "ner", **reading: Any) -> Any:
    path = folder / "a.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return load_splits(task, train_file=str(path), reading=ReadingOptions(**reading))


def rows_of(row_text: str, start: int, end: int, **more: Any) -> list[dict[str, Any]]:
    entity = {"start": start, "end": end, "label": "PER", **more}
    return [{"text": f"{row_text} {i}", "entities": [entity]} for i in range(20)]


@pytest.mark.parametrize("key", ["text", "word", "surface"])
@pytest.mark.parametrize(
    ("text", "start", "end", "own", "offsets"),
    [
        (ROCKETS, 9, 18, "Ines Valo", "utf16"),
        ("Žofie à Zürich", 10, 17, "Zürich", "bytes"),
        ("沈文青来了", 0, 2, "沈文青", "inclusive"),
        ("\ufeffAnn ran", 0, 3, "Ann", "text"),
        ("one\ntwo Ann ran", 9, 12, "Ann", "text"),
    ],
)
def test_offsets_that_contradict_the_text_are_told_and_mended_on_request(
    tmp_path: Path, key: str, text: str, start: int, end: int, own: str, offsets: str
) -> None:
    rows = rows_of(text, start, end, **{key: own})
    with pytest.raises(UserError) as caught:
        splits_of(tmp_path, rows)
    assert len(caught.value.problems) == 1
    assert f"--entity-offsets {offsets}" in caught.value.problems[0]
    splits = splits_of(tmp_path, rows, entity_offsets=offsets)
    for example in splits.train:
        words = [w for w, tag in zip(example.words, example.tags, strict=True) if tag != "O"]
        assert "".join(words).strip("\ufeff") == own.replace(" ", "")


def test_a_text_that_is_nowhere_stops_and_a_wrong_flag_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"correct the offsets or the entity's text"):
        splits_of(tmp_path, rows_of("Ann ran", 0, 3, text="Bob"))
    with pytest.raises(UserError, match=r"leave out --entity-offsets"):
        splits_of(tmp_path, rows_of("Ann, so", 0, 3, text="Ann"), entity_offsets="inclusive")
    with pytest.raises(UserError, match=r"--entity-offsets words is unknown"):
        splits_of(tmp_path, rows_of("Ann ran", 0, 3), entity_offsets="words")


def test_a_value_in_another_form_is_not_compared(tmp_path: Path) -> None:
    rows = rows_of("today it rains", 0, 5, value="2020-01-01")
    splits = splits_of(tmp_path, rows)
    assert splits.train[0].tags[0] == "B-PER"
    told = [notice for notice in splits.notices if "not compared" in notice]
    assert len(told) == 1
    assert "20 of the entities" in told[0]
    assert told[0].endswith('a.jsonl:1: "value" is "2020-01-01"')


@pytest.mark.parametrize(
    ("text", "entities", "offsets"),
    [
        ("🚀🚀 Ines met Ann Lee", [(5, 9), (14, 21)], "utf16"),
        ("Žofie à Zürich", [(0, 6), (10, 17)], "bytes"),
        ("Ines met Ann Lee", [(0, 3), (9, 15)], "inclusive"),
    ],
)
def test_offsets_that_cut_words_name_what_they_may_count(tmp_path, text, entities, offsets) -> None:
    spans = [{"start": start, "end": end, "label": "x"} for start, end in entities]
    rows = [{"text": f"{text} in {i}", "entities": spans} for i in range(20)]
    told = [n for n in splits_of(tmp_path, rows).notices if "inside a word" in n]
    assert len(told) == 1
    assert told[0].endswith(f"every entity begins and ends with a word: --entity-offsets {offsets}")
    mended = splits_of(tmp_path, rows, entity_offsets=offsets)
    assert not any("inside a word" in notice for notice in mended.notices)
    # One entity that ends inside a word among others that do not.
    right = rows_of("Ann ran", 0, 3)
    right[0]["entities"] = [{"start": 0, "end": 2, "label": "x"}]
    assert not any("--entity-offsets" in n for n in splits_of(tmp_path, right).notices)


def test_entities_that_overlap_are_not_blamed_on_what_offsets_count(tmp_path: Path) -> None:
    spans = [{"start": 0, "end": end, "label": "x"} for end in (8, 14)]
    with pytest.raises(UserError, match="overlap") as caught:
        splits_of(tmp_path, [{"text": "New York Times", "entities": spans}] * 20)
    assert "--entity-offsets" not in str(caught.value)


@pytest.mark.parametrize(("shift", "told"), [(1, "1 less"), (-2, "2 more")])
def test_offsets_that_are_all_shifted_are_told_as_such(tmp_path, shift, told) -> None:
    text = "now Ines met Ann Lee"
    spans = [
        {"start": start + shift, "end": end + shift, "label": "x"}
        for start, end in [(4, 8), (13, 20)]
    ]
    rows = [{"text": f"{text} in {i}", "entities": spans} for i in range(20)]
    (notice,) = [n for n in splits_of(tmp_path, rows).notices if "inside a word" in n]
    assert f"shifted by the same amount: if each were {told}" in notice


def test_offsets_outside_of_a_text_name_what_they_may_count(tmp_path: Path) -> None:
    rows = [{"text": "I am Ann", "entities": [{"start": 0, "end": 0, "label": "x"}]}] * 20
    with pytest.raises(UserError) as caught:
        splits_of(tmp_path, rows)
    assert "with the end inside the entity" in caught.value.problems[0]
    assert "--entity-offsets inclusive" in caught.value.problems[0]


@given(st.text(st.sampled_from("aé漢🚀 b\u0301\ud800"), min_size=1), st.data())
def test_every_counting_of_offsets_gives_the_same_spans(text: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(text) - 1))
    end = data.draw(st.integers(start + 1, len(text)))

    def size(part: str, encoding: str, unit: int) -> int:
        return len(part.encode(encoding, "surrogatepass")) // unit

    for offsets, (first, last) in {
        "characters": (start, end),
        "inclusive": (start, end - 1),
        "utf16": (size(text[:start], "utf-16-le", 2), size(text[:end], "utf-16-le", 2)),
        "bytes": (size(text[:start], "utf-8", 1), size(text[:end], "utf-8", 1)),
    }.items():
        problems: list[str] = []
        entity = Entity(first, last, "x", text[start:end])
        assert agreeing_spans([("a:1", text, [entity])], offsets, problems) == [[(start, end, "x")]]
        assert problems == []


anything = st.recursive(
    st.none() | st.booleans() | st.integers(-9, 9) | st.floats() | st.text(max_size=3),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["start", "end", "label", "text", "begin", "entities", "type"]), inner
        )
    ),
    max_leaves=12,
)


@given(anything, st.text(max_size=6), st.sampled_from(["characters", "utf16", "bytes", "text"]))
def test_no_value_of_entities_crashes(value: Any, text: str, offsets: str) -> None:
    problems: list[str] = []
    row = Row({"entities": value}, "a.jsonl:1")
    entities = read_entities(row, "entities", text=text, names=[], found={}, problems=problems)
    for spans in agreeing_spans([(row.source, text, entities)], offsets, problems):
        clean_spans(text, spans or [])


def test_repeated_and_blank_edged_spans_are_mended_with_a_notice(tmp_path: Path) -> None:
    span = {"start": 0, "end": 3, "label": "PER"}
    rows = [{"text": f"Ann ran {i}", "entities": [span, span]} for i in range(19)]
    rows.append({"text": "Ann ran", "entities": [{"start": 0, "end": 4, "label": "PER"}]})
    notices = "\n".join(splits_of(tmp_path, rows).notices)
    assert "19 of the entities are listed twice and were read once, first at" in notices
    assert "1 of the entities begin or end with white space, which was cut off" in notices


@pytest.mark.parametrize(
    ("spans", "told"),
    [
        ([(0, 2, "NUM"), (2, 4, "UNIT")], r'lie in one word, "10kg".*Put a blank between'),
        ([(0, 4, "NUM"), (0, 4, "UNIT")], "the same characters have two types"),
        ([(0, 9, "NUM"), (5, 9, "UNIT")], "one lies inside the other"),
    ],
)
def test_spans_that_one_tag_a_word_cannot_hold_are_told_as_what_they_are(
    tmp_path: Path, spans: list[tuple[int, int, str]], told: str
) -> None:
    entities = [{"start": s, "end": e, "label": label} for s, e, label in spans]
    with pytest.raises(UserError, match=told) as caught:
        splits_of(tmp_path, [{"text": "10kg rice", "entities": entities}])
    assert "correct start and end" not in str(caught.value)


@pytest.mark.parametrize(
    "row",
    [
        {"text": "Ann ran", "entities": [[0, 3, "PER"]]},
        ["Ann ran", {"entities": [[0, 3, "PER"]]}],
        {"text": "Ann ran", "label": [[0, 3, "PER"]]},
        {"text": "Ann ran", "entities": [{"start_offset": 0, "end_offset": 3, "label": "PER"}]},
        {"text": "Ann ran", "entities": [{"begin": 0, "end": 3, "type": "PER"}]},
    ],
)
def test_other_forms_of_entities_are_read_with_a_notice(tmp_path: Path, row: Any) -> None:
    rows = [json.loads(json.dumps(row).replace("ran", f"ran {i}")) for i in range(20)]
    splits = splits_of(tmp_path, rows)
    assert splits.train[0].tags == ("B-PER", "O", "O")
    assert any(
        "entities are read by" in notice
        or "read as training data in spaCy's form" in notice
        or "doccano" in notice
        for notice in splits.notices
    )


@pytest.mark.parametrize("task", ["ner", "classification"])
def test_what_an_annotator_did_not_accept_is_left_out(tmp_path: Path, task: str) -> None:
    rows = []
    for i in range(40):
        answer = {0: "reject", 1: "ignore"}.get(i, "accept")
        row: dict[str, Any] = {"text": f"Ann ran {i}", "answer": answer, "_input_hash": i}
        if task == "ner":
            row["spans"] = [{"start": 0, "end": 3, "label": "PER"}]
        else:
            row["label"] = "ab"[i % 2]
        rows.append(row)
    splits = splits_of(tmp_path, rows, task)
    assert len(splits.train) + len(splits.validation) == 38
    assert any("2 rows left out" in n and '1 "reject" and 1 "ignore"' in n for n in splits.notices)


def test_an_answer_that_is_the_label_stays_data(tmp_path: Path) -> None:
    rows = [{"text": f"x {i}", "answer": ["accept", "reject"][i % 2]} for i in range(40)]
    splits = splits_of(tmp_path, rows, "classification", label_column="answer")
    assert splits.labels == ["accept", "reject"]
