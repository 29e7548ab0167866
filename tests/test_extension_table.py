"""Each cell of the table in docs/extensions.md: a step that the extension changes, or a refusal."""

import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from test_steps import gradient, make_runner

from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.tasks import task_names, task_settings
from lowcost_ft.errors import UserError
from lowcost_ft.models.loading import build_model, forward_module, load_tokenizer
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.loading import load_splits
from lowcost_ft.training.extensions.base import TrainingContext
from lowcost_ft.training.extensions.registry import (
    EXTENSIONS,
    build_extensions,
    not_for_split_models,
)
from lowcost_ft.training.setup import build_accelerator
from lowcost_ft.training.steps import StepRunner

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from extension_tables import cells

VALUES = {"label_smoothing": 0.1, "focal_gamma": 2.0, "ema": 0.9}
VALUES |= {
    "contrastive": "cosine",
    "augment": "delete",
    "consistency": "r-drop",
    "adversarial": "fgm",
    "teacher": "runs/x",
    "unlabelled_file": "texts.txt",
    "mixup": 0.4,
}
FLAGGED = [extension for extension in EXTENSIONS if extension.setting]


@pytest.mark.parametrize("family", ["bert", "llama"])
@pytest.mark.parametrize(
    ("column", "task", "options"),
    [
        ("NER", "ner", {}),
        ("text classification", "classification", {}),
        ("regression", "classification", {"problem_type": "regression"}),
    ],
)
def test_tasks_and_kinds_of_model(tmp_path, family, column, task, options):
    options |= {"model_options": {"dropout": 0.1}}
    runner = make_runner(tmp_path, family, task, **options)
    torch.manual_seed(0)
    plain, _ = gradient(runner, 2)
    for extension in FLAGGED:
        if extension.needs_settings:  # tests/test_contrastive.py
            continue
        value = VALUES[extension.setting]
        context = TrainingContext(
            settings=RunConfig(task=task, **{extension.setting: value}),
            model=runner.model,
            task=runner.task,
            features=runner.features,
            pad_token_id=runner.pad_token_id,
        )
        if not cells(extension)[column]:
            with pytest.raises(UserError, match=f"{extension.flag()}: for choices"):
                build_extensions(context)
            continue
        runner.extensions = build_extensions(context)
        runner.extensions.begin(10)
        features = runner.features
        if extension.regroups:
            runner.features = runner.extensions.epoch(features, 0)
        torch.manual_seed(0)
        found, _ = gradient(runner, 2)
        runner.features = features
        assert found.isfinite().all()
        # These change what comes before or after a gradient.
        changes_gradient = extension.setting not in ("ema", "augment", "unlabelled_file")
        assert torch.equal(found, plain) != changes_gradient, extension.name


def test_a_column_for_every_task():
    titles = {task_settings(name).title for name in ("ner", "classification")}
    assert titles <= set(cells(FLAGGED[0]))


def test_split_models():
    for extension in FLAGGED:
        setting = {extension.setting: VALUES[extension.setting]} | dict(extension.needs_settings)
        config = RunConfig(**setting)
        refused = [] if cells(extension)["FSDP"] else [extension.flag()]
        assert not_for_split_models(config) == refused


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("bert", {"method": "full"}),
        ("bert", {"quantization": "nf4"}),
        ("bert", {"method": "prompt", "num_virtual_tokens": 5}),
        ("gpt2", {"method": "head"}),
    ],
    ids=["full", "nf4", "prompt", "head"],
)
def test_kinds_of_training(tmp_path, family, options):
    model_options = {"dropout": 0.1} | options
    runner = make_runner(tmp_path, family, "classification", model_options=model_options)
    settings = {"adversarial": "freelb", "consistency": "r-drop", "ema": 0.9}
    context = TrainingContext(
        settings=RunConfig(label_smoothing=0.1, **settings),
        model=getattr(runner.model, "peft_model", runner.model),
        task=runner.task,
        features=runner.features,
        pad_token_id=runner.pad_token_id,
    )
    torch.manual_seed(0)
    plain, _ = gradient(runner, 2)
    runner.extensions = build_extensions(context)
    runner.extensions.begin(10)
    found, loss = gradient(runner, 2)
    runner.extensions.after_update(1)
    assert loss.isfinite()
    assert 1e-3 < (found - plain).norm() / plain.norm() < 10


@pytest.mark.parametrize("name", [n for n in task_names() if n not in ("ner", "classification")])
def test_other_tasks_are_served_or_refused(tiny_model, name):
    splits = load_splits(name)
    writes = task_class(name).generates
    more = {"max_target_length": 16} if writes else {}
    if name == "dialogue":  # The tiny model has no chat template.
        more["chat_template"] = "plain"
    config = RunConfig(task=name, max_length=512 if writes else 64, **more)
    model_id = tiny_model("llama" if writes else "bert")
    task = task_class(name).from_splits(config, splits, causal=writes)
    tokenizer = load_tokenizer(model_id, **task.tokenizer_options)
    task.take_tokenizer(tokenizer, model_id=model_id)
    examples = splits.train[:6]
    features = task.featurize(examples, tokenizer, max_length=config.max_length)
    built = build_model(
        model_id,
        head=task.head,
        labels=task.labels,
        problem_type=task.problem_type,
        pad_token_id=tokenizer.pad_token_id if writes else None,
    )
    model = forward_module(built.model).train()
    for extension in FLAGGED:
        setting = {extension.setting: VALUES[extension.setting]}
        if extension.needs_settings:
            with pytest.raises(UserError, match=f"{extension.flag()} needs --"):
                replace(config, **setting)
            continue
        context = TrainingContext(
            settings=replace(config, **setting),
            model=built.model,
            task=task,
            features=features,
            pad_token_id=tokenizer.pad_token_id,
            examples=examples,
            tokenizer=tokenizer,
        )
        if not cells(extension)[task_settings(name).title]:
            with pytest.raises(UserError, match=f"{extension.flag()}: "):
                build_extensions(context)
            continue
        extensions = build_extensions(context)
        extensions.begin(10)
        rows = extensions.epoch(features, 0)
        runner = StepRunner(
            build_accelerator(),
            model,
            task,
            rows,
            pad_token_id=tokenizer.pad_token_id,
            max_grad_norm=0.0,
            extensions=extensions,
        )
        found, loss = gradient(runner, 2)
        assert found.norm() > 0
        assert loss.isfinite()
