"""Label cells that are not plain names: what each becomes, or which flags choose."""

import json
import re
from pathlib import Path
from typing import Any

import datasets
import pytest

from lowcost_ft.config.reading import ReadingOptions, label_conflicts
from lowcost_ft.config.run import RunConfig, parse_config
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.run_input import read_labelled_file
from lowcost_ft.tasks.classification.label_cells import written_list
from lowcost_ft.tasks.inputs import read_examples_file
from lowcost_ft.tasks.loading import Splits, load_splits

SINGLE, MULTI = "single_label_classification", "multi_label_classification"


@pytest.fixture(autouse=True)
def in_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def write(name: str, labels: list[Any], count: int = 30) -> str:
    rows = [{"text": f"text {i}", "label": labels[i % len(labels)]} for i in range(count)]
    Path(name).write_text("".join(json.dumps(row) + "\n" for row in rows))
    return name


def splits_of(labels: list[Any], **flags: Any) -> Splits:
    reading = ReadingOptions(**flags)
    return load_splits("classification", train_file=write("a.jsonl", labels), reading=reading)


def problems_of(labels: list[Any], **flags: Any) -> list[str]:
    with pytest.raises(UserError) as caught:
        splits_of(labels, **flags)
    return caught.value.problems


def labels_of(splits: Splits, count: int) -> list[Any]:
    by_text = {e.text: e.label for e in [*splits.train, *splits.validation]}
    return [by_text[f"text {i}"] for i in range(count) if f"text {i}" in by_text]


@pytest.mark.parametrize(
    ("text", "items"),
    [
        ("['neg', 'zz']", ("neg", "zz")),
        ('["neg", "zz"]', ("neg", "zz")),
        ("('a',)", ("a",)),
        ("{'b', 'a'}", ("a", "b")),
        ("[]", ()),
        ("[3, 1]", (3, 1)),
        ("[true, null]", (True, None)),
        ("['a' 'b']", ("a", "b")),  # NumPy; Python would read 'ab'.
        ("[0.1 0.05]", (0.1, 0.05)),
        ("[neg, zz]", ("neg", "zz")),
        ("['it\\'s']", ("it's",)),
        ("[spam]", None),
        ("(other)", None),
        ("neg", None),
        ("[1", None),
        ("[[1], [2]]", None),
        ("[" * 5000 + "]" * 5000, None),
        ("__import__('os')", None),
        ("[__import__('os').getcwd()]", None),
        ("{'neg': 1}", {"neg": 1}),
    ],
)
def test_lists_that_are_written_as_text(text: str, items: Any) -> None:
    assert written_list(text) == items


@pytest.mark.parametrize(
    ("labels", "flags", "expected", "kind"),
    [
        (["['neg', 'zz']", "['neg']", "[]"], {}, [("neg", "zz"), ("neg",), ()], MULTI),
        (["['neg']", "['zz']"], {}, ["neg", "zz"], SINGLE),
        (["[neg, zz]", "[neg]"], {}, [("neg", "zz"), ("neg",)], MULTI),
        (["[spam]", "[ham]"], {}, ["[spam]", "[ham]"], SINGLE),
        (["['a']", "b"], {"problem_type": MULTI}, [("a",), ("b",)], MULTI),
        (["0,5", "1,25", "2"], {"decimal_comma": True}, [0.5, 1.25, 2.0], "regression"),
        (["0,5", "2"], {"label_separator": ","}, [("0", "5"), ("2",)], MULTI),
        (["0,5", "2"], {"problem_type": SINGLE}, ["0,5", "2"], SINGLE),
        (["pos;urgent", "neg"], {"label_separator": ";"}, [("pos", "urgent"), ("neg",)], MULTI),
        (["pos ; pos", "neg;"], {"label_separator": ";"}, [("pos",), ("neg",)], MULTI),
        (["pos;urgent", "pos"], {"problem_type": SINGLE}, ["pos;urgent", "pos"], SINGLE),
        (["a;b", "c;d"], {}, ["a;b", "c;d"], SINGLE),
        (["Toys, Games", "Toys", "Food"], {}, ["Toys, Games", "Toys", "Food"], SINGLE),
        ([-1, 0, 1], {}, ["-1", "0", "1"], SINGLE),
        ([-2, -1, 0, 1, 2], {}, ["-2", "-1", "0", "1", "2"], SINGLE),
        ([-1, 0.5], {}, [-1.0, 0.5], "regression"),
        ([-1, "a", "b"], {"exclude_label": "-1"}, ["a", "b"], SINGLE),
        ([-1, 2, 3], {"problem_type": SINGLE}, ["-1", "2", "3"], SINGLE),
        (["n/a", 1.5, 2], {"exclude_label": "n/a"}, [1.5, 2.0], "regression"),
        ([None, "a", "b"], {"exclude_label": ""}, ["a", "b"], SINGLE),
        (
            [" ", "a;b", "b"],
            {"exclude_label": "", "label_separator": ";"},
            [("a", "b"), ("b",)],
            MULTI,
        ),
        ([["a"], ["b"], ["?", "a"]], {"exclude_label": "?"}, ["a", "b"], SINGLE),
        ([1, 0], {"label_names": "neg,pos"}, ["pos", "neg"], SINGLE),
        (["1.0", "neg"], {"label_names": "neg,pos"}, ["pos", "neg"], SINGLE),
        ([[0, 2], []], {"label_names": "a,b,c"}, [("a", "c"), ()], MULTI),
        ([[0, 1, 0], [1, 1, 0]], {"label_names": "a,b,c"}, [("b",), ("a", "b")], MULTI),
        ([-1, 0, 1], {"label_names": "n,p", "exclude_label": "-1"}, ["n", "p"], SINGLE),
        ([0, 1, 2], {"label_names": "n,p,?", "exclude_label": "?"}, ["n", "p"], SINGLE),
    ],
)
def test_what_cells_become(
    labels: list[Any], flags: dict[str, Any], expected: list[Any], kind: str
) -> None:
    splits = splits_of(labels, **flags)
    assert splits.problem_type == kind
    assert labels_of(splits, len(labels)) == expected


