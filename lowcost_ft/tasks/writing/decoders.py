"""Which models can go on from a prompt, known by their configuration."""

import inspect
from typing import Any

from lowcost_ft.errors import UserError

__all__ = ["check_decoder"]


def check_decoder(config: Any, model_id: str) -> None:
    """Refuses an encoder, whose tokens would see what they are to bring forth.

    Raises:
        UserError: The model can be used to fill gaps, so that it reads both ways; or it could not
            write without reading all again for each token.
    """
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    written_by: Any = AutoModelForCausalLM._model_mapping
    own_code = "AutoModelForCausalLM" in (getattr(config, "auto_map", None) or {})
    writes = own_code or type(config) in written_by
    if not writes or type(config) in AutoModelForMaskedLM._model_mapping:
        raise UserError(
            f"model_id: {model_id!r} (model type {config.model_type!r}) does not write texts; "
            "choose a decoder, such as SmolLM2, Llama, Qwen or Gemma, or an encoder-decoder, such "
            "as T5 or BART"
        )
    if own_code:
        return
    if "past_key_values" not in inspect.signature(written_by[type(config)].forward).parameters:
        raise UserError(
            f"model_id: {model_id!r} (model type {config.model_type!r}) keeps no keys and values "
            "of what it has read, with which texts are written here; choose another decoder, such "
            "as SmolLM2, Llama, Qwen or Gemma"
        )
