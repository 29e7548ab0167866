"""Each cell of the table in docs/extensions.md: a step that the extension changes, or a refusal."""

import sys
from pathlib import Path

import pytest
import torch
from test_steps import gradient, make_runner

from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.tasks import task_settings
from lowcost_ft.errors import UserError
from lowcost_ft.training.extensions.base import TrainingContext
from lowcost_ft.training.extensions.registry import (
    EXTENSIONS,
    build_extensions,
    not_for_split_models,
)

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
from extension_tables import cells

VALUES = {"label_smoothing": 0.1, "focal_gamma": 2.0, "ema": 0.9}
VALUES |= {"augment": "delete", "consistency": "r-drop", "adversarial": "fgm"}
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
        torch.manual_seed(0)
        found, _ = gradient(runner, 2)
        assert found.isfinite().all()
        # These change what comes before or after a gradient.
        changes_gradient = extension.setting not in ("ema", "augment")
        assert torch.equal(found, plain) != changes_gradient, extension.name


def test_a_column_for_every_task():
    titles = {task_settings(name).title for name in ("ner", "classification")}
    assert titles <= set(cells(FLAGGED[0]))


def test_split_models():
    for extension in FLAGGED:
        config = RunConfig(**{extension.setting: VALUES[extension.setting]})
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
