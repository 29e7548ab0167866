"""Values from Python: a string is not a list of texts, and an iterator can be read once."""

import numpy as np
import pandas
import pyarrow
import pytest
import torch

from lowcost_ft import load_predictor, load_splits
from lowcost_ft.config.arguments import to_list
from lowcost_ft.errors import UserError
from lowcost_ft.scores.metrics import score_classes, score_entities, score_values
from lowcost_ft.tasks.classification import ClassificationTask, balanced_class_weights
from lowcost_ft.tasks.ner import NerTask

TEXTS = ["chen wei lives in oslo", "where is my order ?"]
FORMS = {
    "list": list,
    "tuple": tuple,
    "iterator": iter,
    "generator": lambda texts: (text for text in texts),
    "map": lambda texts: map(str, texts),
    "keys": lambda texts: dict.fromkeys(texts),
    "array": np.array,
    "objects": lambda texts: np.array(texts, object),
    "series": lambda texts: pandas.Series(texts, index=range(5, 5 + len(texts))),
    "index": pandas.Index,
    "arrow": pyarrow.array,
}
READ = [name for name in FORMS if name != "keys"]
NOT_LISTS = [
    ("Berlin", "is one text"),
    ("", "is one text"),
    (b"Berlin", "is one bytes"),
    ({"text": "Berlin"}, "named columns"),
    (pandas.DataFrame({"text": ["Berlin"]}), "named columns"),
    ({"Berlin"}, "no order"),
    (None, "not NoneType"),
    (3, "not int"),
    (np.array("Berlin"), "must be a list"),
    (np.array([["a", "b"]]), r"shape \(1, 2\)"),
]


@pytest.fixture(scope="module")
def ner(trained_run):
    return load_predictor(trained_run("ner", "bert"))


@pytest.fixture(scope="module")
def single(trained_run):
    return load_predictor(trained_run("single", "bert"))


@pytest.mark.parametrize("form", READ)
def test_several_texts_are_read_from_whatever_holds_them(ner, single, form):
    for predictor in (ner, single):
        assert predictor(FORMS[form](TEXTS)) == predictor(TEXTS)
    assert to_list(FORMS[form](TEXTS), "x", of="texts") == TEXTS


@pytest.mark.parametrize(("value", "message"), NOT_LISTS)
def test_what_is_not_a_list_of_texts_is_refused(single, value, message):
    with pytest.raises(UserError, match=f"texts .*{message}"):
        single(value)
    with pytest.raises(UserError, match="examples "):
        single.predict(value)
    with pytest.raises(UserError, match="predictions "):
        score_entities(value, [["O"]])
    with pytest.raises(UserError, match="references "):
        score_classes(["a"], value, ["a"])
    with pytest.raises(UserError, match="labels "):
        score_classes(["a"], ["a"], value)
    with pytest.raises(UserError, match="predictions "):
        score_values(value, [1.0])
    for task in (ClassificationTask, NerTask):
        with pytest.raises(UserError, match="labels "):
            task(value)
    with pytest.raises(UserError, match="examples "):
        balanced_class_weights(value, ["a"], problem_type=None)


@pytest.mark.parametrize("missing", [None, float("nan"), np.nan, pandas.NA])
def test_gaps_in_a_column_are_told_by_number(single, missing):
    column = pandas.Series(["hello", missing, "hello"], dtype=object)
    with pytest.raises(UserError, match="text 2 is missing"):
        single(column)


def test_no_texts_have_no_answers(ner, single):
    for predictor in (ner, single):
        for nothing in ([], (), iter(()), np.array([], str), pandas.Series([], dtype=str)):
            assert predictor(nothing) == []
    assert single([], []) == []


def test_texts_are_not_examples(single):
    with pytest.raises(UserError, match=r"examples holds str.*call the predictor itself"):
        single.predict(TEXTS)
    examples = [example for example in single.read_lines(b"hello\n\nthank you\n", name="x")]
    assert single.predict(iter(examples)) == single.predict(examples)


def test_each_text_has_one_pair(single):
    with pytest.raises(UserError, match="2 texts and 1 pairs"):
        single(TEXTS, ["a"])
    with pytest.raises(UserError, match="pairs is one text"):
        single(["a"], "b")
    with pytest.raises(UserError, match="trained on single texts"):
        single(TEXTS, iter(TEXTS))


@pytest.mark.parametrize("form", ["tuple", "generator", "array", "series", "arrow"])
def test_scores_of_whatever_holds_the_answers(form):
    make = FORMS[form]
    truth, answers, names = ["a", "b", "a"], ["a", "a", "b"], ["a", "b"]
    assert score_classes(make(answers), make(truth), make(names)) == score_classes(
        answers, truth, names
    )
    numbers, found = [1.0, 2.0, 4.0], [1.5, 2.0, 3.0]
    tags = [["O", "B-a"], ["B-b"]]
    held = (tuple(map(tuple, tags)), [np.array(row) for row in tags], (row for row in tags))
    for rows in held:
        assert score_entities(rows, tags)["f1"] == 1.0
    assert score_values(torch.tensor(found).numpy(), make(numbers)) == score_values(found, numbers)


def test_sentences_and_sets_of_labels_are_lists_too():
    with pytest.raises(UserError, match=r"predictions\[0\] is one text"):
        score_entities(["B-a", "O"], [["B-a"], ["O"]])
    with pytest.raises(UserError, match=r"references\[1\] is one text"):
        score_classes([["a"], []], [["a"], "a"], ["a"], multi_label=True)
    with pytest.raises(UserError, match="multi_label=True"):
        score_classes([["a"]], [["a"]], ["a"])
    with pytest.raises(UserError, match="predictions must be numbers"):
        score_values(["many"], [1.0])
    with pytest.raises(UserError, match="one number an example"):
        score_values([[1.0]], [1.0])


def test_data_in_memory_is_not_a_file(single):
    rows = [{"text": "a", "label": "b"}]
    table = pandas.DataFrame(rows)
    for data in (rows, tuple(rows), table, iter(rows)):
        with pytest.raises(UserError) as caught:
            load_splits("classification", train_file=data, test_file=data)
        assert [problem.split(" is ")[0] for problem in caught.value.problems] == [
            "train_file",
            "test_file",
        ]
        assert "data in memory" in str(caught.value)
        assert ".jsonl" in str(caught.value)
    with pytest.raises(UserError, match="dataset is data in memory"):
        load_splits("ner", dataset={"train": rows})
    for method in (single.read, single.evaluate):
        with pytest.raises(UserError, match="path is data in memory"):
            method(rows)
    with pytest.raises(UserError, match="folder is data in memory"):
        load_predictor(["runs/a"])
    with pytest.raises(UserError, match="folder must be a path, not NoneType"):
        load_predictor(None)
    with pytest.raises(UserError, match="train_file is an empty path"):
        load_splits("ner", train_file="")
    with pytest.raises(UserError, match="known: ner, classification"):
        load_splits("tagging")


def test_files_may_be_paths(tmp_path, single):
    from small_runs import text_rows, write_jsonl

    write_jsonl(tmp_path / "a.jsonl", text_rows(60))
    path = tmp_path / "a.jsonl"
    splits = load_splits("classification", train_file=path, test_file=path)
    assert splits == load_splits("classification", train_file=str(path), test_file=str(path))
    assert single.evaluate(path) == single.evaluate(str(path))
