"""From a model's name to a trainable model.

Base models are read as safetensors in float32, or quantized while they are read; what the
checkpoint lacks (the head) is made from the seed; then `models/adapters.py` decides what trains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from peft import PeftModel

from lowcost_ft.errors import UserError
from lowcost_ft.models.adapters import add_lora, find_lora_targets, layer_list, train_fully
from lowcost_ft.models.base import Head, load_base_model
from lowcost_ft.models.families import Family
from lowcost_ft.models.frozen_layers import freeze_below
from lowcost_ft.models.hub import load_config
from lowcost_ft.models.lean_lora import make_lora_lean
from lowcost_ft.models.quantization import Quantization, quantization_notice, unquantized_modules
from lowcost_ft.models.saving import load_trained, save_model, saved_tensors
from lowcost_ft.models.tokenizers import load_tokenizer

__all__ = [
    "BuiltModel",
    "Head",
    "build_model",
    "forward_module",
    "load_config",
    "load_tokenizer",
    "load_trained",
    "save_model",
    "saved_tensors",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltModel:
    """A model ready to train, in evaluation mode, on the CPU."""

    model: Any
    """A `peft.PeftModel`, or a `transformers.PreTrainedModel` after `method="full"`."""
    family: Family | None
    """The entry of the table of families; None for an unknown architecture."""
    head_names: tuple[str, ...]
    """Paths, in the model of transformers, of the modules that are trained in full as heads."""
    notices: list[str]
    """What the user should know about how the model was loaded."""
    num_layers: int
    """How many layers the input passes (ALBERT's shared one counts every time)."""
    quantization: Quantization = "none"
    """How the linear layers are quantized: as asked for, or as the checkpoint is."""
    unquantized_modules: tuple[str, ...] = ()
    """Paths of the linear layers that are not; empty without quantization."""


def build_model(
    model_id: str,
    *,
    head: Head,
    labels: Sequence[str],
    problem_type: str | None = None,
    method: str = "lora",
    lora_r: int = 16,
    lora_alpha: int | None = None,
    lora_dropout: float = 0.0,
    dropout: float | None = None,
    target_modules: Sequence[str] | None = None,
    trainable_layers: int | None = None,
    gradient_checkpointing: bool = False,
    attn_implementation: str | None = None,
    pad_token_id: int | None = None,
    seed: int = 0,
    revision: str | None = None,
    trust_remote_code: bool = False,
    quantization: Quantization = "none",
    dtype: torch.dtype = torch.float32,
    on_meta: bool = False,
) -> BuiltModel:
    """Loads a base model, gives it a head, and decides which weights train.

    Args:
        model_id: Name on the Hub, or a folder.
        head: "token" for a label per token, "sequence" for one per text.
        labels: Label names in the order of the logits; empty for regression (one output).
        problem_type: As in `transformers` configurations; recorded there.
        method: "lora" or "full".
        lora_r: Rank of the update.
        lora_alpha: Numerator of LoRA's scaling; None for 32 at every rank (`adapters.add_lora`).
        lora_dropout: Probability of dropping an input of the update.
        dropout: Every dropout probability of the base model and its head; None keeps its own.
        target_modules: Linear layers to adapt, by the end of their names; None for the family's.
        trainable_layers: Train only so many of the top layers (and the head); None for all.
        gradient_checkpointing: Whether layers are computed again in the backward pass.
        attn_implementation: "eager", "sdpa", ...; None for the model's default.
        pad_token_id: The tokenizer's padding token; decoders need it to find a text's end.
        seed: Seed of the new weights. The global random state is left as it was.
        revision: Branch, tag or commit on the Hub.
        trust_remote_code: Whether the model's own Python code may run.
        quantization: "8bit" or "nf4" for the frozen linear layers of the transformer layers; "none"
            leaves the checkpoint as it is, which may be quantized already.
        dtype: Precision of the computation, in which nf4 weights are multiplied.
        on_meta: Build the same modules without weights, on the meta device, none of them
            quantized: nothing but the configuration is read.

    Returns:
        The model; frozen weights are exactly those of the checkpoint.

    Raises:
        UserError: Something is missing or does not fit; names the field and the fix.
    """
    _check_arguments(method, lora_r, lora_dropout, dropout, target_modules)
    # One seed for the new head and the update; the caller's own random stream is not moved.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        base = load_base_model(
            model_id,
            head=head,
            labels=labels,
            problem_type=problem_type,
            dropout=dropout,
            attn_implementation=attn_implementation,
            pad_token_id=pad_token_id,
            revision=revision,
            trust_remote_code=trust_remote_code,
            quantization=quantization,
            dtype=dtype,
            on_meta=on_meta,
        )
        model, family, head_names = base.model, base.family, base.head_names
        if method == "full" and base.quantization != "none":
            raise UserError(
                f"method: full cannot train {base.quantization} weights, which have no gradient; "
                "train an adapter (--method lora), or an unquantized model"
            )
        kept = unquantized_modules(model, family) if base.quantization != "none" else []
        notice = None if on_meta else quantization_notice(model, base.quantization)
        num_layers = _check_layers(model, family, trainable_layers)
        trained: Any = model
        if method == "lora":
            targets = find_lora_targets(
                model,
                family,
                head_names=head_names,
                target_modules=target_modules,
                trainable_layers=trainable_layers,
            )
            with torch.device("meta" if on_meta else "cpu"):
                trained = add_lora(
                    model,
                    head=head,
                    head_names=head_names,
                    targets=targets,
                    r=lora_r,
                    alpha=lora_alpha,
                    dropout=lora_dropout,
                    revision=revision,
                )
        else:
            train_fully(model, family, head_names=head_names, trainable_layers=trainable_layers)
        if trainable_layers is not None:
            assert family is not None
            freeze_below(model, family, trainable_layers)
    if gradient_checkpointing:
        # After peft, which would else do what `_enable_checkpointing` has to undo.
        _enable_checkpointing(model, family)
    return BuiltModel(
        model=trained,
        family=family,
        head_names=head_names,
        notices=[*base.notices, *([notice] if notice else [])],
        num_layers=num_layers,
        quantization=base.quantization,
        unquantized_modules=tuple(kept),
    )


