"""Models with random weights, and made-up texts of a given length, where no hub is at hand.

What a training step costs depends on shapes alone: these have the shapes of published models. What
they predict means nothing. The tokenizer is MiniLM's: how many tokens there are is what counts.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowcost_ft.config.settings import DEFAULT_MODEL_ID
from lowcost_ft.data.sample import sample_intents

__all__ = ["SHAPES", "Shape", "write_random_model", "write_texts"]


@dataclass(frozen=True, kw_only=True)
class Shape:
    """An architecture: its `model_type`, and the fields in which it differs from the default."""

    model_type: str
    fields: Mapping[str, Any]
    tiny: bool = False
    """Whether it is small enough for a test, and no published model."""


_TINY = {"vocab_size": 30522, "hidden_size": 16, "num_hidden_layers": 4, "num_attention_heads": 2}
_TINY |= {"intermediate_size": 32}
_LARGE = {"hidden_size": 1024, "num_hidden_layers": 24, "num_attention_heads": 16}
_LARGE |= {"intermediate_size": 4096}

SHAPES = {
    "bert-base": Shape(model_type="bert", fields={}),
    "bert-large": Shape(model_type="bert", fields=_LARGE),
    "roberta-large": Shape(
        model_type="roberta",
        fields=_LARGE | {"vocab_size": 50265, "max_position_embeddings": 514, "type_vocab_size": 1},
    ),
    "modernbert-base": Shape(model_type="modernbert", fields={}),
    "gpt2": Shape(model_type="gpt2", fields={}),
    "decoder-8b": Shape(
        model_type="llama",
        fields={
            "vocab_size": 128256,
            "hidden_size": 4096,
            "intermediate_size": 14336,
            "num_hidden_layers": 32,
            "num_attention_heads": 32,
            "num_key_value_heads": 8,
            "max_position_embeddings": 8192,
        },
    ),
    "tiny-bert": Shape(model_type="bert", fields=_TINY, tiny=True),
    "tiny-decoder": Shape(model_type="llama", fields=_TINY | {"num_key_value_heads": 1}, tiny=True),
}
"""The published ones: bert-base and -large (Devlin et al. 2019), roberta-large (Liu et al. 2019),
ModernBERT-base (Warner et al. 2024), GPT-2 (Radford et al. 2019), Llama 3 8B (Meta 2024)."""


def write_random_model(name: str, folder: Path, *, seed: int = 0) -> str:
    """Writes a checkpoint as the Hub has them, with random weights, in bfloat16.

    Args:
        name: One of `SHAPES`.
        folder: Where to write.
        seed: Of the weights.

    Returns:
        The folder, usable as a model id.
    """
    # Imported here: listing a suite does not wait for PyTorch.
    import torch
    from transformers import AutoConfig, AutoModel

    from lowcost_ft.models.tokenizers import load_tokenizer

    shape = SHAPES[name]
    tokenizer = load_tokenizer(DEFAULT_MODEL_ID)
    special = {
        "pad_token_id": tokenizer.pad_token_id,
        "bos_token_id": tokenizer.cls_token_id,
        "eos_token_id": tokenizer.sep_token_id,
    }
    config = AutoConfig.for_model(shape.model_type, **{**special, **shape.fields})
    torch.manual_seed(seed)
    # Drawing 8 billion numbers takes a CPU minutes.
    with torch.device("cuda" if torch.cuda.is_available() else "cpu"):
        model = AutoModel.from_config(config, dtype=torch.bfloat16)
    model.save_pretrained(folder)
    tokenizer.model_max_length = 512
    if getattr(config, "type_vocab_size", 0) < 2:
        tokenizer.model_input_names = ["input_ids", "attention_mask"]
    tokenizer.save_pretrained(folder)
    return str(folder)


def write_texts(file: Path, *, tokens: int, rows: int) -> str:
    """Writes labelled texts of at least so many tokens each: the sample's, one after another.

    Returns:
        The path of the CSV file.
    """
    sample = sample_intents()["train"]
    with open(file, "w", encoding="utf-8", newline="") as out:
        writer = csv.writer(out)
        writer.writerow(["text", "label"])
        for row in range(rows):
            text = sample[row]["text"]
            following = row
            # A word is a token at least, and the sample's words are a little more.
            while len(text.split()) < tokens:
                following = (following + 1) % len(sample)
                text += " " + sample[following]["text"]
            writer.writerow([text, sample[row]["label"]])
    return str(file)
