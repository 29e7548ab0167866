"""`lowcost-ft suggest`: which rows it chooses, and that its files come back to the character."""

import json
import shutil
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from export_files import choice, read, task, write
from small_runs import ner_rows, write_jsonl

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from label_curve import begun
from label_tables import label_lines, labels_for

from lowcost_ft.commands.main import main
from lowcost_ft.data.exports.writing import label_studio_tasks
from lowcost_ft.suggest.selection import choose_rows, choose_typical
from lowcost_ft.tasks.classification import ClassificationTask
from lowcost_ft.tasks.classification.uncertainty import unsure_of_classes, unsure_of_labels
from lowcost_ft.tasks.ner.uncertainty import unsure_of_entities

TEXTS = (
    *("where is my parcel", "please refund my card", "hello", "my name is anna"),
    *("anna lives in oslo", "send the lamp to chen wei in red river on monday", "thank you"),
)


def run(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[str, str]:
    capsys.readouterr()
    assert main(["suggest", *words]) == 0
    printed = capsys.readouterr()
    return printed.out, printed.err


def refused(capsys: pytest.CaptureFixture[str], *words: str) -> str:
    capsys.readouterr()
    assert main(["suggest", *words]) == 2
    return capsys.readouterr().err


def crowded(*sizes: int) -> np.ndarray:
    """Groups of nearly equal rows, far from one another."""
    random = np.random.default_rng(0)
    rows = np.repeat(np.eye(8)[: len(sizes)], sizes, axis=0)
    return (rows + random.normal(0, 1e-3, rows.shape)).astype(np.float32)


def test_uncertain_rows_are_chosen_and_those_that_are_alike_only_once():
    states = crowded(10, 10, 10)
    uncertainty = np.repeat([0.9, 0.8, 0.7], 10)
    uncertainty[5] = 1.0
    chosen = choose_rows(states, uncertainty, 3)
    assert sorted(row // 10 for row in chosen) == [0, 1, 2]
    assert list(uncertainty[chosen]) == sorted(uncertainty[chosen], reverse=True)
    # Where ten times as many are not wanted, certain rows are no candidates.
    uncertainty[20:] = 0.0
    assert set(choose_rows(states, uncertainty, 2) // 10) == {0, 1}
    assert sorted(choose_rows(states, uncertainty, 99)) == list(range(30))


def test_without_a_model_a_row_of_each_group_is_chosen_and_known_groups_come_last():
    states = crowded(4, 20, 8)
    assert [row < 4 for row in choose_typical(states, 3)] == [False, False, True]
    assert len({(row >= 4) + (row >= 24) for row in choose_typical(states, 3).tolist()}) == 3
    known = states[4:6]
    chosen = choose_typical(states, 1, labelled=known)
    assert not 4 <= chosen[0] < 24
    assert len(set(choose_typical(states, 32).tolist())) == 32


def test_a_cold_start_looks_for_new_texts_also_where_more_are_labelled_than_left():
    states = crowded(20, 10)
    chosen = choose_typical(states, 3, labelled=np.tile(states[:20], (2, 1)))
    assert (chosen >= 20).all()


def test_an_entity_counts_once_however_many_words_it_has():
    certain = unsure_of_entities(["B-x", "I-x", "O"], np.array([1.0, 1.0, 1.0]))
    one = unsure_of_entities(["B-x", "I-x", "I-x", "O"], np.array([0.5, 0.6, 0.7, 0.99]))
    two = unsure_of_entities(["B-x", "O", "B-x"], np.array([0.5, 1.0, 0.5]))
    missing = unsure_of_entities(["O", "O", "O", "O"], np.array([0.6, 0.7, 1.0, 0.8]))
    assert (certain, one, two) == (0, 0.5, 1.0)
    assert missing == pytest.approx(0.4 + 0.2)


def test_a_text_between_two_classes_is_most_uncertain_and_so_is_a_score_at_its_threshold():
    scores = np.array([[0.5, 0.5, 0.0], [0.6, 0.3, 0.1], [0.98, 0.01, 0.01]])
    assert list(unsure_of_classes(scores)) == pytest.approx([1, 0.7, 0.03])
    assert list(unsure_of_classes(np.ones((2, 1)))) == [0, 0]
    labels = unsure_of_labels(np.array([[0.2, 0.0], [0.6, 1.0], [0.0, 1.0]]), np.array([0.2, 0.5]))
    assert list(labels) == pytest.approx([1, 0.5, 0])
    number = ClassificationTask(["0"], problem_type="regression")
    assert number.uncertainty([], {"scores": np.zeros((1, 1))}) is None


@pytest.fixture(scope="module")
def pool(tmp_path_factory: pytest.TempPathFactory) -> str:
    file = tmp_path_factory.mktemp("pool") / "pool.jsonl"
    rows: list[dict[str, Any]] = [{"id": n, "text": text} for n, text in enumerate(TEXTS, 100)]
    return write_jsonl(file, [*rows, {"id": 1, "text": " hello"}, {"id": 2, "text": " "}])


def test_texts_come_with_the_answer_and_how_unsure_it_is(capsys, trained_run, pool):
    folder = str(trained_run("single", "bert"))
    out, err = run(capsys, folder, "--pool", pool, "--number", "3", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert len(rows) == 3
    assert all(list(row) == ["id", "text", "label", "score", "row", "uncertainty"] for row in rows)
    assert all(row["text"] == TEXTS[row["row"] - 1] == TEXTS[row["id"] - 100] for row in rows)
    unsure = [row["uncertainty"] for row in rows]
    assert unsure == sorted(unsure, reverse=True)
    said = " ".join(err.split())
    assert "1 row with the text of an earlier one, left out" in said
    assert "1 row without text, left out" in said and "answered" not in said
    told, _ = run(capsys, folder, "--pool", pool, "--number", "3")
    assert [line.split()[1] for line in told.splitlines()] == [
        f"{pool}:{row['row']}" for row in rows
    ]


@pytest.mark.parametrize("kind", ["single", "ner"])
@pytest.mark.parametrize("name", ["pool.jsonl", "pool.csv"])
def test_other_fields_of_the_pool_come_along(capsys, tmp_path, trained_run, kind, name):
    rows = [{"text": t, "label": "old", "url": f"x/{n}", "row": "r"} for n, t in enumerate(TEXTS)]
    file = write_jsonl(tmp_path / name, rows)
    if name.endswith(".csv"):
        lines = [",".join(rows[0]), *(",".join(row.values()) for row in rows)]
        (tmp_path / name).write_text("\n".join([*lines, ""]), "utf-8")
    out, _ = run(capsys, str(trained_run(kind, "bert")), "--pool", file, "--number", "3", "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert [row["url"] for row in found] == [f"x/{row['row'] - 1}" for row in found]
    # Labels of the pool are not looked at, and what the command says itself comes first.
    assert all(row.get("label") != "old" and isinstance(row["row"], int) for row in found)


@pytest.mark.parametrize(
    ("to", "name"), [("label_studio", "a.json"), ("doccano", "b.jsonl"), ("jsonl", "c.jsonl")]
)
def test_entities_come_back_from_the_tasks_to_the_character(
    capsys, tmp_path, trained_run, pool, to, name
):
    folder, output = str(trained_run("ner", "bert")), str(tmp_path / name)
    words = [folder, "--pool", pool, "--number", "7", "--output", output]
    out, _ = run(capsys, *words, *(["--to", to] if to == "doccano" else []), "--json")
    expected = [json.loads(line) for line in out.splitlines()]
    assert sum(len(row["entities"]) for row in expected) >= 2
    for row in expected:
        assert all(row["text"][e["start"] : e["end"]] == e["text"] for e in row["entities"])
    if to == "label_studio":
        tasks = json.loads(Path(output).read_text("utf-8"))
        # What people accept is the same under "annotations".
        for task in tasks:
            assert "annotations" not in task
            (answer,) = task.pop("predictions")
            assert answer["model_version"] == Path(folder).name
            assert all(0 <= result["score"] <= 1 for result in answer["result"])
            task["annotations"] = [{"result": answer["result"]}]
        Path(output).write_text(json.dumps(tasks), "utf-8")
    rows, problems, _ = read(output)
    assert problems == []
    assert [row["text"] for row in rows] == [row["text"] for row in expected]
    assert [
        [(e["start"], e["end"], e["label"]) for e in row.get("entities") or ()] for row in rows
    ] == [[(e["start"], e["end"], e["label"]) for e in row["entities"]] for row in expected]
    assert [row["row"] for row in rows] == [row["row"] for row in expected]


def test_a_class_is_a_prediction_with_its_score_in_label_studio():
    row = {"text": "x", "label": "refund", "score": 0.75, "row": 3, "uncertainty": 0.5}
    (task,) = json.loads(label_studio_tasks([row], predicted_by="run"))
    (answer,) = task["predictions"]
    assert (answer["score"], answer["result"][0]["value"]) == (0.75, {"choices": ["refund"]})
    assert task["data"] == {"text": "x", "score": 0.75, "row": 3, "uncertainty": 0.5}


def test_a_cold_start_needs_no_run_and_leaves_out_what_is_labelled(
    capsys, tmp_path, tiny_model, pool
):
    labelled = tmp_path / "labelled.csv"
    labelled.write_text("text,label\nhello,None\nthank you,None\n", "utf-8")
    words = ["--pool", pool, "--model-id", tiny_model("bert"), "--number", "9"]
    out, err = run(capsys, *words, "--labelled-file", str(labelled), "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert sorted(row["row"] for row in rows) == [1, 2, 4, 5, 6]
    assert all(list(row) == ["id", "text", "row"] for row in rows)
    assert "all 5 rows left are suggested" in " ".join(err.split())
    # The same call gives the same rows; tasks have nothing to correct.
    first, _ = run(capsys, *words[:-1], "2", "--json")
    assert run(capsys, *words[:-1], "2", "--json")[0] == first
    output = tmp_path / "tasks.json"
    run(capsys, *words[:-1], "2", "--output", str(output))
    tasks = json.loads(output.read_text("utf-8"))
    assert [task["predictions"] for task in tasks] == [[], []]


@pytest.mark.parametrize("cold", [True, False])
def test_pairs_are_told_apart_by_both_of_their_texts(
    capsys, tmp_path, tiny_model, trained_run, cold
):
    def pairs(name: str, *seconds: str) -> str:
        rows = [{"said": "where is it", "meant": second, "why": "?"} for second in seconds]
        return write_jsonl(tmp_path / name, rows)

    words = ["--pool", pairs("pool.jsonl", "a", "b", "c", "b"), "--json"]
    words += ["--labelled-file", pairs("labelled.jsonl", "c")]
    columns = ["--text-column", "said", "--text-pair-column", "meant"]
    if cold:
        out, err = run(capsys, *words, *columns, "--model-id", tiny_model("bert"))
    else:
        folder = trained_run("single", "bert")
        record = json.loads((folder / "run.json").read_text("utf-8"))
        record["data"]["pairs"] = True
        record["config"] |= {"text_column": "said", "text_pair_column": "meant"}
        copy = tmp_path / "run"
        shutil.copytree(folder, copy)
        (copy / "run.json").write_text(json.dumps(record), "utf-8")
        out, err = run(capsys, str(copy), *words)
    assert sorted(json.loads(line)["row"] for line in out.splitlines()) == [1, 2]
    said = " ".join(err.split())
    assert "1 row with the text of an earlier one" in said and "1 row labelled already" in said


@pytest.mark.parametrize("flags", [[], ["--question-column", "question"]])
def test_questions_are_told_apart_by_their_texts_and_lose_their_answers(
    capsys, tmp_path, tiny_model, flags
):
    asked = [("who?", "ann came"), ("who?", "bo came"), ("who?", "ann came"), ("", "x"), ("y", "")]
    rows = [
        {"id": n, "question": q, "context": c, "answers": {"text": ["ann"], "answer_start": [0]}}
        for n, (q, c) in enumerate(asked, 1)
    ]
    rows.append(rows[0] | {"context": "cy came"})
    labelled = write_jsonl(tmp_path / "labelled.jsonl", rows[-1:])
    words = ["--pool", write_jsonl(tmp_path / "pool.jsonl", rows), *flags]
    words += ["--model-id", tiny_model("bert"), "--labelled-file", labelled]
    out, err = run(capsys, *words, "--json")
    found = [json.loads(line) for line in out.splitlines()]
    assert sorted((row["id"], row["text"], row["question"], row["row"]) for row in found) == [
        (1, "ann came", "who?", 1),
        (2, "bo came", "who?", 2),
    ]
    assert not any("answers" in row for row in found)
    said = " ".join(err.split())
    assert "2 rows without text" in said and "1 row with the text of an earlier one" in said
    assert "1 row labelled already" in said
    assert ("read as questions" in said) == (not flags)
    output = tmp_path / "tasks.json"
    run(capsys, *words, "--output", str(output))
    (task, _) = json.loads(output.read_text("utf-8"))
    assert set(task["data"]) == {"text", "question", "row"}


def test_tasks_that_nobody_has_annotated_are_not_taken_for_labelled(capsys, tmp_path, tiny_model):
    tasks = [task("one", [choice("a")]), task("two"), task("three", [choice("b")]), task("four")]
    tasks[2]["annotations"][0]["was_cancelled"] = True  # Skipped: not to be asked again.
    del tasks[3]["annotations"]  # As this command writes tasks.
    file = write(tmp_path, tasks)
    words = ["--pool", file, "--labelled-file", file, "--model-id", tiny_model("bert"), "--json"]
    out, err = run(capsys, *words)
    assert sorted(json.loads(line)["text"] for line in out.splitlines()) == ["four", "two"]
    said = " ".join(err.split())
    assert "2 rows that nobody has labelled not taken for labelled" in said
    assert "2 rows labelled already" in said


@pytest.mark.parametrize("words", [False, True])
def test_a_cold_start_leaves_out_rows_without_text_and_counts_them(
    capsys, tmp_path, tiny_model, words
):
    texts = ["", "where is it", "  ", "where is it", "hello"]
    rows = [{"tokens": t.split()} if words else {"text": t, "by": "\udc00"} for t in texts]
    file = write_jsonl(tmp_path / "pool.jsonl", rows)
    out, err = run(capsys, "--pool", file, "--model-id", tiny_model("bert"), "--json")
    assert sorted(json.loads(line)["row"] for line in out.splitlines()) == [2, 5]
    said = " ".join(err.split())
    assert "2 rows without text, left out" in said and "answered" not in said


def test_words_of_columns_are_suggested_as_a_text(capsys, tmp_path, tiny_model):
    file = write_jsonl(tmp_path / "pool.jsonl", [{"tokens": r["tokens"]} for r in ner_rows(3)])
    out, _ = run(capsys, "--pool", file, "--model-id", tiny_model("bert"), "--json")
    assert all(" " in json.loads(line)["text"] for line in out.splitlines())


def test_wrong_flags_are_refused_all_at_once(capsys, tmp_path, pool):
    err = refused(capsys, "--pool", pool, "--number", "0", "--to", "jsonl", "--base-model", "x")
    assert all(flag in err for flag in ("--number 0", "--to needs a file", "--base-model is for"))
    assert "exists already" in refused(capsys, "--pool", pool, "--output", pool)
    unknown = str(tmp_path / "tasks.txt")
    assert "say with --to" in refused(capsys, "--pool", pool, "--output", unknown)
    assert "no_pool.csv" in refused(capsys, "--pool", str(tmp_path / "no_pool.csv"))
    empty = tmp_path / "labelled.jsonl"
    empty.write_text(json.dumps({"text": "hello"}) + "\n", "utf-8")
    assert "no row is left" in refused(capsys, "--pool", str(empty), "--labelled-file", str(empty))


def test_columns_of_a_file_without_any_are_refused(capsys, tmp_path, tiny_model, trained_run):
    file = tmp_path / "pool.txt"
    file.write_text("where is it\nhello\n", "utf-8")
    named = ["--pool", str(file), "--text-column", "body"]
    err = " ".join(refused(capsys, str(trained_run("single", "bert")), *named).split())
    assert "has one text a line and no columns: leave out --text-column" in err
    assert "--text-column" in refused(capsys, *named, "--model-id", tiny_model("bert"))


def test_a_run_without_probabilities_is_refused_before_the_pool_is_answered(
    capsys, monkeypatch, trained_run, pool
):
    asked: list[int] = []

    def none(task, examples, predictions):
        asked.append(len(examples))

    monkeypatch.setattr(ClassificationTask, "uncertainty", none)
    err = refused(capsys, str(trained_run("single", "bert")), "--pool", pool)
    assert "does not say how sure it is; leave RUN out" in " ".join(err.split())
    assert asked == [1]


def test_the_label_curve_is_read_between_its_rounds():
    points = [(100, 0.4), (200, 0.6), (300, 0.9)]
    assert labels_for(points, 0.75) == pytest.approx(250)
    assert labels_for(points, 0.95) is None
    curves = {"random": [(200, 0.1), (600, 0.2), (1000, 0.3), (2000, 0.4)]}
    curves["suggest"] = [(200, 0.3), (600, 0.5), (1000, 0.6), (2000, 0.7)]
    runs = [
        {"data": "banking77", "seed": 0, "choice": choice, "curve": curve}
        for choice, curve in curves.items()
    ]
    assert label_lines(runs)[-1].endswith("| `suggest` | 0.300 | 0.500 | 0.600 | 0.700 | 400 |")
    assert begun(["O", "x", "x", "y", "O"]) == ["O", "B-x", "I-x", "B-y", "O"]


def test_rows_whose_label_is_empty_are_not_taken_for_labelled(capsys, tmp_path, tiny_model):
    file = tmp_path / "some.csv"
    file.write_text("text,label\none,a\ntwo,\nthree,b\nfour, \n")
    words = ["--pool", str(file), "--labelled-file", str(file), "--json"]
    out, err = run(capsys, *words, "--model-id", tiny_model("bert"))
    assert sorted(json.loads(line)["text"] for line in out.splitlines()) == ["four", "two"]
    assert "2 rows that nobody has labelled not taken for labelled" in " ".join(err.split())


def test_tasks_in_lines_that_nobody_has_annotated_are_not_labelled(capsys, tmp_path, tiny_model):
    file = write_jsonl(tmp_path / "tasks.jsonl", [task("one", [choice("a")]), task("two")])
    words = ["--pool", file, "--labelled-file", file, "--model-id", tiny_model("bert"), "--json"]
    out, _ = run(capsys, *words)
    assert [json.loads(line)["text"] for line in out.splitlines()] == ["two"]
