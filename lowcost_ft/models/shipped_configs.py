"""Configurations of published models that come with the package, for plans without the Hub."""

import json
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from pathlib import Path

__all__ = ["HUB_NAMES", "shipped_config", "shipped_name"]

HUB_NAMES = {
    "bert-base-uncased": "BERT-base",
    "google-bert/bert-base-uncased": "BERT-base",
    "bert-large-uncased": "BERT-large",
    "google-bert/bert-large-uncased": "BERT-large",
    "roberta-large": "RoBERTa-large",
    "FacebookAI/roberta-large": "RoBERTa-large",
    "microsoft/deberta-v3-large": "DeBERTa-v3-large",
    "answerdotai/ModernBERT-large": "ModernBERT-large",
    "gpt2": "GPT-2",
    "openai-community/gpt2": "GPT-2",
    "gpt2-medium": "GPT-2 medium",
    "openai-community/gpt2-medium": "GPT-2 medium",
    "gpt2-large": "GPT-2 large",
    "openai-community/gpt2-large": "GPT-2 large",
    "gpt2-xl": "GPT-2 XL",
    "openai-community/gpt2-xl": "GPT-2 XL",
    "Qwen/Qwen3-0.6B": "Qwen3-0.6B",
    "meta-llama/Llama-3.2-1B": "Llama-3.2-1B",
    "meta-llama/Llama-3.2-1B-Instruct": "Llama-3.2-1B",
    "meta-llama/Llama-3.2-3B": "Llama-3.2-3B",
    "meta-llama/Llama-3.2-3B-Instruct": "Llama-3.2-3B",
    "Qwen/Qwen3-4B": "Qwen3-4B",
    "Qwen/Qwen2.5-7B": "Qwen2.5-7B",
    "Qwen/Qwen2.5-7B-Instruct": "Qwen2.5-7B",
    "meta-llama/Llama-3.1-8B": "Llama-3.1-8B",
    "meta-llama/Llama-3.1-8B-Instruct": "Llama-3.1-8B",
    "meta-llama/Meta-Llama-3.1-8B": "Llama-3.1-8B",
    "meta-llama/Meta-Llama-3.1-8B-Instruct": "Llama-3.1-8B",
}
"""Names on the Hub, and what the table of `lowcost-ft plan --gpus` calls the same shape."""


def shipped_name(model_id: str) -> str | None:
    """The table's name of a model, given that or its name on the Hub; None if not in the table."""
    names = {name.lower(): shape for name, shape in HUB_NAMES.items()}
    names |= {shape.lower(): shape for shape in HUB_NAMES.values()}
    return names.get(model_id.lower())


@contextmanager
def shipped_config(name: str) -> Iterator[Path]:
    """A `config.json` of that shape, as long as the block lasts.

    Args:
        name: What `shipped_name` returned.
    """
    shapes = json.loads((files("lowcost_ft") / "memory" / "model_shapes.json").read_text("utf-8"))
    with tempfile.TemporaryDirectory(prefix="lowcost-ft-plan-") as folder:
        file = Path(folder) / "config.json"
        file.write_text(json.dumps(shapes[name]), "utf-8")
        yield file
