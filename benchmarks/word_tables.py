"""What docs/ner.md says of the pieces of words, from what `words_and_texts.py` left."""

import json
import statistics
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results" / "words"


def piece_sentence() -> str:
    """What was chosen on the validation split, with the scores of both ways."""
    first, every = (_score(_read(f"wnut17-dev-{name}")) for name in ("first-pieces", "every-piece"))
    return (
        "On the validation split of WNUT-17 (seed 0, three epochs), F1 was "
        f"{first:.3f} with the first piece of words outside of entities, and {every:.3f} with "
        "every piece."
    )


def _read(name: str) -> dict[str, Any]:
    content: dict[str, Any] = json.loads((RESULTS / f"{name}.json").read_text("utf-8"))
    return content


def _score(found: dict[str, Any]) -> float:
    return statistics.mean(run["f1"]["words"] for run in found["runs"]["after"])
