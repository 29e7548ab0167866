"""What holds for every test: no network, one thread, nothing left in the user's caches."""

import gc
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pytest
from hypothesis import settings

# The same examples on every machine and in every run, however slow it is.
settings.register_profile(
    "lowcost_ft", derandomize=True, deadline=None, max_examples=60, database=None
)
settings.load_profile("lowcost_ft")

# Before anything imports torch or a Hugging Face library: they read these once, on import.
os.environ["HF_HUB_OFFLINE"] = "1"
os.environ["HF_DATASETS_OFFLINE"] = "1"
os.environ["HF_HUB_DISABLE_TELEMETRY"] = "1"
os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["WANDB_MODE"] = "offline"
# Tiny models are slower on several threads, and results stay the same on any machine.
os.environ.setdefault("OMP_NUM_THREADS", "1")
# The Hub cache stays the user's own: the packaged MiniLM lies there. Prepared data must not.
_DATASETS_CACHE = tempfile.mkdtemp(prefix="lowcost-ft-tests-")
os.environ["HF_DATASETS_CACHE"] = _DATASETS_CACHE
os.environ["LOWCOST_FT_CACHE"] = _DATASETS_CACHE
# A disk takes ten milliseconds to make sure that a file outlives a power cut; none of these has to.
os.fsync = lambda _: None
# A shell starts background jobs with SIGINT ignored, and what it starts inherits that: tests of
# Ctrl-C need what a terminal gives.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

_imported = 0
"""How many modules there were when the garbage collector last forgot what was there."""


def pytest_configure(config: pytest.Config) -> None:
    """Hide a GPU from all tests but those that are marked: they compare results bit by bit."""
    if "gpu" not in config.option.markexpr.replace("not gpu", ""):
        os.environ["CUDA_VISIBLE_DEVICES"] = ""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what needs a GPU where there is none."""
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu_items:
        return
    import torch

    if not torch.cuda.is_available():
        for item in gpu_items:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA GPU"))


def pytest_runtest_setup() -> None:
    """Compute in float32 on any CPU, and let the garbage collector leave out what was imported.

    Results are compared bit by bit, which bf16 would not allow on a CPU that has AMX tiles. What
    was imported would take half of the time.
    """
    global _imported
    if "torch" in sys.modules:
        sys.modules["torch"].cpu._is_amx_tile_supported = lambda: False
    if len(sys.modules) != _imported:
        _imported = len(sys.modules)
        gc.collect()
        gc.freeze()


def pytest_unconfigure() -> None:
    shutil.rmtree(_DATASETS_CACHE, ignore_errors=True)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """`tiny_model("bert")`: the folder of a tiny random checkpoint, made once."""
    from tiny import make_tiny

    folder = tmp_path_factory.mktemp("tiny")
    return cache(lambda family: make_tiny(family, folder / family))


@pytest.fixture(scope="session")
def small_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, str]]:
    """Flags of train, validation and test files that a tiny model can learn."""
    from question_rows import question_rows
    from small_runs import dialogue_rows, ner_rows, pair_rows, relation_rows, text_rows, write_jsonl

    folder = tmp_path_factory.mktemp("data")
    kinds = {
        "ner": lambda count, seed: ner_rows(count, seed=seed),
        "relation": lambda count, seed: relation_rows(count, seed=seed),
        "single": lambda count, seed: text_rows(count, seed=seed),
        "multi": lambda count, seed: text_rows(count, kind="multi", seed=seed),
        "question": lambda count, seed: question_rows(count, seed=seed),
        "number": lambda count, seed: text_rows(count, kind="number", seed=seed),
        "pairs": pair_rows,
        "dialogues": dialogue_rows,
    }
    return {
        kind: {
            f"{split}_file": write_jsonl(folder / f"{kind}-{split}.jsonl", rows(count, seed))
            for seed, (split, count) in enumerate(
                {"train": 80, "validation": 21, "test": 21}.items()
            )
        }
        for kind, rows in kinds.items()
    }


@pytest.fixture(scope="session")
def trained_run(
    tmp_path_factory: pytest.TempPathFactory,
    tiny_model: Callable[[str], str],
    small_files: dict[str, dict[str, str]],
) -> Callable[..., Path]:
    """`trained_run("ner", "bert", method="full")`: a run folder of a recipe, trained once."""
    from small_runs import call_recipe, flags

    @cache
    def run(
        kind: str, family: str, method: str = "lora", quantization: str = "none", epochs: int = 8
    ) -> Path:
        recipe = f"lora_{kind if kind in ('ner', 'relation') else 'classification'}"
        folder = tmp_path_factory.mktemp("runs") / f"{kind}-{family}-{method}-{quantization}"
        values: dict[str, object] = {"model_id": tiny_model(family), "output_dir": folder}
        values |= {"num_train_epochs": epochs, "batch_size": 8, "learning_rate": 3e-3}
        values |= {
            "method": method,
            "quantization": quantization,
            "max_length": 48,
            **small_files[kind],
        }
        if family == "bert":
            # A random BERT of this size learns nothing under dropout.
            values |= (
                {"dropout": 0.0, "lora_dropout": 0.0} if method == "lora" else {"dropout": 0.0}
            )
        assert call_recipe(recipe, *flags(**values)) == 0
        return folder

    return run
