"""The settings of one run, checked; and the command line that gives them."""

import sys
from collections.abc import Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Literal

from lowcost_ft.config.checks import conflict_problems, range_problems, settle_types
from lowcost_ft.config.extensions import ExtensionConfig
from lowcost_ft.config.flag_names import foreign_flag_problems, repeated_flag_problems
from lowcost_ft.config.flags import explanations, narrow, parse_groups
from lowcost_ft.config.generation import GenerationConfig
from lowcost_ft.config.methods import find_method
from lowcost_ft.config.settings import (
    DataConfig,
    ModelConfig,
    OutputConfig,
    Settings,
    TrainingConfig,
)
from lowcost_ft.config.tasks import default_task, task_settings
from lowcost_ft.errors import UserError

__all__ = ["USUAL_EMA", "RunConfig", "flag_groups", "parse_config"]

USUAL_EMA = 0.99
"""What `--ema auto` comes to where an average is kept."""


@dataclass(frozen=True, kw_only=True)
class RunConfig(Settings):
    """One run. Raises `UserError` listing every field that cannot be obeyed.

    A recipe holds one; a variant of it is `dataclasses.replace(CONFIG, method="full")`.
    """

    def __post_init__(self) -> None:
        object.__setattr__(self, "task", self.task or default_task())
        task_settings(self.task)
        if problems := settle_types(self):
            raise UserError(problems)  # Of other types, they cannot be compared.
        if problems := [*range_problems(self), *conflict_problems(self)]:
            raise UserError(problems)

    @property
    def settled_dropout(self) -> float | Literal["model"]:
        """The value that `--dropout` stands for, as run records hold it."""
        if self.dropout == "auto":
            # What compares two passes under dropout would have nothing to compare without it.
            return "model" if self.consistency else task_settings(self.task).dropout
        return "model" if self.dropout == "model" else float(self.dropout)

    @property
    def settled_ema(self) -> float:
        """The value that `--ema` stands for; 0: no average is kept."""
        if self.ema != "auto":
            return float(self.ema)
        method = find_method(self.method)
        averages = method is not None and method.averages and task_settings(self.task).averages
        usual = averages and self.contrastive is None and self.adapter_config is None
        return USUAL_EMA if usual else 0.0

    @property
    def settled(self) -> dict[str, Any]:
        """Settings that stand for a value which the other settings decide, as run records hold
        them."""
        return {"dropout": self.settled_dropout, "ema": self.settled_ema}

    @property
    def model_dropout(self) -> float | None:
        """The dropout to build a model with; None keeps the model's own."""
        return None if self.settled_dropout == "model" else self.settled_dropout

    @property
    def leaves_cut_open(self) -> bool:
        """Whether the hardware is to decide how large micro-batches are."""
        return self.micro_batch_tokens == "auto" and self.gradient_accumulation_steps is None

    def with_cut(self, tokens: int) -> "RunConfig":
        """The same run; where the size of micro-batches is open, they hold so many tokens, and any
        one example."""
        if not self.leaves_cut_open:
            return self
        return replace(self, micro_batch_tokens=max(tokens, self.max_length))

    def with_begun_cut(self, tokens: int) -> "RunConfig":
        """The same run as it goes on: micro-batches hold what they began with, to the token.

        Another cut has other sums, in their last digits. With a budget they may hold less than one
        example of the greatest length, since the plan knows the data.
        """
        if not self.leaves_cut_open or self.memory_budget is None:
            return self.with_cut(tokens)
        return replace(self, micro_batch_tokens=tokens)


def parse_config(
    default: RunConfig,
    arguments: Sequence[str] | None = None,
    *,
    description: str | None = None,
    prog: str | None = None,
) -> RunConfig:
    """Reads the command line of a recipe.

    Args:
        default: The recipe's own configuration: what the flags change.
        arguments: The command line without the program's name; `sys.argv[1:]` by default.
        description: Text above the list of flags in `--help`.
        prog: What a message calls the program; its own name by default.

    Raises:
        SystemExit: With code 2 and one message for an unknown flag or a value of another kind, 0
            for `--help`.
        UserError: Values that cannot be obeyed, flags that other trainers have, and flags
            that are there twice.
    """
    words = sys.argv[1:] if arguments is None else arguments
    problems = foreign_flag_problems(words, {field.name for field in fields(RunConfig)})
    if problems := problems + repeated_flag_problems(words):
        raise UserError(problems)
    values = parse_groups(
        flag_groups(), default, arguments, description=narrow(description or ""), prog=prog
    )
    return RunConfig(**(default.to_dict() | values))


_MEMORY_AND_TIME = (
    *("memory_budget", "allow_model_change", "micro_batch_tokens", "gradient_accumulation_steps"),
    *("gradient_checkpointing", "cache_frozen_layers", "stream_frozen_layers", "cache_dir"),
    *("cache_dtype", "mixed_precision", "torch_compile", "num_threads"),
)
"""Fields of `TrainingConfig` that say how a step is cut up and computed, and not what it does."""


def flag_groups() -> dict[str, list[str]]:
    """The flags of a recipe as `--help` and the documentation group them: title -> fields."""
    extensions = list(explanations(ExtensionConfig))
    elsewhere = (*_MEMORY_AND_TIME, *extensions)
    training = [name for name in explanations(TrainingConfig) if name not in elsewhere]
    return {
        "data": list(explanations(DataConfig)),
        "model": list(explanations(ModelConfig)),
        "training": training,
        "extensions": extensions,
        "text generation": list(explanations(GenerationConfig)),
        "memory and time": list(_MEMORY_AND_TIME),
        "output": list(explanations(OutputConfig)),
    }
