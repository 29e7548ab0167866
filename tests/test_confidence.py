"""What a run knows of its own scores: saved, shown, promised, and without a change of decisions."""

import json
import shutil
import sys
from types import SimpleNamespace

import numpy as np
import pytest
from small_runs import call_recipe, flags, ner_rows, text_rows, write_jsonl

from lowcost_ft import load_predictor
from lowcost_ft.commands.main import main
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline import confidence
from lowcost_ft.pipeline.answer_scores import withheld
from lowcost_ft.pipeline.run_splits import load_run_splits
from lowcost_ft.scores.relations import score_relations
from lowcost_ft.tasks.classification.examples import TextExample
from lowcost_ft.tasks.classification.flags import DecisionFlags
from lowcost_ft.tasks.classification.task import ClassificationTask
from lowcost_ft.tasks.ner import NerTask
from lowcost_ft.tasks.question_answering import QuestionAnsweringTask
from lowcost_ft.tasks.relation import RelationTask

REFERENCES = 70
"""Training texts to keep: fewer than there are, as in data of usual size."""


@pytest.fixture(scope="module", params=["ner", "single"])
def run(request, tmp_path_factory, tiny_model):
    """A run with enough validation rows, of a model that is not always right."""
    folder = tmp_path_factory.mktemp("confidence")
    rows = ner_rows if request.param == "ner" else text_rows
    files = {
        f"{split}_file": write_jsonl(folder / f"{split}.jsonl", rows(count, seed=seed))
        for seed, (split, count) in enumerate({"train": 80, "validation": 90, "test": 40}.items())
    }
    values = {"model_id": tiny_model("bert"), "num_train_epochs": 7, "learning_rate": 3e-3}
    values |= {"output_dir": folder / "run", "dropout": 0.0, "max_length": 32, "batch_size": 8}
    values |= files
    recipe = "lora_ner" if request.param == "ner" else "lora_classification"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(confidence, "MOST_REFERENCES", REFERENCES)
        assert call_recipe(recipe, *flags(**values)) == 0
    return folder / "run"


def record_of(folder):
    return json.loads((folder / "run.json").read_text("utf-8"))


def items_of(answer):
    """The scored parts of an answer."""
    return answer.get("entities", [answer])


def uncalibrated(run, tmp_path):
    """The same run as one of an older version."""
    older = shutil.copytree(run, tmp_path / "older")
    (older / "novelty.safetensors").unlink()
    record = record_of(run)
    del record["calibration"], record["novelty"]
    (older / "run.json").write_text(json.dumps(record), "utf-8")
    return older


def test_a_run_records_its_errors_and_what_validation_promises(run):
    found = record_of(run)["calibration"]
    assert found["temperature"] > 0
    for split in ("validation", "test"):
        assert 0 <= found[split]["after"]["ece"] <= 1
    # Fitted there, the scores cannot be much farther off than before.
    validation = found["validation"]
    assert validation["after"]["ece"] <= validation["before"]["ece"] + 0.02
    counts = found["promises"]
    assert len(counts["answers"]) == 101
    assert all(map(int.__le__, counts["right"], counts["answers"]))
    novelty = record_of(run)["novelty"]
    assert novelty["training_texts"] == REFERENCES
    assert novelty["flagged_of_validation"] <= 0.05


def test_decisions_and_saved_predictions_keep_the_raw_scores(run, tmp_path):
    texts = ["anna lives in oslo", "send the money back", "where is my parcel in berlin"]
    raw = load_predictor(uncalibrated(run, tmp_path))(texts)
    told = load_predictor(run)(texts)
    scores = record_of(run)["calibration"]
    for before, after in zip(raw, told, strict=True):
        assert "calibrated" not in before
        assert after["calibrated"] is True
        for one, other in zip(items_of(before), items_of(after), strict=True):
            same = {name: one[name] for name in ("label", "start", "end") if name in one}
            assert same == {name: other[name] for name in same}
            if scores["temperature"] != 1:
                assert one["score"] != other["score"]


def test_texts_unlike_the_training_data_are_flagged(run, capsys):
    predictor = load_predictor(run)
    outside = [f"{word} " * 9 for word in ("quartz", "xylophone", "Ωmega", "1234567", "!!!")]
    answers = predictor([*outside, "anna wants a refund"])
    assert sum("unlike_training" in answer for answer in answers) >= 1
    assert main(["predict", str(run), "--text", outside[0]]) == 0
    shown = capsys.readouterr()
    if "unlike_training" in answers[0]:
        assert "unlike the training data]" in shown.out
        assert "do not rely on" in " ".join(shown.err.split())


