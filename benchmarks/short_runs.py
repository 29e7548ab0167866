"""Short runs of the recipes for `same_bits.py`, and how they are started."""

import importlib
import os
import runpy
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from child_processes import fork, wait

__all__ = [
    "RUNS",
    "RunFailed",
    "ShortRun",
    "import_libraries",
    "perform",
    "prepare",
]

ROOT = Path(__file__).resolve().parent.parent
_LIBRARIES = (
    *("torch", "transformers", "peft", "accelerate", "bitsandbytes", "datasets", "sklearn"),
    *("transformers.models.bert.modeling_bert", "transformers.models.llama.modeling_llama"),
)
_ENVIRONMENT = {
    "HF_HUB_OFFLINE": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "PYTHONHASHSEED": "0",
    "CUDA_VISIBLE_DEVICES": "",
}


@dataclass(frozen=True, kw_only=True)
class ShortRun:
    """A run of a recipe that takes seconds.

    Attributes:
        recipe: Name of the recipe.
        flags: Its flags, but for the ones that all runs have.
        model: A random model (`random_models.SHAPES`); by default the recipe's own.
        sample: Whether it trains on the embedded sample, instead of a few rows.
        processes: How many train together.
        stopped: Whether it is told to stop after its first checkpoint, and goes on with --resume.
    """

    recipe: str
    flags: str
    model: str | None = None
    sample: bool = False
    processes: int = 1
    stopped: bool = False


_SHORT = "--max-steps 6 --batch-size 8"
_LONGER = "--max-steps 20 --batch-size 8"
_STOPPED = "--max-steps 40 --batch-size 8 --checkpoint-every-steps 4"
_NOISE = "--dropout 0.1 --lora-dropout 0.1"
_CACHED = f"{_SHORT} --max-length 64 --micro-batch-tokens 64"

RUNS = {
    "ner-lora": ShortRun(recipe="lora_ner", flags=f"{_SHORT} {_NOISE}", sample=True),
    "ner-full": ShortRun(recipe="full_ner", flags=f"{_SHORT} --gradient-accumulation-steps 3"),
    "ner-nf4": ShortRun(recipe="qlora_ner", flags=f"{_SHORT} --gradient-checkpointing"),
    "ner-adalora": ShortRun(recipe="lora_ner", flags=f"{_LONGER} --method adalora"),
    "ner-cached": ShortRun(recipe="cached_lora_ner", flags=_CACHED),
    "ner-streamed": ShortRun(recipe="cached_lora_ner", flags=f"{_CACHED} --stream-frozen-layers"),
    "ner-windows": ShortRun(
        recipe="lora_ner",
        flags=f"{_SHORT} --max-length 8 --window-overlap 2 --optimizer adafactor",
    ),
    "ner-processes": ShortRun(recipe="lora_ner", flags=f"{_SHORT} {_NOISE}", processes=2),
    "ner-resumed": ShortRun(
        recipe="lora_ner", flags=f"{_STOPPED} {_NOISE}", model="tiny-bert", stopped=True
    ),
    "ner-adalora-resumed": ShortRun(
        recipe="lora_ner", flags=f"{_STOPPED} --method adalora", model="tiny-bert", stopped=True
    ),
    "ner-decoder": ShortRun(recipe="lora_ner", flags=_LONGER, model="tiny-decoder"),
    "classification-lora": ShortRun(
        recipe="lora_classification",
        # Two epochs, each of which is scored.
        flags="--num-train-epochs 2 --batch-size 64 --class-weights balanced",
        model="tiny-bert",
        sample=True,
    ),
    "classification-prefix": ShortRun(
        recipe="lora_classification", flags=f"{_SHORT} --method prefix"
    ),
    "classification-8bit": ShortRun(recipe="lora_8bit_classification", flags=_SHORT),
    "classification-decoder": ShortRun(
        recipe="lora_gpt_classification", flags=f"{_LONGER} --method dora", model="tiny-decoder"
    ),
    "classification-bf16": ShortRun(
        recipe="lora_classification", flags=f"{_SHORT} --mixed-precision bf16 --optimizer sgd"
    ),
}


