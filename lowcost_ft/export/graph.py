"""From a model of transformers to an ONNX graph with the names that other tools expect.

The names of inputs, axes and outputs are those of Optimum, which transformers.js takes too.
"""

import logging
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from lowcost_ft.errors import UserError
from lowcost_ft.models.families import find_family
from lowcost_ft.models.hub import quiet_libraries

__all__ = ["LARGEST_FILE", "OPSET", "build_graph"]

OPSET = 18
"""Version of ONNX's operators: the oldest that torch's exporter writes."""

LARGEST_FILE = 2**31 - 1
"""Bytes that one ONNX file can hold, since its format (protobuf) counts no further."""

_AXES = ("batch_size", "sequence_length")


Forward = Callable[[Any, dict[str, torch.Tensor]], Any]
"""Runs a model on its inputs: a tensor, or a dictionary of them; `Task.forward` is one."""


class _Named(nn.Module):
    """Takes tensors in a fixed order and gives the outputs in theirs."""

    def __init__(self, model: Any, inputs: Sequence[str], forward: Forward) -> None:
        super().__init__()
        self.model, self.inputs, self.run = model, tuple(inputs), forward

    def forward(self, *tensors: torch.Tensor) -> tuple[torch.Tensor, ...]:
        found = self.run(self.model, dict(zip(self.inputs, tensors, strict=True)))
        return tuple(found.values()) if isinstance(found, dict) else (found,)


def build_graph(
    model: Any,
    forward: Forward,
    *,
    inputs: Sequence[str],
    outputs: Sequence[str],
    per_text: Sequence[str] = (),
) -> Any:
    """Makes the ONNX graph of a model in float32.

    Args:
        model: A model of transformers, in float32 on the CPU. For the graph its attention is
            switched to the plain products, which every runtime knows how to fuse.
        forward: Runs it; what it does besides becomes part of the graph.
        inputs: Names of what it takes, `(batch, sequence)` each, such as `input_ids`.
        outputs: Names of what `forward` gives, in its order, such as `logits`.
        per_text: Outputs that have one row a text, `(batch, ...)`; the others are
            `(batch, sequence, ...)`.

    Returns:
        The `onnx.ModelProto`, its axes called `batch_size` and `sequence_length`.

    Raises:
        UserError: The model is too large for one file, or of an unknown family that torch's
            exporter cannot express.
    """
    size = sum(tensor.numel() * tensor.element_size() for tensor in model.state_dict().values())
    if size > LARGEST_FILE:
        raise UserError(
            f"export: the weights take {size / 1e9:.1f} GB in float32, and one ONNX file holds at "
            "most 2.1 GB; export a smaller model"
        )
    attention = model.config._attn_implementation
    example = torch.ones(2, 8, dtype=torch.int64)
    # Two texts of different lengths, so that no branch for texts without padding is taken.
    tensors = [example.clone() for _ in inputs]
    if "attention_mask" in inputs:
        tensors[list(inputs).index("attention_mask")][1, 5:] = 0
    if "token_type_ids" in inputs:
        tensors[list(inputs).index("token_type_ids")][:] = 0
    axes = tuple(dict.fromkeys((0, 1), torch.export.Dim.DYNAMIC) for _ in inputs)
    model.set_attn_implementation("eager")
    try:
        with _quiet(), torch.no_grad():
            program: Any = torch.onnx.export(
                _Named(model, inputs, forward).eval(),
                tuple(tensors),
                dynamo=True,
                dynamic_shapes=(axes,),
                input_names=list(inputs),
                output_names=list(outputs),
                opset_version=OPSET,
                verbose=False,
            )
    except torch.onnx.OnnxExporterError as error:
        if find_family(model.config) is not None:
            raise
        raise UserError(
            f"export: torch's exporter cannot express a model of type {model.config.model_type!r}, "
            "which is not one of the families that lowcost_ft knows; use the run as it is"
        ) from error
    finally:
        # The model is timed beside the graph: as it is when it predicts.
        model.set_attn_implementation(attention)
    graph = program.model_proto
    _name_axes(graph.graph, per_text)
    return graph


def _name_axes(graph: Any, per_text: Sequence[str]) -> None:
    for value in (*graph.input, *graph.output):
        count = 1 if value.name in per_text else 2
        dimensions = value.type.tensor_type.shape.dim
        for dimension, name in zip(dimensions, _AXES[:count], strict=False):
            dimension.dim_param = name
    # What torch noted of the tensors in between has other names for the axes.
    del graph.value_info[:]


@contextmanager
def _quiet() -> Iterator[None]:
    """Keeps what torch's exporter says of itself and of libraries that are not there off the
    screen."""
    loggers = [logging.getLogger(name) for name in ("torch.onnx", "onnxscript", "onnx_ir")]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        with quiet_libraries(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)
