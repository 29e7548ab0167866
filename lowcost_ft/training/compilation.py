"""torch.compile for training, layer by layer: the same kernels serve all layers of a model.

Layers run compiled only in training steps; predictions and saved weights come from the layers as
they are. On a GPU the compiled kernels draw dropout. On a CPU it is drawn from PyTorch's generator,
as without compiling (`cpu_dropout.py`).
"""

import os
import shutil
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager

import torch
from torch import nn

from lowcost_ft.errors import UserError

__all__ = ["check_compiler", "compiled_layers", "without_compiling"]

_COMPILERS = ("c++", "g++", "clang++", "cl")


def check_compiler() -> None:
    """Checks that there is a compiler for the C++ programs that torch.compile writes.

    Raises:
        UserError: There is no C++ compiler.
    """
    wanted = [os.environ["CXX"]] if os.environ.get("CXX") else list(_COMPILERS)
    if not any(map(shutil.which, wanted)):
        raise UserError(
            f"--torch-compile needs a C++ compiler, but found no {', '.join(wanted)}: install one "
            "(Debian, Ubuntu: apt install g++), or leave the flag out"
        )


@contextmanager
def compiled_layers(layers: Iterable[nn.Module]) -> Iterator[None]:
    """Inside the block, these modules run as compiled code; their names and weights stay.

    Shapes are compiled as unknown, since lengths differ between micro-batches.
    """
    layers = [layer for layer in layers if any(p.requires_grad for p in layer.parameters())]
    for layer in layers:
        layer.compile(dynamic=True)
    try:
        yield
    finally:
        for layer in layers:
            layer._compiled_call_impl = None


@contextmanager
def without_compiling() -> Iterator[None]:
    """Inside the block, compiled modules run without their compiled code."""
    if "torch._dynamo" not in sys.modules:  # Nothing is compiled, and asking takes seconds.
        yield
        return
    with torch.compiler.set_stance("force_eager"):
        yield
