"""The frozen base model: configuration, weights, and a new head for the task.

What the checkpoint lacks is what must be trained; the table of families says the same beforehand.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from safetensors import SafetensorError

from lowcost_ft.errors import UserError
from lowcost_ft.models.existing_head import fit_head, stored_labels
from lowcost_ft.models.families import find_family
from lowcost_ft.models.family import Family
from lowcost_ft.models.head_names import find_heads
from lowcost_ft.models.hub import (
    check_index,
    is_cached,
    load_config,
    not_loadable,
    quiet_libraries,
)
from lowcost_ft.models.int8_linear import round_linear_layers
from lowcost_ft.models.quantization import (
    Quantization,
    check_new_weights,
    not_quantized_in_checkpoint,
    quantization_config,
    settle_quantization,
    unquantized_modules,
)
from lowcost_ft.models.quantized_layers import settle_kernels
from lowcost_ft.models.refusals import check_layers
from lowcost_ft.models.safety import check_weight_files
from lowcost_ft.models.streamed_weights import StreamedWeights, load_upper_part
from lowcost_ft.models.task_config import describe_task, set_dropout, set_padding
from lowcost_ft.tasks.heads import Head, find_head, suited_head
from lowcost_ft.tasks.language_head import check_head

__all__ = ["BaseModel", "load_base_model"]


@dataclass(frozen=True, slots=True, kw_only=True)
class BaseModel:
    """A task model of transformers, before anything decides what trains."""

    model: Any
    """A `transformers.PreTrainedModel` in evaluation mode, on the CPU; all that is not quantized is
    in float32."""
    family: Family | None
    """The entry of the table of families; None for an unknown architecture."""
    head_names: tuple[str, ...]
    """Paths of the modules that are heads, in the model's order."""
    new_weights: frozenset[str]
    """Names of the weights that the checkpoint lacks; empty when none were read."""
    quantization: Quantization
    """How the linear layers are quantized."""
    notices: list[str]
    """What the user should know about how the model was loaded."""
    own_dropout: dict[str, Any] = field(default_factory=dict)
    """What its configuration said of dropout before training was told otherwise."""
    streamed: StreamedWeights | None = None
    """Where the weights below the trainable layers lie, which were then not read."""
    key_mapping: dict[str, str] = field(default_factory=dict)
    """Names of weights in a checkpoint -> in the model, as `from_pretrained` takes them."""


def load_base_model(
    model_id: str,
    *,
    head: str,
    labels: Sequence[str],
    problem_type: str | None = None,
    dropout: float | None = None,
    attn_implementation: str | None = None,
    pad_token_id: int | None = None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    quantization: Quantization = "none",
    dtype: torch.dtype = torch.float32,
    stream_below: int | None = None,
    on_meta: bool = False,
    keep_head: bool = False,
) -> BaseModel:
    """Loads a checkpoint into the task model of its architecture.

    The new head is drawn from the global random state, which the caller seeds.

    Args:
        model_id: Name on the Hub, or a folder.
        head: Name of an entry of the table of heads.
        labels: Label names in the order of the logits; empty for regression (one output).
        problem_type: As in `transformers` configurations; recorded there.
        dropout: Every dropout probability of the model, its head's included; None keeps them.
        attn_implementation: "eager", "sdpa", ...; None for the model's default.
        pad_token_id: The tokenizer's padding token; decoders need it to find a text's end.
        revision: Branch, tag or commit on the Hub.
        trust_remote_code: Whether the model's own Python code may run.
        quantization: "int8", "8bit" or "nf4" quantizes the linear layers of the transformer layers;
            "none" leaves the checkpoint as it is, which may be quantized already.
        dtype: Precision of the computation, in which nf4 weights are multiplied.
        stream_below: Read only so many of the top layers; the weights below stay on disk.
        on_meta: Build the same modules on the meta device, of the quantized layers only those of
            int8; only the configuration is read.
        keep_head: Leave a head of the checkpoint as it is, whatever its outputs are called: it is
            this package's own, or is replaced afterwards.

    Raises:
        UserError: Something is missing or does not fit; names the field and the fix.
    """
    config = load_config(model_id, revision=revision, trust_remote_code=trust_remote_code)
    family = find_family(config)
    head = suited_head(head, config)
    auto_class = _auto_class(find_head(head), config, model_id, trust_remote_code)
    key_mapping = _key_mapping(auto_class, config, family)
    names, stored_problem_type = stored_labels(config), getattr(config, "problem_type", None)
    if len(find_head(head).outputs) > 1:  # Each has its place, whatever checkpoints call it.
        names = list(labels)
    describe_task(config, labels, problem_type)
    set_padding(config, pad_token_id, causal=family.causal if family else None)
    own_dropout = set_dropout(config, family, dropout) if dropout is not None else {}
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    if attn_implementation is not None:
        options["attn_implementation"] = attn_implementation
    stored = config.__dict__.pop("quantization_config", None)
    quantization = settle_quantization(quantization, stored, model_id)
    missing: set[str] | None = None
    resized: set[str] = set()
    streamed = None
    if on_meta or quantization != "none" or stream_below is not None:
        model = _build_without_weights(auto_class, config, options)
    if stream_below is not None and not on_meta:
        check_layers(model, family, stream_below)
        if quantization != "none":
            raise UserError(
                f"stream_frozen_layers: does not read {quantization} weights; leave the flag out, "
                "or use the unquantized checkpoint"
            )
        del options["trust_remote_code"]
        assert family is not None
        model, missing, resized, streamed = load_upper_part(
            type(model),
            config,
            model_id,
            family=family,
            trainable_layers=stream_below,
            revision=revision,
            options=options | key_mapping,
        )
    elif not on_meta:
        if stored is not None:
            config.quantization_config = stored | {
                "llm_int8_skip_modules": not_quantized_in_checkpoint(
                    model, model_id, revision, renamed=key_mapping.get("key_mapping") or {}
                )
            }
        elif quantization in ("8bit", "nf4"):
            skip = unquantized_modules(model, family)
            options["quantization_config"] = quantization_config(quantization, skip, dtype)
        options |= key_mapping
        model, missing, resized = _read_weights(auto_class, model_id, config, revision, options)
        settle_kernels(model, dtype)
    if key_mapping and not on_meta:
        _keep_own_names(model, key_mapping["key_mapping"])
    if quantization == "int8":
        round_linear_layers(model, unquantized_modules(model, family))
    head_names, beside, notices = find_heads(model, family, find_head(head), missing, model_id)
    check_new_weights(model, missing or (), model_id)
    if family is None and not find_head(head).new and not on_meta:
        check_head(model, model_id)
    # Only a checkpoint that was fine-tuned before lacks nothing of them (a masked language model
    # brings ModernBERT's `head`, never its `classifier`).
    absent = (missing or set()) - resized
    fine_tuned = missing is not None and not any(
        key.startswith(f"{name}.") for key in absent for name in beside
    )
    if fine_tuned and beside and not keep_head:
        notice, new = fit_head(
            model,
            model_id,
            modules=beside,
            names=names,
            labels=labels,
            stored_problem_type=stored_problem_type,
            regression=not labels or problem_type == "regression",
            replaced=bool(resized),
        )
        missing = (missing or set()) | new
        notices[:0] = [notice] if notice else []
    return BaseModel(
        model=model,
        family=family,
        head_names=head_names,
        new_weights=frozenset(missing or ()),
        quantization=quantization,
        notices=notices,
        own_dropout=own_dropout,
        streamed=streamed,
        key_mapping=key_mapping.get("key_mapping") or {},
    )


