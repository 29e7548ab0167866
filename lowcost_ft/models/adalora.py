"""AdaLoRA's adapter: how many ranks it has, and which of them are saved.

What it does in a training step is in `training/extensions/adalora.py`.
"""

from typing import Any

from peft import AdaLoraConfig, PeftModel

__all__ = ["adalora_config", "is_adalora", "note_ranks", "with_steps"]


def adalora_config(r: int, common: dict[str, Any]) -> AdaLoraConfig:
    """The configuration of an adapter that ends with `r` ranks a layer, spread over all layers.

    It begins with half as many ranks again, and takes that half away.

    Args:
        r: Ranks a layer, on average.
        common: Fields that every adapter's configuration has.
    """
    r_before = r + (r + 1) // 2
    fields = {"init_r": r_before, "target_r": r, "orth_reg_weight": 0.1, **common}
    return AdaLoraConfig(**with_steps(fields))


def with_steps(fields: dict[str, Any]) -> dict[str, Any]:
    """Adds the number of steps, which peft insists on: a stand-in until it is known."""
    return fields | {"total_step": fields.get("total_step") or 1}


def is_adalora(model: Any) -> bool:
    """Whether a model has an AdaLoRA adapter."""
    return isinstance(model, PeftModel) and isinstance(model.active_peft_config, AdaLoraConfig)


def note_ranks(peft_model: PeftModel) -> None:
    """Tells an AdaLoRA adapter which of its ranks are left, so that only those are saved.

    They are read off the weights themselves: the best epoch's weights may be from a time before
    the last ranks were taken away.
    """
    if is_adalora(peft_model):
        config: Any = peft_model.active_peft_config
        tuner: Any = peft_model.base_model
        config.rank_pattern = {
            name.removesuffix(".default"): (parameter.flatten() != 0).tolist()
            for name, parameter in tuner.model.named_parameters()
            if ".lora_E." in name
        }
