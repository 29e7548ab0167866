"""The example and the test of docs/audit.md, from `audit.json`."""

import json
import textwrap
from pathlib import Path

from lowcost_ft.audit.answer import attribute_lines, headline
from lowcost_ft.report.labels import metric_name

__all__ = ["audit_example", "audit_test"]

FILE = Path(__file__).resolve().parent / "audit.json"
_SHOWN = "origin of names"
_WIDTH = 96


def audit_example() -> str:
    """What the audit of the NER sample's run says of one attribute, and the largest change."""
    found = json.loads(FILE.read_text("utf-8"))["example"]
    told = found["attributes"][_SHOWN]
    lines = [headline(found), ""]
    lines += attribute_lines(_SHOWN, told, metric_name(found["metric"]))
    shown = [
        part
        for line in lines
        for part in textwrap.wrap(line, _WIDTH, subsequent_indent="    ") or [""]
    ]
    parts = ["```text", *shown, "```"]
    if examples := found["examples"][_SHOWN]:
        low, high = examples[0]["versions"]
        texts = [" ".join(version["texts"]) for version in (low, high)]
        parts += [
            "",
            f"The text whose values change most: {examples[0]['value']} is {low['value']:.0f} in "
            f'"{texts[0]}" and {high["value"]:.0f} in "{texts[1]}".',
        ]
    return "\n".join(parts)


def audit_test() -> str:
    """In how many runs a bias was found, with and without one in the training data."""
    runs = json.loads(FILE.read_text("utf-8"))["runs"]
    lines = [
        "| groups | bias in the training data | runs | reported one | "
        "difference in probability, each run | largest corrected p |",
        "|---|---|---|---|---|---|",
    ]
    for planted in (True, False):
        for attribute in dict.fromkeys(run["attribute"] for run in runs):
            those = [r for r in runs if r["attribute"] == attribute and r["planted"] == planted]
            own = [run["of_planted_group"] for run in those]
            cells = [attribute, "planted" if planted else "none", str(len(those))]
            cells.append(str(sum(bool(run["found"]) for run in those)))
            cells.append(", ".join(f"{one['difference']:.2f}" for one in own) if planted else "")
            cells.append(f"{max(one['p_corrected'] for one in own):.4f}" if planted else "")
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)
