"""Where a new output layer begins: at what fits best if the text is not looked at."""

import json

import numpy as np
import pytest
import torch
from small_runs import text_rows, trained, write_jsonl
from transformers import AutoModelForSequenceClassification

import lowcost_ft as ft
from lowcost_ft.data.features import IGNORED_LABEL, Features
from lowcost_ft.models.loading import build_model
from lowcost_ft.tasks.classification import ClassificationTask
from lowcost_ft.tasks.ner import NerTask

SINGLE, MULTI, REGRESSION = (
    "single_label_classification",
    "multi_label_classification",
    "regression",
)


def features_of(**arrays):
    rows = len(next(iter(arrays.values())))
    return Features(
        input_ids=np.zeros(rows, np.int32),
        starts=np.arange(rows + 1),
        examples=np.arange(rows),
        num_examples=rows,
        weights=np.ones(rows),
        schema={},
        arrays=arrays,
    )


def gradient(task, outputs, batch):
    """Of the loss over all labels, where each text has the same outputs."""
    bias = torch.tensor(outputs, requires_grad=True)
    rows = len(next(iter(batch.values())))
    logits = bias.expand(1, rows, -1) if isinstance(task, NerTask) else bias.expand(rows, -1)
    task.loss(logits, batch).div(rows).backward()
    return bias.grad.abs().max().item()


RNG = np.random.default_rng(0)
CLASSES = RNG.choice(3, 20_000, p=[0.9, 0.09, 0.01])
SEVERAL = (RNG.random((20_000, 3)) < [0.9, 0.1, 0.01]).astype(np.float32)
TAGS = np.where(RNG.random(20_000) < 0.5, CLASSES, IGNORED_LABEL)
NUMBERS = RNG.normal(40, 3, 20_000).astype(np.float32)
NAMES = ["a", "b", "c"]


@pytest.mark.parametrize(
    ("task", "name", "right"),
    [
        (ClassificationTask(NAMES), "labels", CLASSES),
        (ClassificationTask(NAMES, class_weights=[0.5, 1.0, 30.0]), "labels", CLASSES),
        (ClassificationTask(NAMES, problem_type=MULTI), "labels", SEVERAL),
        (
            ClassificationTask(NAMES, problem_type=MULTI, class_weights=[1.0, 2.0, 50.0]),
            "labels",
            SEVERAL,
        ),
        (ClassificationTask(["n"], problem_type=REGRESSION), "labels", NUMBERS),
        (NerTask(["O", "B-a", "I-a"]), "token_labels", TAGS),
    ],
)
def test_no_constant_output_fits_the_training_data_better(task, name, right):
    outputs = task.usual_outputs(features_of(**{name: right}))
    assert outputs.dtype == np.float32
    batch = {name: torch.from_numpy(right)}
    begun = gradient(task, outputs, batch)
    assert begun < 2e-3
    assert begun < 0.02 * gradient(task, np.zeros_like(outputs), batch)


def test_a_class_without_a_row_is_possible():
    outputs = ClassificationTask(NAMES).usual_outputs(features_of(labels=np.array([0, 0, 1])))
    assert np.isfinite(outputs).all()
    assert outputs.argsort().tolist() == [2, 1, 0]


@pytest.mark.parametrize("model", ["bert", "roberta", "distilbert", "modernbert"])
@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_new_head_begins_there_and_a_trained_one_goes_on(tiny_model, tmp_path, model, method):
    usual = np.array([2.0, -1.0, -1.0], np.float32)
    given = {"head": "sequence", "labels": NAMES, "method": method, "usual_outputs": usual}
    built = build_model(tiny_model(model), **given)
    assert built.begins_as == usual.tolist()
    drawn = build_model(tiny_model(model), **given | {"usual_outputs": None})
    others = dict(drawn.model.named_parameters())
    set_here = [
        name
        for name, weight in built.model.named_parameters()
        if not torch.equal(weight, others[name])
    ]
    assert set_here
    assert all(torch.equal(built.model.get_parameter(n), torch.tensor(usual)) for n in set_here)
    names = {"id2label": dict(enumerate(NAMES)), "label2id": {n: i for i, n in enumerate(NAMES)}}
    AutoModelForSequenceClassification.from_pretrained(
        tiny_model(model), num_labels=3, **names
    ).save_pretrained(tmp_path)
    assert build_model(str(tmp_path), **given).begins_as is None


def test_a_head_without_a_bias_stays_as_it_was_drawn(tiny_model):
    usual = np.array([1.0, -1.0], np.float32)
    built = build_model(tiny_model("gpt2"), head="sequence", labels=["a", "b"], usual_outputs=usual)
    assert built.begins_as is None


def test_a_run_writes_down_where_its_head_began(tiny_model, tmp_path):
    rows = [*text_rows(12), *({"text": f"hello {n}", "label": "None"} for n in range(8))]
    config = ft.RunConfig(
        task="classification",
        model_id=tiny_model("bert"),
        train_file=write_jsonl(tmp_path / "train.jsonl", rows),
        output_dir=str(tmp_path / "run"),
        validation_share=0,
        max_steps=1,
        batch_size=4,
    )
    folder, record = trained(config)
    bias = record["output_bias"]
    assert len(bias) == len(record["labels"])
    assert int(np.argmax(bias)) == record["labels"].index("None")
    assert json.loads((folder / "run.json").read_text("utf-8"))["output_bias"] == bias
