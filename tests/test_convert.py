"""lowcost-ft convert: what is written, and that spans come back to the character."""

import csv
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from export_files import choice, read, span, task, write
from hypothesis import example, given
from hypothesis import strategies as st

from lowcost_ft.commands.main import main
from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.convert import convert_file
from lowcost_ft.tasks.loading import load_splits

TEXT = "Jane Smith visits Berlin"
ENTITIES = [
    {"id": "a", "start": 0, "end": 10, "label": "PER"},
    {"id": "b", "start": 18, "end": 24, "label": "LOC"},
]
ROW: dict[str, Any] = {
    "id": 3,
    "text": TEXT,
    "entities": ENTITIES,
    "relations": [{"head": "a", "tail": "b", "label": "visits"}],
    "label": ["travel"],
    "meta": {"source": "x"},
}


def converted(
    folder: Path, rows: list[Any], to: str, name: str = "out", **reading: Any
) -> tuple[Path, list[str]]:
    target = folder / name
    source = write(folder, rows, f"{name}-in.jsonl")
    done = convert_file(source, str(target), to=to, reading=ReadingOptions(**reading))
    return target, done.notices


def places(row: dict[str, Any]) -> list[tuple[int, int, str]]:
    return sorted((e["start"], e["end"], e["label"]) for e in row["entities"])


def test_texts_to_label_leave_out_blank_rows_and_keep_half_a_surrogate_pair(tmp_path: Path) -> None:
    rows: list[Any] = [{"text": ""}, {"text": "Jane", "by": "\udc00"}, {"text": None}]
    source = write(tmp_path, rows, "in.jsonl")
    done = convert_file(source, str(tmp_path / "out.jsonl"), labelled=False)
    assert any("2 rows without a text left out" in notice for notice in done.notices)
    assert json.loads((tmp_path / "out.jsonl").read_text("utf-8")) == rows[1]


def test_rows_of_words_keep_their_other_fields_and_blank_ones_are_left_out(tmp_path: Path) -> None:
    rows: list[Any] = [
        {"id": 7, "tokens": ["\u00a0"], "tags": ["O"], "source": "blank"},
        {"id": 8, "tokens": ["Jane"], "tags": ["B-PER"], "ner_tags": ["O"], "meta": {"day": 1}},
    ]
    target, notices = converted(tmp_path, rows, "jsonl")
    (row,) = map(json.loads, target.read_text("utf-8").splitlines())
    assert (row["id"], row["text"], row["meta"]) == (8, "Jane", {"day": 1})
    assert places(row) == [(0, 4, "PER")] and "ner_tags" not in row
    assert any('"ner_tags" left out' in notice for notice in notices)
    assert any("1 row that hold blanks alone left out" in notice for notice in notices)
    with pytest.raises(UserError, match="1 token but 0 tags"):  # No row is left.
        converted(tmp_path, [{"tokens": ["Jane"], "tags": []}], "jsonl", "none")
    columns, _ = converted(tmp_path, rows, "conll", "columns")
    assert columns.read_text("utf-8") == "Jane\tB-PER\n\n"


@pytest.mark.parametrize("to", ["jsonl", "label_studio", "doccano"])
def test_a_whole_row_comes_back(tmp_path: Path, to: str) -> None:
    target, _ = converted(tmp_path, [ROW], to)
    rows, problems, _ = read(str(target))
    assert problems == [] and len(rows) == 1
    assert places(rows[0]) == places(ROW)
    assert {n: rows[0][n] for n in ("id", "text", "label", "meta")} == {
        n: ROW[n] for n in ("id", "text", "label", "meta")
    }
    heads = {e["id"]: e["label"] for e in rows[0]["entities"]}
    ((relation),) = rows[0]["relations"]
    assert heads[relation["head"]] == "PER" and heads[relation["tail"]] == "LOC"
    assert relation["label"] == "visits"