def test_min_score_withholds_and_says_what_validation_promises(run, capsys, tmp_path):
    file = tmp_path / "texts.txt"
    file.write_text("anna lives in oslo\nplease refund my card\nhello\n", "utf-8")
    told = {}
    for score in ("0", "0.9", "1"):
        assert main(["predict", str(run), "--file", str(file), "--json", "--min-score", score]) == 0
        captured = capsys.readouterr()
        told[score] = [json.loads(line) for line in captured.out.splitlines()]
        message = " ".join(captured.err.split())
        assert f"--min-score {score}:" in message
        assert "on validation data" in message
        assert all(answer["calibrated"] for answer in told[score])
    assert not any("withheld" in answer for answer in told["0"])
    assert any("withheld" in answer for answer in told["1"])
    for answer in told["0.9"]:
        kept = [item for item in items_of(answer) if item["label"] is not None]
        assert all(item["score"] >= 0.9 for item in kept)
        assert all(item["score"] < 0.9 for item in answer.get("withheld", []))
    assert main(["predict", str(run), "--file", str(file), "--min-score", "1"]) == 0
    shown = capsys.readouterr().out
    assert "withheld: " in shown


def test_a_run_of_an_older_version_says_that_its_scores_are_raw(run, capsys, tmp_path):
    older = uncalibrated(run, tmp_path)
    assert main(["predict", str(older), "--text", "anna lives in oslo", "--min-score", "0.5"]) == 0
    message = " ".join(capsys.readouterr().err.split())
    assert "promises nothing: the run is of an older version" in message
    assert "scores are not calibrated" in message
    with pytest.raises(UserError, match="cannot tell texts unlike"):
        load_predictor(older).out_of_scope([], [])


def test_a_damaged_file_of_the_run_is_named(run, tmp_path):
    broken = shutil.copytree(run, tmp_path / "broken")
    (broken / "novelty.safetensors").write_bytes(b"none")
    with pytest.raises(UserError, match=r"novelty\.safetensors cannot be read"):
        load_predictor(broken)


@pytest.mark.parametrize(("score", "message"), [("1.5", "not a score"), ("-0.1", "not a score")])
def test_scores_out_of_bounds_are_refused(run, capsys, score, message):
    assert main(["predict", str(run), "--text", "x", f"--min-score={score}"]) == 2
    assert message in capsys.readouterr().err


def test_evaluate_tells_how_well_other_texts_are_told_apart(run, capsys, tmp_path):
    file = tmp_path / "outside.txt"
    file.write_text("quartz xylophone\n1234567 !!!\nomega omega omega\n", "utf-8")
    test = record_of(run)["config"]["test_file"]
    arguments = ["evaluate", str(run), "--test-file", test, "--out-of-scope-file", str(file)]
    assert main([*arguments, "--json"]) == 0
    found = json.loads(capsys.readouterr().out)["out_of_scope"]
    assert found["texts"] == 3
    assert 0 <= found["auroc"] <= 1
    assert main(arguments) == 0
    assert "out of scope: AUROC" in capsys.readouterr().out


def test_few_validation_rows_are_told_to_be_too_few(trained_run):
    found = record_of(trained_run("single", "bert"))
    assert "21 answers to validation data are too few" in found["calibration"]["reason"]
    assert "21 validation texts are too few" in found["novelty"]["reason"]


def text(label):
    return TextExample(text="a", label=label, source="")


def test_control_characters_of_texts_do_not_reach_a_terminal(run, capsys, monkeypatch):
    capsys.readouterr()
    for terminal, expected in ((False, "a\x1b[2J b"), (True, "a\ufffd[2J b")):
        monkeypatch.setattr(sys.stdout, "isatty", lambda terminal=terminal: terminal)
        assert main(["predict", str(run), "--text", "a\x1b[2J b"]) == 0
        assert expected in capsys.readouterr().out


def test_each_task_says_which_of_its_answers_are_right():
    several = ClassificationTask(["a", "b"], problem_type="multi_label_classification")
    predictions = {"scores": np.array([[0.9, 0.2], [0.6, 0.7]], np.float32)}
    found = several.graded([text(("a",)), text(("b",))], predictions)
    assert found.right.tolist() == [True, False, False, True]
    assert found.given.tolist() == [True, False, True, True]
    assert found.owners.tolist() == [0, 0, 1, 1]
    single = ClassificationTask(["a", "b"])
    found = single.graded([text("a"), text("unknown")], predictions)
    assert found.right.tolist() == [True, False]
    assert found.truth.tolist() == [0, -1]
    number = ClassificationTask(["a"], problem_type="regression")
    assert number.graded([text(1.0)], {"scores": np.ones((1, 1), np.float32)}) is None
    assert "a number is not right or wrong" in number.why_no_confidence
    relation = RelationTask(["no_relation", "near"], negative="no_relation")
    assert relation.gives(np.array([0, 1])).tolist() == [False, True]


LABELS = ClassificationTask(["a", "b"])
RELATIONS = RelationTask(["no_relation", "p"])


