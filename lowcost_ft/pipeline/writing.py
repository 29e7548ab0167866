"""Texts that a language model writes after prompts."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from tqdm.auto import tqdm

from lowcost_ft.config.generation import GenerationSettings
from lowcost_ft.models.generation.writing import Written, generate

__all__ = ["write_after"]


def write_after(
    accelerator: Accelerator,
    model: Any,
    prompts: Sequence[np.ndarray],
    settings: GenerationSettings,
    *,
    numbers: np.ndarray,
    pad_token_id: int,
) -> Written:
    """Writes a text after each prompt; see `models.generation.writing.generate`.

    Args:
        accelerator: Device and precision.
        model: A language model of transformers, in evaluation mode.
        prompts: The tokens of each prompt, `(tokens,)`.
        settings: How texts are written.
        numbers: The number of each prompt's example, on which drawn tokens depend.
        pad_token_id: Token that fills up a batch.
    """
    bar = tqdm(
        total=len(prompts), desc="writing", file=sys.stderr, disable=None, leave=False, unit="text"
    )
    bar.disable = bar.disable or not accelerator.is_main_process
    with bar, torch.inference_mode(), accelerator.autocast():
        return generate(
            model,
            prompts,
            settings,
            pad_token_id=pad_token_id,
            numbers=[int(number) for number in numbers],
            progress=bar.update,
        )
