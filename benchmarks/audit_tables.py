"""The example of docs/audit.md, from `audit.json`."""

import json
import textwrap
from pathlib import Path

from lowcost_ft.audit.answer import attribute_lines, headline
from lowcost_ft.report.labels import metric_name

__all__ = ["audit_example"]

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
