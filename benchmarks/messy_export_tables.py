"""The tables and pictures of docs/messy-export.md, from what `messy_export.py` left."""

import html
import json
import textwrap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

__all__ = ["accuracy_bars", "accuracy_table", "found_bars", "found_table", "refusal"]

FILE = Path(__file__).parent / "messy_export.json"

_WHAT = {
    "wrong_label": "another class as the label",
    "label_spelling": "the class with a capital and blanks",
    "exact_duplicate": "a copy of another message",
    "contradiction": "a message twice, with two classes",
    "leak": "a test message",
    "damaged_text": "an apostrophe in a damaged encoding",
    "empty_text": "no text",
}
_ARMS = {"as it is": "as it is", "mended": "mended", "right labels": "the right labels"}


def _result() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(FILE.read_text("utf-8"))
    return found


def refusal() -> str:
    """What the first command answers: the annotators differ."""
    lines = textwrap.wrap(_result()["refused"], 100, break_on_hyphens=False)
    return "\n".join(["```none", *lines, "```"])


def found_table() -> str:
    """What was put in, and how much of it the finding of that kind names."""
    result = _result()
    findings = {finding["kind"]: finding for finding in result["findings"]}
    lines = ["| put in | tasks | finding | names | of those put in |", "|---" * 5 + "|"]
    for kind, what in _WHAT.items():
        own = findings.get(kind, {"rows": 0, "found": 0, "severity": "none"})
        lines.append(
            f"| {what} | {result['put_in'][kind]} | `{kind}` ({own['severity']}) | {own['rows']} | "
            f"{own['found']} |"
        )
    changes = result["changes"]
    lines += [
        "",
        f"The mended file has {changes.get('drop', 0)} rows fewer, and {changes.get('replace', 0)} "
        "were changed.",
    ]
    return "\n".join(lines)


def accuracy_table() -> str:
    """What a head learns from the export, mended or not."""
    arms = _result()["arms"]
    new, leaked = (next(iter(arms.values()))[name] for name in ("new_rows", "leaked_rows"))
    lines = [
        f"| learned from | rows | classes | accuracy on {new} new messages | on the {leaked} that "
        "leaked |",
        "|---" * 5 + "|",
    ]
    lines += [
        f"| {title} | {arms[name]['rows']} | {arms[name]['classes']} | {arms[name]['new']:.3f} | "
        f"{arms[name]['leaked']:.3f} |"
        for name, title in _ARMS.items()
    ]
    return "\n".join(lines)


def found_bars() -> str:
    """A bar for each kind of mess: how much of it was found."""
    result = _result()
    found = {finding["kind"]: finding["found"] for finding in result["findings"]}
    return _bars(
        "Found by the doctor, of what was put in",
        [
            (what, found.get(kind, 0) / result["put_in"][kind],
             f"{found.get(kind, 0)} of {result['put_in'][kind]}")
            for kind, what in _WHAT.items()
        ],
    )  # fmt: skip


def accuracy_bars() -> str:
    """A bar for each way to learn: its accuracy on new messages."""
    arms = _result()["arms"]
    return _bars(
        "Accuracy on new messages, learned from the export",
        [(title, arms[name]["new"], f"{arms[name]['new']:.3f}") for name, title in _ARMS.items()],
    )


def _bars(title: str, bars: Sequence[tuple[str, float, str]]) -> str:
    """The inside of an SVG 720 wide: a line a bar with its name, and its value behind it.

    Args:
        title: What the bars show.
        bars: Name, share from 0 to 1, and what is written behind the bar.
    """
    lines = [
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="16" y="28" font-size="16" font-weight="600">{html.escape(title)}</text>',
    ]
    for number, (name, share, value) in enumerate(bars):
        y = 48 + 30 * number
        width = round(300 * share, 1)
        lines += [
            f'<text x="290" y="{y + 15}" font-size="13" text-anchor="end">{html.escape(name)}'
            "</text>",
            f'<rect x="300" y="{y}" width="{width}" height="20" rx="3" fill="#2f6f9f"/>',
            f'<text x="{300 + width + 8:g}" y="{y + 15}" font-size="13">{html.escape(value)}'
            "</text>",
        ]
    return "\n".join(lines)
