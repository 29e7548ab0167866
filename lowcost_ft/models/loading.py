"""From a model's name to a trainable model, and from a run's folder back to a model that predicts.

Base models are read as safetensors in float32; what the checkpoint lacks (the head) is made from
the seed; then `models/adapters.py` decides what trains.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel
from peft.utils import load_peft_weights
from safetensors import SafetensorError

from lowcost_ft.errors import UserError
from lowcost_ft.models.adapters import add_lora, find_lora_targets, layer_list, train_fully
from lowcost_ft.models.base import Head, load_base_model
from lowcost_ft.models.families import Family
from lowcost_ft.models.frozen_layers import freeze_below
from lowcost_ft.models.hub import load_config, quiet_libraries
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
        on_meta: Build the same modules without weights, on the meta device: nothing but the
            configuration is read.

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
            on_meta=on_meta,
        )
        model, family, head_names = base.model, base.family, base.head_names
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
        notices=base.notices,
        num_layers=num_layers,
    )


def forward_module(model: Any) -> Any:
    """The module to call in a loop: the same weights and results, without peft's outer wrappers.

    LoRA lives inside the layers, so the model of transformers can be called by itself. Parameters
    are shared; the peft model is still the one to save.
    """
    return model.get_base_model() if isinstance(model, PeftModel) else model


def save_model(model: Any, tokenizer: Any, path: str | Path) -> None:
    """Writes a model so that peft and transformers load it without this package.

    Args:
        model: A `PeftModel`: `adapter_model.safetensors` and `adapter_config.json` are written (and
            no `config.json`, which would make others look for full weights here). Any other model:
            `model.safetensors` and `config.json`.
        tokenizer: Saved beside it.
        path: The folder; created when missing.
    """
    with quiet_libraries():
        if isinstance(model, PeftModel):
            # "auto" would ask the Hub for the base model's configuration.
            model.save_pretrained(str(path), save_embedding_layers=False)
        else:
            model.save_pretrained(str(path))
        tokenizer.save_pretrained(str(path))
    # safetensors makes files that their owner alone may read; the others follow the user's umask.
    mode = (Path(path) / "tokenizer.json").stat().st_mode
    for weights in Path(path).glob("*.safetensors"):
        weights.chmod(mode)


def load_trained(path: str | Path, run: dict[str, Any], *, trust_remote_code: bool = False) -> Any:
    """Loads what a run saved, for prediction.

    Args:
        path: The run's folder.
        run: Its `run.json`: `task`, `labels`, for an adapter `model_id`; `problem_type`,
            `pad_token_id` and `revision` are looked for at the top and then in `config`.
        trust_remote_code: Whether the model's own Python code may run. Never read from `run`: a
            file that one was sent must not be able to say so.

    Returns:
        The model in evaluation mode, on the CPU.

    Raises:
        UserError: The folder holds no trained model, or the adapter does not fit its base model.
    """
    folder = Path(path)
    head: Head = "token" if run["task"] == "ner" else "sequence"
    is_adapter = (folder / "adapter_config.json").is_file()
    if not is_adapter and not (folder / "config.json").is_file():
        raise UserError(
            f"{folder}: holds neither adapter_config.json nor config.json; "
            "give the output folder of a completed run"
        )
    if is_adapter and not (folder / "adapter_model.safetensors").is_file():
        raise UserError(f"{folder}: lacks adapter_model.safetensors; restore it, or train again")
    if not is_adapter and not any(folder.glob("model*.safetensors")):
        raise UserError(f"{folder}: lacks model.safetensors; restore it, or train again")
    model_id = run["model_id"] if is_adapter else str(folder)
    with torch.random.fork_rng(devices=[]):  # The head made here is replaced by the saved one.
        base = load_base_model(
            model_id,
            head=head,
            labels=run["labels"],
            problem_type=_recorded(run, "problem_type"),
            pad_token_id=_recorded(run, "pad_token_id"),
            revision=_recorded(run, "revision") if is_adapter else None,
            trust_remote_code=trust_remote_code,
        )
        if is_adapter:
            return _add_saved_adapter(base.model, folder, model_id).eval()
    if base.new_weights:
        raise UserError(
            f"{folder}: model.safetensors lacks {sorted(base.new_weights)[0]} or holds it in "
            "another shape; check that the labels in run.json are those of the training"
        )
    return base.model.eval()


def _recorded(run: dict[str, Any], key: str) -> Any:
    value = run.get(key)
    return run.get("config", {}).get(key) if value is None else value


def _add_saved_adapter(model: Any, folder: Path, model_id: str) -> PeftModel:
    try:
        with quiet_libraries():
            peft_model = PeftModel.from_pretrained(model, str(folder))
            saved = set(load_peft_weights(str(folder), device="cpu"))
    except KeyError as error:  # A head's weight.
        raise UserError(
            f"{folder}: adapter_model.safetensors lacks {error.args[0]}; train again"
        ) from error
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{folder}: the adapter does not load into {model_id!r} [{reason}]; "
            "check that labels and model_id in run.json are those of the training"
        ) from error
    # peft only warns about weights that the file lacks and then predicts with random ones.
    names = {
        name.replace(".modules_to_save.default.", ".").replace(".default.", ".")
        for name, _ in peft_model.named_parameters()
        if ".lora_" in name or ".modules_to_save." in name
    }
    if lacking := sorted(names - saved):
        raise UserError(f"{folder}: adapter_model.safetensors lacks {lacking[0]}; train again")
    return peft_model


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
