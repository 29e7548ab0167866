"""Exports with any one value replaced or deleted: read, or refused by one line that names it."""

import copy
import json
import tempfile
from pathlib import Path
from typing import Any

from export_files import choice, read, span, task, write
from hypothesis import given
from hypothesis import strategies as st

from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.convert import convert_file

TEXT = "Jane Smith visits Berlin"
RELATION = {"type": "relation", "from_id": "r0", "to_id": "r18", "direction": "right"}
RESULTS = [span(0, 10, "PER", TEXT), span(18, 24, "LOC", TEXT), RELATION, choice("a", "b")]
TOKENS = [{"text": "Jane", "start": 0, "end": 4, "id": 0}]
PRODIGY = {"text": TEXT, "_input_hash": 1, "answer": "accept"}
EXPORTS: dict[str, list[Any]] = {
    "label_studio": [task(TEXT, RESULTS, RESULTS), task(TEXT, [])],
    "short": [
        {
            "text": TEXT,
            "id": 3,
            "label": [{"start": 0, "end": 4, "text": "Jane", "labels": ["PER"]}],
            "topic": {"choices": ["a", "b"]},
            "annotator": {"id": 1, "email": "x@y"},
            "annotation_id": 2,
            "lead_time": 3.5,
        }
    ],
    "doccano": [
        {
            "id": 1,
            "text": TEXT,
            "entities": [
                {"id": 5, "label": "PER", "start_offset": 0, "end_offset": 4},
                {"id": 6, "label": "LOC", "start_offset": 18, "end_offset": 24},
            ],
            "relations": [{"id": 9, "from_id": 5, "to_id": 6, "type": "visits"}],
            "cats": ["x"],
        }
    ],
    "triples": [{"text": TEXT, "label": [[0, 4, "PER"]]}, {"text": TEXT, "label": []}],
    "users": [
        {"text": TEXT, "annotations": [{"label": 1, "start_offset": 0, "end_offset": 4, "user": 1}]}
    ],
    "prodigy": [
        PRODIGY
        | {
            "tokens": TOKENS,
            "spans": [{"start": 0, "end": 4, "token_start": 0, "token_end": 0, "label": "PER"}],
            "relations": [
                {"head": 0, "child": 0, "label": "x", "head_span": {"start": 0, "end": 4}}
            ],
        },
        PRODIGY | {"options": [{"id": "a"}], "accept": ["a"], "config": {"choice_style": "single"}},
    ],
    "questions": [PRODIGY | {"label": "a"}, PRODIGY | {"label": "b", "answer": "reject"}],
    "spacy": [
        [TEXT, {"entities": [[0, 4, "PER"]], "cats": {"a": 1, "b": 0}}],
        {"text": TEXT, "ents": [{"start": 0, "end": 4, "label": "PER"}], "cats": {"a": 1}},
        {
            "paragraphs": [
                {"raw": TEXT, "sentences": [{"tokens": [{"orth": "Jane", "ner": "U-PER"}]}]}
            ]
        },
    ],
    "gliner": [{"tokenized_text": ["a", "b"], "ner": [[0, 0, "X"]], "relations": [[0, 0, "r"]]}],
}
JUNK = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-2, 30),
    st.just(1e300),
    st.sampled_from(["", " ", "x", "0", "\ud800", "O"]),
    st.sampled_from([[], {}, [None], [[]], [{}], {"a": None}, [[0, 1, 2]], [1, 2]]),
)


def inner(value: Any) -> list[tuple[Any, Any]]:
    """Every place in a value: a container and a key of it."""
    pairs = list(
        value.items()
        if isinstance(value, dict)
        else enumerate(value)
        if isinstance(value, list)
        else ()
    )
    return [(value, key) for key, _ in pairs] + [p for _, one in pairs for p in inner(one)]


ANN = (
    "T1\tPER 0 10\tJane Smith\nT2\tLOC 5 10;18 24\tSmith Berlin\nR1\tx Arg1:T1 Arg2:T2\nE1\tx:T1\n"
)


