"""Frozen linear layers in 8 or 4 bits, on a GPU and on the CPU alike.

8bit (bitsandbytes): int8 codes with a scale for each row (Dettmers et al. 2022, arXiv:2208.07339).
nf4 (bitsandbytes): 4-bit codes with a scale for every 64 weights, itself in 8 bits (Dettmers et al.
2023, arXiv:2305.14314). int8 (`int8_linear.py`): codes as in 8bit, multiplied as integers.
Only linear layers inside the transformer layers are quantized: no head, no embedding, no norm.

What a layer of N x K weights in 8bit or nf4 costs while it runs, for who counts memory: a copy of
its weights in the precision of the computation (4 N K bytes in float32), forward and backward, gone
when the layer is through.
"""

import logging
import math
import re
from collections.abc import Iterable, Mapping
from typing import Any, Literal

import bitsandbytes
import torch
from torch import nn
from transformers import BitsAndBytesConfig
from transformers.pytorch_utils import Conv1D

from lowcost_ft.errors import UserError
from lowcost_ft.models.family import Family
from lowcost_ft.models.hub import weight_names
from lowcost_ft.models.int8_linear import Int8Linear

__all__ = [
    "Quantization",
    "check_new_weights",
    "compute_dtype",
    "count_parameters",
    "not_quantized_in_checkpoint",
    "quantization_config",
    "quantization_notice",
    "scale_tensors",
    "settle_quantization",
    "unquantized_modules",
    "weight_bytes",
]

Quantization = Literal["none", "int8", "8bit", "nf4"]

_PAYS_FROM_BYTES = 500_000_000
"""Saving less than this is not worth the rounding on any hardware of today."""

# bitsandbytes would say it at every call of every layer.
logging.getLogger("bitsandbytes.autograd._functions").addFilter(
    lambda record: "inputs will be cast" not in record.getMessage()
)


def settle_quantization(wanted: Quantization, stored: Any, model_id: str) -> Quantization:
    """What the user wants and what the checkpoint is, in one.

    Args:
        wanted: "none" leaves the checkpoint as it is.
        stored: `quantization_config` of its `config.json`, or None.
        model_id: For messages.

    Raises:
        UserError: The two contradict each other, or the checkpoint is quantized in a way that
            cannot be trained here.
    """
    if stored is None:
        return wanted
    kind = str(stored.get("quant_method") or "an unknown method")
    found: Quantization = "none"
    if stored.get("load_in_8bit"):
        found = "8bit"
    elif stored.get("load_in_4bit"):
        found = "nf4" if stored.get("bnb_4bit_quant_type") == "nf4" else "none"
        kind = f"{kind} in {stored.get('bnb_4bit_quant_type')}"
    if found == "none":
        raise UserError(
            f"model_id: the weights of {model_id!r} are quantized by {kind}; adapters are trained "
            "on bitsandbytes' 8bit and nf4: use the unquantized checkpoint, with --quantization"
        )
    if wanted not in ("none", found):
        raise UserError(
            f"quantization: the weights of {model_id!r} are {found} already and cannot become "
            f"{wanted}; leave --quantization out, or use the unquantized checkpoint"
        )
    return found


def compute_dtype(mixed_precision: str) -> torch.dtype:
    """The precision that 4-bit weights are multiplied in: that of the run's computation."""
    return {"bf16": torch.bfloat16, "fp16": torch.float16}.get(mixed_precision, torch.float32)


def unquantized_modules(model: Any, family: Family | None) -> list[str]:
    """Paths of the linear layers that stay in full precision: all outside the transformer layers.

    Args:
        model: A task model of transformers without adapters; it may be on the meta device. Of a
            quantized one the answer is what it is, whatever made it so.
        family: Its entry in the table. Without one, only what stands beside the backbone and its
            pooler are known to be heads.
    """
    if weight_bytes(model)[0]:
        kinds = (bitsandbytes.nn.Linear4bit, bitsandbytes.nn.Linear8bitLt, Int8Linear)
        return [n for n in _linear_names(model) if not isinstance(model.get_submodule(n), kinds)]
    # T5's `wo`, which transformers keeps out of what it quantizes.
    in_float32 = set(getattr(model, "_keep_in_fp32_modules", None) or ())
    # T5 with its language head has no module that is the backbone.
    backbone = "" if model.base_model is model else f"{model.base_model_prefix}."

    def in_layers(name: str) -> bool:
        if not name.startswith(backbone) or in_float32 & set(name.split(".")):
            return False
        inside = name.removeprefix(backbone)
        if family is None:
            return "pooler" not in inside.split(".")
        lists = (family.layers, *([family.encoder_layers] if family.encoder_layers else []))
        return inside.startswith(tuple(f"{path}." for path in lists))

    return [name for name in _linear_names(model) if not in_layers(name)]


def _linear_names(model: Any) -> list[str]:
    return [n for n, module in model.named_modules() if isinstance(module, nn.Linear | Conv1D)]


