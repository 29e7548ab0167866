"""The one table of methods: what each trains, and which flags it takes.

Where a method cannot work is in `models/refusals.py`, what peft makes of it in
`models/adapter_configs.py`.
"""

from dataclasses import dataclass
from typing import Literal

__all__ = ["METHODS", "Method", "MethodName", "find_method"]


MethodName = Literal[
    "full",
    "head",
    "bias",
    "layernorm",
    "lora",
    "rslora",
    "dora",
    "pissa",
    "olora",
    "loftq",
    "adalora",
    "ia3",
    "oft",
    "prefix",
    "prompt",
]


@dataclass(frozen=True, slots=True, kw_only=True)
class Method:
    """A way to train."""

    name: MethodName
    """The value of `--method`."""
    title: str
    """What users call it."""
    what: str
    """What trains besides the head, as the documentation says it."""
    rate: float
    """Default peak learning rate for a model 384 wide (`docs/defaults.md`)."""
    text_rate: float | None = None
    """The same where an encoder whose norms follow their sums, such as BERT, gives one answer a
    text and not one a token; None: no other."""
    translation_rate: float | None = None
    """The same where a decoder learns to translate; it falls faster with the width. None: no
    other."""
    rate_falls: bool = True
    """Whether wider models take smaller steps: the rate falls with the square root of the width."""
    ranked: bool = False
    """Whether it adds low-rank matrices: `--lora-r`, `--lora-alpha`, `--lora-dropout`."""
    starts_anywhere: bool = False
    """Whether `--lora-start` may set its matrices before the first step."""
    targets: bool = False
    """Whether it changes linear layers that `--target-modules` may name."""
    layers: bool = True
    """Whether `--trainable-layers` has a meaning."""
    virtual_tokens: bool = False
    """Whether it puts trained vectors in front of the text: `--num-virtual-tokens`."""
    quantized: bool = True
    """Whether the frozen weights may be in 8 or 4 bits."""
    splits: bool = True
    """Whether it was tried on a model that FSDP splits over processes."""
    averages: bool = False
    """Whether `--ema auto` keeps an average of its weights: its rate is high, so that they swing,
    and they are few, so that an average costs little memory (`docs/defaults.md`)."""


def _ranked(
    name: MethodName, title: str, what: str, *, rate: float | None = None, **flags: bool
) -> Method:
    return Method(
        name=name,
        title=title,
        what=what,
        rate=rate or 1e-3,
        text_rate=None if rate else 5e-4,
        # rsLoRA multiplies its update by more at the same rate, and was not tried.
        translation_rate=None if rate or name == "rslora" else 5.2e-3,
        ranked=True,
        targets=True,
        averages=name != "adalora",  # Its matrices are cut down while they train.
        **flags,
    )


METHODS: tuple[Method, ...] = (
    Method(
        name="full",
        title="full fine-tuning",
        what="every weight",
        rate=1e-4,
        translation_rate=5.2e-4,
        quantized=False,
    ),
    Method(
        name="head",
        title="linear probe",
        what="nothing else",
        rate=3e-2,
        layers=False,
    ),
    Method(
        name="bias",
        title="bias (BEFT)",
        what="a vector added to the output of each linear layer",
        rate=1e-2,
        targets=True,
    ),
    Method(
        name="layernorm",
        title="norms",
        what="the weights of the norms",
        rate=1e-2,
    ),
    _ranked("lora", "LoRA", "a low-rank update of each linear layer", starts_anywhere=True),
    _ranked(
        "rslora", "rsLoRA", "LoRA, scaled by 1 / sqrt(r) instead of 1 / r", starts_anywhere=True
    ),
    _ranked("dora", "DoRA", "LoRA for the direction of each weight, and its length separately"),
    _ranked(
        "pissa",
        "PiSSA",
        "LoRA that starts from the largest singular vectors",
        rate=1e-3,
        quantized=False,
        splits=False,
    ),
    _ranked(
        "olora",
        "OLoRA",
        "LoRA that starts from an orthonormal basis",
        rate=1e-3,
        quantized=False,
        splits=False,
    ),
    _ranked("loftq", "LoftQ", "LoRA that starts from the error of quantization"),
    _ranked(
        "adalora",
        "AdaLoRA",
        "LoRA that moves its ranks to where they help most",
        rate=2e-3,
        splits=False,
    ),
    Method(
        name="ia3",
        title="IA3",
        what="factors that scale keys, values and the feed-forward",
        rate=1e-2,
        targets=True,
    ),
    Method(
        name="oft",
        title="OFT",
        what="a rotation of the input of each linear layer",
        rate=1e-3,
        targets=True,
    ),
    Method(
        name="prefix",
        title="prefix tuning",
        what="keys and values in front of the text, in every layer",
        rate=1e-2,
        layers=False,
        virtual_tokens=True,
        splits=False,
    ),
    Method(
        name="prompt",
        title="prompt tuning",
        what="vectors in front of the text",
        rate=3e-2,
        layers=False,
        virtual_tokens=True,
        splits=False,
    ),
)


def find_method(name: str) -> Method | None:
    """The entry of a method; None for what only `--adapter-config` names."""
    return next((method for method in METHODS if method.name == name), None)
