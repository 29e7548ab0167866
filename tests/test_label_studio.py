"""Exports of Label Studio in their variants."""

import json
from pathlib import Path
from typing import Any

import pytest
from export_files import choice, read, span, task, write

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.convert import convert_file
from lowcost_ft.tasks.inputs import read_examples_file
from lowcost_ft.tasks.loading import load_splits

TEXT = "Jane Smith visits Berlin"
SPANS = [span(0, 10, "PER", TEXT), span(18, 24, "LOC", TEXT)]
ENTITIES = [
    {"id": "r0", "start": 0, "end": 10, "label": "PER", "text": "Jane Smith"},
    {"id": "r18", "start": 18, "end": 24, "label": "LOC", "text": "Berlin"},
]


def test_spans_classes_and_relations_of_a_task_are_one_row(tmp_path: Path) -> None:
    relation = {"type": "relation", "from_id": "r0", "to_id": "r18", "direction": "right"}
    results = [*SPANS, choice("pos"), relation | {"labels": ["visits"]}]
    rows, problems, notices = read(write(tmp_path, [task(TEXT, results)]))
    assert problems == []
    assert rows == [
        {
            "id": 7,
            "text": TEXT,
            "entities": ENTITIES,
            "label": ["pos"],
            "relations": [{"head": "r0", "tail": "r18", "label": "visits"}],
        }
    ]
    assert any("read as an export of Label Studio" in notice for notice in notices)


@pytest.mark.parametrize(
    ("direction", "ends"),
    [("left", [("r18", "r0")]), ("bi", [("r0", "r18"), ("r18", "r0")]), (None, [("r0", "r18")])],
)
def test_a_relation_has_the_direction_of_its_arrow(
    tmp_path: Path, direction: Any, ends: list[tuple[str, str]]
) -> None:
    relation = {"type": "relation", "from_id": "r0", "to_id": "r18", "direction": direction}
    rows, _, _ = read(write(tmp_path, [task(TEXT, [*SPANS, relation])]))
    assert [(r["head"], r["tail"]) for r in rows[0]["relations"]] == ends


def test_relations_without_a_label_are_read_under_a_name_that_is_told(tmp_path: Path) -> None:
    named = {"type": "relation", "from_id": "r0", "to_id": "r18", "labels": ["visits"]}
    plain = {"type": "relation", "from_id": "r18", "to_id": "r0", "direction": "right"}
    path = write(tmp_path, [task(TEXT, [*SPANS, named, plain]), task(TEXT, [*SPANS, named])])
    rows, problems, notices = read(path)
    assert [relation["label"] for relation in rows[0]["relations"]] == ["visits", "related"]
    assert problems == []
    told = f"{path}: 1 relation without a label read with the label related, first {path}:row 1"
    assert any(told in notice for notice in notices)
    done = convert_file(str(path), str(tmp_path / "out.jsonl"))
    assert done.relations == 3 and any(told in notice for notice in done.notices)
    reading = ReadingOptions(exclude_label="related")
    splits = load_splits("relation", train_file=str(path), reading=reading, validation_share=0)
    # The pair is left out, and not taken for one without a relation.
    assert sorted(e.label for e in splits.train) == ["no_relation", "visits", "visits"]


def test_tasks_in_which_nothing_was_chosen_are_left_out_on_request(tmp_path: Path) -> None:
    tasks = [task(f"text {n}", [choice("ab"[n % 2])] if n else []) for n in range(9)]
    path = str(write(tmp_path, tasks))
    with pytest.raises(UserError, match=r"--exclude-label="):
        load_splits("classification", train_file=path)
    reading = ReadingOptions(exclude_label="")
    splits = load_splits("classification", train_file=path, reading=reading, validation_share=0)
    assert [example.text for example in splits.train] == [f"text {n}" for n in range(1, 9)]


