"""Predicts which published models fit on which cards: the table of `lowcost-ft plan --gpus`.

    python benchmarks/what_fits.py

Needs no weights, no GPU and no network, and takes some minutes. For each model and method the
memory of a micro-batch of one text and of eight is predicted; between and beyond them it is linear
in the number of texts, so that two predictions say how many a card can hold.
"""

import json
import sys
import tempfile
from pathlib import Path
from typing import Any

from lowcost_ft.config.run import RunConfig
from lowcost_ft.memory.limits import USABLE
from lowcost_ft.memory.operators import Target
from lowcost_ft.planning.gpu_table import CARDS
from lowcost_ft.planning.longest_rows import longest_forecast
from lowcost_ft.record.environment import versions

FOLDER = Path(__file__).resolve().parent.parent / "lowcost_ft" / "memory"
MAX_LENGTH = 256
METHODS: dict[str, dict[str, Any]] = {
    "full": {"method": "full"},
    "lora": {"method": "lora"},
    "lora on 8bit": {"method": "lora", "quantization": "8bit"},
    "lora on nf4": {"method": "lora", "quantization": "nf4"},
}
ROWS = (1, 8)
MOST_TOKENS = 65536


def needed(folder: Path, rows: int, **values: Any) -> int:
    """Bytes that a step with micro-batches of so many texts needs of a GPU."""
    config = RunConfig(
        task="classification",
        model_id=str(folder),
        max_length=MAX_LENGTH,
        batch_size=2 * rows,
        micro_batch_tokens=rows * MAX_LENGTH,
        dropout="model",  # so that it holds for NER, too
        **values,
    )
    target = Target(device="cuda", mixed_precision="bf16")
    return longest_forecast(config, target, num_labels=9)(config).needed_bytes


def row(model: str, method: str, folder: Path) -> dict[str, Any]:
    """One line of the table."""
    found: dict[bool, list[int]] = {}
    for checkpointing in (False, True):
        values = METHODS[method] | {"gradient_checkpointing": checkpointing}
        found[checkpointing] = [needed(folder, rows, **values) for rows in ROWS]
    return {
        "model": model,
        "method": method,
        "needed_bytes": {
            "checkpointing" if key else "plain": dict(zip(map(str, ROWS), value, strict=True))
            for key, value in found.items()
        },
        "fits": fits(found),
    }


def fits(found: dict[bool, list[int]]) -> dict[str, dict[str, Any] | None]:
    """What each card holds, the smallest first: never less than a smaller one.

    Without gradient checkpointing, which costs time, where that is no less.
    """
    held: dict[str, dict[str, Any] | None] = {}
    most = 0
    for card in CARDS:
        held[str(card)] = _fit(found, int(card * 2**30 * USABLE), at_least=most)
        most = (held[str(card)] or {}).get("micro_batch_tokens", 0)
    return held


def _fit(found: dict[bool, list[int]], card_bytes: int, *, at_least: int) -> dict[str, Any] | None:
    for checkpointing, (one, eight) in found.items():
        if one > card_bytes:
            continue
        a_text = max(1.0, (eight - one) / (ROWS[1] - ROWS[0]))
        texts = ROWS[0] + int((card_bytes - one) / a_text)
        tokens = min(MOST_TOKENS, texts * MAX_LENGTH)
        if tokens >= at_least:
            return {"micro_batch_tokens": tokens, "gradient_checkpointing": checkpointing}
    return None


def main() -> int:
    """Writes the table."""
    shapes = json.loads((FOLDER / "model_shapes.json").read_text("utf-8"))
    rows = []
    with tempfile.TemporaryDirectory() as parent:
        for model, fields in shapes.items():
            folder = Path(parent) / model
            folder.mkdir()
            (folder / "config.json").write_text(json.dumps(fields), "utf-8")
            for method in METHODS:
                rows.append(row(model, method, folder))
                print(model, method, rows[-1]["fits"], flush=True)
    table = {"max_length": MAX_LENGTH, "versions": versions(), "rows": rows}
    (FOLDER / "what_fits.json").write_text(json.dumps(table, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
