"""What holds for every test: no network, one thread, nothing left in the user's caches."""

import os
import shutil
import tempfile

import pytest

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


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip, with the reason, what needs a GPU where there is none."""
    gpu_items = [item for item in items if item.get_closest_marker("gpu")]
    if not gpu_items:
        return
    import torch

    if not torch.cuda.is_available():
        for item in gpu_items:
            item.add_marker(pytest.mark.skip(reason="needs a CUDA GPU"))


def pytest_unconfigure() -> None:
    shutil.rmtree(_DATASETS_CACHE, ignore_errors=True)