PAIRS = {
    "words": {
        "id": "e7",
        "token": ["Jane", "Smith", "visits", "Berlin"],
        **{"subj_start": 0, "subj_end": 1, "obj_start": 3, "obj_end": 3},
        **{"subj_type": "PER", "obj_type": "LOC", "relation": "visits"},
    },
    "tags": {
        "id": "e7",
        "text": "<e1:PER>Jane Smith</e1> visits <e2:LOC>Berlin</e2>",
        "relation": "visits",
    },
    "places": {
        "id": "e7",
        "sentence": TEXT,
        "head": {"start": 0, "end": 10, "type": "PER"},
        "tail": {"start": 18, "end": 24, "type": "LOC"},
        "label": "visits",
    },
}


@pytest.mark.parametrize("form", PAIRS)
def test_rows_that_name_one_pair_keep_it(tmp_path: Path, form: str) -> None:
    row = PAIRS[form] | {"docid": "x"}
    target, _ = converted(tmp_path, [row], "jsonl")
    (written,) = read(str(target))[0]
    places = {n: v for n, v in PAIRS["places"].items() if n != "sentence"}
    assert written == places | {"text": TEXT, "docid": "x"}
    for to in ("label_studio", "doccano"):
        target, notices = converted(tmp_path, [row], to, name=to)
        (back,) = read(str(target))[0]
        by_id = {e["id"]: TEXT[e["start"] : e["end"]] for e in back["entities"]}
        ((relation),) = back["relations"]
        ends = [by_id[relation[end]] for end in ("head", "tail")]
        assert (ends, relation["label"]) == (["Jane Smith", "Berlin"], "visits")
        assert [e["label"] for e in back["entities"]] == ["PER", "LOC"]
        assert "label" not in back and "other direction" in " ".join(notices)
    with pytest.raises(UserError, match="names one pair of entities a row"):
        converted(tmp_path, [row], "conll", name="c")


def test_pairs_without_types_or_labels(tmp_path: Path) -> None:
    untyped = [{"text": "<e1>Jane</e1> visits <e2>Berlin</e2>", "label": "visits"}]
    target, notices = converted(tmp_path, untyped, "label_studio")
    assert '2 entities without a type got the label "entity"' in " ".join(notices)
    source, target = write(tmp_path, [PAIRS["words"]], "w.jsonl"), tmp_path / "plain.jsonl"
    convert_file(source, str(target), labelled=False)
    assert json.loads(target.read_text()) == {"id": "e7", "text": TEXT, "relation": "visits"}
    with pytest.raises(UserError, match=r"lacks <e2>"):
        converted(tmp_path, [{"text": "<e1>Jane</e1> visits", "label": "x"}], "jsonl", name="l")


def test_an_id_that_is_null_is_none(tmp_path: Path) -> None:
    row = {"text": TEXT, "entities": [e | {"id": None} for e in ENTITIES]}
    row["relations"] = [{"head": 0, "tail": 1, "label": "visits"}]
    target, _ = converted(tmp_path, [row], "jsonl", format="json")
    (written,) = read(str(target))[0]
    assert [entity["id"] for entity in written["entities"]] == ["T1", "T2"]
    assert written["relations"] == [{"head": "T1", "tail": "T2", "label": "visits"}]


@pytest.mark.parametrize("to", ["jsonl", "doccano"])
@pytest.mark.parametrize("relations", [None, [{"head": [1], "tail": "b", "label": "visits"}]])
def test_an_id_that_is_a_list_is_a_problem(tmp_path: Path, to: str, relations: Any) -> None:
    row = {"text": TEXT, "entities": [ENTITIES[0] | {"id": [1]}, *ENTITIES[1:]]}
    row |= {} if relations is None else {"relations": relations}
    path = tmp_path / "in.jsonl"
    path.write_text("\n".join(json.dumps(one) for one in (ROW, row)), "utf-8")
    with pytest.raises(UserError) as caught:
        convert_file(str(path), str(tmp_path / "out.jsonl"), to=to)
    told = 'an entity has the id "[1]"; it must be a number or a text'
    assert caught.value.problems == [f"{path}:2: {told}"]


