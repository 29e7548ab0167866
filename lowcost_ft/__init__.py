"""Parameter-efficient fine-tuning on low-budget hardware.

A recipe (`recipes/`) shows how the parts fit; these are the ones to import. They are loaded when
first used, so that `--help` and wrong flags do not wait for PyTorch.
"""

import importlib
import logging
import os
from typing import TYPE_CHECKING, Any

# These put tasks and extensions into the tables of settings.
import lowcost_ft.tasks
import lowcost_ft.training.extensions.registry

if TYPE_CHECKING:  # For type checkers, which do not run `__getattr__`.
    from lowcost_ft.commands.program import run_recipe
    from lowcost_ft.compress.compressing import compress_run
    from lowcost_ft.config.run import RunConfig
    from lowcost_ft.errors import UserError
    from lowcost_ft.export.exporting import export_run
    from lowcost_ft.models.loading import build_model, load_trained, save_model
    from lowcost_ft.models.tokenizers import load_tokenizer
    from lowcost_ft.pipeline.build import Built, build
    from lowcost_ft.pipeline.convert import Conversion, convert_file
    from lowcost_ft.pipeline.cross_validation import with_cross_validation
    from lowcost_ft.pipeline.data import Data, load_data
    from lowcost_ft.pipeline.evaluate import Evaluated, evaluate
    from lowcost_ft.pipeline.labellers import with_pseudo_labels
    from lowcost_ft.pipeline.load_predictor import load_predictor
    from lowcost_ft.pipeline.merge import merge_run
    from lowcost_ft.pipeline.predictor import Predictor
    from lowcost_ft.pipeline.save import save
    from lowcost_ft.pipeline.start import Run, start_run
    from lowcost_ft.pipeline.student import with_teacher
    from lowcost_ft.pipeline.train import Trained, train
    from lowcost_ft.tasks.classification import ClassificationTask
    from lowcost_ft.tasks.loading import load_splits
    from lowcost_ft.tasks.ner import NerTask
    from lowcost_ft.tasks.question_answering import QuestionAnsweringTask
    from lowcost_ft.tasks.relation import RelationTask, find_relations

__version__ = "0.1.0"

_HOMES = {
    "Built": "pipeline.build",
    "ClassificationTask": "tasks.classification",
    "Conversion": "pipeline.convert",
    "Data": "pipeline.data",
    "Evaluated": "pipeline.evaluate",
    "NerTask": "tasks.ner",
    "Predictor": "pipeline.predictor",
    "QuestionAnsweringTask": "tasks.question_answering",
    "RelationTask": "tasks.relation",
    "Run": "pipeline.start",
    "RunConfig": "config.run",
    "Trained": "pipeline.train",
    "UserError": "errors",
    "build": "pipeline.build",
    "build_model": "models.loading",
    "compress_run": "compress.compressing",
    "convert_file": "pipeline.convert",
    "evaluate": "pipeline.evaluate",
    "export_run": "export.exporting",
    "find_relations": "tasks.relation",
    "load_data": "pipeline.data",
    "load_predictor": "pipeline.load_predictor",
    "load_splits": "tasks.loading",
    "load_tokenizer": "models.tokenizers",
    "load_trained": "models.loading",
    "merge_run": "pipeline.merge",
    "run_recipe": "commands.program",
    "save": "pipeline.save",
    "save_model": "models.loading",
    "start_run": "pipeline.start",
    "train": "pipeline.train",
    "with_cross_validation": "pipeline.cross_validation",
    "with_pseudo_labels": "pipeline.labellers",
    "with_teacher": "pipeline.student",
}
"""Each public name, and the module that holds it."""

__all__ = sorted([*_HOMES, "__version__"])

# bitsandbytes says on import that an optional kernel package is missing; nothing here needs it.
logging.getLogger("bitsandbytes.backends.cpu.ops").setLevel(logging.ERROR)
# The profiler that measures peak memory would announce its start and end on the screen.
os.environ.setdefault("KINETO_LOG_LEVEL", "99")
# ... and that it does not know the blocks from before it, which are counted by their storages.
os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
# pyarrow's allocator would take 1 GB of addresses at once. A limit on a process's data counts them.
os.environ.setdefault("MIMALLOC_ARENA_EAGER_COMMIT", "0")
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
