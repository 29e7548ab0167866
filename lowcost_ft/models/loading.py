"""From a model's name to a trainable model.

Base models are read as safetensors in float32, or quantized while they are read; what the
checkpoint lacks (the head) is made from the seed; then `models/adapters.py` decides what trains.
"""

import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from peft import PeftModel

from lowcost_ft.errors import UserError
from lowcost_ft.models.adapter_configs import AdapterSettings, build_adapter
from lowcost_ft.models.adapter_files import method_like
from lowcost_ft.models.adapter_starts import start_from_rounding
from lowcost_ft.models.adapters import train_fully
from lowcost_ft.models.base import load_base_model
from lowcost_ft.models.family import Family
from lowcost_ft.models.freezing import freeze_below
from lowcost_ft.models.fused_gelu import fuse_gelu
from lowcost_ft.models.hub import load_config
from lowcost_ft.models.identity import base_identity
from lowcost_ft.models.int8_lora import make_int8_lora_lean
from lowcost_ft.models.lean_lora import make_lora_lean
from lowcost_ft.models.output_layer import begin_as_usual, has_new_output
from lowcost_ft.models.quantization import Quantization, quantization_notice, unquantized_modules
from lowcost_ft.models.refusals import check_arguments, check_layers, check_method
from lowcost_ft.models.saving import load_trained, save_model, saved_tensors
from lowcost_ft.models.streamed_weights import StreamedWeights
from lowcost_ft.models.tokenizers import load_tokenizer
from lowcost_ft.models.virtual_tokens import VirtualTokens, has_virtual_tokens
from lowcost_ft.models.word_head import begin_as_words

