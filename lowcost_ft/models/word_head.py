"""A head that begins as words: its rows are those of the language model's output layer.

The head of sequence classification then scores a label as the language model scores its words,
which is called a verbalizer (Schick and Schütze 2021, arXiv:2001.07676).
"""

from collections.abc import Sequence

import torch
from safetensors import SafetensorError, safe_open
from torch import nn

from lowcost_ft.errors import UserError
from lowcost_ft.models.base import BaseModel
from lowcost_ft.models.hub import not_loadable, weight_files

__all__ = ["begin_as_words"]


def begin_as_words(
    base: BaseModel,
    tokens: Sequence[Sequence[int]],
    model_id: str,
    *,
    labels: Sequence[str],
    revision: str | None = None,
) -> list[str]:
    """Sets the new head of a decoder: each row is the mean of the rows of some tokens.

    Args:
        base: The model, whose head is one linear layer without a bias.
        tokens: For each output tokens of the vocabulary.
        model_id: Name on the Hub, or a folder, where the output layer is read.
        labels: What the outputs are called, for messages.
        revision: Branch, tag or commit on the Hub.

    Returns:
        What the user should know: of labels with several tokens only the mean score is known.

    Raises:
        UserError: The model has a head already, or is of a family that is not known; or its
            checkpoint lacks the output layer, or holds it quantized.
    """
    model = base.model
    if base.family is None or not base.family.causal:
        raise UserError(
            f"--prompt-template: where {model_id!r} (model type {model.config.model_type!r}) keeps "
            "what it knows of words is not known; choose a decoder of a family in docs/methods.md"
        )
    (path,) = base.head_names
    if f"{path}.weight" not in base.new_weights:
        raise UserError(
            f"--prompt-template: {model_id!r} has a head for classification already, and not one "
            "for words; leave the flag out, or take the language model that it was made of"
        )
    layer = model.get_submodule(path)
    assert isinstance(layer, nn.Linear)
    name = "lm_head.weight"
    if model.config.get_text_config().tie_word_embeddings:
        name = f"{base.family.embeddings[0]}.weight"
    try:
        rows = _read_rows(name, sorted({one for few in tokens for one in few}), model_id, revision)
    except (OSError, SafetensorError) as error:
        raise not_loadable("weights", model_id, error) from error
    with torch.no_grad():
        for place, few in enumerate(tokens):
            layer.weight[place] = torch.stack([rows[one] for one in few]).mean(0)
    several = [label for label, few in zip(labels, tokens, strict=True) if len(few) > 1]
    if not several:
        return []
    return [
        f"{len(several):,} of {len(labels):,} labels have words of several tokens (first: "
        f"{several[0]!r}), and begin as the mean of the tokens' scores, which is not the "
        "probability of the words; words of one token each (--label-words) are exact"
    ]


def _read_rows(
    name: str, wanted: Sequence[int], model_id: str, revision: str | None
) -> dict[int, torch.Tensor]:
    """Some rows of a matrix in a checkpoint, in float32; nothing else of it is read."""
    for file in weight_files(model_id, revision):
        with safe_open(file, "pt") as content:
            for key in content.keys():  # noqa: SIM118 - not a dictionary
                if key != name and not key.endswith(f".{name}"):
                    continue
                matrix = content.get_slice(key)
                rows = {one: matrix[one : one + 1][0] for one in wanted}
                if all(row.is_floating_point() for row in rows.values()):
                    return {one: row.float() for one, row in rows.items()}
    raise UserError(
        f"--prompt-template: the weights of {model_id!r} hold no {name} (or only quantized), so "
        "that its scores of words cannot be known; take the language model itself"
    )
