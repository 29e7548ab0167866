"""Pseudo-labels: which answers are taken, what trains, what a run says of it, refusals."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from small_runs import call_recipe, flags, ner_rows, same_weights, text_rows, write_jsonl

import lowcost_ft as ft
from lowcost_ft.pipeline import labellers, self_training
from lowcost_ft.pipeline.labelling import load_labeller
from lowcost_ft.pipeline.run_splits import load_run_splits
from lowcost_ft.scores.pseudo_labels import balanced_rows, choose_threshold
from lowcost_ft.scores.sums import f1_of


def right(*values):
    """Tallies whose score is the share of right answers."""
    ones = np.ones(len(values))
    return np.stack([np.array(values, float), ones, ones], axis=1)


def test_the_threshold_is_the_lowest_that_reaches_the_score():
    certainty = np.arange(20)[::-1] / 20  # The surest first.
    tallies = right(*[1] * 10, 0, 1, 1, 1, 0, 0, 0, 0, 0, 0)
    found, best = choose_threshold(certainty, tallies, f1_of, target=0.9)
    assert (found.certainty, found.rows) == (pytest.approx(certainty[13]), 14)
    assert found.score == pytest.approx(13 / 14)
    assert (best.score, best.rows) == (1.0, 10)
    none, best = choose_threshold(certainty, 0 * tallies + right(0), f1_of, target=0.9)
    assert none is None and best.score == 0
    assert choose_threshold(certainty[:9], tallies[:9], f1_of, target=0.1) == (None, None)


def test_rows_of_equal_certainty_are_taken_together():
    found, _ = choose_threshold(np.ones(20), right(*[1] * 10, *[0] * 10), f1_of, target=0.9)
    assert found is None


def test_no_class_gets_more_than_the_median_one_unless_it_is_more_common():
    classes = [frozenset("a")] * 50 + [frozenset("b")] * 10 + [frozenset("c")] * 4
    certainty = np.linspace(1, 0.5, 64)
    kept = balanced_rows(certainty, classes, [frozenset("abc"[i % 3]) for i in range(9)])
    assert kept.tolist() == [*range(10), *range(50, 64)]
    common = [frozenset("a")] * 90 + [frozenset("b")] * 10
    kept = balanced_rows(certainty, classes, common)
    assert (kept < 50).sum() == int((90 - 2 * 90**0.5) / 100 * 64)
    both = [frozenset("ab"), frozenset("b"), frozenset("b"), frozenset("a"), frozenset()]
    assert 0 in balanced_rows(np.array([0.1, 0.9, 0.8, 0.7, 0.6]), both, both)
    assert len(balanced_rows(np.empty(0), [], both)) == 0


SHARED = {"batch_size": 8, "learning_rate": 1e-2, "max_length": 24}


@pytest.fixture(scope="module")
def texts(tmp_path_factory, tiny_model):
    """Flags for 90 labelled texts, others without a label, and a small model."""
    folder = tmp_path_factory.mktemp("texts")
    pool = [{"text": f"{row['text']} {n % 7}"} for n, row in enumerate(text_rows(60, seed=5))]
    labelled = text_rows(90)
    return SHARED | {
        "model_id": tiny_model("bert"),
        "max_steps": 24,
        "train_file": write_jsonl(folder / "train.jsonl", labelled[:60]),
        "validation_file": write_jsonl(folder / "validation.jsonl", labelled[60:]),
        "test_file": write_jsonl(folder / "test.jsonl", text_rows(30, seed=3)),
        "unlabelled_file": write_jsonl(
            folder / "pool.jsonl", [*pool, pool[0], {"text": labelled[0]["text"]}, {"text": " "}]
        ),
    }


@pytest.fixture(scope="module")
def run(texts, tmp_path_factory):
    """The folder of a run whose first run was trained on the way."""
    folder = tmp_path_factory.mktemp("runs") / "run"
    assert call_recipe("lora_classification", *flags(**texts, output_dir=folder)) == 0
    return folder


def record_of(folder):
    return json.loads((folder / "run.json").read_text())


def test_a_run_says_what_the_texts_did(run):
    record, first = record_of(run), record_of(run.with_name("run-labeller"))
    pseudo = record["pseudo_labels"]
    assert pseudo["labelled_by"] == [f"{run}-labeller"]
    assert first["config"]["unlabelled_file"] is None and "pseudo_labels" not in first
    assert first["data"]["fingerprint"] == record["data"]["fingerprint"]
    assert 0 < pseudo["labels"] <= pseudo["sure"] <= pseudo["texts"] < 60
    assert pseudo["left_out"] > 1  # Repeated ones, and one of the training rows.
    assert sum(pseudo["per_class"].values()) == pseudo["labels"]
    assert pseudo["validation_score"] >= 0.8 and pseudo["validation_rows"] >= 10
    for split in ("validation", "test"):
        told = pseudo["differences"][split]
        assert told["without"] == pytest.approx(first["evaluation"][split]["accuracy"], abs=1e-6)
        now = record["evaluation"][split]["accuracy"]
        assert told["difference"] == pytest.approx(now - told["without"], abs=1e-6)
        assert told["difference_ci95"][0] <= told["difference"] <= told["difference_ci95"][1]
    predicted = record["train"]["predicted_peak_memory_bytes"]
    assert predicted == pytest.approx(record["train"]["peak_memory_bytes"], rel=0.02)


def test_the_first_run_is_taken_as_it_is_and_the_result_is_the_same(run, texts, capsys):
    again = texts | {"labelled_by": f"{run}-labeller"}
    folder = run.with_name("again")
    assert call_recipe("lora_classification", *flags(**again, output_dir=folder)) == 0
    assert "pseudo-labels" in capsys.readouterr().out
    assert same_weights(run, folder)
    # Beside the run's own folder, too; but not under other settings.
    other = texts | {"max_steps": 8}
    beside = run.with_name("beside")
    shutil.copytree(f"{run}-labeller", f"{beside}-labeller")
    assert call_recipe("lora_classification", *flags(**other, output_dir=beside)) == 2
    error = " ".join(capsys.readouterr().err.split())
    assert "--max-steps was 24" in error and "and is now 8" in error


def test_cached_layers_give_the_same_model(run, texts):
    found = []
    for name, more in (("cached", {"cache_frozen_layers": True}), ("plain", {})):
        values = texts | {"labelled_by": f"{run}-labeller"} | more
        values |= {"trainable_layers": 1, "max_steps": 4, "output_dir": run.with_name(name)}
        assert call_recipe("lora_classification", *flags(**values)) == 0
        found.append(record_of(run.with_name(name)))
    assert found[0]["train"]["cache_bytes"] > 0
    losses = [[entry["loss"] for entry in one["train"]["loss_history"]] for one in found]
    assert losses[0] == pytest.approx(losses[1], rel=1e-4)


def test_the_columns_of_the_labelled_rows_are_those_of_the_texts(tmp_path):
    rows = [{"msg": f"where is {n}", "kind": "ab"[n % 2]} for n in range(100)]
    config = ft.RunConfig(
        task="classification",
        train_file=write_jsonl(tmp_path / "train.jsonl", rows),
        unlabelled_file=write_jsonl(tmp_path / "pool.jsonl", [{"msg": "what about it"}]),
        text_column="msg",
        label_column="kind",
        output_dir=str(tmp_path / "run"),
    )
    trained = []
    labelled_by = labellers.with_pseudo_labels(
        config, lambda one: trained.append(one) or Path(one.output_dir)
    ).labelled_by
    assert labelled_by == f"{tmp_path / 'run'}-labeller" and len(trained) == 1
    # Nothing is trained where nothing could be labelled, or no answer trusted.
    same = replace(config, unlabelled_file=config.train_file)
    with pytest.raises(ft.UserError, match="all of its texts occur in"):
        labellers.with_pseudo_labels(same, lambda _: pytest.fail())
    few = replace(config, validation_share=0.05)
    with pytest.raises(ft.UserError, match="at least 10 of them, with --validation-file"):
        labellers.with_pseudo_labels(few, lambda _: pytest.fail())


def test_sentences_get_the_entities_that_are_found(tmp_path, tiny_model):
    pool = [["hey", *row["tokens"]] for row in ner_rows(40)]
    again = ["".join(ner_rows(60)[0]["tokens"])]  # A training row, cut into other words.
    values = SHARED | {
        "model_id": tiny_model("bert"),
        "max_steps": 60,
        "method": "full",
        "train_file": write_jsonl(tmp_path / "train.jsonl", ner_rows(60)),
        "validation_file": write_jsonl(tmp_path / "validation.jsonl", ner_rows(40, seed=1)),
        "unlabelled_file": write_jsonl(
            tmp_path / "pool.jsonl", [{"tokens": tokens} for tokens in (*pool, again)]
        ),
        "output_dir": tmp_path / "run",
        "pseudo_label_score": 0.5,
    }
    assert call_recipe("lora_ner", *flags(**values)) == 0
    pseudo = record_of(tmp_path / "run")["pseudo_labels"]
    assert set(pseudo["per_class"]) <= {"person", "place"} and pseudo["per_class"]
    assert pseudo["texts"] == len({tuple(tokens) for tokens in pool})
    assert pseudo["differences"]["validation"]["metric"] == "f1"


def test_where_all_rows_train_other_runs_hold_some_out(texts, tmp_path, monkeypatch):
    monkeypatch.setattr(labellers, "HELD_OUT_RUNS", 2)
    values = {name: value for name, value in texts.items() if name != "validation_file"}
    values |= {"output_dir": tmp_path / "run", "pseudo_label_score": 0.3, "max_steps": 6}
    values["batch_size"] = 1
    assert call_recipe("few_shot_classification", *flags(**values)) == 0
    record = record_of(tmp_path / "run")
    _, *others = record["pseudo_labels"]["labelled_by"]
    assert [name.rsplit("/", 1)[1] for name in others] == [
        "run-labeller-held-out-1",
        "run-labeller-held-out-2",
    ]
    assert "validation" not in record["data"]["rows"]
    held_out = [record_of(tmp_path / name.rsplit("/", 1)[1]) for name in others]
    assert all(one["data"]["rows"]["validation"] == 12 for one in held_out)
    assert held_out[0]["data"]["fingerprint"] != held_out[1]["data"]["fingerprint"]
    assert set(record["pseudo_labels"]["differences"]) == {"test"}


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"unlabelled_file": "none.csv"}, "none.csv: no such file"),
        ({"pseudo_label_score": 0.99999, "max_length": 8}, "lower --pseudo-label-score to"),
        ({"labelled_by": "nowhere"}, "run folder nowhere does not exist"),
        ({"unlabelled_file": None, "labelled_by": "x"}, "--labelled-by needs --unlabelled-file"),
        ({"resume": True, "output_dir": None, "labelled_by": None}, "name the run's folder with"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(run, texts, tmp_path, capsys, changes, message):
    values = texts | {"labelled_by": f"{run}-labeller", "output_dir": tmp_path / "run"} | changes
    values = {name: value for name, value in values.items() if value is not None}
    if "pseudo_label_score" in changes:  # Wrong answers, which nothing can be trusted after.
        wrong = [row | {"label": "None"} for row in text_rows(30, seed=9)]
        wrong[0]["label"], wrong[1]["label"] = "refund", "delivery"
        values["validation_file"] = write_jsonl(tmp_path / "wrong.jsonl", wrong)
    assert call_recipe("lora_classification", *flags(**values)) == 2
    assert message in " ".join(capsys.readouterr().err.split())
    assert not (tmp_path / "run").exists()


def test_rows_that_were_held_out_must_be_at_hand_and_unchanged(tmp_path):
    file = write_jsonl(tmp_path / "train.jsonl", text_rows(40))
    config = ft.RunConfig(task="classification", train_file=file, validation_share=0.2).to_dict()
    splits = load_run_splits(config)
    data = {"in_python": False, "rows": {"train": 32}, "fingerprint": splits.fingerprint}
    labeller = SimpleNamespace(folder="run", record={"config": config, "data": data})
    assert len(self_training._held_out_rows(labeller)) == len(splits.validation)
    labeller.record["data"] = data | {"in_python": True}
    with pytest.raises(ft.UserError, match="given in Python, so that no file holds"):
        self_training._held_out_rows(labeller)
    labeller.record["data"] = data
    write_jsonl(tmp_path / "train.jsonl", text_rows(41))
    with pytest.raises(ft.UserError, match="its data have changed since"):
        self_training._held_out_rows(labeller)


def test_pairs_need_pairs_before_anything_is_trained(tmp_path):
    pairs = [row | {"text_pair": "other"} for row in text_rows(60)]
    config = ft.RunConfig(
        task="classification",
        train_file=write_jsonl(tmp_path / "train.jsonl", pairs),
        unlabelled_file=write_jsonl(tmp_path / "pool.jsonl", [{"text": "where is it"}]),
        validation_share=0.3,
    )
    with pytest.raises(ft.UserError, match=r"pool.jsonl:1: the model was trained on pairs"):
        labellers.with_pseudo_labels(config, lambda _: pytest.fail())


@pytest.mark.parametrize("quantization", ["none", "nf4"])
def test_texts_are_labelled_by_the_model_that_was_scored(trained_run, small_files, quantization):
    folder = trained_run("single", "bert", quantization=quantization)
    predictor = ft.load_predictor(folder)
    examples = predictor.read(small_files["single"]["test_file"])
    answers = predictor.predict(examples)
    asking = SimpleNamespace(
        config=ft.RunConfig(task="classification"),
        accelerator=predictor.accelerator,
        prediction_tokens=512,
    )
    kinds = SimpleNamespace(
        labels=predictor.run["labels"], problem_type=predictor.run["problem_type"]
    )
    found = load_labeller(asking, str(folder), kinds).predict(examples)["scores"].max(1)
    assert found == pytest.approx([answer["score"] for answer in answers], abs=1e-4)


def test_numbers_and_relations_are_no_labels(texts, tmp_path, capsys):
    numbers = write_jsonl(tmp_path / "numbers.jsonl", text_rows(30, kind="number"))
    values = {"train_file": numbers, "unlabelled_file": texts["unlabelled_file"]}
    assert call_recipe("lora_classification", *flags(**values)) == 2
    assert "text classification (regression) cannot be taken" in " ".join(
        capsys.readouterr().err.split()
    )
    config = replace(ft.RunConfig(task="relation"), unlabelled_file="x", labelled_by="x")
    with pytest.raises(ft.UserError, match="cannot be taken as labels"):
        labellers.check_labels(ft.RelationTask(["a", "b"]))
    assert labellers.with_pseudo_labels(config, lambda _: None) is config