def test_a_relation_of_an_id_that_two_entities_have_is_a_problem(tmp_path: Path) -> None:
    twins = [ENTITIES[0], ENTITIES[1] | {"id": "a"}, {"id": "b", "start": 11, "end": 17}]
    twins[2]["label"] = "ACT"
    with pytest.raises(UserError, match='the entity "a", and several of the row have this id'):
        converted(tmp_path, [ROW | {"entities": twins}], "jsonl")
    # What no relation names is only a list of entities.
    target, _ = converted(tmp_path, [ROW | {"entities": twins, "relations": []}], "jsonl", "plain")
    assert len(json.loads(target.read_text())["entities"]) == 3


def test_relations_by_place_or_in_cells(tmp_path: Path) -> None:
    spans = [{n: v for n, v in e.items() if n != "id"} for e in ENTITIES]
    row = {"text": TEXT, "entities": spans}
    row["relations"] = [{"from_id": 0, "to_id": 1, "type": "visits"}]
    target, _ = converted(tmp_path, [row], "jsonl", format="json")
    (written,) = read(str(target))[0]
    assert written["relations"] == [{"head": "T1", "tail": "T2", "label": "visits"}]
    table = tmp_path / "t.csv"
    with table.open("w", newline="") as file:
        lines = csv.DictWriter(file, list(row))
        lines.writeheader()
        lines.writerow({n: v if isinstance(v, str) else json.dumps(v) for n, v in row.items()})
    done = convert_file(str(table), str(tmp_path / "of-table.jsonl"))
    assert (done.entities, done.relations) == (2, 1)


def test_the_forms_of_each_tool(tmp_path: Path) -> None:
    target, _ = converted(tmp_path, [ROW], "doccano")
    line = json.loads(target.read_text())
    assert line["entities"][0] == {"id": 1, "label": "PER", "start_offset": 0, "end_offset": 10}
    assert line["relations"] == [{"from_id": 1, "to_id": 2, "type": "visits"}]
    assert line["cats"] == ["travel"]
    spans = {"text": TEXT, "entities": ENTITIES}
    target, _ = converted(tmp_path, [spans], "doccano", "spans")
    assert json.loads(target.read_text())["label"] == [[0, 10, "PER"], [18, 24, "LOC"]]
    target, _ = converted(tmp_path, [{"text": TEXT, "label": "x"}], "doccano", "classes")
    assert json.loads(target.read_text()) == {"text": TEXT, "label": ["x"]}
    target, _ = converted(tmp_path, [spans], "label_studio", "tasks")
    tasks = json.loads(target.read_text())
    assert tasks[0]["annotations"][0]["result"][0]["value"]["text"] == "Jane Smith"


def test_columns_hold_words_and_say_what_they_lose(tmp_path: Path) -> None:
    entities = [{"start": 0, "end": 2, "label": "X"}, ENTITIES[1]]
    row = ROW | {"id": 0, "entities": entities, "relations": []}
    target, notices = converted(tmp_path, [row], "conll")
    assert target.read_text() == ("Ja\tB-X\nne\tO\nSmith\tO\nvisits\tO\nBerlin\tB-LOC\n\n")
    told = "\n".join(notices)
    assert "1 word in which a span begins or ends cut there, first" in told and '"Jane"' in told
    assert '"id" of 1 row left out' in told  # An id of 0 is one, too.
    assert '"label" of 1 row left out' in told and '"meta" of 1 row left out' in told


def test_columns_become_texts(tmp_path: Path) -> None:
    source = tmp_path / "in.conll"
    source.write_text("Jane I-PER\nSmith I-PER\nran O\n\nBerlin I-LOC\nsleeps O\n")
    convert_file(str(source), str(tmp_path / "out.jsonl"))
    rows, _, _ = read(str(tmp_path / "out.jsonl"))
    assert [row["text"] for row in rows] == ["Jane Smith ran", "Berlin sleeps"]
    assert places(rows[0]) == [(0, 10, "PER")]