def _auto_class(head: Head, config: Any, model_id: str, trust_remote_code: bool) -> Any:
    auto_class = head.model_class
    if head.new and getattr(config, "is_encoder_decoder", False):
        raise UserError(
            f"model_id: {model_id!r} ({config.model_type}) is an encoder-decoder, which is trained "
            f"here to write (lora_translation.py, lora_summarization.py) and not for {head.title}; "
            "choose an encoder such as BERT or ModernBERT, or a decoder such as GPT-2"
        )
    remote = trust_remote_code and auto_class.__name__ in (getattr(config, "auto_map", None) or {})
    if type(config) not in auto_class._model_mapping and not remote:
        raise UserError(
            f"model_id: transformers has no {head.title} head for {model_id!r} "
            f"(model type {config.model_type!r}); choose another model"
        )
    return auto_class


def _key_mapping(auto_class: Any, config: Any, family: Family | None) -> dict[str, dict[str, str]]:
    """What `from_pretrained` must be told so that a task model finds its backbone in a checkpoint.

    Without it, the backbone would silently start random. Empty where both have one name for it.
    """
    if family is None or family.backbone is None or type(config) not in auto_class._model_mapping:
        return {}
    own = auto_class._model_mapping[type(config)].base_model_prefix
    if own == family.backbone:
        return {}
    return {"key_mapping": {rf"^{family.backbone}\.": f"{own}."}}


def _keep_own_names(model: Any, key_mapping: dict[str, str]) -> None:
    """Has `save_pretrained` write the model's own names, which load without a mapping."""
    model._weight_conversions = [
        one for one in model._weight_conversions if not key_mapping.keys() & {*one.source_patterns}
    ]


def _build_without_weights(auto_class: Any, config: Any, options: dict[str, Any]) -> Any:
    try:
        with quiet_libraries(), torch.device("meta"):
            return auto_class.from_config(config, dtype=torch.float32, **options).eval()
    except (ImportError, ValueError) as error:
        raise _unusable(config, options, error) from error


def _read_weights(
    auto_class: Any,
    model_id: str,
    config: Any,
    revision: str | None,
    options: dict[str, Any],
) -> tuple[Any, set[str], set[str]]:
    """Returns the model in float32, the names of new weights, and those new by their size."""
    check_weight_files(model_id)
    check_index(model_id, revision)
    cached = is_cached(model_id, revision)
    try:
        with quiet_libraries():
            model, info = auto_class.from_pretrained(
                model_id,
                config=config,
                revision=revision,
                dtype=torch.float32,
                use_safetensors=True,
                output_loading_info=True,
                # A head for other labels is replaced; anywhere else `find_heads` refuses.
                ignore_mismatched_sizes=True,
                local_files_only=cached,
                # Without it, transformers would still ask the Hub whether this is an adapter.
                adapter_kwargs={"local_files_only": cached},
                **options,
            )
    except (ImportError, ValueError) as error:
        raise _unusable(config, options, error) from error
    except (OSError, RuntimeError, SafetensorError) as error:
        raise not_loadable("weights", model_id, error) from error
    mismatched = {key if isinstance(key, str) else key[0] for key in info["mismatched_keys"]}
    return model, set(info["missing_keys"]) | mismatched, mismatched


def _unusable(config: Any, options: dict[str, Any], error: Exception) -> UserError:
    reason = str(error).splitlines()[0]
    if "attn_implementation" in options:
        return UserError(
            f"attn_implementation: {options['attn_implementation']!r} cannot be used with model "
            f"type {config.model_type!r}; leave it out for the default [{reason}]"
        )
    return UserError(f"model_id: the model cannot be built [{reason}]")