@pytest.mark.parametrize(
    ("labels", "flags", "message", "ways"),
    [
        (
            ["0,5", "1,25", "2"],
            {},
            'a.jsonl:1: the label "0,5" (and 19 more like it) may be',
            ["--decimal-comma", '--label-separator ","', f"--problem-type {SINGLE}"],
        ),
        # Not a number, whatever the comma is.
        (["2,7,1", "3"], {}, '"2,7,1"', ['--label-separator ","', f"--problem-type {SINGLE}"]),
        (["2,7", "a"], {}, '"2,7"', ['--label-separator ","', f"--problem-type {SINGLE}"]),
        (
            ["pos", "neg", "pos;urgent"],
            {},
            'a.jsonl:3: the label "pos;urgent"',
            ['--label-separator ";"', f"--problem-type {SINGLE}"],
        ),
        (["a|b", "a"], {}, '"a|b"', ['--label-separator "|"', f"--problem-type {SINGLE}"]),
        (["joy/fear", "joy", "fear"], {}, '"joy/fear"', ['--label-separator "/"']),
        (["joy#fear", "joy", "fear"], {}, '"joy#fear"', ['--label-separator "#"']),
        (["a;b", "c;d"], {"problem_type": MULTI}, '"a;b"', ['--label-separator ";"']),
        (["a, b", "a"], {"problem_type": MULTI}, '"a, b"', ['--label-separator ","']),
        ([-1, 0, 1, 2], {}, '"-1" (8 in all)', ["--exclude-label=-1", f"--problem-type {SINGLE}"]),
        (["-1", "pos", "neg"], {}, '"-1" (10', ["--exclude-label=-1", f"--problem-type {SINGLE}"]),
        (
            [["a", "-1"], ["b"], ["a", "b"]],
            {},
            '"-1"',
            ["--exclude-label=-1", f"--problem-type {MULTI}"],
        ),
        (
            ["0,5", "1"],
            {"problem_type": "regression"},
            'label "0,5" is not a number',
            ["--decimal-comma"],
        ),
        ([-1, 0, 1], {"label_names": "n,p"}, 'the label "-1" is not one', ["--exclude-label=-1"]),
    ],
)
def test_ambiguous_cells_stop_and_every_flag_that_is_named_works(
    labels: list[Any], flags: dict[str, Any], message: str, ways: list[str]
) -> None:
    problem = problems_of(labels, **flags)[0]
    assert message in problem
    named = re.findall(r"--(\S+?)[= ](\"[^\"]+\"|[\w-]+)", problem)
    assert set(ways) <= {f"--{name}{sep}{value}" for name, value in named for sep in "= "} | set(
        re.findall(r"--[\w-]+", problem)
    )
    for way in ways:
        name, _, value = way.removeprefix("--").replace("=", " ").partition(" ")
        given = {name.replace("-", "_"): value.strip('"') or True}
        if given.keys() & {"decimal_comma", "label_separator"}:
            assert splits_of(labels, **given).train
        else:
            assert splits_of(labels, **(flags | given)).train


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([[0.1, 0.05], [0.9, 0.95]], "(30 in all) is a list of scores (soft labels)"),
        (["[0.1, 0.05]", "[0.9, 0.95]"], "soft labels"),
        (["[0.1 0.05]", "[0.9 0.95]"], "soft labels"),
        (["0.1;0.05", "0.9;0.95"], "soft labels"),
        (["{'pos': 0.9}", "pos"], "is a dictionary"),
        (['["a", null]', '["b"]'], "the list of labels holds"),
        ([[0, 1, 0], [1, 1, 0]], "names a label twice"),
    ],
)
def test_what_cannot_be_trained_on_is_said(labels: list[Any], message: str) -> None:
    assert message in problems_of(labels)[0]


