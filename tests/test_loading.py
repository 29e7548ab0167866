"""Files -> checked splits; each kind of broken input -> one clear error."""

import json
import os
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import datasets
import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given
from hypothesis import strategies as st

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.validation_cut import cut_validation
from lowcost_ft.errors import UserError
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.classification import TextExample
from lowcost_ft.tasks.inputs import read_examples_file, read_text_lines
from lowcost_ft.tasks.loading import Splits, load_splits
from lowcost_ft.tasks.ner import NerExample

SINGLE, MULTI = "single_label_classification", "multi_label_classification"

REAL_DATA = Path(
    os.environ.get("LOWCOST_FT_DATA") or Path(__file__).resolve().parents[2] / "shared" / "data"
)
needs_real_data = pytest.mark.skipif(
    not REAL_DATA.is_dir(), reason=f"no data folder {REAL_DATA} (LOWCOST_FT_DATA names another)"
)


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are named as a user would type them, without a folder."""
    monkeypatch.chdir(tmp_path)


def write(name: str, content: str | bytes | list[Any]) -> str:
    if isinstance(content, list):
        content = "".join(json.dumps(row) + "\n" for row in content)
    Path(name).write_bytes(content.encode() if isinstance(content, str) else content)
    return name


def texts(count: int, labels: list[Any], start: int = 0) -> list[dict[str, Any]]:
    return [
        {"text": f"text {i}", "label": labels[i % len(labels)]} for i in range(start, start + count)
    ]


def failure(call: Callable[..., Any], *args: Any, **flags: Any) -> list[str]:
    with pytest.raises(UserError) as caught:
        call(*args, **flags)
    return caught.value.problems


# --- Broken inputs: file, content, and what the one error must say ------------------------------

GOOD_CSV = "text,label\n" + "".join(f"message {i},{'ab'[i % 2]}\n" for i in range(20))
GOOD_CONLL = "".join(f"Anna\tB-per\nruns\tO\n{i}\tO\n\n" for i in range(20))
GOOD_ROWS = texts(20, ["a", "b"])
LISTS = texts(20, [["a"], ["b"]])
NUMBERS = texts(20, [1.5, 2.5])
TAGGED = [{"tokens": ["Anna", str(i)], "tags": ["B-per", "O"]} for i in range(20)]
SPANS = [
    {"text": f"Anna {i}", "entities": [{"start": 0, "end": 4, "label": "per"}]} for i in range(20)
]


def spans(*entities: Any, text: Any = "Anna Lee ran") -> list[Any]:
    return [*SPANS, {"text": text, "entities": list(entities)}]


def entity(start: Any, end: Any, label: Any = "per") -> dict[str, Any]:
    return {"start": start, "end": end, "label": label}


CLASSIFICATION_FAULTS: list[tuple[str, str | bytes | list[Any], str]] = [
    ("a.csv", "", r"^a\.csv: the file is empty"),
    ("a.csv", "text,label\n", r"^a\.csv: holds no rows"),
    ("a.csv", GOOD_CSV.encode() + b"caf\xe9,a\n", r"^a\.csv:22: not UTF-8 .*0xe9 at offset"),
    ("a.csv", b"text,label\n\x00\x01\n", r"^a\.csv:2: a binary file"),
    ("a.csv", GOOD_CSV + '"open,a\n', r"^a\.csv:22: the quote that opens here is not closed"),
    ("a.csv", GOOD_CSV + "x,a,b\n", r"^a\.csv:22: 3 fields where the header has 2"),
    ("a.csv", GOOD_CSV + ",a\n", r'^a\.csv:22: "text" is an empty text'),
    ("a.csv", GOOD_CSV + "x,\n", r'^a\.csv:22: "label" is missing'),
    ("a.csv", GOOD_CSV.replace("label", "lable"), r'^a\.csv: no column for the label.*"lable"'),
    ("a.csv", "x,a\ny,b\n" * 9, r'^a\.csv: no column.*--text-column.*"x", "a".*header'),
    ("a.csv", "text,label\nx,a\ny,a\n", r'^a\.csv: one class only: every label is "a"'),
    ("a.jsonl", [*GOOD_ROWS, {"text": "x"}], r'^a\.jsonl:21: "label" is missing'),
    ("a.jsonl", [*GOOD_ROWS, {"label": "a"}], r'^a\.jsonl:21: "text" is missing'),
    ("a.jsonl", [*GOOD_ROWS, {"text": None, "label": "a"}], r'^a\.jsonl:21: "text" is missing'),
    ("a.jsonl", [*GOOD_ROWS, {"text": " \n", "label": "a"}], r"^a\.jsonl:21: .* an empty text"),
    ("a.jsonl", [*GOOD_ROWS, {"text": 3, "label": "a"}], r'^a\.jsonl:21: .*number "3" where a te'),
    ("a.jsonl", [*GOOD_ROWS, {"text": ["x"], "label": "a"}], r"^a\.jsonl:21: .*must be a text"),
    ("a.jsonl", [*GOOD_ROWS, {"text": "\ud800", "label": "a"}], r"^a\.jsonl:21: .*surrogate"),
    ("a.jsonl", [*GOOD_ROWS, {"text": "x", "label": None}], r'^a\.jsonl:21: "label" is missing'),
    ("a.jsonl", [*GOOD_ROWS, {"text": "x", "label": " "}], r'^a\.jsonl:21: "label" is missing'),
    ("a.jsonl", [*GOOD_ROWS, {"text": "x", "label": float("nan")}], r"^a\.jsonl:21: NaN is not"),
    ("a.jsonl", [*GOOD_ROWS, {"text": "x", "label": {"a": 1}}], r"^a\.jsonl:21: .*a label is a"),
    (
        "a.jsonl",
        [*GOOD_ROWS, {"text": "x", "label": ["a", "b"]}],
        r"^a\.jsonl:21 has a list.*jsonl:1 ",
    ),
    ("a.jsonl", [*GOOD_ROWS, ["x", "a"]], r"^a\.jsonl:21: .*not a JSON object"),
    ("a.jsonl", '{"text": "x", "label": "a"}\n{"text": \n', r"^a\.jsonl:2: broken JSON"),
    ("a.jsonl", '{"text": "x", "label": 1e999}\n', r'^a\.jsonl:1: "label" is inf'),
    ("a.jsonl", texts(20, [["a"], ["a"]]), r"^a\.jsonl: one class only"),
    (
        "a.jsonl",
        [*LISTS, {"text": "x", "label": ["b", None]}],
        r'^a\.jsonl:21: "label", item 2 is missing',
    ),
    (
        "a.jsonl",
        [*LISTS, {"text": "x", "label": [0, 1, 0]}],
        r"^a\.jsonl:21: .*twice.*vector of 0 and 1",
    ),
    ("a.jsonl", [*NUMBERS, {"text": "x", "label": "NA"}], r'^a\.jsonl:21: label "NA" is not a num'),
    ("a.jsonl", texts(20, [1.5]), r'^a\.jsonl: one class only: every label is "1.5"'),
    ("a.jsonl", texts(2, ["a", "b"]), r"^a\.jsonl: .*2 training rows \(10%: 0 rows\) is smaller"),
    ("a.jsonl", texts(1, ["a"]), r"^a\.jsonl: one class only"),
    ("a.jsonl", [{"text": f"{i}", "label": f"{i}"} for i in range(20)], r"^a\.jsonl: .*20 classes"),
    ("a.parquet", b"PAR1", r"^a\.parquet: broken Parquet"),
    ("a.xls", "x", r"^a\.xls: \.xls is a spreadsheet; export it as CSV"),
    ("a.conll", GOOD_CONLL, r'^a\.conll: no column for the text.*"tokens", "tags"'),
]

NER_FAULTS: list[tuple[str, str | bytes | list[Any], str]] = [
    ("a.conll", "", r"^a\.conll: the file is empty"),
    ("a.conll", "\n\t\n\n", r"^a\.conll: the file is empty but"),
    ("a.conll", GOOD_CONLL + "\tO\n", r"^a\.conll:81: a tag without a word"),
    ("a.conll", GOOD_CONLL + "word\n", r"^a\.conll:81: a word without a tag"),
    ("a.conll", GOOD_CONLL + "a\tb\tO\n", r"^a\.conll:81: 3 columns where most lines have 2"),
    ("a.conll", GOOD_CONLL + "a\tO\nb\tper\n", r'^a\.conll:82: tag is "per", neither O nor'),
    ("a.conll", GOOD_CONLL + "b\tX-per\n", r'^a\.conll:81: tag is "X-per"'),
    ("a.conll", "a\tO\n\n" * 20, r'^a\.conll: one class only: every tag is "O"'),
    ("a.conll", "a\nb\n", r'^a\.conll: no column for the tags.*"tokens"'),
    ("a.conll", GOOD_CONLL.encode() + b"\xff\tO\n", r"^a\.conll:81: not UTF-8"),
    ("a.conll", "Anna\tB-per\n", r"^a\.conll: .*1 training row \(10%: 0 rows\) is smaller than o"),
    ("a.jsonl", [*TAGGED, {"tokens": ["a"], "tags": []}], r"^a\.jsonl:21: 1 token but 0 tags"),
    ("a.jsonl", [*TAGGED, {"tokens": [], "tags": []}], r"^a\.jsonl:21: .*an empty text"),
    ("a.jsonl", [*TAGGED, {"tokens": ["a", 5], "tags": ["O"] * 2}], r"^a\.jsonl:21 word 2: .*numb"),
    ("a.jsonl", [*TAGGED, {"tokens": ["a", ""], "tags": ["O"] * 2}], r"^a\.jsonl:21 word 2: .*emp"),
    ("a.jsonl", [*TAGGED, {"tokens": "a b", "tags": ["O"] * 2}], r"^a\.jsonl:21: .*list of words"),
    ("a.jsonl", [*TAGGED, {"tokens": ["a"], "tags": "O"}], r"^a\.jsonl:21: .*a list of tags"),
    ("a.jsonl", [*TAGGED, {"tokens": ["a"], "tags": [None]}], r"^a\.jsonl:21 word 1: tag is miss"),
    ("a.jsonl", [*TAGGED, {"tokens": ["a"], "tags": [3]}], r'^a\.jsonl:21 word 1: tag is "3", nei'),
    ("a.jsonl", [*TAGGED, {"tokens": ["a"]}], r'^a\.jsonl:21: "tags" is missing'),
    ("a.jsonl", spans(entity(5, 99)), r'^a\.jsonl:21: entity 5\.\.99 "per" is not inside the'),
    ("a.jsonl", spans(entity(-1, 2)), r"^a\.jsonl:21: .*not inside"),
    ("a.jsonl", spans(entity(4, 4)), r"^a\.jsonl:21: .*not inside"),
    ("a.jsonl", spans(entity(4, 5)), r"^a\.jsonl:21: .*only white space"),
    ("a.jsonl", spans(entity(0, 8), entity(5, 8)), r"^a\.jsonl:21: .*overlap"),
    ("a.jsonl", spans(entity(0, 2), entity(2, 4)), r"^a\.jsonl:21: .*lie in one word"),
    ("a.jsonl", spans(entity("0", 4)), r"^a\.jsonl:21: entity .*must be of the form"),
    ("a.jsonl", spans(entity(False, True)), r"^a\.jsonl:21: entity .*must be of the form"),
    ("a.jsonl", spans(entity(0, 4, None)), r"^a\.jsonl:21: entity .*must be of the form"),
    ("a.jsonl", spans([0, "per", 4]), r"^a\.jsonl:21: .* must be \[start, end, label\]"),
    ("a.jsonl", spans(text=""), r"^a\.jsonl:21: .*an empty text"),
    ("a.jsonl", spans(text=7), r"^a\.jsonl:21: .*number"),
    ("a.jsonl", [*SPANS, {"text": "x"}], r'^a\.jsonl:21: "entities" is missing'),
    ("a.jsonl", [*SPANS, {"text": "x", "entities": "per"}], r"^a\.jsonl:21: .*give a list of"),
    ("a.jsonl", texts(5, ["a", "b"]), r'^a\.jsonl: no column for the tags.*"text", "label"'),
    ("a.jsonl", [{"x": "a"}], r"^a\.jsonl: no column of words or of a text.*--tokens-column"),
    ("a.csv", "tokens,tags\na b,[]\n", r'^a\.csv:2: "tokens" must be a list of words, not "a b"'),
]


@pytest.mark.parametrize(("name", "content", "message"), CLASSIFICATION_FAULTS)
def test_classification_fault(name: str, content: str | bytes | list[Any], message: str) -> None:
    problems = failure(load_splits, "classification", train_file=write(name, content))
    assert re.search(message, problems[0]), problems
    # A header may lack both columns.
    assert len(problems) == (2 if "no column for the text" in problems[0] else 1)


@pytest.mark.parametrize(("name", "content", "message"), NER_FAULTS)
def test_ner_fault(name: str, content: str | bytes | list[Any], message: str) -> None:
    problems = failure(load_splits, "ner", train_file=write(name, content))
    assert re.search(message, problems[0]), problems
    assert len(problems) == 1


@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize("task", ["ner", "classification"])
def test_missing_file_and_folder_in_every_split(task: str, split: str) -> None:
    good = write("good.conll", GOOD_CONLL) if task == "ner" else write("good.csv", GOOD_CSV)
    Path("folder").mkdir()
    for bad, message in (("none.csv", "none.csv: no such file"), ("folder", "folder: is a folder")):
        problems = failure(load_splits, task, **({"train_file": good} | {f"{split}_file": bad}))
        assert len(problems) == 1
        assert problems[0].startswith(message)


def test_parquet_missing_values() -> None:
    table = {"text": ["a", "b", "c", "d"], "label": [1.0, 2.5, float("nan"), None]}
    pyarrow.parquet.write_table(pyarrow.table(table), "a.parquet")
    problems = failure(load_splits, "classification", train_file="a.parquet")
    assert problems == [
        f'a.parquet:row {row}: "label" is missing; give every row a label, or leave those '
        "without one out (--exclude-label=)"
        for row in (3, 4)
    ]


def test_label_that_training_lacks() -> None:
    splits = load_splits(
        "classification",
        train_file=write("a.jsonl", GOOD_ROWS),
        validation_file=write("v.jsonl", texts(9, ["a", "c"])),
        test_file=write("t.jsonl", texts(12, ["b", "a", "A", "x"])),
    )
    assert splits.labels == ["a", "b"]
    assert [example.label for example in splits.test or ()] == ["b", "a", "A", "x"] * 3
    assert [notice for notice in splits.notices if "mistake" in notice] == [
        'v.jsonl: the label "c" is not in the training data: it occurs 4 times, first at '
        "v.jsonl:2, and each time counts as a mistake",
        't.jsonl: 2 labels ("A", "x") are not in the training data: they occur 6 times, first at '
        "t.jsonl:3, and each time counts as a mistake",
    ]
    assert any("v.jsonl: 1 of the 2 classes does not occur" in notice for notice in splits.notices)


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_that_shares_no_label_with_training(split: str) -> None:
    other: dict[str, Any] = {f"{split}_file": write("o.jsonl", texts(9, ["c", "d"]))}
    problems = failure(
        load_splits, "classification", train_file=write("a.jsonl", GOOD_ROWS), **other
    )
    assert [problem.split(";")[0] for problem in problems] == [
        f'o.jsonl:{line}: the label "{name}" ({count} in this split) is not in the training data, '
        "and neither is any other label of this split"
        for line, name, count in ((1, "c", 5), (2, "d", 4))
    ]


def test_one_class_is_the_only_fault_that_is_told() -> None:
    train = write("a.jsonl", texts(20, ["a"]))
    test = write("t.jsonl", texts(20, ["b", "c"]))
    problems = failure(load_splits, "classification", train_file=train, test_file=test)
    assert len(problems) == 1
    assert problems[0].startswith('a.jsonl: one class only: every label is "a"')


@pytest.mark.parametrize(
    ("task", "row", "message"),
    [
        ("classification", {"text": "x", "label": "\ud800"}, '"label" holds half a surrogate'),
        ("ner", {"tokens": ["x"], "tags": ["B-\ud800"]}, "word 1: tag holds half a surrogate"),
        (
            "ner",
            {"text": "x", "entities": [{"start": 0, "end": 1, "label": "\ud800"}]},
            "of an entity holds half a surrogate",
        ),
    ],
)
def test_names_that_cannot_be_printed(task: str, row: dict[str, Any], message: str) -> None:
    problems = failure(load_splits, task, train_file=write("a.jsonl", [row]))
    assert problems[0].startswith("a.jsonl:1")
    assert message in problems[0]


def test_entity_type_that_training_lacks() -> None:
    problems = failure(
        load_splits,
        "ner",
        train_file=write("a.conll", GOOD_CONLL),
        test_file=write("t.conll", "a\tO\nb\tB-loc\nc\tI-loc\n\nd\tB-loc\n"),
    )
    assert len(problems) == 1
    assert problems[0].startswith('t.conll:2: the entity type "loc" (2 in this split) is not in')


@pytest.mark.parametrize("split", ["validation", "test"])
def test_a_split_may_lack_classes(split: str) -> None:
    train = write("a.jsonl", texts(60, ["a", "b", "c"]))
    small: dict[str, Any] = {f"{split}_file": write("small.jsonl", texts(2, ["a", "b"]))}
    splits = load_splits("classification", train_file=train, **small)
    assert splits.labels == ["a", "b", "c"]
    notice = "small.jsonl: 1 of the 3 classes does not occur in it and is not scored there"
    assert notice in splits.notices


def test_all_files_are_reported_at_once_and_each_kind_is_capped() -> None:
    train = write("a.csv", "text,label\n" + "x,\n" * 30 + ",a\n")
    test = write("t.jsonl", "{\n")
    problems = failure(load_splits, "classification", train_file=train, test_file=test)
    assert len(problems) == 8
    assert problems[0].startswith("t.jsonl:1: broken JSON")
    assert problems[5].startswith('a.csv:6: "label" is missing')
    assert problems[6].startswith('and 25 more like it, the last: a.csv:31: "label" is missing')
    assert problems[7].startswith('a.csv:32: "text" is an empty text')


@pytest.mark.parametrize(
    ("task", "flags", "message"),
    [
        (
            "ner",
            {"reading": ReadingOptions(label_column="x")},
            "--label-column is for text classification and relation extraction, not for NER",
        ),
        (
            "ner",
            {"reading": ReadingOptions(text_pair_column="x")},
            "--text-pair-column is for text classification, not for NER",
        ),
        (
            "classification",
            {"reading": ReadingOptions(tags_column="x")},
            "--tags-column is for NER, not for text classification",
        ),
        (
            "ner",
            {"reading": ReadingOptions(text_column="x", tokens_column="y")},
            "exclude each other",
        ),
        (
            "ner",
            {"reading": ReadingOptions(problem_type=SINGLE)},
            "--problem-type is for text classification",
        ),
        (
            "classification",
            {"reading": ReadingOptions(problem_type="binary")},
            "known: single_label_classification",
        ),
        ("classification", {"reading": ReadingOptions(format="csv")}, "--format is for files"),
        ("ner", {"reading": ReadingOptions(csv_quotes=False)}, "--no-csv-quotes is for files"),
        (
            "ner",
            {"reading": ReadingOptions(format="xml")},  # type: ignore[arg-type]
            "--format xml is unknown; known: auto, jsonl",
        ),
        ("classification", {"dataset_config_name": "x"}, "goes with --dataset"),
        ("classification", {"dataset": "x", "train_file": "y"}, "exclude each other"),
        ("classification", {"test_file": "y"}, "need a --train-file"),
        (
            "classification",
            {"reading": ReadingOptions(text_column="body")},
            'no column "body" (--text-column)',
        ),
        (
            "classification",
            {"reading": ReadingOptions(label_column="y")},
            'no column "y" (--label-column)',
        ),
        (
            "classification",
            {"reading": ReadingOptions(text_column="text", label_column="text")},
            "used twice",
        ),
        ("ner", {"reading": ReadingOptions(tokens_column="y")}, 'no column "y" (--tokens-column)'),
    ],
)
def test_flags_are_obeyed_or_refused(task: str, flags: dict[str, Any], message: str) -> None:
    assert message in failure(load_splits, task, **flags)[0]


# --- What good inputs become --------------------------------------------------------------------


def splits_of(rows: list[Any], task: str = "classification", **flags: Any) -> Splits:
    return load_splits(task, train_file=write("a.jsonl", rows), **flags)


def labels_by_text(splits: Splits) -> dict[str, Any]:
    return {e.text: e.label for e in [*splits.train, *splits.validation]}


@pytest.mark.parametrize("task", ["ner", "classification"])
def test_embedded_sample(task: str) -> None:
    splits = load_splits(task)
    assert len(splits.train) >= 600
    assert splits.validation
    assert splits.test
    assert splits.notices == ["no data given: the embedded sample is used"]
    assert splits == load_splits(task)


@pytest.mark.parametrize(
    ("labels", "expected", "names", "problem_type"),
    [
        (["b", " a "], ["b", "a"], ["a", "b"], SINGLE),
        (["None", "NA"], ["None", "NA"], ["NA", "None"], SINGLE),
        ([10, 9], ["10", "9"], ["9", "10"], SINGLE),
        ([1.0, 0.0], ["1", "0"], ["0", "1"], SINGLE),
        (["1.0", "2"], ["1.0", "2"], ["1.0", "2"], SINGLE),
        ([True, False], ["true", "false"], ["false", "true"], SINGLE),
        (["1.5", "many"], ["1.5", "many"], ["1.5", "many"], SINGLE),
        (["b", ["a"]], ["b", "a"], ["a", "b"], SINGLE),  # A table beside an export of a tool.
        ([["b", "a"], []], [("a", "b"), ()], ["a", "b"], MULTI),
        ([1, 2.5], [1.0, 2.5], ["value"], "regression"),
        (["-1", "2.5e1", ".5"], [-1.0, 25.0, 0.5], ["value"], "regression"),
    ],
)
def test_problem_type_is_chosen_from_the_labels(
    labels: list[Any], expected: list[Any], names: list[str], problem_type: str
) -> None:
    splits = splits_of(texts(30, labels))
    assert (splits.problem_type, splits.labels) == (problem_type, names)
    assert [labels_by_text(splits)[f"text {i}"] for i in range(len(labels))] == expected


@pytest.mark.parametrize(
    ("labels", "noted"),
    [([1, 3, 5], True), (["1", "2"], True), (["a", "1"], False), ([True, False], False)],
)
def test_whole_numbers_are_said_to_be_classes(labels: list[Any], noted: bool) -> None:
    notices = splits_of(texts(30, labels)).notices
    assert any("whole numbers" in notice for notice in notices) is noted


@pytest.mark.parametrize(
    ("labels", "problem_type", "expected"),
    [
        (["1.5", "2.5"], SINGLE, ["1.5", "2.5"]),
        ([1, 2], "regression", [1.0, 2.0]),
        (["a|b", "a", "|"], MULTI, [("a", "b"), ("a",), ()]),
        ([["a"], "a|b"], MULTI, [("a",), ("a", "b")]),
        ([1, 2], MULTI, [("1",), ("2",)]),
    ],
)
def test_problem_type_can_be_given(
    labels: list[Any], problem_type: str, expected: list[Any]
) -> None:
    splits = splits_of(texts(30, labels), reading=ReadingOptions(problem_type=problem_type))
    assert splits.problem_type == problem_type
    assert [labels_by_text(splits)[f"text {i}"] for i in range(len(labels))] == expected


@pytest.mark.parametrize(
    ("labels", "problem_type", "message"),
    [
        ([["a"], ["a", "b"]], SINGLE, "a.jsonl:2: a list of 2 labels does not fit"),
        ([[], ["b"]], SINGLE, "a.jsonl:1: a list of 0 labels does not fit"),
        ([[1], [2, 1]], "regression", "a.jsonl:2: a list of 2 labels does not fit"),
        (["1", "b"], "regression", 'a.jsonl:2: label "b" is not a number'),
    ],
)
def test_problem_type_that_the_labels_refuse(
    labels: list[Any], problem_type: str, message: str
) -> None:
    train = write("a.jsonl", texts(2, labels))
    problems = failure(
        load_splits,
        "classification",
        train_file=train,
        reading=ReadingOptions(problem_type=problem_type),
    )
    assert problems[0].startswith(message)


@pytest.mark.parametrize(
    ("names", "reading", "texts_read", "label"),
    [
        (["text", "label"], ReadingOptions(), ("text", None), "label"),
        (["id", "sentence", "category"], ReadingOptions(), ("sentence", None), "category"),
        (["premise", "hypothesis", "label"], ReadingOptions(), ("premise", "hypothesis"), "label"),
        (
            ["question1", "question2", "label"],
            ReadingOptions(text_column="question2"),
            ("question2", None),
            "",
        ),
        (
            ["text", "title", "label"],
            ReadingOptions(text_pair_column="title"),
            ("text", "title"),
            "label",
        ),
        (
            ["premise", "hypothesis", "label"],
            ReadingOptions(text_pair_column="hypothesis"),
            ("premise",) * 2,
            "",
        ),
        (
            ["a", "b", "c"],
            ReadingOptions(text_column="b", text_pair_column="c", label_column="a"),
            ("b", "c"),
            "a",
        ),
        (
            ["text", "text_pair", "label"],
            ReadingOptions(label_column="text_pair"),
            ("text", None),
            "text_pair",
        ),
    ],
)
def test_columns(
    names: list[str], reading: ReadingOptions, texts_read: tuple[str, str | None], label: str
) -> None:
    labelled = label or "label"
    rows = [
        {name: f"{name} {i % 2 if name == labelled else i}" for name in names} for i in range(20)
    ]
    splits = splits_of(rows, reading=reading)
    example = splits.train[0]
    assert example.text.startswith(texts_read[0])
    if texts_read == ("premise", "premise"):
        texts_read = ("premise", "hypothesis")
    assert (example.text_pair or "None").startswith(str(texts_read[1]))
    assert example.label.startswith(label or "label")


def test_ner_from_a_text_and_entities() -> None:
    rows = [*SPANS, {"text": "Seen: Annabel", "entities": [entity(6, 10)]}]
    splits = splits_of(rows, "ner", test_file=write("t.jsonl", [SPANS[0]]))
    assert splits.labels == ["O", "B-per", "I-per"]
    assert splits.test == [
        NerExample(
            words=("Anna", "0"),
            tags=("B-per", "O"),
            source="t.jsonl:1",
            text="Anna 0",
            offsets=((0, 4), (5, 6)),
        )
    ]
    assert splits.notices[0] == (
        "a.jsonl: 1 of the entities begin or end inside a word and were widened to whole words, "
        "first at a.jsonl:21"
    )


def test_schemes_are_detected_over_all_splits_and_illegal_tags_are_located() -> None:
    # Alone, the test file would be legal IOB1.
    train = write("a.conll", GOOD_CONLL)
    test = write("t.conll", "a\tO\n\nb\tO\nc\tI-per\nd\tI-per\n\ne\tI-per\n")
    splits = load_splits("ner", train_file=train, test_file=test)
    assert splits.test is not None
    assert [example.tags for example in splits.test] == [
        ("O",),
        ("O", "B-per", "I-per"),
        ("B-per",),
    ]
    notice = next(notice for notice in splits.notices if "conlleval" in notice)
    assert notice.startswith("2 tag(s) not allowed where they stand in IOB2")
    assert notice.endswith('t.conll:4 ("I-per"), t.conll:7 ("I-per")')


@pytest.mark.parametrize(
    ("tags", "scheme"),
    [(["I-per", "I-per"], "IOB1"), (["B-per", "E-per"], "IOBES"), (["B-per", "L-per"], "BILOU")],
)
def test_other_schemes_become_iob2(tags: list[str], scheme: str) -> None:
    splits = splits_of([{"tokens": ["a", str(i)], "tags": tags} for i in range(20)], "ner")
    assert splits.train[0].tags == ("B-per", "I-per")
    assert splits.notices[0] == f"the tags are {scheme}; they were converted to IOB2"


def test_saved_dataset_and_its_test_file() -> None:
    features = datasets.Features(
        {
            "tokens": datasets.List(datasets.Value("string")),
            "ner_tags": datasets.List(datasets.ClassLabel(names=["O", "B-x", "I-x"])),
        }
    )
    columns = {"tokens": [["a", str(i)] for i in range(20)], "ner_tags": [[0, 1]] * 20}
    part = datasets.Dataset.from_dict(columns, features=features)
    datasets.DatasetDict({"train": part, "test": part}).save_to_disk("saved")
    splits = load_splits("ner", dataset="saved")
    assert splits.test is not None
    assert splits.test[0].tags == ("O", "B-x")
    assert len(splits.validation) == 2
    other = write("t.jsonl", [{"tokens": ["c"], "tags": ["B-x"]}])
    splits = load_splits("ner", dataset="saved", test_file=other)
    assert splits.test is not None
    assert splits.test[0].words == ("c",)
    assert "t.jsonl is read instead of the test split of saved" in splits.notices


def test_fingerprint_is_of_the_contents_not_of_the_files() -> None:
    as_csv = load_splits("classification", train_file=write("a.csv", GOOD_CSV))
    rows = [{"text": e.text, "label": e.label} for e in as_csv.train]
    held_out = [{"text": e.text, "label": e.label} for e in as_csv.validation]
    flags = {"validation_file": write("v.jsonl", held_out)}
    assert splits_of(rows, **flags).fingerprint == as_csv.fingerprint
    changed = [rows[0] | {"label": "b" if rows[0]["label"] == "a" else "a"}, *rows[1:]]
    assert splits_of(changed, **flags).fingerprint != as_csv.fingerprint


def test_repeated_inputs_are_said() -> None:
    splits = splits_of(GOOD_ROWS, test_file=write("t.jsonl", texts(5, ["a", "b"], start=18)))
    repeated = [notice for notice in splits.notices if "also occur in training" in notice]
    train = {example.text for example in splits.train}
    assert len(repeated) == (1 if {"text 18", "text 19"} & train else 0)


# --- The validation cut -------------------------------------------------------------------------


def test_cut_is_stratified_seeded_and_loses_nothing() -> None:
    rows = texts(300, ["a", "a", "a", "a", "b", "c"])
    one, again, other = (splits_of(rows, seed=seed) for seed in (0, 0, 1))
    assert one == again
    assert one.validation != other.validation
    for splits in (one, other):
        assert Counter(e.label for e in splits.validation) == {"a": 20, "b": 5, "c": 5}
        parts = {e.text for e in splits.train} | {e.text for e in splits.validation}
        assert parts == {row["text"] for row in rows}
        order = [int(e.text.split()[1]) for e in splits.train]
        assert order == sorted(order)
    assert any("30 of the 300 training rows were cut off" in notice for notice in one.notices)


def test_cut_gives_every_class_a_row_and_keeps_single_ones_in_training() -> None:
    rows = [*texts(95, ["a"]), *texts(4, ["b", "c"], 95), {"text": "only", "label": "d"}]
    splits = splits_of(rows)
    assert Counter(e.label for e in splits.validation) == {"a": 8, "b": 1, "c": 1}
    assert any("cannot be parted stay in training" in notice for notice in splits.notices)


def test_cut_never_takes_the_last_entity_of_a_type() -> None:
    rare = [{"tokens": ["x"], "tags": [f"B-{name}"]} for name in ("rare", "rarer")]
    for seed in range(5):
        splits = splits_of([*TAGGED, *rare], "ner", validation_share=0.4, seed=seed)
        types = {tag[2:] for example in splits.train for tag in example.tags if tag != "O"}
        assert types == {"per", "rare", "rarer"}
        assert len(splits.validation) == 9


def test_only_a_cut_by_classes_is_called_stratified() -> None:
    pairs = [{"source": f"where is lamp {i}?", "target": f"lamp {i} is here"} for i in range(20)]
    told = next(n for n in splits_of(pairs, "translation").notices if "were cut off" in n)
    assert "for it, seed 0" in told and "stratified" not in told
    tagged = next(n for n in splits_of([*TAGGED], "ner").notices if "were cut off" in n)
    assert "stratified, seed 0" in tagged
    problems = failure(load_splits, "translation", train_file=write("a.jsonl", pairs[:1]))
    assert "1 row, and" not in problems[0] and "label" not in problems[0]


def test_cut_of_labels_that_all_occur_once() -> None:
    rows = [{"text": f"{i}", "label": [f"{i}"]} for i in range(20)]
    problems = failure(load_splits, "classification", train_file=write("a.jsonl", rows))
    assert "without taking a label's only row" in problems[0]


@given(
    st.lists(st.tuples(st.sampled_from("tuvwxyz"), st.sampled_from("abc")), min_size=1),
    st.floats(0.05, 0.6),
    st.integers(0, 3),
)
def test_cut_keeps_the_same_input_on_one_side(
    rows: list[tuple[str, str]], share: float, seed: int
) -> None:
    examples = [
        TextExample(text=text, label=label, source=f"a.csv:{i}")
        for i, (text, label) in enumerate(rows)
    ]
    problems: list[str] = []
    notices: list[str] = []
    train, validation = cut_validation(
        examples,
        classes_of=lambda example: frozenset((example.label,)),
        group_of=lambda example: example.text,
        share=share,
        every_class=False,
        seed=seed,
        problems=problems,
        notices=notices,
    )
    assert sorted(e.source for e in [*train, *validation]) == sorted(e.source for e in examples)
    assert bool(problems) == (not validation)
    if validation:
        assert not {e.text for e in train} & {e.text for e in validation}
        assert {e.label for e in train} == {e.label for e in examples}
        repeats = len({text for text, _ in rows}) < len(rows)
        assert ("stay on one side" in notices[-1]) == repeats


def test_cut_of_repeated_inputs_is_exact_where_it_can_be() -> None:
    # 24 texts twice and two once: a share of 5 needs one of the two.
    pairs = [{"text": f"text {i // 2}", "label": "ab"[i // 2 % 2]} for i in range(48)]
    for seed in range(5):
        splits = splits_of([*pairs, *texts(2, ["a", "b"], start=90)], seed=seed)
        assert len(splits.validation) == 5
        repeats = "24 rows repeat an earlier input, and rows with the same input stay on one side"
        assert repeats in next(n for n in splits.notices if "were cut off" in n)
        assert not any("also occur in training" in notice for notice in splits.notices)
    # Four texts, 25 times each: the smallest part that can be cut off is one of them.
    splits = splits_of(texts(4, ["a", "b"]) * 25)
    assert len(splits.validation) == 25
    note = "25 of the 100 training rows were cut off for it (10 asked for)"
    assert any(note in notice for notice in splits.notices)


def test_a_cut_of_one_row_is_told_as_one() -> None:
    pairs = [{"source": f"text {i}", "target": f"word {i}"} for i in range(8)]
    notices = load_splits("translation", train_file=write("a.jsonl", pairs)).notices
    assert any("1 of the 8 training rows was cut off for it" in notice for notice in notices)


def test_cut_of_one_input_alone() -> None:
    rows = [{"text": "same", "label": "ab"[i % 2]} for i in range(40)]
    problems = failure(load_splits, "classification", train_file=write("a.jsonl", rows))
    assert "40 training rows (1 different input)" in problems[0]


def test_cut_for_regression() -> None:
    assert len(splits_of(texts(50, [0.5, 1.5])).validation) == 5


# --- Files for a trained model ------------------------------------------------------------------


def test_unlabelled_files() -> None:
    file = write("a.jsonl", [{"text": "Anna ran."}])
    assert read_examples_file("classification", file, labelled=False) == [
        TextExample(text="Anna ran.", label=None, source="a.jsonl:1")
    ]
    example = read_examples_file("ner", file, labelled=False)[0]
    assert (example.words, example.tags) == (("Anna", "ran", "."), None)
    words = read_examples_file("ner", write("a.txt", "Anna\nran\n"), labelled=False)
    assert words[0].words == ("Anna", "ran")
    tagged = read_examples_file("ner", write("a.conll", GOOD_CONLL), labelled=False)
    assert tagged[0].tags is None
    one_column = read_examples_file("classification", write("a.csv", "text\nhi\n"), labelled=False)
    assert one_column[0].text == "hi"


def test_labelled_files_are_checked_against_the_model() -> None:
    labels = ["O", "B-per", "I-per"]
    notices: list[str] = []
    file = write("a.conll", "a\tI-per\n")
    examples = read_examples_file("ner", file, labelled=True, labels=labels, notices=notices)
    assert examples[0].tags == ("B-per",)
    assert notices == ["the tags are IOB1; they were converted to IOB2"]
    file = write("b.conll", "a\tB-loc\n")
    problems = failure(read_examples_file, "ner", file, labelled=True, labels=labels)
    assert problems[0].startswith('b.conll:1: the entity type "loc" (1 in this split) is not a lab')
    file = write("a.csv", "text,label\nx,a|b\n")
    flags: dict[str, Any] = {"labelled": True, "reading": ReadingOptions(problem_type=MULTI)}
    examples = read_examples_file("classification", file, labels=["a", "b", "c"], **flags)
    assert examples[0].label == ("a", "b")
    notices.clear()
    flags["notices"] = notices
    (example,) = read_examples_file("classification", file, labels=["a"], **flags)
    assert example.label == ("a", "b")
    assert notices[0].startswith('a.csv: the label "b" is not a label of the trained model: it occ')
    problems = failure(read_examples_file, "classification", file, labels=["c"], **flags)
    assert problems[0].startswith('a.csv:2: the label "a" (1 in this split) is not a label of')


@pytest.mark.parametrize("task", ["ner", "classification"])
def test_rows_keep_their_ids(task: str) -> None:
    ids = ["x1", 7, 2.5, None, ["a"]]
    file = write("a.jsonl", [{"text": "Anna", "id": value} for value in ids])
    examples = read_examples_file(task, file, labelled=False)
    assert [example.row_id for example in examples] == ["x1", 7, 2.5, None, "\"['a']\""]
    # A column that is read as something else names no row.
    file = write("b.csv", "id,text\nhello,x\n")
    examples = read_examples_file(
        task, file, reading=ReadingOptions(text_column="id"), labelled=False
    )
    assert examples[0].row_id is None


def test_a_trained_models_columns_are_taken_where_a_file_has_them() -> None:
    usual = ReadingOptions(text_column="body", label_column="kind")
    flags: dict[str, Any] = {"labelled": True, "labels": ["a", "b"]}
    both = write("a.jsonl", [{"body": "1", "text": "2", "kind": "a", "label": "b"}])
    (example,) = read_examples_file("classification", both, usual=usual, **flags)
    assert (example.text, example.label) == ("1", "a")
    given: dict[str, Any] = {"reading": ReadingOptions(text_column="text"), "usual": usual}
    (example,) = read_examples_file("classification", both, **given, **flags)
    assert (example.text, example.label) == ("2", "a")
    neither = write("b.jsonl", [{"text": "2", "label": "b"}])
    (example,) = read_examples_file("classification", neither, usual=usual, **flags)
    assert (example.text, example.label) == ("2", "b")
    # Words instead of the text that training read.
    words = write("c.jsonl", [{"body": "x", "pieces": ["a", "b"]}])
    given = {"reading": ReadingOptions(tokens_column="pieces"), "usual": usual}
    (example,) = read_examples_file("ner", words, **given, labelled=False)
    assert example.words == ("a", "b")


def test_texts_one_a_line() -> None:
    examples = read_text_lines("ner", "standard input", "a\u2028b \r\nc\rd\n \n\n".encode())
    assert [example.text for example in examples] == ["a\u2028b ", "c", "d", " ", ""]
    assert [example.source for example in examples][1] == "standard input:2"
    blank = "a\n\nb\n\t\nc\n\n"
    for task in ("classification", "ner"):
        examples = read_text_lines(task, "standard input", blank.encode())
        assert [example.text for example in examples] == ["a", "", "b", "\t", "c", ""]
        assert [example.source for example in examples][3] == "standard input:4"
    problems = failure(read_text_lines, "ner", "standard input", "a\nä".encode("utf-16"))
    assert problems[0].startswith("standard input: is UTF-16 text; convert it (`iconv -f UTF-16")


@pytest.mark.parametrize("task", ["ner", "classification"])
def test_a_row_to_predict_may_have_no_text(task: str) -> None:
    """Its answer is empty and stands in its place, so that rows and answers have one order."""
    table = write("a.csv", 'id,text\n1,Anna ran.\n2,\n3,"  "\n4,ok\n')
    rows = [{"text": "Anna ran."}, {"text": None}, {"text": ""}, {"text": "ok"}]
    for file, first in ((table, "a.csv:3"), (write("a.jsonl", rows), "a.jsonl:2")):
        notices: list[str] = []
        examples = read_examples_file(task, file, labelled=False, notices=notices)
        blank = [task_class(task).is_blank(example) for example in examples]
        assert blank == [False, True, True, False]
        assert any("2 rows without a text" in n and n.endswith(first) for n in notices)
    missing = write("b.jsonl", [{"text": "a"}, {"txt": "b"}])
    assert "is missing" in failure(read_examples_file, task, missing, labelled=False)[0]
    pairs = write("c.jsonl", [{"text": "a", "text_pair": "b"}, {"text": "", "text_pair": "b"}])
    if task == "classification":
        assert "empty text" in failure(read_examples_file, task, pairs, labelled=False)[0]


def test_a_row_of_words_to_predict_may_be_empty() -> None:
    file = write("a.jsonl", [{"tokens": ["Anna"]}, {"tokens": []}])
    examples = read_examples_file("ner", file, labelled=False)
    assert [example.words for example in examples] == [("Anna",), ()]


def test_unlabelled_file_with_faults() -> None:
    file = write("a.jsonl", [{"text": ""}])
    assert "empty text" in failure(read_examples_file, "ner", file, labelled=False)[0]
    assert "no such file" in failure(read_examples_file, "ner", "none.csv", labelled=False)[0]


# --- Real data ----------------------------------------------------------------------------------


@needs_real_data
def test_wnut17() -> None:
    folder = REAL_DATA / "wnut17"
    splits = load_splits(
        "ner",
        train_file=f"{folder}/train.conll",
        validation_file=f"{folder}/dev.conll",
        test_file=f"{folder}/test.conll",
    )
    assert splits.test is not None
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [
        3394,
        1009,
        1287,
    ]
    types = ("corporation", "creative-work", "group", "location", "person", "product")
    assert splits.labels == ["O", *(f"{prefix}-{name}" for name in types for prefix in "BI")]
    entities = sum(tag[0] == "B" for example in splits.test for tag in example.tags)
    assert entities == 1079  # as published
    assert not any("conlleval" in notice for notice in splits.notices)


@needs_real_data
def test_banking77() -> None:
    folder = REAL_DATA / "banking77"
    splits = load_splits(
        "classification", train_file=f"{folder}/train.csv", test_file=f"{folder}/test.csv"
    )
    assert splits.test is not None
    assert [len(part) for part in (splits.train, splits.validation, splits.test)] == [
        9003,
        1000,
        3080,
    ]
    assert len(splits.labels) == 77
    assert {example.label for example in splits.validation} == set(splits.labels)
    assert not any("also occur in training" in notice for notice in splits.notices)
