"""Smaller forms of an ONNX graph: 8-bit integers for chosen layers, or half precision throughout.

Weights are rounded to 8 bits once, with a scale for each output channel (for each row of a table of
embeddings); what they are multiplied with is rounded while the model runs, with one scale for all
of it. The nodes are laid out as ONNX Runtime's own tool lays them out, so that the runtime fuses
them into one product of integers.

Source: Krishnamoorthi (2018), "Quantizing deep convolutional networks for efficient inference",
sections 2 and 3.
"""

import ast
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import numpy as np

__all__ = ["Layer", "quantizable_layers", "quantize", "to_half"]

_LEAST_ROWS = 16
"""Tables of fewer rows, such as those of token types, are not worth their scales."""


@dataclass(frozen=True, slots=True)
class Layer:
    """A node whose weight can be held in 8 bits."""

    node: str
    """Name of the node in the graph."""
    weight: str
    """Name of its weight there."""
    title: str
    """Path of the module that it comes from."""


def quantizable_layers(graph: Any) -> list[Layer]:
    """The products with a constant matrix and the tables of embeddings, in the order they run.

    Args:
        graph: An `onnx.ModelProto` in float32.
    """
    shapes = {w.name: tuple(w.dims) for w in graph.graph.initializer if w.data_type == 1}
    uses = [name for node in graph.graph.node for name in node.input]
    found = []
    for node in graph.graph.node:
        at = {"MatMul": 1, "Gather": 0}.get(node.op_type)
        if at is None or len(shapes.get(node.input[at], ())) != 2:
            continue
        weight = node.input[at]
        if uses.count(weight) > 1 and node.op_type == "Gather":
            continue
        if node.op_type == "Gather" and (_axis(node) or shapes[weight][0] < _LEAST_ROWS):
            continue
        found.append(Layer(node=node.name, weight=weight, title=_title(node)))
    return found


def _axis(node: Any) -> int:
    return next((int(one.i) for one in node.attribute if one.name == "axis"), 0)


def _title(node: Any) -> str:
    """The module that a node comes from, as torch's exporter noted it; else the node's name."""
    notes = {note.key: note.value for note in node.metadata_props}
    try:
        scopes = ast.literal_eval(notes["pkg.torch.onnx.name_scopes"])
        path = next(scope for scope in reversed(scopes) if "." in scope)
    except (KeyError, ValueError, SyntaxError, StopIteration, TypeError):
        return str(node.name)
    return str(path).removeprefix("model.")


def quantize(graph: Any, layers: Collection[Layer], *, reduced_range: bool = False) -> Any:
    """A copy of the graph that holds the weights of some layers in 8 bits.

    Args:
        graph: An `onnx.ModelProto` in float32; it stays as it is.
        layers: Some of its `quantizable_layers`.
        reduced_range: Use 7 of the 8 bits: CPUs without instructions for 8-bit products add pairs
            of products in 16 bits, which could overflow.

    Returns:
        The new `onnx.ModelProto`.
    """
    import onnx
    from onnx import helper, numpy_helper

    chosen = {layer.node: layer for layer in layers}
    largest = 63 if reduced_range else 127
    weights = {one.name: one for one in graph.graph.initializer}
    kept = {name for node in graph.graph.node if node.name not in chosen for name in node.input}
    new = onnx.ModelProto()
    new.CopyFrom(graph)
    del new.graph.node[:], new.graph.initializer[:], new.graph.value_info[:]
    rounded: set[str] = set()
    for weight in graph.graph.initializer:
        replaced = weight.name in {layer.weight for layer in layers}
        if not replaced or weight.name in kept:
            new.graph.initializer.append(weight)
    inputs: set[str] = set()

    def add(kind: str, takes: list[str], gives: list[str], **attributes: Any) -> None:
        name = f"{gives[0]}_{kind}"
        new.graph.node.append(helper.make_node(kind, takes, gives, name=name, **attributes))

    for node in graph.graph.node:
        layer = chosen.get(node.name)
        if layer is None:
            new.graph.node.append(node)
            continue
        weight, out = layer.weight, node.output[0]
        # A product has a scale for each column, a table for each row.
        axis = 0 if node.op_type == "MatMul" else 1
        if weight not in rounded:
            rounded.add(weight)
            codes, scale = _round(numpy_helper.to_array(weights[weight]), axis, largest)
            zero = np.zeros(scale.size, np.int8)
            arrays = {"codes": codes, "scale": scale}
            if axis == 0:
                arrays = {"codes": codes, "scale": scale[0], "zero": zero}
            for name, array in arrays.items():
                initializer = numpy_helper.from_array(array, f"{weight}_{name}")
                new.graph.initializer.append(initializer)
        if node.op_type == "Gather":
            add("Gather", [f"{weight}_codes", node.input[1]], [f"{out}_codes"])
            add("Gather", [f"{weight}_scale", node.input[1]], [f"{out}_scale"])
            add("Cast", [f"{out}_codes"], [f"{out}_wide"], to=onnx.TensorProto.FLOAT)
            add("Mul", [f"{out}_wide", f"{out}_scale"], [out])
            continue
        given = node.input[0]
        if given not in inputs:  # Query, key and value are made from one and the same.
            inputs.add(given)
            parts = [f"{given}_codes", f"{given}_scale", f"{given}_zero"]
            add("DynamicQuantizeLinear", [given], parts)
        takes = [f"{given}_codes", f"{weight}_codes", f"{given}_zero", f"{weight}_zero"]
        add("MatMulInteger", takes, [f"{out}_sum"])
        add("Cast", [f"{out}_sum"], [f"{out}_wide"], to=onnx.TensorProto.FLOAT)
        add("Mul", [f"{given}_scale", f"{weight}_scale"], [f"{out}_scale"])
        add("Mul", [f"{out}_wide", f"{out}_scale"], [out])
    return new


def _round(weight: np.ndarray, axis: int, largest: int) -> tuple[np.ndarray, np.ndarray]:
    """Codes of a matrix and their scales, one for each place along the other axis."""
    scale = np.abs(weight).max(axis=axis, keepdims=True).astype(np.float32) / largest
    scale[scale == 0] = 1.0
    return np.rint(weight / scale).clip(-largest, largest).astype(np.int8), scale


def to_half(graph: Any) -> Any:
    """A copy of the graph in half precision that takes and gives what the graph does.

    Args:
        graph: An `onnx.ModelProto` in float32; it stays as it is.
    """
    import onnx
    from onnxruntime.transformers.float16 import convert_float_to_float16

    copy = onnx.ModelProto()
    copy.CopyFrom(graph)
    return convert_float_to_float16(copy, keep_io_types=True)