def not_quantized_in_checkpoint(
    model: Any, model_id: str, revision: str | None, *, renamed: Mapping[str, str]
) -> list[str]:
    """Paths of the linear layers of which a quantized checkpoint has no codes, new heads included.

    Its own list of exceptions knows nothing of the head of another task.

    Args:
        model: The task model.
        model_id: Name on the Hub, or a folder.
        revision: Branch, tag or commit on the Hub.
        renamed: Patterns of names in the checkpoint, and what the model has in their place.
    """
    stored = set()
    for key in weight_names(model_id, revision):
        for pattern, own in renamed.items():
            key = re.sub(pattern, own, key)
        for end in (".SCB", ".weight.quant_map"):
            if key.endswith(end):
                stored.add(key.removesuffix(end))
    backbone = f"{model.base_model_prefix}."
    # A checkpoint of the backbone alone has no prefix.
    stored |= {backbone + name for name in stored}
    return [name for name in _linear_names(model) if name not in stored]


def check_new_weights(model: Any, missing: Iterable[str], model_id: str) -> None:
    """Refuses a new layer that is quantized: it could not train.

    Raises:
        UserError: There is one.
    """
    for name in sorted(missing):
        module = model.get_submodule(name.rpartition(".")[0])
        kinds = bitsandbytes.nn.Linear4bit | bitsandbytes.nn.Linear8bitLt | Int8Linear
        if isinstance(module, kinds):
            raise UserError(
                f"model_id: {model_id!r} lacks {name}, which would have to be made in 8 or 4 bits; "
                "the checkpoint is damaged: choose another"
            )


def quantization_config(
    quantization: Quantization, skip: list[str], dtype: torch.dtype
) -> BitsAndBytesConfig:
    """What `from_pretrained` takes.

    Args:
        quantization: "8bit" or "nf4".
        skip: What `unquantized_modules` returned.
        dtype: Precision of the computation, for nf4.
    """
    if quantization == "8bit":
        return BitsAndBytesConfig(load_in_8bit=True, llm_int8_skip_modules=skip)
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
        llm_int8_skip_modules=skip,
    )


def scale_tensors(model: nn.Module) -> list[torch.Tensor]:
    """Scales and tables of the quantized layers, which are neither parameters nor buffers."""
    tensors: list[Any] = []
    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            weight: Any = module.weight
            for state in (weight.quant_state, weight.quant_state.state2):
                tensors += [state.absmax, state.code]
            tensors.append(weight.quant_state.offset)
        elif isinstance(module, bitsandbytes.nn.Linear8bitLt):
            weight = module.weight
            tensors.append(module.state.SCB if weight.SCB is None else weight.SCB)
    return [tensor for tensor in tensors if tensor is not None]


def weight_bytes(model: nn.Module) -> tuple[int, int]:
    """Bytes of the quantized layers' weights, scales included, and of the same weights in float32.

    Both are 0 for a model without quantized layers. Biases are left out.
    """
    stored, full = 0, 0
    for module in model.modules():
        if isinstance(module, bitsandbytes.nn.Linear4bit):
            weight: Any = module.weight
            state = weight.quant_state
            tensors = [weight, *state.as_dict(packed=True).values()]
        elif isinstance(module, bitsandbytes.nn.Linear8bitLt):
            weight = module.weight
            tensors = [weight, module.state.SCB if weight.SCB is None else weight.SCB]
        elif isinstance(module, Int8Linear):
            tensors = [module.weight, module.scales]
        else:
            continue
        stored += sum(t.numel() * t.element_size() for t in tensors)
        full += 4 * module.in_features * module.out_features
    return stored, full


def count_parameters(model: nn.Module) -> tuple[int, int]:
    """All parameters, and those that train; two 4-bit weights, which share a byte, count as two."""
    total, trainable = 0, 0
    for parameter in model.parameters():
        state = getattr(parameter, "quant_state", None)
        count = parameter.numel() if state is None else math.prod(state.shape)
        total += count
        trainable += count * parameter.requires_grad
    return total, trainable


def quantization_notice(
    model: nn.Module, quantization: Quantization, dtype: torch.dtype
) -> str | None:
    """What the choice saves and costs, in numbers, where it does not pay; else None.

    The time is that of LoRA on all linear layers of MiniLM (320 to 4,096 tokens) and SmolLM2-135M
    (256) on a CPU: 1.05 to 1.15 times that in float32 with 8bit, 1.12 to 1.16 times with nf4.
    """
    stored, in_float32 = weight_bytes(model)
    # Without it they would be held in the precision of the computation (`held_precision.py`).
    full = in_float32 * dtype.itemsize // 4
    saved = full - stored
    if quantization in ("none", "int8") or saved >= _PAYS_FROM_BYTES:
        return None
    whole = full + 4 * sum(p.numel() for p in model.parameters() if p.dtype == torch.float32)
    return (
        f"--quantization {quantization} saves {saved / 1e6:,.0f} of {whole / 1e6:,.0f} MB of "
        "weights here, and rounds them; each step takes longer (on a CPU 1.05 to 1.2 times as "
        "long). It pays where the weights do not fit otherwise: a billion parameters take "
        f"{dtype.itemsize} GB in {str(dtype).removeprefix('torch.')}"
    )
