"""A checkpoint that was fine-tuned before: its head goes on under the same names alone."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from small_runs import call_recipe, flags, ner_rows, write_jsonl
from transformers import (
    AutoConfig,
    AutoModelForQuestionAnswering,
    AutoModelForSequenceClassification,
)

from lowcost_ft.models.existing_head import fit_head, stored_labels
from lowcost_ft.models.loading import build_model
from lowcost_ft.pipeline.load_predictor import load_predictor

NAMES = ["red", "green", "blue"]


@pytest.fixture
def checkpoint(tiny_model, tmp_path):
    """`checkpoint("bert", names)`: a folder whose head has these names, and its output weights."""

    def make(family, names, **changes):
        folder = Path(shutil.copytree(tiny_model(family), tmp_path / family))
        config = AutoConfig.from_pretrained(folder, num_labels=len(names))
        model = AutoModelForSequenceClassification.from_pretrained(folder, config=config)
        model.config.id2label = dict(enumerate(names))
        for name, value in changes.items():
            setattr(model.config, name, value)
        model.save_pretrained(folder)
        return folder, output_weight(model).clone()

    return make


def output_weight(model):
    state = model.state_dict()
    heads = ("classifier.weight", "classifier.out_proj.weight", "score.weight")
    return next(state[name] for name in heads if name in state)


def build(folder, labels, **options):
    built = build_model(str(folder), head="sequence", labels=labels, method="full", **options)
    return built, output_weight(built.model)


HEADS = ("bert", "roberta", "distilbert", "deberta-v2", "modernbert", "gpt2", "llama")


def test_start_and_end_have_their_places_whatever_a_checkpoint_calls_them(tiny_model, tmp_path):
    model = AutoModelForQuestionAnswering.from_pretrained(tiny_model("bert"))
    assert list(model.config.id2label.values()) == ["LABEL_0", "LABEL_1"]
    model.save_pretrained(tmp_path)
    built = build_model(
        str(tmp_path), head="question_answering", labels=["start", "end"], method="full"
    )
    assert torch.equal(built.model.qa_outputs.weight, model.qa_outputs.weight)
    assert not built.new_weights
    assert any("training goes on" in notice for notice in built.notices)


@pytest.mark.parametrize("family", HEADS)
def test_rows_are_moved_by_name(checkpoint, family):
    folder, weight = checkpoint(family, NAMES)
    built, same = build(folder, NAMES)
    assert torch.equal(same, weight)
    assert any("already has a head" in n and "training goes on" in n for n in built.notices)
    built, moved = build(folder, ["blue", "red", "green"])
    assert torch.equal(moved, weight[[2, 0, 1]])
    assert any("in another order" in notice for notice in built.notices)
    assert built.model.config.id2label == {0: "blue", 1: "red", 2: "green"}


@pytest.mark.parametrize("family", HEADS)
def test_other_names_get_a_new_head_drawn_from_the_seed(checkpoint, family):
    folder, weight = checkpoint(family, NAMES)
    backbone = build(folder, NAMES)[0].model.base_model.state_dict()
    built, new = build(folder, ["gene", "cell", "drug"], seed=3)
    assert not torch.equal(new, weight)
    assert 0 < float(new.std()) < 1
    assert torch.equal(new, build(folder, ["gene", "cell", "drug"], seed=3)[1])
    assert not torch.equal(new, build(folder, ["gene", "cell", "drug"], seed=4)[1])
    for name, tensor in built.model.base_model.state_dict().items():
        assert torch.equal(tensor, backbone[name]), name
    (notice,) = [n for n in built.notices if "a new one is made" in n]
    assert "red, green, blue" in notice
    assert "gene, cell, drug" in notice


@pytest.mark.parametrize(
    ("names", "labels", "goes_on"),
    [
        (["LABEL_0", "LABEL_1", "LABEL_2"], ["neg", "neutral", "pos"], False),
        (["LABEL_0", "LABEL_1", "LABEL_2"], ["0", "1", "2"], True),
        (["LABEL_0", "LABEL_1", "LABEL_2"], ["LABEL_0", "LABEL_1", "LABEL_2"], True),
        ([0, 1, 2], ["0", "1", "2"], True),
        (["red", "green", "Blue"], NAMES, False),
        (["red", "red", "blue"], NAMES, False),
    ],
)
def test_what_counts_as_the_same_name(checkpoint, names, labels, goes_on):
    folder, weight = checkpoint("bert", names)
    assert torch.equal(build(folder, labels)[1], weight) == goes_on


def test_another_number_of_labels_is_told(checkpoint):
    folder, _ = checkpoint("bert", NAMES)
    built, weight = build(folder, ["red", "green"])
    assert weight.shape[0] == 2
    assert any("red, green, blue, and the data red, green" in notice for notice in built.notices)


@pytest.mark.parametrize(
    ("stored", "goes_on"),
    [("regression", True), (None, True), ("multi_label_classification", False)],
)
def test_a_number_goes_on_from_a_head_for_a_number(checkpoint, stored, goes_on):
    folder, weight = checkpoint("bert", ["LABEL_0"], problem_type=stored)
    _, found = build(folder, ["value"], problem_type="regression")
    assert torch.equal(found, weight) == goes_on


def test_a_checkpoint_without_a_head_says_nothing(tiny_model):
    for family in ("bert", "modernbert", "llama"):
        notices = build(tiny_model(family), ["a", "b"])[0].notices
        assert not any("head" in notice and "LABEL" in notice for notice in notices)


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_frozen_layers_on_disk_make_no_difference(checkpoint, family):
    folder, weight = checkpoint(family, NAMES)
    options = {"trainable_layers": 1, "stream_frozen_layers": True}
    assert torch.equal(build(folder, NAMES[::-1], **options)[1], weight[[2, 1, 0]])
    _, new = build(folder, ["x", "y", "z"], **options)
    assert torch.equal(new, build(folder, ["x", "y", "z"])[1])


def test_a_tagger_goes_on_where_its_labels_stand_in_another_order(trained_run, tmp_path, capfd):
    """One step at a rate of nothing: what it scores is what the checkpoint knows."""
    before = trained_run("ner", "bert", method="full")
    rows = ner_rows(80)
    score = json.loads((before / "run.json").read_text())["evaluation"]["validation"]["f1"]
    assert score > 0.8
    folder = Path(shutil.copytree(before, tmp_path / "other"))
    model = load_predictor(before).model
    names = stored_labels(model.config)
    other = [names[0], *names[3:], *names[1:3]]
    order = [names.index(name) for name in other]
    with torch.no_grad():
        for parameter in model.classifier.parameters():
            parameter.copy_(parameter[order])
    model.config.id2label = dict(enumerate(other))
    model.config.label2id = {name: number for number, name in enumerate(other)}
    model.save_pretrained(folder)
    train = write_jsonl(tmp_path / "train.jsonl", rows)
    values = {"model_id": folder, "train_file": train, "validation_file": train, "max_steps": 1}
    values |= {"output_dir": tmp_path / "run", "learning_rate": 1e-12, "dropout": 0.0}
    assert call_recipe("lora_ner", *flags(**values)) == 0
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["evaluation"]["validation"]["f1"] > 0.8
    assert "in another order" in capfd.readouterr().out.replace("\n", " ")


def test_exported_names_exist():
    assert callable(fit_head)
    assert callable(stored_labels)
