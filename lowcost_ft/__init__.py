"""Parameter-efficient fine-tuning on low-budget hardware.

A recipe (`recipes/`) shows how the parts fit; these are the ones to import. They are loaded when
first used, so that `--help` and wrong flags do not wait for PyTorch.
"""

import importlib
import logging
import os
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # For type checkers, which do not run `__getattr__`.
    from lowcost_ft.config import RunConfig as RunConfig
    from lowcost_ft.data.loading import load_splits as load_splits
    from lowcost_ft.errors import UserError as UserError
    from lowcost_ft.evaluation import evaluate as evaluate
    from lowcost_ft.evaluation import predict as predict
    from lowcost_ft.models.families import is_causal as is_causal
    from lowcost_ft.models.loading import build_model as build_model
    from lowcost_ft.models.loading import load_config as load_config
    from lowcost_ft.models.loading import load_tokenizer as load_tokenizer
    from lowcost_ft.models.loading import load_trained as load_trained
    from lowcost_ft.models.loading import save_model as save_model
    from lowcost_ft.predictor import Predictor as Predictor
    from lowcost_ft.predictor import load_predictor as load_predictor
    from lowcost_ft.program import run_recipe as run_recipe
    from lowcost_ft.recipe import build_recipe_model as build_recipe_model
    from lowcost_ft.recipe import evaluate_run as evaluate_run
    from lowcost_ft.recipe import featurize_splits as featurize_splits
    from lowcost_ft.recipe import load_recipe_splits as load_recipe_splits
    from lowcost_ft.recipe import save_run as save_run
    from lowcost_ft.recipe import train_run as train_run
    from lowcost_ft.recipe_memory import plan_memory as plan_memory
    from lowcost_ft.start import start_run as start_run
    from lowcost_ft.tasks.classification import ClassificationTask as ClassificationTask
    from lowcost_ft.tasks.classification import balanced_class_weights as balanced_class_weights
    from lowcost_ft.tasks.ner import NerTask as NerTask
    from lowcost_ft.training.loop import train as train

__version__ = "0.1.0"

_EXPORTS = {
    "config": ("RunConfig",),
    "data.loading": ("load_splits",),
    "errors": ("UserError",),
    "evaluation": ("evaluate", "predict"),
    "models.families": ("is_causal",),
    "models.loading": (
        *("build_model", "load_config", "load_tokenizer", "load_trained", "save_model"),
    ),
    "predictor": ("Predictor", "load_predictor"),
    "program": ("run_recipe",),
    "recipe": (
        *("build_recipe_model", "evaluate_run", "featurize_splits", "load_recipe_splits"),
        *("save_run", "train_run"),
    ),
    "recipe_memory": ("plan_memory",),
    "start": ("start_run",),
    "tasks.classification": ("ClassificationTask", "balanced_class_weights"),
    "tasks.ner": ("NerTask",),
    "training.loop": ("train",),
}
"""The public names, by the module that each is loaded from when it is first used."""

_HOMES = {name: module for module, names in _EXPORTS.items() for name in names}

__all__ = sorted([*_HOMES, "__version__"])

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


def __dir__() -> list[str]:
    return list(__all__)
