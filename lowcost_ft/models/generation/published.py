"""The settings of writing that a saved model carries, with which `generate` writes as its run."""

from typing import Any

from transformers import GenerationConfig

from lowcost_ft.config.generation import GenerationSettings

__all__ = ["generation_config"]

_OF_THE_MODEL = (
    *("bos_token_id", "pad_token_id", "decoder_start_token_id", "forced_bos_token_id"),
    *("forced_eos_token_id", "bad_words_ids", "suppress_tokens"),
)
"""What `constraints` keeps of a model's published settings, and the tokens it is built with."""


def generation_config(model: Any, settings: GenerationSettings) -> GenerationConfig:
    """What makes `generate` without arguments search as a run does.

    The published settings of many models search in another way: BART's for summaries with four
    beams and a least length, Qwen2.5's with a penalty for repetition.

    Args:
        model: A model of transformers that writes.
        settings: How the run writes.
    """
    published = getattr(model, "generation_config", None) or GenerationConfig()
    values = {name: getattr(published, name, None) for name in _OF_THE_MODEL}
    if settings.first_token_id is not None:
        values["forced_bos_token_id"] = settings.first_token_id
    if settings.start_token_id is not None:
        values["decoder_start_token_id"] = settings.start_token_id
    if settings.no_repeat_ngram_size:
        values["no_repeat_ngram_size"] = settings.no_repeat_ngram_size
    if settings.num_beams > 1:
        values["length_penalty"] = settings.length_penalty
    if settings.temperature > 0:
        # Without a number transformers would take the 50 most probable tokens.
        values |= {"temperature": settings.temperature, "top_k": settings.sample_top_k or 0}
        values |= {"top_p": settings.sample_top_p}
    return GenerationConfig(
        **values,
        eos_token_id=list(settings.end_token_ids),
        max_new_tokens=settings.max_new_tokens,
        num_beams=settings.num_beams,
        do_sample=settings.temperature > 0,
        use_cache=True,
    )