def test_the_chosen_problem_type_is_told() -> None:
    for labels, told in (
        (["a", "b"], "single-label classification (--problem-type overrides)"),
        ([["a"], ["b"]], "every row has a list of exactly one label"),
        ([["a"], []], "multi-label classification, since 15 rows of 30 have no label or several"),
        (["a;b", "a"], "--label-separator makes this a multi-label classification"),
    ):
        flags = {"label_separator": ";"} if labels[0] == "a;b" else {}
        assert any(told in notice for notice in splits_of(labels, **flags).notices), labels
    said = " ".join(splits_of(["a", "b"], problem_type=SINGLE).notices)
    assert "single-label" not in said  # The user chose it.


def test_lists_of_one_can_be_taken_either_way() -> None:
    lists = [["a"], ["b"]]
    for flags, kind in (({}, SINGLE), ({"problem_type": SINGLE}, SINGLE)):
        splits = splits_of(lists, **flags)
        assert (splits.problem_type, labels_of(splits, 2)) == (kind, ["a", "b"])
    splits = splits_of(lists, problem_type=MULTI)
    assert (splits.problem_type, labels_of(splits, 2)) == (MULTI, [("a",), ("b",)])
    # One row of another split decides for all of them.
    test = write("t.jsonl", [["a"], ["a", "b"]])
    splits = load_splits("classification", train_file=write("a.jsonl", lists), test_file=test)
    assert splits.problem_type == MULTI


def test_a_class_named_like_a_missing_value_is_told() -> None:
    splits = splits_of(["nan", "a", "None"])
    told = [notice for notice in splits.notices if "may stand for no label" in notice]
    assert len(told) == 1 and told[0].startswith('the label "nan" (')
    assert "--exclude-label nan leaves" in told[0]
    assert splits_of(["nan", "a", "None"], exclude_label="nan").labels == ["None", "a"]
    several = splits_of(["nan", "a", "NULL", "N/A"]).notices
    assert any(
        'the labels "nan", "NULL", "N/A" (22 rows, first a.jsonl:1) may' in n for n in several
    )


def test_rows_that_are_left_out_are_counted() -> None:
    notices = splits_of(["?", "a", "b"], exclude_label="?").notices
    assert notices[0] == (
        'a.jsonl: 10 rows with the label "?" left out (--exclude-label), the first at a.jsonl:1'
    )
    assert (
        '--exclude-label: no row has the label "?"'
        in splits_of(["a", "b"], exclude_label="?").notices
    )
    notices = splits_of([None, "a", "b"], exclude_label="").notices
    assert notices[0] == (
        "a.jsonl: 10 rows with no label left out (--exclude-label), the first at a.jsonl:1"
    )
    with pytest.raises(UserError, match=r"or leave those without one out \(--exclude-label=\)"):
        splits_of([None, "a", "b"])
    test = write("t.jsonl", ["?"])
    with pytest.raises(UserError, match=r"t\.jsonl: every row has the label"):
        load_splits(
            "classification",
            train_file=write("a.jsonl", ["a", "b"]),
            test_file=test,
            reading=ReadingOptions(exclude_label="?"),
        )


def test_names_keep_the_order_of_their_numbers() -> None:
    splits = splits_of([2, 0], label_names="zero,one,two")
    assert splits.labels == ["zero", "two"]
    assert any('without a row, which the model will not know: "one"' in n for n in splits.notices)


def test_the_number_of_no_class_is_left_out_on_request() -> None:
    """-1 of a `datasets` ClassLabel has no name, so that it is not a label like the others."""
    names = datasets.ClassLabel(names=["no", "yes"])
    features = datasets.Features({"text": datasets.Value("string"), "label": names})
    columns = {"text": [f"text {i}" for i in range(33)], "label": [-1, 0, 1] * 11}
    datasets.Dataset.from_dict(columns, features=features).save_to_disk("saved")
    with pytest.raises(UserError) as caught:
        load_splits("classification", dataset="saved")
    assert 'saved/train:row 1: "label" is -1' in caught.value.problems[0]
    assert "--exclude-label=-1" in caught.value.problems[0]
    reading = ReadingOptions(exclude_label="-1")
    splits = load_splits("classification", dataset="saved", reading=reading)
    assert splits.labels == ["no", "yes"]
    assert len(splits.train) + len(splits.validation) == 22
    assert any("11 rows" in notice and "--exclude-label" in notice for notice in splits.notices)
    rows = {"train": datasets.load_from_disk("saved")}
    assert load_splits("classification", rows=rows, reading=reading).labels == ["no", "yes"]