def forward_module(model: Any) -> Any:
    """The module to call in a loop: the same weights and results, without peft's outer wrappers.

    LoRA lives inside the layers, so the model of transformers can be called by itself. Parameters
    are shared; the peft model is still the one to save. Its LoRA layers take fewer passes over
    memory from then on (`lean_lora.py`).
    """
    if not isinstance(model, PeftModel):
        return model
    make_lora_lean(model)
    return model.get_base_model()


def _check_arguments(
    method: str,
    lora_r: int,
    lora_dropout: float,
    dropout: float | None,
    target_modules: Sequence[str] | None,
) -> None:
    problems = []
    if method not in ("lora", "full"):
        problems.append(f"method: unknown value {method!r}; known: lora, full")
    if lora_r < 1:
        problems.append(f"lora_r: {lora_r} is below 1; give a rank such as 16")
    for name, value in (("lora_dropout", lora_dropout), ("dropout", dropout)):
        if value is not None and not 0 <= value < 1:
            problems.append(f"{name}: {value} is no probability; give 0 or more and less than 1")
    if target_modules is not None and method == "full":
        problems.append("target_modules: has no meaning with method full; leave it out")
    if target_modules is not None and not target_modules:
        problems.append("target_modules: is empty; name at least one module, or leave it out")
    if problems:
        raise UserError(problems)


def _check_layers(model: Any, family: Family | None, trainable_layers: int | None) -> int:
    """Returns the number of layers; refuses a number of trainable ones that cannot be obeyed."""
    if family is None or family.shared_layers:
        count = int(getattr(model.config.get_text_config(), "num_hidden_layers", 0))
        if trainable_layers is not None:
            reason = (
                f"{family.name} uses one shared layer over and over"
                if family
                else f"the layers of model type {model.config.model_type!r} are not known"
            )
            raise UserError(f"trainable_layers: {reason}; leave it out")
        return count
    count = len(layer_list(model, family))
    if trainable_layers is not None and not 1 <= trainable_layers <= count:
        raise UserError(
            f"trainable_layers: {trainable_layers} is not between 1 and {count}, the number of "
            f"layers of this model"
        )
    return count


def _enable_checkpointing(model: Any, family: Family | None) -> None:
    if not model.supports_gradient_checkpointing:
        name = family.name if family else model.config.model_type
        raise UserError(f"gradient_checkpointing: {name} does not support it; leave it out")
    # Re-entrant checkpointing gives no gradients behind frozen embeddings.
    enable = getattr(model, "activation_checkpointing_enable", model.gradient_checkpointing_enable)
    enable({"use_reentrant": False})
    # transformers then makes the embeddings' output require gradients, which only the re-entrant
    # kind needs: the backward pass would run down through layers that have nothing to train.
    model.disable_input_require_grads()
