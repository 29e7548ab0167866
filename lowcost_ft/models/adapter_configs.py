"""From a value of `--method` to the configuration that peft takes, and to the adapter."""

from collections.abc import Sequence
from typing import Any

import torch
from peft import (
    BeftConfig,
    IA3Config,
    LNTuningConfig,
    LoraConfig,
    OFTConfig,
    PeftConfig,
    PeftModel,
    PrefixTuningConfig,
    PromptTuningConfig,
)
from peft.utils.constants import DUMMY_TARGET_MODULES

from lowcost_ft.config.methods import find_method
from lowcost_ft.models.adalora import adalora_config
from lowcost_ft.models.adapter_files import check_adapter_config, read_adapter_config
from lowcost_ft.models.adapter_starts import check_rank, keep_start, takes_from_weights
from lowcost_ft.models.adapters import (
    ALL_LINEAR,
    add_adapter,
    common_fields,
    find_norms,
    find_targets,
    has_transposed,
)
from lowcost_ft.models.base import BaseModel
from lowcost_ft.tasks.heads import suited_head

__all__ = ["AdapterSettings", "build_adapter", "default_alpha"]


def default_alpha(method: str) -> int:
    """Numerator of LoRA's scaling where the user gives none.

    32 at every rank. Adam moves every entry of B by about the learning rate, whatever the
    gradient's size, so the r rank-one terms add up and A B grows in proportion to r; alpha / r
    takes exactly that factor out. With a constant alpha one learning rate serves all ranks, whereas
    with the frequent alpha = 2 r the step would grow with the rank.

    rsLoRA divides by sqrt(r): with 8, its scale is LoRA's at rank 16 and grows with the rank.
    """
    return 8 if method == "rslora" else 32


class AdapterSettings:
    """What the methods have in common; see `build_model` for each."""

    def __init__(
        self, *, r: int, alpha: int | None, dropout: float, num_virtual_tokens: int
    ) -> None:
        self.r = r
        self.alpha = alpha
        self.dropout = dropout
        self.num_virtual_tokens = num_virtual_tokens


def adapter_config(
    method: str,
    settings: AdapterSettings,
    model: Any,
    *,
    common: dict[str, Any],
    targets: str | list[str],
    feed_forward: str | list[str],
    norms: Sequence[str],
    transposed: bool,
    from_vocabulary: bool = True,
) -> PeftConfig:
    """The configuration of a method of the table.

    Args:
        method: Any of them but "full".
        settings: Rank and the like.
        model: A task model of transformers, for its shape.
        common: Fields that every configuration has.
        targets: Linear layers to adapt, as a regular expression or as names.
        feed_forward: Of those, the ones that IA3 multiplies at the input.
        norms: Names of the norms.
        transposed: Whether the targets are GPT-2's transposed layers. peft would correct the flag
            by itself, but with a warning.
        from_vocabulary: Whether a prompt starts from embeddings of the vocabulary, which must then
            be there.
    """
    if method == "head":
        return LoraConfig(target_modules=DUMMY_TARGET_MODULES, **common)
    if method == "bias":
        return BeftConfig(target_modules=targets, **common)
    if method == "layernorm":
        return LNTuningConfig(target_modules=list(norms), **common)
    if method in ("prefix", "prompt"):
        # peft would look these up by names that not every configuration has.
        shape = model.config.get_text_config()
        common = common | {
            "num_virtual_tokens": settings.num_virtual_tokens,
            "num_layers": shape.num_hidden_layers,
            "num_attention_heads": shape.num_attention_heads,
            "token_dim": shape.hidden_size,
        }
    if method == "prefix":
        return PrefixTuningConfig(**common)
    if method == "prompt":
        # Some models have embeddings that are narrower than their layers.
        common |= {"token_dim": model.get_input_embeddings().embedding_dim}
        init = "SAMPLE_VOCAB" if from_vocabulary else "RANDOM"
        return PromptTuningConfig(prompt_tuning_init=init, **common)
    common = common | {"target_modules": targets, "fan_in_fan_out": transposed}
    if method == "ia3":
        return IA3Config(feedforward_modules=feed_forward, **common)
    if method == "oft":
        return OFTConfig(**common)
    alpha = default_alpha(method) if settings.alpha is None else settings.alpha
    common |= {"lora_alpha": alpha, "lora_dropout": settings.dropout}
    if method == "adalora":
        return adalora_config(settings.r, common)
    special: dict[str, dict[str, Any]] = {
        "rslora": {"use_rslora": True},
        "dora": {"use_dora": True},
        # By a fast singular value decomposition, in 16 iterations.
        "pissa": {"init_lora_weights": "pissa_niter_16"},
        "olora": {"init_lora_weights": "olora"},
    }
    return LoraConfig(r=settings.r, **special.get(method, {}), **common)


