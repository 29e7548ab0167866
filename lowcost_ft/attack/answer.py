"""What an attack has found, on the terminal."""

from collections.abc import Mapping
from typing import Any

from lowcost_ft.data.rows import counted
from lowcost_ft.report.labels import metric_name

__all__ = ["attack_text"]

_SHOWN_EXAMPLES = 3
_SHOWN_CHARACTERS = 400
"""Of a text; of a longer one only what is around its edits is shown."""
_AROUND = 100


def attack_text(found: Mapping[str, Any]) -> str:
    """The clean score, what each kind of mistake costs, the worst case, and a few examples.

    Args:
        found: What `attack` returns.
    """
    clean = found["clean"]
    lines = [
        f"clean {metric_name(found['metric'])}   {clean['score']:.4f}   95% interval "
        f"{clean['ci95'][0]:.4f} to {clean['ci95'][1]:.4f}   ({counted(found['rows'], 'row')})"
    ]
    if found["noise"]:
        lines += ["", "mistakes at random: score, and what is lost, by the share of the words"]
        for kind, levels in found["noise"].items():
            cells = [f"{level['share']:.0%}: {_cell(level)}" for level in levels]
            lines += [f"  {kind:13} " + cells[0], *(" " * 16 + cell for cell in cells[1:])]
    for level in found.get("joined", ()):
        if level is found["joined"][0]:
            lines += ["", "texts joined: score, and what is lost beside the same texts apart"]
        lines.append(f"  {level['texts']} texts       {_cell(level)}")
    if "worst_case" in found:
        worst = found["worst_case"]
        lines += ["", f"worst case ({', '.join(worst['kinds'])}), and as many edits at random"]
        for level in worst["edits"]:
            plural = "s" * (level["edits"] != 1)
            lines.append(
                f"  {level['edits']} edit{plural:1}       {_cell(level)}; at random "
                f"{level['random']['score']:.4f}"
            )
        lines.append(f"  the model was asked about {worst['texts_asked']:,} texts")
    for example in found.get("examples", ())[:_SHOWN_EXAMPLES]:
        lines += ["", f"  {example['source']}"]
        for before, after in zip(example["texts"], example["changed"], strict=True):
            if before != after:
                lines += [f"    {shown}" for shown in _excerpts(before, after)]
    if found["left_out"]:
        lines += [""] + [f"left out: {kind}: {why}" for kind, why in found["left_out"].items()]
    return "\n".join(lines)


def _excerpts(before: str, after: str) -> list[str]:
    """A text and a changed one, each on one line, which is not longer than one wants to read."""
    start = max(0, _alike(before, after) - _AROUND)
    same = _alike(before[start:][::-1], after[start:][::-1])
    shown = []
    for text in (before, after):
        end = len(text) - max(0, same - _AROUND)
        if len(text) <= _SHOWN_CHARACTERS:
            shown.append(" ".join(text.split()))
            continue
        end = min(end, start + _SHOWN_CHARACTERS)
        part = " ".join(text[start:end].split())
        shown.append(f"{'... ' * (start > 0)}{part}{' ...' * (end < len(text))}")
    return shown


def _alike(one: str, other: str) -> int:
    """How many characters two texts begin with alike."""
    pairs = enumerate(zip(one, other, strict=False))
    return next((place for place, (a, b) in pairs if a != b), min(len(one), len(other)))


def _cell(level: Mapping[str, Any]) -> str:
    low, high = level["lost_ci95"]
    return f"{level['score']:.4f}, lost {level['lost']:.4f} ({low:.4f} to {high:.4f})"
