"""Adapters that do not start at zero: saving gives back what they took from the frozen weights.

PiSSA (Meng et al. 2024, arXiv:2404.02948) and OLoRA (arXiv:2406.01775) begin with a part s A0 B0 of
each frozen weight W, and freeze the rest, W - s A0 B0. Saved like that, the adapter would fit no
model that others have. The update is written instead as one of the whole W, of twice the rank:

    (W - s A0 B0) + s A B = W + s [A | A0] [B | -B0]^T

LoftQ (Li et al. 2023, arXiv:2310.08659; here its first iteration) begins with the best low-rank
approximation of what quantization Q took away, W - Q(W), and freezes Q(W), which every reload makes
again.
"""

import copy
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model_state_dict
from peft.tuners.lora import LoraLayer
from peft.utils.integrations import dequantize_module_weight
from torch import nn
from transformers.pytorch_utils import Conv1D

from lowcost_ft.errors import UserError

__all__ = ["check_rank", "export_adapter", "keep_start", "start_from_rounding"]
__all__ += ["takes_from_weights"]

_FACTORS = (".lora_A.", ".lora_B.")


def takes_from_weights(config: Any) -> bool:
    """Whether an adapter's start is taken out of the frozen weights."""
    init = getattr(config, "init_lora_weights", None)
    return isinstance(init, str) and init.lower().startswith(("pissa", "olora"))


def check_rank(peft_model: PeftModel, setting: str) -> None:
    """Refuses a rank for which a layer has too few singular vectors to begin with.

    Args:
        peft_model: The model.
        setting: Where the rank was set, for the message.

    Raises:
        UserError: A matrix of the adapter would be smaller than its configuration says, and could
            not be loaded again.
    """
    layers: dict[str, Any] = {
        name: module
        for name, module in peft_model.get_base_model().named_modules()
        if isinstance(module, LoraLayer)
    }
    sizes = {name: min(one.in_features, one.out_features) for name, one in layers.items()}
    name = min(sizes, key=sizes.__getitem__)
    layer, most = layers[name], sizes[name]
    rank = max(layer.r.values())
    if rank > most:
        raise UserError(
            f"{setting} {rank}: this method begins with parts of the frozen weights, and "
            f"{name} has only {most} of them; choose a rank up to {most}, or leave that "
            "layer out of the target modules"
        )


def keep_start(peft_model: PeftModel) -> None:
    """Notes A0 and B0, which `export_adapter` needs; to be called before anything trains."""
    if takes_from_weights(peft_model.active_peft_config):
        start = {
            name: tensor.detach().cpu().clone()
            for name, tensor in get_peft_model_state_dict(
                peft_model, save_embedding_layers=False
            ).items()
            if any(part in f".{name}" for part in _FACTORS)
        }
        object.__setattr__(peft_model, "adapter_start", start)


def export_adapter(
    peft_model: PeftModel, trained: dict[str, torch.Tensor] | None = None
) -> tuple[LoraConfig, dict[str, torch.Tensor]] | None:
    """The configuration and weights to save where they differ from those that train; else None.

    Args:
        peft_model: The model.
        trained: Its weights, where it does not hold them whole.
    """
    start = getattr(peft_model, "adapter_start", None)
    if start is None:
        return None
    weights = dict(
        get_peft_model_state_dict(peft_model, state_dict=trained, save_embedding_layers=False)
    )
    for name, before in start.items():
        after = weights[name].detach().cpu()
        if ".lora_A." in name:  # (r, in) -> (2r, in)
            weights[name] = torch.cat([after, before], dim=0)
        else:  # (out, r) -> (out, 2r)
            weights[name] = torch.cat([after, -before], dim=1)
    config = copy.copy(peft_model.active_peft_config)
    config.r = 2 * config.r
    config.lora_alpha = config.lora_alpha * (2**0.5 if config.use_rslora else 2)
    config.init_lora_weights = True
    config.inference_mode = True
    return config, weights


def start_from_rounding(peft_model: PeftModel, whole: Any) -> None:
    """Starts every update at the best approximation of what quantization took away.

    Args:
        peft_model: LoRA on quantized weights.
        whole: The same model in full precision, without adapters.
    """
    for name, module in peft_model.get_base_model().named_modules():
        if not isinstance(module, LoraLayer):
            continue
        factors_a: Any = module.lora_A["default"]
        factors_b: Any = module.lora_B["default"]
        full = whole.get_submodule(name)
        weight = full.weight.T if isinstance(full, Conv1D) else full.weight  # (out, in)
        layer: nn.Module = module.get_base_layer()
        # A GPU has the quantized layers from the start on.
        lost = weight.float() - dequantize_module_weight(layer).float().to(weight.device)
        u, s, v = torch.linalg.svd(lost, full_matrices=False)
        r, root = module.r["default"], s.sqrt()
        with torch.no_grad():
            factors_a.weight.copy_(root[:r, None] * v[:r])
            factors_b.weight.copy_(u[:, :r] * root[:r] / module.scaling["default"])