@given(st.data(), st.sampled_from([None, "join", "split", "drop"]))
def test_a_broken_folder_is_read_or_named(data: st.DataObject, how: str | None) -> None:
    place = data.draw(st.integers(0, len(ANN) - 1))
    junk = data.draw(st.sampled_from(["", "\t", " ", ";", "\n", "9", "T", "\u2028", "\r"]))
    broken = ANN[:place] + junk + ANN[place + data.draw(st.integers(0, 3)) :]
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "a.txt").write_text(TEXT)
        (Path(folder) / "a.ann").write_bytes(broken.encode())
        rows, problems, _ = read(folder, discontinuous=how)
    assert rows or problems
    assert all(problem.startswith(f"{folder}/a.ann:") for problem in problems)
    for entity in rows[0]["entities"]:
        assert 0 <= entity["start"] < entity["end"] <= len(TEXT)


@given(st.sampled_from(sorted(EXPORTS)), st.data())
def test_a_broken_value_is_read_or_named(kind: str, data: st.DataObject) -> None:
    rows = copy.deepcopy(EXPORTS[kind])
    for _ in range(data.draw(st.integers(1, 2))):
        container, key = data.draw(st.sampled_from(inner(rows)))
        if data.draw(st.booleans()) and isinstance(container, dict):
            container.pop(key, None)
        else:
            container[key] = copy.deepcopy(data.draw(JUNK))
    with tempfile.TemporaryDirectory() as place:
        path = Path(place) / "export.jsonl"
        path.write_text("\n".join(map(json.dumps, rows)))
        for labelled in (True, False):
            given_rows, problems, _ = read(str(path), labelled=labelled, annotations="majority")
            assert given_rows or problems
            assert all(problem.startswith(str(path)) for problem in problems)
            assert len(problems) <= len(rows)
        for to in ("jsonl", "label_studio", "doccano", "conll"):
            try:
                convert_file(str(path), f"{place}/{to}", to=to)
            except UserError as error:
                assert str(path) in str(error)


def test_rows_of_two_tools_in_one_file_are_named_and_not_half_read(tmp_path: Path) -> None:
    doccano = {"text": "Jane visits", "label": [[0, 4, "person"]]}
    prodigy = {"text": "Jane visits", "_input_hash": 1, "answer": "accept", "spans": []}
    gliner = {"tokenized_text": ["Jane", "visits"], "ner": [[0, 0, "person"]]}
    spacy = {"text": "Jane visits", "entities": [[0, 4, "person"]]}
    for first, second in (
        (doccano, prodigy), (prodigy, gliner), (spacy, gliner), (spacy, prodigy),
    ):  # fmt: skip
        for pair in ([first, second], [second, first]):
            path = write(tmp_path, pair, "mixed.jsonl")
            rows, problems, _ = read(path)
            assert rows == [] and len(problems) == 1, pair
            assert "put the rows of each tool into a file of their own" in problems[0]
            assert len(read(path, labelled=False)[0]) == 2 or gliner in pair


def test_spans_in_two_columns_of_a_file_are_all_read(tmp_path: Path) -> None:
    label = {"text": "Jane visits", "label": [[0, 4, "person"]]}
    entities = {"text": "Jane visits", "entities": [[0, 4, "person"]]}
    rows, problems, _ = read(write(tmp_path, [label, entities], "mixed.jsonl"))
    assert problems == []
    assert [len(row["entities"]) for row in rows] == [1, 1]


def test_a_text_of_the_old_doccano_that_nobody_labelled_is_left_out(tmp_path: Path) -> None:
    rows = [
        {"text": "fine", "annotations": [{"label": "pos", "user": 1}]},
        {"text": "later", "annotations": []},
    ]
    found, problems, notices = read(write(tmp_path, rows, "old.jsonl"))
    assert problems == [] and [row["text"] for row in found] == ["fine"]
    assert any("1 row without an annotation left out" in notice for notice in notices)
