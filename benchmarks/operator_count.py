"""Counts the operations that a GPU is asked to do in a training step, without a GPU.

    python benchmarks/operator_count.py

A small model waits for its kernels to be started: some 40 microseconds each on an H200. So their
number says how long a step takes, long before a GPU is at hand. The step is the package's own, run
on tensors that have shapes only, as the memory prediction runs it, with the casts of bfloat16
autocast. An operator of PyTorch counts once, if it computes or moves numbers; views do not count.
Some operators start several kernels, as the update of all weights does.
"""

import json
import sys
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro
from random_models import SHAPES
from transformers import AutoConfig

from lowcost_ft.config.run import RunConfig
from lowcost_ft.errors import UserError
from lowcost_ft.memory.operators import Target
from lowcost_ft.planning.longest_rows import longest_forecast
from lowcost_ft.record.environment import versions

FILE = Path(__file__).resolve().parent / "results" / "speed" / "operators.json"
METHODS: dict[str, dict[str, Any]] = {
    "full": {"method": "full"},
    "lora": {"method": "lora"},
    "lora-query-value": {"method": "lora"},
    "rslora": {"method": "rslora"},
    "pissa": {"method": "pissa"},
    "olora": {"method": "olora"},
    "bias": {"method": "bias"},
    "layernorm": {"method": "layernorm"},
    "ia3": {"method": "ia3"},
    "head": {"method": "head"},
}
QUERY_VALUE = {"bert": "query,value", "roberta": "query,value", "llama": "q_proj,v_proj"}
"""By type of model; others have one layer for query, key and value."""
TOKENS, ROWS = 512, 8
NEAR = 1.15
"""Methods other than full fine-tuning are to need at most so many times its operations."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to count."""

    shapes: str = "bert-base,bert-large,roberta-large,modernbert-base,gpt2,decoder-8b"
    """Comma-separated shapes of `random_models.py`."""
    output: Path = FILE
    """Results file."""


def count(shape: str, method: str, *, tokens: int = TOKENS, rows: int = ROWS) -> dict[str, int]:
    """Operations of a step of one micro-batch.

    Args:
        shape: One of `SHAPES`.
        method: One of `METHODS`.
        tokens: Length of its longest row; the others are one token shorter.
        rows: Rows of the micro-batch.

    Returns:
        How many there are in the "forward" pass, the "backward" pass and the "update".
    """
    kind = SHAPES[shape].model_type
    values: dict[str, Any] = dict(METHODS[method])
    if method == "lora-query-value":
        values["target_modules"] = QUERY_VALUE[kind]
    with tempfile.TemporaryDirectory() as folder:
        AutoConfig.for_model(kind, **{"pad_token_id": 0, **SHAPES[shape].fields}).save_pretrained(
            folder
        )
        config = RunConfig(
            task="classification",
            model_id=folder,
            max_length=tokens,
            batch_size=rows,
            micro_batch_tokens=rows * tokens,
            dropout="model",
            **values,
        )
        target = Target(device="cuda", mixed_precision="bf16", compute_capability=(9, 0))
        return longest_forecast(config, target, num_labels=9)(config).operations


def methods_of(shape: str) -> list[str]:
    """The methods that a shape is counted for."""
    has_query = SHAPES[shape].model_type in QUERY_VALUE
    return [name for name in METHODS if has_query or name != "lora-query-value"]


def over_full(counts: Mapping[str, Mapping[str, int]]) -> list[str]:
    """Methods that need more operations than full fine-tuning and the share that is allowed."""
    totals = {name: sum(parts.values()) for name, parts in counts.items()}
    return [name for name, total in totals.items() if total > NEAR * totals["full"]]


def main(options: Options) -> int:
    """Counts and writes the result."""
    counts: dict[str, dict[str, dict[str, int]]] = {}
    for shape in options.shapes.split(","):
        counts[shape] = {}
        for method in methods_of(shape):
            try:
                parts = count(shape, method)
            except UserError as error:  # Not every method knows GPT-2's layers.
                print(f"{shape} {method}: {error}", file=sys.stderr)
                continue
            counts[shape][method] = parts
            print(f"{shape} {method}: {sum(parts.values()):,} {parts}", flush=True)
        if over := over_full(counts[shape]):
            print(f"more than full fine-tuning by 15%: {', '.join(over)}", flush=True)
    result = {"tokens": TOKENS, "rows": ROWS, "versions": versions(), "operations": counts}
    options.output.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