__all__ = [
    "BuiltModel",
    "build_model",
    "forward_module",
    "load_config",
    "load_tokenizer",
    "load_trained",
    "save_model",
    "saved_tensors",
    "task_model",
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
    method: str
    """A name of the table of methods; for an adapter from a file, peft's name in small letters."""
    quantization: Quantization = "none"
    """How the linear layers are quantized: as asked for, or as the checkpoint is."""
    unquantized_modules: tuple[str, ...] = ()
    """Paths of the linear layers that are not; empty without quantization."""
    own_dropout: dict[str, Any] = field(default_factory=dict)
    """What the checkpoint's configuration says of dropout, where training was told otherwise."""
    streamed_weights: StreamedWeights | None = None
    """Where the layers below the trainable ones lie, whose weights the model then lacks."""
    base_model: dict[str, Any] = field(default_factory=dict)
    """What the base model is known by; see `base_identity`."""
    key_mapping: dict[str, str] = field(default_factory=dict)
    """Names of weights in the base model's checkpoint -> in the task model, where they differ."""
    new_weights: frozenset[str] = frozenset()
    """Names, in the model of transformers, of the weights that the checkpoint lacks."""
    begins_as: list[float] | None = None
    """What the bias of a new output layer began as; None where it is as it was drawn."""
    drawn_output: bool = False
    """Whether the weights of the output layer are drawn at random."""


def build_model(
    model_id: str,
    *,
    head: str,
    labels: Sequence[str],
    head_tokens: Sequence[Sequence[int]] | None = None,
    usual_outputs: np.ndarray | None = None,
    problem_type: str | None = None,
    method: str = "lora",
    lora_r: int = 32,
    lora_alpha: int | None = None,
    lora_dropout: float = 0.0,
    dropout: float | None = None,
    target_modules: Sequence[str] | None = None,
    num_virtual_tokens: int = 20,
    adapter_config: str | None = None,
    trainable_layers: int | None = None,
    gradient_checkpointing: bool = False,
    attn_implementation: str | None = None,
    pad_token_id: int | None = None,
    seed: int = 0,
    revision: str | None = None,
    trust_remote_code: bool = False,
    quantization: Quantization = "none",
    dtype: torch.dtype = torch.float32,
    stream_frozen_layers: bool = False,
    on_meta: bool = False,
) -> BuiltModel:
    """Loads a base model, gives it a head, and decides which weights train.

    Args:
        model_id: Name on the Hub, or a folder.
        head: Name of an entry of the table of heads.
        labels: Label names in the order of the logits; empty for regression (one output).
        head_tokens: For each label tokens of the vocabulary, as whose rows of the language model's
            output layer the head begins (`word_head.py`); None: it is drawn.
        usual_outputs: What the bias of a new output layer begins as, `(labels,)`; None: as it is
            drawn, which is zero.
        problem_type: As in `transformers` configurations; recorded there.
        method: A name of the table in `config/methods.py`.
        lora_r: Rank of the update.
        lora_alpha: Numerator of LoRA's scaling; None for the method's (`default_alpha`).
        lora_dropout: Probability of dropping an input of the update.
        dropout: Every dropout probability of the base model and its head; None keeps its own.
        target_modules: Linear layers to adapt, by the end of their names; None for the family's.
        num_virtual_tokens: Vectors in front of each text, for prefix and prompt.
        adapter_config: An `adapter_config.json` of peft, which takes the place of `method` and of
            what goes with it.
        trainable_layers: Train only so many of the top layers (and the head); None for all.
        gradient_checkpointing: Whether layers are computed again in the backward pass.
        attn_implementation: "eager", "sdpa", ...; None for the model's default.
        pad_token_id: The tokenizer's padding token; decoders need it to find a text's end.
        seed: Seed of the new weights. The global random state is left as it was.
        revision: Branch, tag or commit on the Hub.
        trust_remote_code: Whether the model's own Python code may run.
        quantization: "int8", "8bit" or "nf4" for the frozen linear layers of the transformer
            layers; "none" leaves the checkpoint as it is, which may be quantized already.
        dtype: Precision of the computation, in which nf4 weights are multiplied.
        stream_frozen_layers: Leave the weights below the trainable layers on disk. No effect with
            `on_meta`.
        on_meta: Build the same modules without weights, on the meta device, of the quantized
            layers only those of int8: nothing but the configuration is read.

    Returns:
        The model; frozen weights are exactly those of the checkpoint.

    Raises:
        UserError: Something is missing or does not fit; names the field and the fix.
    """
    check_arguments(method, lora_r, lora_dropout, dropout, target_modules)
    load = functools.partial(
        load_base_model,
        model_id,
        head=head,
        labels=labels,
        problem_type=problem_type,
        dropout=dropout,
        attn_implementation=attn_implementation,
        pad_token_id=pad_token_id,
        revision=revision,
        trust_remote_code=trust_remote_code,
        dtype=dtype,
        stream_below=trainable_layers if stream_frozen_layers else None,
        on_meta=on_meta,
    )
    check_method(
        method_like(adapter_config) if adapter_config else method,
        load_config(model_id, revision=revision, trust_remote_code=trust_remote_code),
        model_id,
        head=head,
        quantization=quantization,
        trainable_layers=trainable_layers,
        gradient_checkpointing=gradient_checkpointing,
        field="adapter_config" if adapter_config else "method",
    )
    # One seed for the new head and the update; the caller's own random stream is not moved.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        base = load(quantization=quantization)
        model, family, head_names = base.model, base.family, base.head_names
        notices = [*base.notices]
        if head_tokens is not None and not on_meta:
            notices += begin_as_words(base, head_tokens, model_id, labels=labels, revision=revision)
        begins_as = None if usual_outputs is None else begin_as_usual(base, usual_outputs)
        drawn_output = head_tokens is None and has_new_output(base, len(labels) or 1)
        kept = unquantized_modules(model, family) if base.quantization != "none" else []
        notice = None if on_meta else quantization_notice(model, base.quantization, dtype)
        num_layers = check_layers(model, family, trainable_layers)
        identity = base_identity(model)
        trained: Any = model
        if method == "full":
            train_fully(model, family, head_names=head_names, trainable_layers=trainable_layers)
        else:
            settings = AdapterSettings(
                r=lora_r,
                alpha=lora_alpha,
                dropout=lora_dropout,
                num_virtual_tokens=num_virtual_tokens,
            )
            trained = build_adapter(
                base,
                method,
                settings,
                file=adapter_config,
                head=head,
                target_modules=target_modules,
                trainable_layers=trainable_layers,
                revision=revision,
                on_meta=on_meta,
            )
            if method == "loftq" and not on_meta:
                start_from_rounding(trained, load(quantization="none").model)
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
        notices=[*notices, *([notice] if notice else [])],
        num_layers=num_layers,
        method=method if adapter_config is None else _kind(trained),
        quantization=base.quantization,
        unquantized_modules=tuple(kept),
        own_dropout=base.own_dropout,
        streamed_weights=base.streamed,
        base_model=identity,
        key_mapping=base.key_mapping,
        new_weights=base.new_weights,
        begins_as=begins_as,
        drawn_output=drawn_output,
    )


def _kind(peft_model: PeftModel) -> str:
    return str(peft_model.active_peft_config.peft_type.value).lower()


def task_model(model: Any) -> Any:
    """The model of transformers itself, without the wrapper that peft has put around it."""
    return model.get_base_model() if isinstance(model, PeftModel) else model


def forward_module(model: Any) -> Any:
    """The module to call in a loop: the same weights and results, without peft's outer wrappers.

    Most adapters live inside the layers, so the model of transformers can be called by itself.
    Parameters are shared; the peft model is still the one to save. LoRA layers and the GELU of
    some families take fewer passes over memory from then on (`lean_lora.py`, `fused_gelu.py`).
    """
    fuse_gelu(model)
    if has_virtual_tokens(model):
        return VirtualTokens(model)
    if not isinstance(model, PeftModel):
        return model
    make_int8_lora_lean(model)
    make_lora_lean(model)
    return model.get_base_model()


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
