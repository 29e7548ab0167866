"""`lowcost-ft plan --gpus`: which models fit on which cards, by method.

The numbers come with the package: `benchmarks/what_fits.py` predicts them from the shapes in
`memory/model_shapes.json`.
"""

import json
from importlib.resources import files
from typing import Any

from lowcost_ft.screen import print_json

__all__ = ["CARDS", "load_table", "print_table"]

CARDS = (6, 8, 11, 12, 16, 24)
"""Sizes of common cards in GB, as they are sold."""


def load_table() -> dict[str, Any]:
    """The table as it was made."""
    return json.loads((files("lowcost_ft") / "memory" / "what_fits.json").read_text("utf-8"))


def print_table(*, as_json: bool) -> None:
    """Prints the table, at most 80 columns wide."""
    table = load_table()
    if as_json:
        print_json(table, indent=1)
        return
    print(
        f"Tokens that a micro-batch may hold, texts of {table['max_length']} tokens, bf16,\n"
        "the model's own dropout, which text classification trains without\n"
        "(c: with gradient checkpointing, where a smaller card holds no more without;\n"
        "-: not even one text fits)\n"
    )
    print(f"{'':<18}{'':<14}" + "".join(f"{f'{card} GB':>8}" for card in CARDS))
    model = ""
    for row in table["rows"]:
        name = row["model"] if row["model"] != model else ""
        model = row["model"]
        print(f"{name:<18}{row['method']:<14}" + "".join(f"{c:>8}" for c in cells(row)))


def cells(row: dict[str, Any]) -> list[str]:
    """What fits on each card."""
    return [_cell(row["fits"][str(card)]) for card in CARDS]


def _cell(fit: dict[str, Any] | None) -> str:
    if fit is None:
        return "-"
    tokens = fit["micro_batch_tokens"]
    return f"{tokens:,}" + ("c" if fit["gradient_checkpointing"] else "")
