"""From a trained model to a run's folder, and back to a model that predicts."""

from pathlib import Path
from typing import Any

import torch
from peft import PeftModel, get_peft_model_state_dict
from peft.utils import load_peft_weights
from safetensors import SafetensorError
from safetensors.torch import save_file

from lowcost_ft.config.generation import GenerationSettings
from lowcost_ft.errors import UserError
from lowcost_ft.models.adalora import note_ranks
from lowcost_ft.models.adapter_starts import export_adapter
from lowcost_ft.models.base import load_base_model
from lowcost_ft.models.generation.published import generation_config
from lowcost_ft.models.hub import load_config, quiet_libraries
from lowcost_ft.models.identity import check_base_is_there, check_identity
from lowcost_ft.models.safety import check_run_folder
from lowcost_ft.tasks import task_class

__all__ = ["load_trained", "run_config", "save_model", "saved_tensors"]


def saved_tensors(model: Any) -> list[tuple[str, torch.Tensor]]:
    """Names and tensors that `save_model` writes: of an adapter, what was trained."""
    if isinstance(model, PeftModel):
        return [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    return list(model.state_dict().items())


def save_model(
    model: Any,
    tokenizer: Any,
    path: str | Path,
    *,
    weights: dict[str, torch.Tensor] | None = None,
    own_dropout: dict[str, Any] | None = None,
    generation: GenerationSettings | None = None,
) -> None:
    """Writes a model so that peft and transformers load it without this package.

    Args:
        model: A `PeftModel`: `adapter_model.safetensors` and `adapter_config.json` are written (and
            no `config.json`, which would make others look for full weights here). Any other model:
            `model.safetensors` and `config.json`.
        tokenizer: Saved beside it.
        path: The folder; created when missing.
        weights: The `saved_tensors`, where the model itself holds only parts of them.
        own_dropout: Fields of `config.json` as the checkpoint had them: that training went without
            dropout is not a property of the model, and would follow it into the next training.
        generation: How a model that writes does so: `generation_config.json` of a whole model. An
            adapter has none, and takes that of its base model.
    """
    with quiet_libraries():
        if isinstance(model, PeftModel):
            _save_adapter(model, Path(path), weights)
        else:
            for name, value in (own_dropout or {}).items():
                setattr(model.config, name, value)
            if generation is not None:
                model.generation_config = generation_config(model, generation)
            model.save_pretrained(str(path), state_dict=weights)
        tokenizer.save_pretrained(str(path))
    # safetensors makes files that their owner alone may read; the others follow the user's umask.
    mode = (Path(path) / "tokenizer_config.json").stat().st_mode
    for file in Path(path).glob("*.safetensors"):
        file.chmod(mode)


def _save_adapter(model: PeftModel, folder: Path, weights: dict[str, torch.Tensor] | None) -> None:
    note_ranks(model)
    # "auto" would ask the Hub for the base model's configuration.
    model.save_pretrained(str(folder), save_embedding_layers=False, state_dict=weights)
    if exported := export_adapter(model, weights):
        config, whole = exported
        config.save_pretrained(str(folder))
        tensors = {name: tensor.cpu().contiguous() for name, tensor in whole.items()}
        save_file(tensors, folder / "adapter_model.safetensors", metadata={"format": "pt"})


def load_trained(
    path: str | Path,
    run: dict[str, Any],
    *,
    base_model: str | None = None,
    trust_remote_code: bool = False,
    dtype: torch.dtype = torch.float32,
    stream_below: int | None = None,
) -> Any:
    """Loads what a run saved, for prediction.

    Args:
        path: The run's folder.
        run: Its `run.json`: `task`, `labels`, for an adapter `model_id`; `problem_type`,
            `pad_token_id`, `revision` and `quantization` are looked for at the top and then in
            `config`.
        base_model: Name or folder of the base model, where it is not the one of `run` any more.
        trust_remote_code: Whether the model's own Python code may run. Never read from `run`: a
            file that one was sent must not be able to say so.
        dtype: Precision of the computation, in which nf4 weights are multiplied.
        stream_below: Read only so many of the top layers, under an adapter.

    Returns:
        The model in evaluation mode, on the CPU.

    Raises:
        UserError: The folder holds no trained model, or the adapter does not fit its base model.
    """
    folder = Path(path)
    model_id, is_adapter = _base_of(folder, run, base_model)
    with torch.random.fork_rng(devices=[]):  # The head made here is replaced by the saved one.
        base = load_base_model(
            model_id,
            head=task_class(run["task"]).head_for(run.get("config") or {}),
            labels=run["labels"],
            problem_type=_recorded(run, "problem_type"),
            pad_token_id=_recorded(run, "pad_token_id"),
            revision=_recorded(run, "revision") if is_adapter and not base_model else None,
            trust_remote_code=trust_remote_code,
            quantization=(_recorded(run, "quantization") or "none") if is_adapter else "none",
            dtype=dtype,
            stream_below=stream_below if is_adapter else None,
            keep_head=True,
        )
        if is_adapter:
            if base_model is not None:
                check_identity(base.model, run.get("base_model"), base_model)
            return _add_saved_adapter(base.model, folder, model_id).eval()
    if base.new_weights:
        raise UserError(
            f"{folder}: model.safetensors lacks {sorted(base.new_weights)[0]} or holds it in "
            "another shape; check that the labels in run.json are those of the training"
        )
    return base.model.eval()


def run_config(
    path: str | Path,
    run: dict[str, Any],
    *,
    base_model: str | None = None,
    trust_remote_code: bool = False,
) -> Any:
    """The configuration of the model that a run trained; no weight is read.

    Args:
        path: The run's folder.
        run: Its `run.json`.
        base_model: Where the base model lies now, if it has moved.
        trust_remote_code: Whether the model's own Python code may run.

    Raises:
        UserError: See `load_trained`.
    """
    model_id, is_adapter = _base_of(Path(path), run, base_model)
    revision = _recorded(run, "revision") if is_adapter and not base_model else None
    return load_config(model_id, revision=revision, trust_remote_code=trust_remote_code)


def _base_of(folder: Path, run: dict[str, Any], base_model: str | None) -> tuple[str, bool]:
    """Where the weights below a run's adapter lie, or its own; and whether it is an adapter."""
    if run.get("export"):
        raise UserError(
            f"{folder}: is an exported folder, whose model can be run and nothing else; give the "
            f"run that it was made from ({run.get('exported_from')})"
        )
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
    check_run_folder(folder, run["model_id"])
    if base_model is not None and not is_adapter:
        raise UserError(
            f"--base-model {base_model}: {folder} holds the whole model, and needs no other; leave "
            "the flag out"
        )
    model_id = (base_model or run["model_id"]) if is_adapter else str(folder)
    if is_adapter and base_model is None:
        check_base_is_there(folder, model_id)
    elif is_adapter and Path(model_id).is_dir():
        model_id = str(Path(model_id).resolve())
    return model_id, is_adapter


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
    except SafetensorError as error:
        raise UserError(
            f"{folder}: adapter_model.safetensors is damaged or cut off [{error}]; restore it, or "
            "train again"
        ) from error
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0]
        raise UserError(
            f"{folder}: the adapter does not load into {model_id!r} [{reason}]; "
            "check that labels and model_id in run.json are those of the training"
        ) from error
    # peft only warns about weights that the file lacks and then predicts with random ones.
    if lacking := sorted(
        set(get_peft_model_state_dict(peft_model, save_embedding_layers=False)) - saved
    ):
        raise UserError(f"{folder}: adapter_model.safetensors lacks {lacking[0]}; train again")
    return peft_model
