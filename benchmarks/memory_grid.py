"""The steps that `memory_accuracy.py` predicts and measures: models, settings and shapes."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from transformers import AutoConfig, AutoModel, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.features import Array, Features
from lowcost_ft.tasks import task_class

_SHAPE = {"vocab_size": 8000, "hidden_size": 256, "num_hidden_layers": 4}
_SHAPE |= {"num_attention_heads": 4, "intermediate_size": 1024, "max_position_embeddings": 600}
_SHAPE |= {"pad_token_id": 1}


MODELS: dict[str, dict[str, Any]] = {
    "bert": {},
    "distilbert": {"dim": 256, "n_layers": 4, "n_heads": 4, "hidden_dim": 1024},
    "roberta": {},
    "electra": {"embedding_size": 128},
    "deberta-v2": {
        "relative_attention": True,
        "position_buckets": 64,
        "pos_att_type": ["p2c", "c2p"],
        "norm_rel_ebd": "layer_norm",
        "share_att_key": True,
        "position_biased_input": False,
        "type_vocab_size": 0,
        "pooler_hidden_size": 256,
    },
    "modernbert": {"local_attention": 64, "cls_token_id": 2, "sep_token_id": 3},
    "gpt2": {"n_embd": 256, "n_layer": 4, "n_head": 4, "n_positions": 600},
    "llama": {"num_key_value_heads": 2},
    "qwen3": {"num_key_value_heads": 2, "head_dim": 64},
}


SETTINGS: dict[str, dict[str, Any]] = {
    "lora": {"method": "lora"},
    "lora, checkpointing": {"method": "lora", "gradient_checkpointing": True},
    "full": {"method": "full"},
    "lora on 8bit": {"method": "lora", "quantization": "8bit"},
    "lora on nf4, checkpointing": {
        "method": "lora",
        "quantization": "nf4",
        "gradient_checkpointing": True,
    },
    "lora, top 2 layers": {"method": "lora", "trainable_layers": 2},
    "lora, top 2 layers, cached": {
        "method": "lora",
        "trainable_layers": 2,
        "cache_frozen_layers": True,
    },
}


_LARGE_VOCABULARY = {"vocab_size": 32000}
_BART = {"d_model": 256, "encoder_layers": 4, "decoder_layers": 4, "encoder_ffn_dim": 1024}
_BART |= {"decoder_ffn_dim": 1024, "encoder_attention_heads": 4, "decoder_attention_heads": 4}
WRITING_MODELS: dict[str, dict[str, Any]] = {
    "gpt2": MODELS["gpt2"] | _LARGE_VOCABULARY,
    "llama": MODELS["llama"] | _LARGE_VOCABULARY | {"tie_word_embeddings": True},
    "gemma2": MODELS["qwen3"] | _LARGE_VOCABULARY,  # It caps its logits.
    "t5": {"d_model": 256, "d_kv": 64, "d_ff": 1024, "num_layers": 4, "num_decoder_layers": 4}
    | {"num_heads": 4}
    | _LARGE_VOCABULARY,
    "bart": _BART | _LARGE_VOCABULARY,
}
"""Decoders, and encoder-decoders, with the head that writes."""


SHAPES = [(64, 16, 4096), (128, 8, 512), (256, 8, 1024), (384, 4, 4096), (96, 16, 384)]
"""Longest row, rows a step, and tokens a micro-batch may hold."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """One step of the grid."""

    family: str
    setting: str
    task: str
    length: int
    batch_size: int
    micro_batch_tokens: int

    def config(self, folder: str, mixed_precision: str) -> RunConfig:
        """The settings of a run with this step."""
        return RunConfig(
            task=self.task,
            model_id=folder,
            max_length=self.length,
            batch_size=self.batch_size,
            micro_batch_tokens=self.micro_batch_tokens,
            mixed_precision="auto" if mixed_precision == "fp16" else mixed_precision,  # type: ignore[arg-type]
            num_train_epochs=1,
            dropout="model",  # more to predict than without
            **SETTINGS[self.setting],
        )


def grid(tasks: tuple[str, str] = ("ner", "classification")) -> Iterator[Point]:
    """Every family with every setting; lengths, batches and tasks in turn."""
    number = 0
    for family in MODELS:
        for setting in SETTINGS:
            length, batch_size, tokens = SHAPES[number % len(SHAPES)]
            number += 1
            yield Point(
                family=family,
                setting=setting,
                task=tasks[number % 2],
                length=length,
                batch_size=batch_size,
                micro_batch_tokens=tokens,
            )


def writing_grid() -> Iterator[Point]:
    """Models that write, with every setting but the cache; lengths and batches in turn."""
    number = 0
    for family in WRITING_MODELS:
        for setting, values in SETTINGS.items():
            if "cache_frozen_layers" in values:
                continue
            length, batch_size, tokens = SHAPES[number % len(SHAPES)]
            number += 1
            yield Point(
                family=family,
                setting=setting,
                task="translation",
                length=length,
                batch_size=batch_size,
                micro_batch_tokens=tokens,
            )


def write_model(family: str, folder: Path, *, writes: bool = False) -> str:
    """A checkpoint with random weights, with the head that writes if it is to have one."""
    fields = _SHAPE | (WRITING_MODELS if writes else MODELS)[family]
    if "d_model" in fields:
        del fields["hidden_size"], fields["num_hidden_layers"], fields["num_attention_heads"]
    config = AutoConfig.for_model(family, **fields)
    auto: Any = AutoModel
    if writes:
        auto = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    auto.from_config(config).save_pretrained(folder)
    return str(folder)


def made_up_rows(point: Point, schema: dict[str, Array]) -> Features:
    """Rows of falling length, the first as long as allowed.

    Args:
        point: The step.
        schema: What the arrays of the task hold.
    """
    lengths = np.maximum(8, point.length - 3 * np.arange(point.batch_size))
    starts = np.concatenate([[0], np.cumsum(lengths)])
    rows, tokens = len(lengths), int(starts[-1])
    kind = task_class(point.task)
    return Features(
        input_ids=np.full(tokens, 5, np.int32),
        starts=starts,
        examples=np.arange(rows),
        num_examples=rows,
        weights=np.ones(rows),
        arrays=kind.blank_arrays(rows, tokens),
        schema=schema,
    )
