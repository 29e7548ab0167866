"""What an attack has found, on the terminal."""

from collections.abc import Mapping
from typing import Any

from lowcost_ft.data.rows import counted
from lowcost_ft.report.labels import metric_name

__all__ = ["attack_text"]

_SHOWN_EXAMPLES = 3


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
                lines += [f"    {before}", f"    {after}"]
    if found["left_out"]:
        lines += [""] + [f"left out: {kind}: {why}" for kind, why in found["left_out"].items()]
    return "\n".join(lines)


def _cell(level: Mapping[str, Any]) -> str:
    low, high = level["lost_ci95"]
    return f"{level['score']:.4f}, lost {level['lost']:.4f} ({low:.4f} to {high:.4f})"
