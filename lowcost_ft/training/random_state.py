"""The random states of a process: of Python, NumPy and PyTorch, on the CPU and on its GPU."""

import random
from typing import Any

import numpy as np
import torch

__all__ = ["random_states", "set_random_states", "set_torch_states", "torch_states"]


def torch_states() -> dict[str, torch.Tensor]:
    """The random states that a training step draws from."""
    states = {"torch": torch.get_rng_state()}
    if torch.cuda.is_available():
        states["cuda"] = torch.cuda.get_rng_state()
    return states


def set_torch_states(states: dict[str, torch.Tensor]) -> None:
    """Restores what `torch_states` returned; the state of a GPU is left out without one."""
    torch.set_rng_state(states["torch"])
    if "cuda" in states and torch.cuda.is_available():
        torch.cuda.set_rng_state(states["cuda"])


def random_states() -> dict[str, Any]:
    """All random states of the process, in types that JSON has."""
    version, words, gauss = random.getstate()
    name, keys, position, has_gauss, cached = np.random.get_state(legacy=True)
    return {
        "python": [version, list(words), gauss],
        "numpy": [name, np.asarray(keys).tolist(), position, has_gauss, cached],
        **{name: state.numpy().tobytes().hex() for name, state in torch_states().items()},
    }


def set_random_states(states: dict[str, Any]) -> None:
    """Restores what `random_states` returned."""
    version, words, gauss = states["python"]
    random.setstate((version, tuple(words), gauss))
    name, keys, *rest = states["numpy"]
    np.random.set_state((name, np.array(keys, np.uint32), *rest))
    set_torch_states(
        {
            name: torch.frombuffer(bytearray.fromhex(states[name]), dtype=torch.uint8)
            for name in ("torch", "cuda")
            if name in states
        }
    )
