"""What a run writes into the configuration of its model: labels, padding, dropout."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.errors import UserError
from lowcost_ft.models.family import Family

__all__ = ["describe_task", "set_dropout", "set_padding"]


def describe_task(config: Any, labels: Sequence[str], problem_type: str | None) -> None:
    """Writes the labels and the kind of problem into a model's configuration."""
    config.num_labels = len(labels) or 1
    if labels:
        config.id2label = dict(enumerate(labels))
        config.label2id = {label: number for number, label in enumerate(labels)}
    config.problem_type = problem_type
    # A classifier never reads the keys and values that a decoder would keep for the next token.
    if hasattr(config, "use_cache"):
        config.use_cache = False


def set_padding(config: Any, pad_token_id: int | None, *, causal: bool | None) -> None:
    """Tells a decoder which token pads.

    An encoder's own number is kept: RoBERTa counts positions from it.
    """
    if pad_token_id is None:
        return
    vocab_size = config.get_text_config().vocab_size
    if not 0 <= pad_token_id < vocab_size:
        raise UserError(
            f"pad_token_id: {pad_token_id} has no embedding (the model's vocabulary has "
            f"{vocab_size} entries); set the tokenizer's pad_token to one that the model knows"
        )
    if causal or getattr(config, "pad_token_id", None) is None:
        config.get_text_config().pad_token_id = pad_token_id


_LAYER_DROP = ("layerdrop", "encoder_layerdrop", "decoder_layerdrop")


def set_dropout(config: Any, family: Family | None, dropout: float) -> dict[str, Any]:
    """Sets every dropout probability of a model's configuration, and leaves no layer out.

    LayerDrop (Fan et al. 2020, arXiv:1909.11556) would take whole layers out of a step, by the
    probability that the model was pretrained with, which is not the one asked for.

    Returns:
        What was there before, by the names of the fields.

    Raises:
        UserError: It has none, and one above zero is asked for.
    """
    if family is not None:
        fields = family.dropout_fields
    else:  # Names that hold a probability in the configurations of transformers.
        fields = tuple(
            name
            for name, value in config.to_dict().items()
            if ("dropout" in name or "pdrop" in name) and isinstance(value, float | int)
        )
    if not fields and dropout:
        raise UserError(
            f"dropout: model type {config.model_type!r} has no dropout in its configuration, so "
            f"{dropout} could not be obeyed; leave it out"
        )
    before = {name: getattr(config, name, None) for name in fields}
    for name in fields:
        setattr(config, name, float(dropout))
    for name in _LAYER_DROP:
        if rate := getattr(config, name, None):
            before[name] = rate
            setattr(config, name, 0.0)
    return before
