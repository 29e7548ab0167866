"""Texts that a language model writes after prompts."""

import sys
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from tqdm.auto import tqdm

from lowcost_ft.config.generation import GenerationSettings

__all__ = ["write_after"]


def write_after(
    accelerator: Accelerator,
    model: Any,
    prompts: Sequence[np.ndarray],
    settings: GenerationSettings,
    *,
    numbers: np.ndarray,
    pad_token_id: int,
) -> list[list[int]]:
    """Writes a text after each prompt.

    Args:
        accelerator: Device and precision.
        model: A language model of transformers, in evaluation mode.
        prompts: The tokens of each, `(tokens,)`.
        settings: How texts are written.
        numbers: The number of each prompt's example, on which drawn tokens depend.
        pad_token_id: Token that fills up.

    Returns:
        The new tokens of each, without the one that ends it.
    """
    found = []
    options: dict[str, Any] = {"do_sample": False}
    if settings.temperature:
        options = {
            "do_sample": True,
            "temperature": settings.temperature,
            "top_k": settings.sample_top_k or 0,
            "top_p": settings.sample_top_p or 1.0,
        }
    bar = tqdm(prompts, desc="writing", file=sys.stderr, disable=None, leave=False, unit="text")
    bar.disable = bar.disable or not accelerator.is_main_process
    for number, prompt in zip(numbers, bar, strict=True):
        ids = torch.from_numpy(prompt.astype(np.int64)).unsqueeze(0).to(accelerator.device)
        with torch.random.fork_rng(devices=[]), torch.inference_mode(), accelerator.autocast():
            torch.manual_seed(settings.seed * 1_000_003 + int(number))
            written = model.generate(
                input_ids=ids,
                attention_mask=torch.ones_like(ids),
                max_new_tokens=settings.max_new_tokens,
                eos_token_id=list(settings.end_token_ids),
                pad_token_id=pad_token_id,
                num_beams=settings.num_beams,
                length_penalty=settings.length_penalty,
                no_repeat_ngram_size=settings.no_repeat_ngram_size,
                use_cache=True,
                **options,
            )
        tokens = written[0, ids.shape[1] :].tolist()
        ends = [i for i, token in enumerate(tokens) if token in settings.end_token_ids]
        found.append(tokens[: ends[0]] if ends else tokens)
    return found
