"""Words that a masked language model would put in the place of others, one at a time."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.data.noise import Noise
from lowcost_ft.data.text_edits import Edit, SpannedText
from lowcost_ft.errors import UserError
from lowcost_ft.models.masked_model import masked_model, word_guesses
from lowcost_ft.models.tokenizers import load_tokenizer

__all__ = ["guessed_noise"]

_GUESSES = 5


def guessed_noise(model_id: str, texts: Sequence[SpannedText]) -> Noise:
    """The guesses of a model for the words of some texts, outside of their spans.

    Args:
        model_id: Name or folder of a model with a masked language modelling head.
        texts: The texts that will be asked about.

    Raises:
        UserError: The model has no such head, or no mask.
    """
    flag = "--masked-model"
    model: Any = masked_model(model_id, flag=flag)
    tokenizer = load_tokenizer(model_id)
    if tokenizer.mask_token_id is None:
        raise UserError(f"{flag} {model_id}: the model has no mask token; take another one")
    different = list(dict.fromkeys(texts))
    found: dict[SpannedText, list[list[Edit]]] = dict(
        zip(different, word_guesses(model, tokenizer, different, most=_GUESSES), strict=True)
    )
    return lambda spanned: found.get(spanned, [])