def test_label_studio_to_jsonl_names_blank_edges(tmp_path: Path) -> None:
    results = [span(0, 11, "PER", TEXT), choice("pos")]
    source = write(tmp_path, [task(TEXT, results)], "ls.json")
    done = convert_file(source, str(tmp_path / "out.jsonl"))
    assert any("1 entity with a blank at an edge kept as it is" in n for n in done.notices)
    rows, _, _ = read(str(tmp_path / "out.jsonl"))
    assert places(rows[0]) == [(0, 11, "PER")] and rows[0]["label"] == ["pos"]


@pytest.mark.parametrize(
    ("row", "to", "told"),
    [
        (ROW | {"entities": [*ENTITIES, ENTITIES[0] | {"start": 5}]}, "conll", "overlap"),
        (ROW | {"entities": [ENTITIES[0] | {"end": 99}]}, "jsonl", "does not lie in its text"),
        (
            ROW | {"entities": [ENTITIES[0] | {"label": "a\tb"}, ENTITIES[1]]},
            "conll",
            "holds a tab",
        ),
        (ROW | {"entities": [ENTITIES[0]]}, "jsonl", 'names the entity "b"'),
        (ROW | {"entities": [ENTITIES[0] | {"text": "Jan"}]}, "jsonl", "offsets cut out"),
        ({"text": "a", "label": "x"}, "conll", "has no entities"),
        ({"text": "a\0", "entities": []}, "conll", "zero byte"),
        ({"text": " x", "entities": [{"start": 0, "end": 1, "label": "X"}]}, "conll", "blanks"),
    ],
)
def test_what_a_form_cannot_hold_is_refused_and_nothing_written(
    tmp_path: Path, row: dict[str, Any], to: str, told: str
) -> None:
    with pytest.raises(UserError, match=told):
        converted(tmp_path, [row], to)
    assert not (tmp_path / "out").exists()


def test_texts_become_tasks_to_label(tmp_path: Path) -> None:
    (tmp_path / "in.txt").write_text("One text\n\nAnother text, longer\n")
    convert_file(str(tmp_path / "in.txt"), str(tmp_path / "out.json"), labelled=False)
    tasks = json.loads((tmp_path / "out.json").read_text())
    assert [one["data"]["text"] for one in tasks] == ["One text", "Another text, longer"]
    assert tasks[0]["annotations"] == []


@pytest.mark.parametrize(
    ("text", "hint"),
    [
        ("hello world\nmy lamp is broken\nthanks a lot\n", True),
        ("hello\nthanks\n", True),
        ("Anna B-p\nlives O\nx y z\n", False),
    ],
)
def test_texts_without_labels_are_told_from_words(tmp_path: Path, text: str, hint: bool) -> None:
    source = tmp_path / "texts.txt"
    source.write_text(text, "utf-8")
    with pytest.raises(UserError) as caught:
        convert_file(str(source), str(tmp_path / "out.jsonl"))
    assert ("add --no-labels" in str(caught.value)) == hint


