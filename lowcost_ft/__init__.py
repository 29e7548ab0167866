"""Parameter-efficient fine-tuning on low-budget hardware.

A recipe (`recipes/`) shows how the parts fit; these are the ones to import. They are loaded when
first used, so that `--help` and wrong flags do not wait for PyTorch.
"""

import importlib
import logging
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from lowcost_ft.commands.program import run_recipe
    from lowcost_ft.config.settings import RunConfig
    from lowcost_ft.data.loading import load_splits
    from lowcost_ft.errors import UserError
    from lowcost_ft.models.families import is_causal
    from lowcost_ft.models.loading import (
        build_model,
        load_config,
        load_tokenizer,
        load_trained,
        save_model,
    )
    from lowcost_ft.pipeline.evaluation import evaluate, predict
    from lowcost_ft.pipeline.predictor import Predictor, load_predictor
    from lowcost_ft.pipeline.start import start_run
    from lowcost_ft.pipeline.steps import (
        build_recipe_model,
        evaluate_run,
        featurize_splits,
        load_recipe_splits,
        save_run,
        train_run,
    )
    from lowcost_ft.tasks.classification import ClassificationTask, balanced_class_weights
    from lowcost_ft.tasks.ner import NerTask
    from lowcost_ft.training.loop import train

__all__ = [
    "ClassificationTask",
    "NerTask",
    "Predictor",
    "RunConfig",
    "UserError",
    "__version__",
    "balanced_class_weights",
    "build_model",
    "build_recipe_model",
    "evaluate",
    "evaluate_run",
    "featurize_splits",
    "is_causal",
    "load_config",
    "load_predictor",
    "load_recipe_splits",
    "load_splits",
    "load_tokenizer",
    "load_trained",
    "plan_memory",
    "predict",
    "run_recipe",
    "save_model",
    "save_run",
    "start_run",
    "train",
    "train_run",
]

__version__ = "0.1.0"

_HOMES = {
    "RunConfig": "config.settings",
    "UserError": "errors",
    "load_splits": "data.loading",
    **dict.fromkeys(("ClassificationTask", "balanced_class_weights"), "tasks.classification"),
    "NerTask": "tasks.ner",
    "is_causal": "models.families",
    **dict.fromkeys(("build_model", "load_config", "load_tokenizer"), "models.loading"),
    **dict.fromkeys(("load_trained", "save_model"), "models.loading"),
    "train": "training.loop",
    **dict.fromkeys(("evaluate", "predict"), "pipeline.evaluation"),
    **dict.fromkeys(
        ("build_recipe_model", "train_run", "evaluate_run", "save_run"), "pipeline.steps"
    ),
    **dict.fromkeys(("load_recipe_splits", "featurize_splits"), "pipeline.steps"),
    "plan_memory": "pipeline.memory",
    "run_recipe": "commands.program",
    "start_run": "pipeline.start",
    **dict.fromkeys(("Predictor", "load_predictor"), "pipeline.predictor"),
}

# bitsandbytes says on import that an optional kernel package is missing; nothing here needs it.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
# The profiler that measures peak memory would announce its start and end on the screen.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
# ... and that it does not know the blocks from before it, which are counted by their storages.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
# OpenMP threads wait for each other by spinning, at first. Beside another busy program, that takes
# the core from the very thread that is waited for: two then train more than ten times slower
# than with a short spin, which costs a few per cent on a machine of one's own.
if "OMP_WAIT_POLICY" not in os.environ:
    os.environ.setdefault("GOMP_SPINCOUNT", "1000")


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_HOMES[name]}"), name)