def test_cancelled_annotations_predictions_and_unlabelled_tasks_do_not_count(
    tmp_path: Path,
) -> None:
    labelled, open_task, skipped = task(TEXT, SPANS), task("Later"), task("No", [])
    skipped["annotations"][0]["was_cancelled"] = True
    open_task["predictions"] = [{"result": SPANS}]
    rows, problems, notices = read(write(tmp_path, [labelled, open_task, skipped]))
    assert [row["text"] for row in rows] == [TEXT] and problems == []
    assert any("2 rows without an annotation left out, first" in notice for notice in notices)


def test_an_annotation_without_results_is_a_text_without_entities(tmp_path: Path) -> None:
    rows, _, _ = read(write(tmp_path, [task(TEXT, SPANS), task("It rains", [])]))
    assert rows[1]["entities"] == []


def test_the_text_is_found_by_the_spans_own_texts(tmp_path: Path) -> None:
    one = task(TEXT, SPANS)
    one["data"] = {"title": "About Berlin", "abstract": TEXT, "text": "other"}
    rows, _, _ = read(write(tmp_path, [one]))
    assert rows[0]["text"] == TEXT
    assert (rows[0]["title"], rows[0]["data.text"]) == ("About Berlin", "other")


def test_spans_of_several_texts_need_a_choice(tmp_path: Path) -> None:
    title = "Acme grows"
    other = span(0, 4, "ORG", title) | {"id": "t", "to_name": "title"}
    relation = {"type": "relation", "from_id": "t", "to_id": "r0", "labels": ["x"]}
    one = task(TEXT, [*SPANS, other, relation])
    one["data"] = {"title": title, "body": TEXT}
    path = write(tmp_path, [one])
    rows, problems, _ = read(path)
    told = 'spans lie in 2 texts of a task ("body", "title"), and a row has one'
    assert rows == [] and len(problems) == 1
    assert told in problems[0] and "--text-column" in problems[0]
    rows, problems, notices = read(path, text_column="body")
    assert problems == [] and rows[0]["entities"] == ENTITIES and rows[0]["text"] == TEXT
    assert '1 of "spans of another text", 1 of "relations of another text"' in notices[-1]
    rows, problems, _ = read(path, text_column="title")
    assert problems == []
    assert [(e["start"], e["end"], e["label"]) for e in rows[0]["entities"]] == [(0, 4, "ORG")]


@pytest.mark.parametrize(("text", "ok"), [("Jane visits", True), ("<b>Jane</b> visits", False)])
def test_spans_of_html_are_read_where_there_is_no_markup(
    tmp_path: Path, text: str, ok: bool
) -> None:
    value = {"start": "/b[1]/text()[1]", "end": "/b[1]/text()[1]", "startOffset": 0, "endOffset": 4}
    value |= {"globalOffsets": {"start": 0, "end": 4}, "text": "Jane", "hypertextlabels": ["PER"]}
    given = {"id": "a", "from_name": "label", "to_name": "html", "type": "hypertextlabels"}
    rows, problems, _ = read(write(tmp_path, [task(text, [given | {"value": value}])]))
    if ok:
        assert problems == [] and rows[0]["entities"][0]["end"] == 4
    else:
        assert rows == [] and "counts the characters that a page shows" in problems[0]


def test_several_controls_have_columns_of_their_own(tmp_path: Path) -> None:
    other = span(0, 4, "X", TEXT) | {"from_name": "first"}
    results = [SPANS[1], other, choice("pos"), choice("a", "b", control="topic")]
    rows, _, _ = read(write(tmp_path, [task(TEXT, results), task("Ann", [])]))
    assert [entity["label"] for entity in rows[0]["first"]] == ["X"]
    assert len(rows[0]["entities"]) == 2
    assert (rows[0]["sentiment"], rows[0]["topic"]) == (["pos"], ["a", "b"])
    assert (rows[1]["sentiment"], rows[1]["topic"]) == (None, [])