@pytest.mark.parametrize(
    ("task", "answer", "expected"),
    [
        (LABELS, {"label": "a", "score": 0.4}, {"label": None, "score": 0.4}),
        (
            LABELS,
            {"label": ["a", "b"], "score": [0.9, 0.4]},
            {"label": ["a"], "score": [0.9]},
        ),
        (NerTask(["O", "B-p"]), {"entities": [{"label": "p", "score": 0.4}]}, {"entities": []}),
        (RELATIONS, {"relations": [{"label": "p", "score": 0.4}]}, {"relations": []}),
        (RELATIONS, {"label": "p", "score": 0.4}, {"label": None, "score": 0.4}),
        (
            QuestionAnsweringTask(),
            {"answer": "x", "start": 3, "end": 4, "score": 0.4},
            {"answer": None, "start": None, "end": None, "score": 0.4},
        ),
    ],
)
def test_each_task_withholds_what_has_a_lower_score(task, answer, expected):
    found, before, after = task.withhold(answer, 0.5)
    held = found.pop("withheld")
    assert found == expected
    assert len(held) == 1
    assert before - after == 1
    assert task.withhold(answer, 0.3)[0] == answer


def test_validation_data_promise_nothing_of_other_thresholds():
    counts = {"answers": [60] * 101, "right": [50] * 101}
    run = {"labels": ["a", "b"], "problem_type": "multi_label_classification", "metric": "f1"}
    run |= {"thresholds": [0.4, 0.5], "calibration": {"temperature": 1.0, "promises": counts}}
    predictor = SimpleNamespace(task=ClassificationTask.from_record(run), run=run)
    assert "83.3% of these 60 were right" in withheld(predictor, [], 0.3)[1]
    predictor.task.use(DecisionFlags(threshold=0.05))
    assert "promises nothing: the run was scored with another" in withheld(predictor, [], 0.3)[1]


def test_of_several_answers_those_with_a_lower_score_are_withheld():
    task = QuestionAnsweringTask()
    ranked = [
        {"answer": name, "start": place, "end": place + 1, "score": score}
        for place, (name, score) in enumerate([("x", 0.6), ("y", 0.3), ("z", 0.1)])
    ]
    answer = {"question": "?"} | ranked[0] | {"answers": ranked}
    found, before, after = task.withhold(answer, 0.5)
    assert (before, after, found["answer"]) == (1, 1, "x")
    assert (found["answers"], found["withheld"]) == (ranked[:1], ranked[1:])
    found, before, after = task.withhold(answer, 0.7)
    assert (before, after, found["answer"]) == (1, 0, None)
    assert (found["answers"], found["withheld"]) == ([], ranked)


def test_that_there_is_no_relation_is_neither_withheld_nor_counted():
    # Validation data counts relations alone, too: see `gives`.
    answer = {"label": "no_relation", "score": 0.4}
    assert RELATIONS.withhold(answer, 0.5) == (answer, 0, 0)


def test_a_merged_model_flags_texts_too_and_a_lost_file_is_told(run, tmp_path):
    assert main(["merge", str(run), "--output-dir", str(tmp_path / "merged")]) == 0
    merged = load_predictor(tmp_path / "merged")
    assert merged.novelty.threshold == record_of(run)["novelty"]["threshold"]
    assert merged(["anna lives in oslo"])[0]["calibrated"]
    (tmp_path / "merged" / "novelty.safetensors").unlink()
    without = load_predictor(tmp_path / "merged")
    assert without.novelty is None
    assert "lacks novelty.safetensors" in without.notices[0]


def test_sums_of_tallies_give_the_main_score(run):
    predictor = load_predictor(run)
    examples = load_run_splits(record_of(run)["config"]).test
    predictions, _ = predictor._predictions(examples)
    tally = predictor.task.tally(examples, predictions)
    assert len(tally) == len(examples)
    score = predictor.task.score(examples, predictions)[predictor.task.metric]
    assert predictor.task.score_of_tally(tally.sum(axis=0)) == pytest.approx(score)


def test_relations_are_tallied_without_the_negative_label():
    task = RelationTask(["no_relation", "near", "in"], negative="no_relation")
    scores = np.eye(3, dtype=np.float32)[[0, 1, 1, 0]]
    tally = task.tally([text(n) for n in ("no_relation", "near", "in", "in")], {"scores": scores})
    assert tally.tolist() == [[0, 0, 0], [1, 1, 1], [0, 1, 1], [0, 0, 1]]


def test_relations_with_directions_are_tallied_for_their_macro_f1():
    labels = ["Other", "Near(e1,e2)", "Near(e2,e1)", "In(e1,e2)"]
    task = RelationTask(labels, negative="Other")
    assert task.metric == "macro_f1"
    examples = [text(name) for name in (*labels[1:], "In(e1,e2)", "Other", "Near(e1,e2)")]
    for answers in ([1, 1, 3, 3, 1, 0], [2, 2, 2, 2, 2, 2], [0] * 6):
        predictions = {"scores": np.eye(4, dtype=np.float32)[answers]}
        tally = task.tally(examples, predictions)
        assert tally.shape == (6, 6)  # Whatever is answered, so that models can be compared.
        given = [labels[answer] for answer in answers]
        true = [example.label for example in examples]
        score = score_relations(given, true, negative="Other")["macro_f1"]
        assert task.score_of_tally(tally.sum(axis=0)) == pytest.approx(score)