def import_libraries(*, num_threads: int) -> None:
    """Imports what all runs need but this package; to be called before anything else does."""
    os.environ.update(_ENVIRONMENT | {"OMP_NUM_THREADS": str(num_threads)})
    for library in _LIBRARIES:
        importlib.import_module(library)


class RunFailed(Exception):  # noqa: N818 - what happened, not whose fault it is.
    """A run did not come to its end; says why, and where its output is."""


def perform(run: ShortRun, code: Path, shared: Path, folder: Path) -> Path:
    """Runs a recipe to its end.

    Args:
        run: What to run.
        code: The folder whose `recipes/` and package are run.
        shared: What `prepare` filled.
        folder: Where the run folder, the caches and the log go.

    Returns:
        The run folder.

    Raises:
        RunFailed: It did not come to its end.
    """
    folder.mkdir(parents=True)
    output, log = folder / "run", folder / "log"
    # Neither side starts from what the other has in its cache.
    os.environ.update({"LOWCOST_FT_CACHE": str(folder / "cache"), "PYTHONPATH": str(code)})
    arguments = [*run.flags.split(), "--output-dir", str(output)]
    if run.model:
        arguments += ["--model-id", str(shared / run.model)]
    if not run.sample:
        kind = "ner" if run.recipe.endswith("ner") else "text"
        for split in ("train", "validation", "test"):
            arguments += [f"--{split}-file", str(shared / f"{kind}-{split}.jsonl")]
    recipe = code / "recipes" / f"{run.recipe}.py"

    def start(*more: str) -> int:
        return fork(lambda: _run_recipe(recipe, [*arguments, *more], log, run.processes))

    if run.stopped:
        process = start()
        while not any((output / "checkpoints").glob("[!.]*")):
            if os.waitpid(process, os.WNOHANG)[0]:
                raise RunFailed("ended before it took a checkpoint")
            time.sleep(0.01)
        os.kill(process, signal.SIGTERM)
        if wait(process) not in (-signal.SIGTERM, 128 + signal.SIGTERM):
            raise RunFailed("was not stopped by a signal")
    if status := wait(start("--resume") if run.stopped else start()):
        lines = log.read_text("utf-8", errors="replace").strip().splitlines()[-8:]
        raise RunFailed("\n    ".join([f"ended with exit code {status}:", *lines]))
    return output


def _run_recipe(recipe: Path, arguments: Sequence[str], log: Path, processes: int) -> None:
    """The recipe as `python recipes/NAME.py ARGUMENTS` runs it, its output in a file."""
    handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_APPEND)
    os.dup2(handle, 1)
    os.dup2(handle, 2)
    os.chdir(log.parent)
    if processes > 1:
        launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
        os.execv(sys.executable, [sys.executable, *launcher, str(recipe), *arguments])
    code = recipe.parent.parent
    sys.argv = [str(recipe), *arguments]
    sys.path[:0] = [str(recipe.parent), str(code)]
    package = Path(str(importlib.import_module("lowcost_ft").__file__))
    if not package.is_relative_to(code):
        raise SystemExit(f"Python imports {package} in place of the package in {code}")
    runpy.run_path(str(recipe), run_name="__main__")


def prepare(folder: Path) -> None:
    """Writes models and rows, for both sides."""
    sys.path.insert(0, str(ROOT / "tests"))
    write_random_model = importlib.import_module("random_models").write_random_model
    small_runs = importlib.import_module("small_runs")
    for name in {run.model for run in RUNS.values() if run.model}:
        write_random_model(name, folder / name)
    for seed, (split, count) in enumerate({"train": 160, "validation": 40, "test": 40}.items()):
        for kind in ("ner", "text"):
            rows = getattr(small_runs, f"{kind}_rows")(count, seed=seed)
            small_runs.write_jsonl(folder / f"{kind}-{split}.jsonl", rows)