def control(kind: str, value: Any) -> dict[str, Any]:
    """A result of a control named "c"."""
    value = {"text" if kind == "textarea" else kind: value}
    return {"from_name": "c", "to_name": "text", "type": kind, "value": value}


@pytest.mark.parametrize(
    ("kind", "first", "second", "expected"),
    [
        ("choices", ["late"], ["broken"], ["late", "broken"]),
        ("choices", ["late", "broken"], ["broken"], ["late", "broken"]),
        ("taxonomy", [["a", "b"]], [["c"]], ["a/b", "c"]),
        ("textarea", ["One."], ["Two."], ["One.", "Two."]),
        ("textarea", "One.", ["Two."], ["One.", "Two."]),
        ("rating", 4, 4, 4),
    ],
)
def test_two_results_of_one_control_are_both_kept(
    tmp_path: Path, kind: str, first: Any, second: Any, expected: Any
) -> None:
    both = [control(kind, first), control(kind, second)]
    rows, problems, _ = read(write(tmp_path, [task(TEXT, both), task("Ann", [])]))
    column = "c" if kind == "textarea" else "label"
    assert problems == [] and rows[0][column] == expected
    # A control with several classes gives an empty list where nothing was chosen.
    assert rows[1][column] == ([] if kind in ("choices", "taxonomy") else None)


@pytest.mark.parametrize("kind", ["rating", "number"])
def test_two_values_of_a_control_that_has_one_are_a_problem(tmp_path: Path, kind: str) -> None:
    path = write(tmp_path, [task(TEXT, [control(kind, 4), control(kind, 2)])])
    rows, problems, _ = read(path)
    assert rows == [] and len(problems) == 1
    assert problems[0].startswith(f"{path}:1: ")
    assert 'two values of the control "c", "4" and "2"; delete one of them' in problems[0]