def test_a_repeated_header_is_left_out() -> None:
    rows = "".join(f"message {i},{'ab'[i % 2]}\n" for i in range(10))
    Path("a.csv").write_text(f"text,label\n{rows}text,label\n{rows}")
    splits = load_splits("classification", train_file="a.csv")
    assert splits.labels == ["a", "b"]
    assert "a.csv:12: the header is repeated; 1 such row left out" in splits.notices
    (example,) = read_examples_file("classification", _csv("b.csv", "text\ntext\n"), labelled=False)
    assert example.text == "text"


def _csv(name: str, content: str) -> str:
    Path(name).write_text(content)
    return name


COLUMNS = "text,joy,fear\n" + "".join(f"t {i},{i % 2},{int(i % 3 == 0)}\n" for i in range(30))


@pytest.mark.parametrize("flags", [{}, {"label_columns": "joy, fear"}])
def test_labels_as_one_column_each(flags: dict[str, Any]) -> None:
    file = _csv("a.csv", COLUMNS)
    splits = load_splits("classification", train_file=file, reading=ReadingOptions(**flags))
    assert (splits.problem_type, splits.labels) == (MULTI, ["fear", "joy"])
    by_text = {e.text: e.label for e in [*splits.train, *splits.validation]}
    assert [by_text[f"t {i}"] for i in range(4)] == [("fear",), ("joy",), (), ("fear", "joy")]
    assert any("2 columns of 0 and 1" in n for n in splits.notices) == (not flags)


def test_columns_that_are_one_label_each_row_are_one_label() -> None:
    content = "text,joy,fear\n" + "".join(f"t {i},{i % 2},{1 - i % 2}\n" for i in range(30))
    splits = load_splits("classification", train_file=_csv("a.csv", content))
    assert splits.problem_type == SINGLE
    assert {(e.text, e.label) for e in splits.train} <= {
        (f"t {i}", ("fear", "joy")[i % 2]) for i in range(30)
    }


@pytest.mark.parametrize(
    ("content", "columns", "message"),
    [
        (COLUMNS + "x,2,0\n", "joy,fear", 'a.csv:32: "joy" is "2"; a column of --label-columns'),
        (COLUMNS, "joy,anger", 'no column "anger" (--label-columns)'),
        (COLUMNS, "joy", "names 1 column; give two or more"),
        (COLUMNS + "x,2,0\n", None, "no column for the label"),
    ],
)
def test_columns_that_cannot_be_labels(content: str, columns: str | None, message: str) -> None:
    reading = ReadingOptions(label_columns=columns)
    with pytest.raises(UserError, match=re.escape(message)):
        load_splits("classification", train_file=_csv("a.csv", content), reading=reading)


def test_a_trained_models_way_of_writing_labels_is_taken_for_its_test_file() -> None:
    usual = ReadingOptions(label_names="neg,pos", exclude_label="-1")
    file = write("t.jsonl", [1, 0, -1], count=3)
    reading = ReadingOptions(problem_type=SINGLE)
    options: dict[str, Any] = {"labelled": True, "labels": ["neg", "pos"], "usual": usual}
    examples = read_examples_file("classification", file, reading=reading, **options)
    assert [example.label for example in examples] == ["pos", "neg"]
    # A label that a model was trained on stays one, however it is written.
    file = write("t.jsonl", ["['a']", "a|b"], count=2)
    options = {"labelled": True, "labels": ["['a']", "a|b"]}
    examples = read_examples_file("classification", file, reading=reading, **options)
    assert [example.label for example in examples] == ["['a']", "a|b"]


def test_labels_that_look_alike_are_told() -> None:
    notices = splits_of(["Pos", "pos", "very  good", "Very good", "e\u0301", "\u00e9", "x"]).notices
    notice = next(notice for notice in notices if "differ only in case" in notice)
    for pair in ('"Pos" (5) and "pos" (5)', '"Very good" (4) and "very  good" (4)', "\u00e9"):
        assert pair in notice
    assert not any("differ only" in n for n in splits_of(["pos", "post"]).notices)
    rows = [{"tokens": ["x", str(i)], "tags": [f"B-{'Pp'[i % 2]}er", "O"]} for i in range(20)]
    Path("n.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert any(
        '"Per" (10) and "per" (10)' in n for n in load_splits("ner", train_file="n.jsonl").notices
    )


