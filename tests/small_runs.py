"""Small data that a tiny model can learn, and recipes run as the command line runs them."""

import json
import random
import runpy
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
from accelerate.state import AcceleratorState, PartialState
from safetensors.numpy import load_file

import lowcost_ft as ft

__all__ = ["RECIPES", "call_recipe", "flags", "forget_precision", "ner_rows", "relation_rows"]
__all__ += ["dialogue_rows", "pair_rows", "text_rows", "write_jsonl"]

RECIPES = Path(__file__).resolve().parents[1] / "recipes"

_PEOPLE = ("anna", "david", "maria", "chen wei", "okoye")
_PLACES = ("oslo", "nairobi", "madrid", "berlin", "red river")
_FRAMES = (
    "{person} lives in {place}",
    "send the lamp to {person} in {place} on monday",
    "my parcel went to {place}",
    "{person} wants a refund",
    "where is my order ?",
)
_INTENTS = {
    "refund": ("i want a refund", "send the money back", "please refund my card"),
    "delivery": ("where is my parcel", "the box did not arrive", "when does my order come"),
    "None": ("hello", "thank you", "my name is anna"),
}


def ner_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Rows with `tokens` and IOB2 `tags`: people and places, some of two words."""
    draw = random.Random(seed)
    rows = []
    for _ in range(count):
        tokens: list[str] = []
        tags: list[str] = []
        for part in draw.choice(_FRAMES).split():
            label = {"{person}": "person", "{place}": "place"}.get(part)
            words = draw.choice(_PEOPLE if label == "person" else _PLACES) if label else part
            for index, word in enumerate(words.split()):
                tokens.append(word)
                tags.append(f"{'I' if index else 'B'}-{label}" if label else "O")
        rows.append({"tokens": tokens, "tags": tags})
    return rows


def text_rows(count: int, *, kind: str = "single", seed: int = 0) -> list[dict[str, Any]]:
    """Rows with `text` and `label` of the kind "single", "multi" (a list) or "number"."""
    draw = random.Random(seed)
    rows = []
    for index in range(count):
        # In turn, so that every label occurs in every split.
        label = list(_INTENTS)[index % len(_INTENTS)]
        text = draw.choice(_INTENTS[label]) + draw.choice(("", " please", " again", " !"))
        row: dict[str, Any] = {"text": text, "label": label}
        if kind == "multi":
            # Every third row has no label at all.
            row["label"] = [] if label == "None" else [label, "polite"][: 1 + ("please" in text)]
        elif kind == "number":
            row["label"] = len(text) / 10
        rows.append(row)
    return rows


def relation_rows(count: int, *, seed: int = 0) -> list[dict[str, Any]]:
    """Rows with `text`, `head`, `tail` and `label`: a person and a place, in both orders."""
    draw = random.Random(seed)
    rows = []
    for index in range(count):
        frame, label = (
            ("{person} lives in {place}", "lives_in"),
            ("send the lamp from {place} to {person}", "sent_to"),
            ("{person} asked about the shop in {place}", "no_relation"),
        )[index % 3]
        names = {"person": draw.choice(_PEOPLE), "place": draw.choice(_PLACES)}
        text = frame.format(**names) + draw.choice(("", " please", " again"))
        head, tail = (
            {"start": text.index(name), "end": text.index(name) + len(name), "type": kind}
            for kind, name in names.items()
        )
        rows.append({"text": text, "head": head, "tail": tail, "label": label})
    return rows


def pair_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows with `source` and `target`: questions after a thing, and answers that name it."""
    draw = random.Random(seed)
    things = [draw.choice(("lamp", "chair", "desk", "sofa", "box", "phone")) for _ in range(count)]
    return [
        {"id": number, "source": f"where is my {thing} {number}?", "target": f"the {thing} arrived"}
        for number, thing in enumerate(things)
    ]


def dialogue_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Rows with `messages` of two turns each, the last of which `references` gives in two ways."""
    return [
        {
            "messages": [
                {"role": "user", "content": "Hello, I have a question."},
                {"role": "assistant", "content": "Please ask."},
                {"role": "user", "content": row["source"]},
                {"role": "assistant", "content": row["target"]},
            ],
            "references": [row["target"], "it is here"],
        }
        for row in pair_rows(count, seed)
    ]


def write_jsonl(path: Path, rows: Iterable[dict[str, Any]]) -> str:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    return str(path)


def flags(**values: Any) -> list[str]:
    """`flags(lora_r=4, debug=True)` gives `["--lora-r", "4", "--debug"]`."""
    arguments = []
    for name, value in values.items():
        arguments.append("--" + name.replace("_", "-"))
        if value is not True:
            arguments.append(str(value))
    return arguments


def forget_precision() -> None:
    """Lets a process that ran in one precision go on in another: Accelerate keeps the first."""
    AcceleratorState._reset_state()
    PartialState._reset_state()


def call_recipe(name: str, *arguments: str) -> int:
    """Runs a recipe's file as `python recipes/NAME.py ARGUMENTS` does; returns its exit code."""
    path = RECIPES / f"{name}.py"
    forget_precision()
    with (
        mock.patch.object(sys, "argv", [str(path), *arguments]),
        mock.patch.object(sys, "path", [str(RECIPES), *sys.path]),
    ):
        try:
            runpy.run_path(str(path), run_name="__main__")
        except SystemExit as stop:
            return int(stop.code or 0)
    raise AssertionError(f"{path} did not end by sys.exit")


def trained(config):
    """Runs a recipe's steps; the folder, and what `run.json` holds."""
    with ft.start_run(config) as run:
        data = ft.load_data(run)
        built = ft.build(run, data)
        result = ft.train(run, built, data)
        evaluated = ft.evaluate(run, built, data, result)
        return ft.save(run, built, data, result, evaluated), run.record


def same_weights(one, other, *, tolerance=1e-4):
    """Whether two folders hold the same adapter."""
    first, second = (load_file(folder / "adapter_model.safetensors") for folder in (one, other))
    # A bias of outputs over positions has rounding for a gradient, of which Adam makes a step.
    names = [name for name in first if tolerance == 0 or not name.endswith("qa_outputs.bias")]
    return all(np.allclose(first[name], second[name], rtol=0, atol=tolerance) for name in names)