def test_classes_beside_spans_of_a_control_called_label_keep_their_name(tmp_path: Path) -> None:
    results = [SPANS[0], SPANS[1] | {"from_name": "places"}, choice("pos")]
    rows, problems, _ = read(write(tmp_path, [task(TEXT, results)]))
    assert problems == [] and rows[0]["sentiment"] == ["pos"]
    assert [entity["label"] for entity in rows[0]["label"]] == ["PER"]
    assert [entity["label"] for entity in rows[0]["places"]] == ["LOC"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"labels": []}, "the span 0..4 has no label"),
        ({"labels": [" "]}, "the span 0..4 has no label"),
        ({"labels": [None]}, "the span 0..4 has no label"),
        ({"labels": [3]}, 'the span 0..4 has the label "3", which is not text'),
        ({"start": "/p[1]", "end": "/p[2]"}, "whose place does not count characters"),
        ({"start": True}, "whose place does not count characters"),
        ({"start": None}, "whose place does not count characters"),
    ],
)
def test_a_span_that_cannot_be_read_is_named_by_its_line(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    broken = span(0, 4, "PER", TEXT)
    broken["value"] |= change
    path = tmp_path / "a.json"
    path.write_text(f"[{json.dumps(task(TEXT, SPANS))},\n{json.dumps(task(TEXT, [broken]))}]")
    rows, problems, _ = read(str(path))
    assert rows == [] and len(problems) == 1
    assert problems[0].startswith(f"{path}:2: ") and told in problems[0]


@pytest.mark.parametrize("direction", [["right"], {}, 3, "up"])
def test_a_direction_that_is_none_is_a_problem(tmp_path: Path, direction: Any) -> None:
    relation = {"type": "relation", "from_id": "r0", "to_id": "r18", "direction": direction}
    path = write(tmp_path, [task(TEXT, SPANS), task(TEXT, [*SPANS, relation])], "a.jsonl")
    rows, problems, _ = read(path)
    assert rows == [] and len(problems) == 1 and problems[0].startswith(f"{path}:2: a relation has")
    assert problems[0].endswith("; it must be left, right or bi")


def test_spans_and_classes_need_controls_of_their_own(tmp_path: Path) -> None:
    results = [dict(one) for one in (*SPANS, choice("x"))]
    for one in results:
        del one["from_name"]
    path = write(tmp_path, [task(TEXT, [*SPANS, choice("x")]), task(TEXT, results)], "a.jsonl")
    rows, problems, _ = read(path)
    assert rows == [] and len(problems) == 1
    assert problems[0].startswith(f'{path}:2: a result of "choices" has the "from_name" "", as')
    path = write(tmp_path, [task(TEXT, results[::-1])], "a.jsonl")
    rows, problems, _ = read(path)
    assert rows == [] and len(problems) == 1
    assert problems[0].startswith(f'{path}:row 1: a result of "labels" has the "from_name" "", as')
    stars = {"type": "rating", "value": {"rating": 4}}
    assert len(read(write(tmp_path, [task(TEXT, [results[-1], stars])]))[1]) == 1
    rows, problems, _ = read(write(tmp_path, [task(TEXT, results[-1:])]))
    assert problems == [] and rows[0]["label"] == ["x"]


def test_a_relation_to_nowhere_is_a_problem(tmp_path: Path) -> None:
    relation = {"type": "relation", "from_id": "r0", "to_id": "gone", "direction": "right"}
    _, problems, _ = read(write(tmp_path, [task(TEXT, [*SPANS, relation])]))
    assert len(problems) == 1 and '"gone", which is not in its annotation' in problems[0]


def test_utf16_offsets_are_found_and_mended_on_request(tmp_path: Path) -> None:
    tasks = []
    for number in range(20):
        text = f"🚀🚀 Ann flies {number}"
        value = {"start": 5, "end": 8, "text": "Ann", "labels": ["PER"]}
        tasks.append(task(text, [span(0, 1, "PER", text) | {"value": value}]))
    path = write(tmp_path, tasks)
    with pytest.raises(UserError, match="give --entity-offsets utf16"):
        load_splits("ner", train_file=path)
    splits = load_splits("ner", train_file=path, reading=ReadingOptions(entity_offsets="utf16"))
    assert splits.train[0].tags is not None and splits.train[0].tags[2] == "B-PER"


def test_prediction_reads_every_task_whatever_its_annotations(tmp_path: Path) -> None:
    broken = task("Ann ran", [span(0, 3, "PER", "Ann ran")])
    broken["annotations"][0]["result"] = "?"
    path = write(tmp_path, [task(TEXT, SPANS, [choice("x")]), {"data": {"text": "Open"}}, broken])
    examples = read_examples_file("ner", path, labelled=False)
    assert [example.text for example in examples] == [TEXT, "Open", "Ann ran"]


def test_line_ends_that_a_version_escapes_are_line_ends(tmp_path: Path) -> None:
    text = "Jane\nSmith ran"
    given = span(0, 10, "PER", text)
    given["value"]["text"] = "Jane\\nSmith"
    rows, _, _ = read(write(tmp_path, [task(text, [given])]))
    assert rows[0]["entities"][0]["text"] == "Jane\nSmith"


def test_completions_of_the_first_versions_are_read(tmp_path: Path) -> None:
    old = task(TEXT, SPANS)
    old["completions"] = old.pop("annotations")
    rows, problems, _ = read(write(tmp_path, [old]))
    assert rows[0]["entities"] == ENTITIES and problems == []


def test_its_conll_is_read(tmp_path: Path) -> None:
    path = tmp_path / "export.conll"
    path.write_text(
        "-DOCSTART- -X- O\nJane -X- _ B-PER\nran -X- _ O\n\nIt -X- _ O\nsnows -X- _ O\n"
    )
    rows, problems, _ = read(str(path))
    assert problems == []
    assert rows[0] == {"tokens": ["Jane", "ran"], "tags": ["B-PER", "O"]}