def build_adapter(
    base: BaseModel,
    method: str,
    settings: AdapterSettings,
    *,
    file: str | None,
    head: str,
    target_modules: Sequence[str] | None,
    trainable_layers: int | None,
    revision: str | None,
    on_meta: bool,
) -> PeftModel:
    """Adds the adapter of a method, or of a file, to a base model.

    Args:
        base: Its heads train along.
        method: Any of the table but "full".
        settings: Rank and the like.
        file: An `adapter_config.json` that takes the place of `method` and `settings`.
        head: Name of an entry of the table of heads.
        target_modules: Linear layers, by the end of their names; None for the method's own.
        trainable_layers: How many of the top layers; None for all.
        revision: Recorded, so that others load the same base model.
        on_meta: Whether the base model has no numbers.

    Raises:
        UserError: The adapter does not fit the model.
    """
    model, family = base.model, base.family
    suited = suited_head(head, model.config)
    common = common_fields(head=suited, head_names=base.head_names, revision=revision)

    def targets(
        among: Sequence[str] | None = None, named: Sequence[str] | None = target_modules
    ) -> str | list[str]:
        return find_targets(
            model,
            family,
            head_names=base.head_names,
            target_modules=named,
            trainable_layers=trainable_layers,
            among=among,
        )

    config: Any
    from_weights = method in ("pissa", "olora", "loftq")
    if file is not None:
        config = read_adapter_config(file, model, common=common, quantization=base.quantization)
        if getattr(config, "target_modules", "none") in (None, ALL_LINEAR):
            ia3 = family is not None and isinstance(config, IA3Config)
            config.target_modules = targets(family.ia3_targets if family and ia3 else None)
            if family and ia3 and config.feedforward_modules is None:
                config.feedforward_modules = targets(family.ia3_targets[-1:], None)
        from_weights = takes_from_weights(config)
        if on_meta and from_weights:
            config.init_lora_weights = True  # There is nothing to take it from.
    else:
        # On meta there is nothing to take a start from; the shapes are the same.
        plain = {"pissa": "lora", "olora": "lora"} if on_meta else {}
        names: Any = "none"
        feed_forward: Any = "none"
        entry = find_method(method)
        assert entry is not None
        if entry.targets:
            among = family.ia3_targets if family and method == "ia3" else None
            names = targets(among)
            if method == "ia3" and family:
                feed_forward = targets(family.ia3_targets[-1:], None)
        config = adapter_config(
            plain.get(method, method),
            settings,
            model,
            common=common,
            targets=names,
            feed_forward=feed_forward,
            norms=find_norms(model, family, trainable_layers),
            transposed=has_transposed(model, names),
            from_vocabulary=not on_meta,
        )
    with torch.device("meta" if on_meta else "cpu"):
        field = "method" if file is None else "adapter_config"
        peft_model = add_adapter(model, config, head_names=base.head_names, field=field)
    if from_weights:
        check_rank(peft_model, "--lora-r" if file is None else f"{file}: r")
    if file is not None:
        check_adapter_config(config, file)
    if not on_meta:
        keep_start(peft_model)
    return peft_model