@pytest.mark.parametrize(
    ("task", "flags", "message"),
    [
        ("ner", {"label_separator": ";"}, "--label-separator is for text classification"),
        ("ner", {"exclude_label": "x"}, "--exclude-label is for text classification"),
        ("ner", {"label_columns": "a,b"}, "--label-columns is for text classification"),
        ("classification", {"label_separator": " "}, "must be a visible text"),
        (
            "classification",
            {"label_separator": ";", "problem_type": SINGLE},
            "--label-separator does not go with --problem-type",
        ),
        (
            "classification",
            {"decimal_comma": True, "problem_type": MULTI},
            "--decimal-comma does not go with --problem-type",
        ),
        ("classification", {"label_names": "a,b", "problem_type": "regression"}, "is for classes"),
        (
            "classification",
            {"label_separator": ",", "decimal_comma": True},
            "--label-separator and --decimal-comma exclude each other",
        ),
        (
            "classification",
            {"label_columns": "a,b", "label_column": "c"},
            "--label-columns and --label-column exclude each other",
        ),
    ],
)
def test_flags_that_do_not_go_together(task: str, flags: dict[str, Any], message: str) -> None:
    if task == "classification":
        assert message in label_conflicts(ReadingOptions(**flags))[0]
    with pytest.raises(UserError, match=message):
        load_splits(task, reading=ReadingOptions(**flags))


@pytest.mark.parametrize("arguments", [["--exclude-label=-1"], ["--exclude-label", "-1"]])
def test_a_label_to_leave_out_may_begin_with_a_minus(arguments: list[str]) -> None:
    assert parse_config(RunConfig(), arguments).exclude_label == "-1"


def few(each: int, classes: int) -> list[dict[str, Any]]:
    return [
        {"text": f"{label} {i}", "label": f"class {label}"}
        for label in range(classes)
        for i in range(each)
    ]


@pytest.mark.parametrize(("each", "classes"), [(5, 64), (2, 64), (3, 2), (2, 3)])
def test_few_rows_of_many_classes_are_cut_as_far_as_they_go(each: int, classes: int) -> None:
    Path("a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in few(each, classes)))
    splits = load_splits("classification", train_file="a.jsonl")
    assert len({e.label for e in splits.train}) == classes
    assert len(splits.validation) == max(1, round(0.1 * each * classes))
    notice = next(n for n in splits.notices if "has no place for" in n)
    missing = classes - len({e.label for e in splits.validation})
    assert f"no place for {missing} of the {classes} classes" in notice
    # The share that is named gives every class its place.
    share = float(re.search(r"--validation-share ([\d.]+) gives", notice)[1])  # type: ignore[index]
    splits = load_splits("classification", train_file="a.jsonl", validation_share=share)
    assert len({e.label for e in splits.validation}) == classes
    assert len({e.label for e in splits.train}) == classes


def test_a_test_split_needs_not_every_class() -> None:
    Path("a.jsonl").write_text("".join(json.dumps(r) + "\n" for r in few(2, 510)))
    Path("t.jsonl").write_text("".join(json.dumps(r) + "\n" for r in few(1, 510)[:120]))
    splits = load_splits("classification", train_file="a.jsonl", test_file="t.jsonl")
    assert len(splits.labels) == 510
    notice = "t.jsonl: 390 of the 510 classes do not occur in it and are not scored there"
    assert notice in splits.notices


def test_a_long_label_is_read_at_once():
    """Where a pattern matches in more than one way, this takes hours."""
    long = ["1" * 50_000 + "x", "1" + " " * 50_000 + "x", "1." * 25_000]
    assert set(splits_of([*long, "y"]).labels) == {*long, "y"}


@pytest.mark.parametrize(
    ("kind", "label", "message"),
    [
        ("regression", "good", "is not a number; regression needs one (correct it, or delete"),
        (SINGLE, ["a", "b"], "does not fit the model, which gives one label"),
    ],
)
def test_a_finished_run_is_not_told_of_the_flag_of_training(
    kind: str, label: Any, message: str
) -> None:
    file = write("a.jsonl", [label], count=1)
    run = {"task": "classification", "labels": ["a", "b"], "problem_type": kind, "config": {}}
    with pytest.raises(UserError) as caught:
        read_labelled_file(run, file, notices=[])
    assert message in str(caught.value)
    assert "--problem-type" not in str(caught.value)
