"""What the card of a compressed model says besides: what was cut, and what that changed."""

from collections.abc import Mapping
from typing import Any

__all__ = ["compress_section"]


def compress_section(made: Mapping[str, Any]) -> str:
    """What was cut and healed, and how far the answers moved: a list in Markdown.

    Of a model that was compressed several times, each time has a list, the first one first.

    Args:
        made: What `run.json` holds under `compress`.
    """
    parts = [_list(made)]
    while made := made.get("earlier") or {}:
        parts[:0] = [_list(made), "Then, compressed again:"]
    return "\n\n".join(parts)


def _list(made: Mapping[str, Any]) -> str:
    drift, healing = made["drift"], made.get("healing")
    lines = [
        f"Weights: {made['parameters_after']:,} of {made['parameters_before']:,}, "
        f"{made['bytes_after'] / 1e6:.1f} MB"
    ]
    if made["pieces_after"] < made["pieces_before"]:
        lines.append(
            f"Vocabulary: {made['pieces_after']:,} of {made['pieces_before']:,} pieces; a text "
            "that needs another one is read in smaller pieces, and may get another answer"
        )
    if made.get("layers"):
        lines.append(f"Layers that stay: {', '.join(map(str, made['layers']))}, counted from 0")
    for name, what in (
        ("neurons", "Neurons of each feed-forward"),
        ("heads", "Attention heads of each layer"),
    ):
        if made.get(name):
            lines.append(f"{what}: {made[name]:,}")
    if healing:
        texts = healing["unlabelled_texts"]
        lines.append(
            f"Trained again on {healing['rows']:,} rows{f' and {texts:,} texts' * (texts > 0)}, "
            f"with the model before the cut as its teacher: {healing['epochs']:g} epochs, "
            f"{healing['seconds']:,.0f} s"
        )
    elif made.get("to_train"):
        lines.append("Not trained again since the cut: train it before you use it")
    lines.append(
        f"Answers: {drift['changed']:,} of {drift['predictions']:,} predictions differ from those "
        f"of the whole model ({drift['drift']:.1%}); validation {drift['metric']} "
        f"{drift['score_before']:.4f} before, {drift['score_after']:.4f} now"
    )
    return "\n".join(f"- {line}" for line in lines)
