"""Mistakes put into entities, and how well each kind is found: for `doctor.py`."""

import json
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from lowcost_ft.config.settings import DEFAULT_MODEL_ID
from lowcost_ft.data.sample import sample_entity_messages
from lowcost_ft.doctor.adapters import AdapterSettings, adapter_probabilities
from lowcost_ft.doctor.checked_data import CheckedData
from lowcost_ft.doctor.entity_model import KINDS, doubt_entities
from lowcost_ft.doctor.reading import read_data
from lowcost_ft.doctor.word_states import word_states
from lowcost_ft.doctor.wrong_entities import tag_numbers, tag_probabilities
from lowcost_ft.frozen.embedding import load_embedder

Spans = list[tuple[int, int, str]]
SHARE = 0.1
"""Of the entities that are changed: a quarter of them by each kind of mistake."""


def entity_runs(
    folder: Path, seeds: Sequence[int], done: Sequence[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Average precision of each kind, on WNUT-17's training sentences and the sample's."""
    made = {(run["data"], run["seed"]) for run in done}
    for name, data in (
        ("wnut17", read_data({"train": str(folder / "wnut17" / "train.conll")})),
        ("sample", sample()),
    ):
        words = [data.kind.words_of(example) for example in data.train.examples]
        states = word_states(load_embedder(DEFAULT_MODEL_ID, words=True), words)
        clean = list(data.train.examples)
        for seed in seeds:
            if (name, seed) in made:
                continue
            data.train.examples = list(clean)
            mistakes, dropped = put_mistakes(data, seed)
            yield {"data": name, "seed": seed, "share": SHARE} | average_precisions(
                data, tag_probabilities(data, states, seed=seed), mistakes, dropped
            )


def thorough_entity_runs(
    folder: Path, seeds: Sequence[int], done: Sequence[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """A head on frozen states beside adapters, on one of three of WNUT-17's sentences."""
    data = read_data({"train": str(folder / "wnut17" / "train.conll")})
    data.train.examples = data.train.examples[::3]
    data.train.places = data.train.places[::3]
    clean = list(data.train.examples)
    words = [data.kind.words_of(example) for example in clean]
    states = word_states(load_embedder(DEFAULT_MODEL_ID, words=True), words)
    for seed in seeds:
        if any(run["seed"] == seed for run in done):
            continue
        data.train.examples = list(clean)
        mistakes, dropped = put_mistakes(data, seed)
        run: dict[str, Any] = {"sentences": len(clean), "seed": seed}
        changed = read_again(data)
        settings = AdapterSettings(model_id=DEFAULT_MODEL_ID, seed=seed)
        adapters = partial(adapter_probabilities, changed, settings)
        for name, train in (("head", None), ("adapters", adapters)):
            begin = time.process_time()
            probabilities = tag_probabilities(changed, states, seed=seed, train=train)
            found = average_precisions(changed, probabilities, mistakes, dropped)
            run["cases"] = {kind: found[kind]["cases"] for kind in KINDS}
            run[name] = {kind: found[kind]["doctor"] for kind in KINDS}
            run[name]["cpu_seconds"] = round(time.process_time() - begin, 1)
        yield run


def sample() -> CheckedData:
    return read_rows(sample_entity_messages()["train"])


def read_rows(rows: Sequence[dict[str, Any]]) -> CheckedData:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.jsonl"
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        return read_data({"train": str(path)})


def read_again(data: CheckedData) -> CheckedData:
    """The same data from a file, whose rows, too, have the tags that were put in."""
    rows = [
        {"tokens": list(data.kind.words_of(example)), "tags": list(example.tags)}
        for example in data.train.examples
    ]
    return read_rows(rows)


def put_mistakes(
    data: CheckedData, seed: int
) -> tuple[dict[tuple[int, tuple[int, int, str]], str], set[tuple[int, int]]]:
    """Changes entities in place; the kind of each wrong one, and the words of those dropped."""
    random = np.random.default_rng(seed)
    split = data.train
    types = sorted({label[2:] for label in data.labels if label != "O"})
    spans: list[Spans] = [list(data.kind.spans_of(e) or ()) for e in split.examples]
    sizes = [len(data.kind.words_of(example)) for example in split.examples]
    entities = [(row, span) for row, of_row in enumerate(spans) for span in of_row]
    each = int(SHARE * len(entities)) // 4
    order = random.permutation(len(entities))
    mistakes: dict[tuple[int, tuple[int, int, str]], str] = {}
    dropped: set[tuple[int, int]] = set()
    for place, number in enumerate(order[: 3 * each]):
        row, span = entities[number]
        others = [one for one in spans[row] if one != span]
        start, end, label = span
        kind = KINDS[place // each] if place < 2 * each else "missing_entity"
        if kind == "missing_entity":
            spans[row] = others
            dropped |= {(row, word) for word in range(start, end)}
            continue
        if kind == "wrong_type":
            step = random.integers(1, len(types))
            new = (start, end, types[(types.index(label) + step) % len(types)])
        else:
            taken = {word for one in others for word in range(one[0], one[1])}
            moved = [
                (start + left, end + right, label)
                for left in (-1, 0, 1)
                for right in (-1, 0, 1)
                if (left or right)
                and 0 <= start + left < end + right <= sizes[row]
                and start + left < end
                and end + right > start
                and taken.isdisjoint(range(start + left, end + right))
            ]
            if not moved:
                continue
            new = moved[random.integers(len(moved))]
        spans[row] = sorted([*others, new])
        mistakes[row, new] = kind
    invented = 0
    while invented < each:
        row, size = int(random.integers(len(spans))), int(random.integers(1, 4))
        if sizes[row] <= size:
            continue
        start = int(random.integers(0, sizes[row] - size + 1))
        real = [*spans[row], *(data.kind.spans_of(split.examples[row]) or ())]
        if any(one[0] < start + size and start < one[1] for one in real):
            continue
        new = (start, start + size, types[random.integers(len(types))])
        spans[row] = sorted([*spans[row], new])
        mistakes[row, new] = "invented_entity"
        invented += 1
    for row, of_row in enumerate(spans):
        tags = ["O"] * sizes[row]
        for start, end, label in of_row:
            tags[start:end] = [f"B-{label}"] + [f"I-{label}"] * (end - start - 1)
        split.examples[row] = replace(split.examples[row], tags=tuple(tags))
    return mistakes, dropped


def average_precisions(
    data: CheckedData,
    probabilities: np.ndarray,
    mistakes: dict[tuple[int, tuple[int, int, str]], str],
    dropped: set[tuple[int, int]],
) -> dict[str, Any]:
    """Ours and cleanlab's, kind by kind, from the same probabilities.

    Each given entity is a case of the first three kinds, and an entity with another mistake is no
    hit; cleanlab's score of it is that of its worst word. Each word without an entity is a case of
    the last kind.
    """
    from cleanlab.token_classification.rank import get_label_quality_scores
    from sklearn.metrics import average_precision_score

    tags = tag_numbers(data)
    sizes = [len(data.kind.words_of(example)) for example in data.train.examples]
    first = np.concatenate([[0], np.cumsum(sizes)])
    parts = [slice(first[row], first[row + 1]) for row in range(len(sizes))]
    _, quality = get_label_quality_scores(
        [tags[part].tolist() for part in parts], [probabilities[part] for part in parts]
    )
    ours: dict[str, list[float]] = {kind: [] for kind in KINDS}
    theirs: list[float] = []
    truth: list[str] = []
    missing = np.zeros(len(tags))
    for row, part in enumerate(parts):
        words = 1 - np.asarray(quality[row])
        spans = data.kind.spans_of(data.train.examples[row]) or []
        for doubt in doubt_entities(probabilities[part], spans, data.labels):
            start, end, _ = doubt.span
            if "missing_entity" in doubt.scores:
                inside = slice(first[row] + start, first[row] + end)
                missing[inside] = doubt.scores["missing_entity"]
                continue
            for kind in KINDS[:3]:
                ours[kind].append(doubt.scores.get(kind, 0.0))
            theirs.append(float(words[start:end].max()))
            truth.append(mistakes.get((row, doubt.span), ""))
    result = {}
    for kind in KINDS[:3]:
        hits = [one == kind for one in truth]
        result[kind] = _pair(average_precision_score, hits, ours[kind], theirs)
    outside = tags == 0
    was_entity = np.zeros(len(tags), bool)
    was_entity[[first[row] + word for row, word in dropped]] = True
    by_word = 1 - np.concatenate([np.asarray(one) for one in quality])
    # Words where nothing is looked for come last, in the order of their probabilities.
    missing = missing + 1e-6 * by_word
    result["missing_entity"] = _pair(
        average_precision_score, was_entity[outside], missing[outside], by_word[outside]
    )
    return result


def _pair(score: Any, hits: Any, ours: Any, theirs: Any) -> dict[str, float]:
    return {
        "cases": int(np.sum(hits)),
        "doctor": round(float(score(hits, ours)), 4),
        "cleanlab_tokens": round(float(score(hits, theirs)), 4),
    }