def test_the_command_writes_once_and_says_what(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, target = write(tmp_path, [ROW], "a.jsonl"), str(tmp_path / "b.json")
    assert main(["convert", source, target]) == 0
    assert capsys.readouterr().out == f"{target}: 1 row, 2 entities, 1 relation\n"
    assert main(["convert", source, target]) == 2
    assert "exists already" in capsys.readouterr().err
    assert main(["convert", source, source]) == 2
    assert main(["convert", source, str(tmp_path / "c.xyz")]) == 2
    assert "say with --to what to write" in capsys.readouterr().err
    assert main(["convert", target, str(tmp_path / "d.conll"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["entities"] == 2


# --- Classes ------------------------------------------------------------------------------------


def classes_of(path: Path) -> list[Any]:
    return [json.loads(line).get("label") for line in path.read_text("utf-8").splitlines()]


@pytest.mark.parametrize(
    ("content", "flags", "expected"),
    [
        ("Text,Label\na,x\nb,y\n", {}, ["x", "y"]),
        ("text,Kind\na,x\nb,y\n", {"label_column": "kind"}, ["x", "y"]),
        ("text,bad,rude\na,1,0\nb,0,0\n", {}, [["bad"], []]),
        ("text,bad,rude,n\na,1,1,1\n", {"label_columns": "bad,rude"}, [["bad", "rude"]]),
        ("text,label\na,x;y\nb,y\n", {"label_separator": ";"}, [["x", "y"], ["y"]]),
        ("text,label\na,\"['x', 'y']\"\nb,['y']\n", {}, [["x", "y"], ["y"]]),
        ("text,label\na,x\nb,-1\n", {"exclude_label": "-1"}, ["x"]),
        ("text,label\na,0\nb,1\n", {"label_names": "no,yes"}, ["no", "yes"]),
        ('text,label\na,"0,5"\nb,2\n', {"decimal_comma": True}, [0.5, 2.0]),
        ("text,label\na,x\nb,\n", {}, ["x", None]),
        ("text,label\na,x\nb,\n", {"exclude_label": ""}, ["x"]),
        (
            "text,label\n<e1>a</e1> <e2>b</e2>,x\n<e1>a</e1> <e2>c</e2>,\n",
            {"exclude_label": ""},
            ["x"],
        ),
        (
            "text,label\n<e1>a</e1> <e2>b</e2>,x\n<e1>a</e1> <e2>c</e2>,y\n",
            {"exclude_label": "y"},
            ["x"],
        ),
    ],
)
def test_classes_are_read_as_in_training(
    tmp_path: Path, content: str, flags: dict[str, Any], expected: list[Any]
) -> None:
    source, target = tmp_path / "a.csv", tmp_path / "b.jsonl"
    source.write_text(content)
    convert_file(str(source), str(target), reading=ReadingOptions(**flags))
    assert classes_of(target) == expected


def test_a_truth_value_has_the_name_that_training_gives_it(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": True}, {"text": "b", "label": False}]
    target, _ = converted(tmp_path, rows, "label_studio")
    back, _, _ = read(str(target))
    assert [row["label"] for row in back] == [["true"], ["false"]]


def test_what_convert_cannot_tell_of_classes_is_said(tmp_path: Path) -> None:
    rows = [{"text": "a", "label": "x;y"}, {"text": "b", "label": "y"}]
    with pytest.raises(UserError, match="--label-separator"):
        converted(tmp_path, rows, "jsonl")
    with pytest.raises(UserError, match="exclude each other"):
        converted(tmp_path, rows, "jsonl", label_separator=";", decimal_comma=True)
    with pytest.raises(UserError, match='no column "lable"'):
        converted(tmp_path, rows, "jsonl", label_column="lable")
    single = "single_label_classification"
    target, _ = converted(tmp_path, rows, "jsonl", problem_type=single)
    assert classes_of(target) == ["x;y", "y"]
    _, notices = converted(tmp_path, [{"text": "a", "kind": "x"}], "label_studio", "none")
    assert "no column of labels or entities" in notices[0] and "--label-column" in notices[0]


def test_a_field_beside_entities_needs_no_flag(tmp_path: Path) -> None:
    row = {"text": TEXT, "entities": ENTITIES, "topic": "a;b"}
    rows = [row, row | {"topic": "b"}]
    target, _ = converted(tmp_path, rows, "jsonl")
    assert classes_of(target) == ["a;b", "b"]
    target, _ = converted(tmp_path, rows, "jsonl", "split", label_separator=";")
    assert classes_of(target) == [["a", "b"], ["b"]]


def test_pairs_of_texts_keep_both(tmp_path: Path) -> None:
    rows = [{"premise": "It rains", "hypothesis": "It is wet", "label": "entailment"}]
    target, _ = converted(tmp_path, rows, "label_studio")
    (task_,) = json.loads(target.read_text())
    assert task_["data"] == {"text": "It rains", "text_pair": "It is wet"}
    target, _ = converted(tmp_path, rows, "jsonl", "lines")
    expected = {"text": "It rains", "text_pair": "It is wet", "label": "entailment"}
    assert json.loads(target.read_text()) == expected


@pytest.mark.parametrize("to", ["jsonl", "label_studio", "doccano"])
@pytest.mark.parametrize(
    "row", [{"text": "Jane", "label": "x"}, {"text": "Jane", "label": [[0, 4, "PER"]]}, ROW]
)
def test_without_labels_none_is_written(tmp_path: Path, to: str, row: dict[str, Any]) -> None:
    source, target = write(tmp_path, [row], "in.jsonl"), tmp_path / "out"
    convert_file(source, str(target), to=to, labelled=False)
    written = json.loads(target.read_text())
    if to == "label_studio":
        assert written[0]["annotations"] == []
        written = written[0]["data"]
    assert {"label", "entities", "relations", "cats"}.isdisjoint(written)


# --- Any Unicode --------------------------------------------------------------------------------

TEXTS = st.text(
    st.characters(exclude_categories=("Cs",))
    | st.sampled_from("aé漢🚀 \u0301\u200b#-\t\n\r\u2028"),
    min_size=1,
    max_size=12,
).filter(str.strip)
LABELS = st.sampled_from(["PER", "a b", "O", "B-X", "漢"])


@st.composite
def texts_with_spans(draw: st.DrawFn) -> dict[str, Any]:
    text = draw(TEXTS)
    edges = st.integers(0, len(text))
    spans = draw(st.lists(st.tuples(edges, edges, LABELS), max_size=4))
    entities = [
        {"id": f"T{number}", "start": min(a, b), "end": max(a, b), "label": label}
        for number, (a, b, label) in enumerate(spans, 1)
        if a != b
    ]
    return {"text": text, "entities": entities}


@given(st.lists(texts_with_spans(), min_size=1, max_size=3))
@example([{"text": "\ufeffx", "entities": [{"id": "T1", "start": 0, "end": 1, "label": "X"}]}])
def test_spans_come_back_to_the_character(rows: list[dict[str, Any]]) -> None:
    with tempfile.TemporaryDirectory() as place:
        for to in ("jsonl", "label_studio", "doccano"):
            target, _ = converted(Path(place), rows, to, to)
            back, problems, _ = read(str(target))
            assert problems == []
            assert [row["text"] for row in back] == [row["text"] for row in rows]
            assert list(map(places, back)) == list(map(places, rows))
            # And from there to the first form again.
            convert_file(str(target), f"{place}/{to}-again.jsonl")
            again, _, _ = read(f"{place}/{to}-again.jsonl")
            assert list(map(places, again)) == list(map(places, rows))


def visible(text: str) -> str:
    return "".join(text.split())


@given(texts_with_spans().filter(lambda row: "\0" not in row["text"]))
def test_columns_keep_spans_up_to_blanks(row: dict[str, Any]) -> None:
    spans = sorted(places(row))
    kept: list[dict[str, Any]] = []
    for start, end, label in spans:
        inside = row["text"][start:end]
        if inside.strip() and (not kept or kept[-1]["end"] <= start):
            kept.append({"start": start, "end": end, "label": label})
    with tempfile.TemporaryDirectory() as place:
        given_row = row | {"entities": kept}
        target, _ = converted(Path(place), [given_row], "conll", "out.conll")
        convert_file(str(target), f"{place}/back.jsonl")
        (back,), problems, _ = read(f"{place}/back.jsonl")
    assert problems == []
    assert visible(back["text"]) == visible(row["text"])
    assert [(visible(back["text"][s:e]), label) for s, e, label in places(back)] == [
        (visible(row["text"][e["start"] : e["end"]]), e["label"]) for e in kept
    ]


@pytest.mark.parametrize("row", [{"tokens": ["Ada"], "tags": ["B-x"]}, ROW | {"label": None}])
def test_a_class_to_leave_out_is_refused_where_there_are_none(tmp_path: Path, row: Any) -> None:
    row = {name: value for name, value in row.items() if value is not None}
    with pytest.raises(UserError, match="--exclude-label leaves out rows by their class"):
        converted(tmp_path, [row], "jsonl", exclude_label="x")


def test_rows_of_one_line_keep_their_own_labels(tmp_path: Path) -> None:
    rows = [{"id": n, "text": f"text {n}", "label": "ab"[n % 2]} for n in range(4)]
    source = tmp_path / "one_line.json"
    source.write_text(json.dumps(rows))
    convert_file(str(source), str(tmp_path / "all.jsonl"))
    assert read(str(tmp_path / "all.jsonl"))[0] == rows
    without = ReadingOptions(exclude_label="a")
    convert_file(str(source), str(tmp_path / "some.jsonl"), reading=without)
    assert read(str(tmp_path / "some.jsonl"))[0] == rows[1::2]


def test_pairs_of_one_line_keep_their_own_fields(tmp_path: Path) -> None:
    ends = {"subj_start": 0, "subj_end": 0, "obj_start": 2, "obj_end": 2}
    rows = [
        {"id": n, "token": [word, "met", "Bo"], "relation": word, **ends}
        for n, word in enumerate(("Ada", "Cleo"))
    ]
    source = tmp_path / "tacred.json"
    source.write_text(json.dumps(rows))
    convert_file(str(source), str(tmp_path / "out.jsonl"))
    found, _, _ = read(str(tmp_path / "out.jsonl"))
    assert [(row["id"], row["label"]) for row in found] == [(0, "Ada"), (1, "Cleo")]


def test_a_field_named_tags_is_kept_and_other_words_are_named(tmp_path: Path) -> None:
    row = {"text": "Ann met Bob", "entities": [{"start": 0, "end": 3, "label": "p"}]}
    tagged = row | {"tags": ["urgent"]}
    done = convert_file(write(tmp_path, [tagged], "a.jsonl"), str(tmp_path / "b.jsonl"))
    assert json.loads((tmp_path / "b.jsonl").read_text())["tags"] == ["urgent"]
    assert load_splits("ner", train_file=str(tmp_path / "b.jsonl"), validation_share=0).train
    for number, tokens in enumerate((["Ann", "met", "Bob"], ["an", "met", "Bob"], 3)):
        path = write(tmp_path, [row | {"tokens": tokens}], "c.jsonl")
        done = convert_file(path, str(tmp_path / f"d{number}.jsonl"))
        told = any('"tokens" of 1 row, which are not the words' in n for n in done.notices)
        assert told == (number > 0)
    with pytest.raises(UserError, match='or read "entities" of the text: --text-column text'):
        load_splits("ner", train_file=path, validation_share=0)


@pytest.mark.parametrize("to", ["jsonl", "label_studio", "doccano"])
@pytest.mark.parametrize(
    "fields",
    [
        {"entities": ["Apple", "Rome"]},
        {"entities": "Apple; Rome"},
        {"relations": "customer"},
        {"relations": True},
        {"entities": ["Apple"], "relations": 3},
    ],
)
def test_fields_that_hold_no_spans_and_no_pairs_are_no_entities(
    tmp_path: Path, fields: dict[str, Any], to: str
) -> None:
    rows = [{"text": "Apple opened in Rome", "label": "news", **fields}]
    rows.append({"text": "I like it", "label": "chat"})
    _, notices = converted(tmp_path, rows, to)
    for name in fields:
        assert any(
            f'"{name}" holds no ' in n and f'written as "{name}_field"' in n for n in notices
        )
    written = (tmp_path / "out").read_text("utf-8")
    assert "_field" in written and "2 entities" not in "".join(notices)
