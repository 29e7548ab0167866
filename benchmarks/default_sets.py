"""The panel of training sets that defaults are chosen on: small, public, and unlike each other.

Each set is rows in Python, in three splits. Three come with the package; the others are cut from
public data sets, and are left out where those are not at hand.
"""

import csv
import json
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from lowcost_ft.data.sample import sample_entity_messages, sample_intents

__all__ = ["PANEL", "PanelSet", "rows_of"]

Rows = list[dict[str, Any]]
VALIDATION, TEST = 200, 400


@dataclass(frozen=True, kw_only=True)
class PanelSet:
    """One training set of the panel.

    Attributes:
        name: Its name in results.
        task: What a model learns from it.
        rows: Training rows at scale 1.
        least: Training rows that a smaller scale leaves at least.
        what: What is peculiar about it.
        source: From the folder of data, all its rows: training, validation and test. Validation
            None: it is cut from the training rows, apart from those that train.
    """

    name: str
    task: str
    rows: int
    least: int
    what: str
    source: Callable[[Path], tuple[Rows, Rows | None, Rows]]


def rows_of(
    one: PanelSet, data_dir: Path, scale: float, most_words: int | None = None
) -> dict[str, Rows]:
    """The splits of a set at a scale: the same rows each time, drawn with a seed of their own.

    Args:
        one: The set.
        data_dir: Folder of the public data sets.
        scale: Share of its training rows to take.
        most_words: Leave out longer rows, for a panel that costs less; the sets of long texts
            keep theirs, cut after twice as many words.
    """
    train, validation, test = one.source(data_dir)
    if most_words:
        train, test = _short(train, one, most_words), _short(test, one, most_words)
        validation = validation and _short(validation, one, most_words)
    Random(1).shuffle(train)
    if validation is None:
        validation, train = train[:VALIDATION], train[VALIDATION:]
    else:
        Random(2).shuffle(validation)
    Random(3).shuffle(test)
    count = min(one.rows, max(one.least, round(one.rows * scale)))
    train = train[:count]
    if one.task == "classification":
        # A label that no training row has cannot be learned or scored.
        known = {label for row in train for label in _labels(row)}
        validation, test = (
            [row for row in split if set(_labels(row)) <= known] for split in (validation, test)
        )
    return {
        "train": train,
        "validation": validation[:VALIDATION],
        "test": test[:TEST],
    }


def _short(rows: Rows, one: PanelSet, most_words: int) -> Rows:
    if one.least < 200 or one.name in _LONG:
        return [_cut(row, 2 * most_words) for row in rows]
    short = [row for row in rows if len(row.get("tokens") or row["text"].split()) <= most_words]
    return short if len(short) >= VALIDATION else rows


_LONG = ("ag-news", "french-sources")


def _cut(row: dict[str, Any], words: int) -> dict[str, Any]:
    if "tokens" in row:
        return {name: row[name][:words] for name in ("tokens", "ner_tags")}
    return row | {"text": " ".join(row["text"].split()[:words])}


def _labels(row: dict[str, Any]) -> list[str]:
    label = row["label"]
    return label if isinstance(label, list) else [label]


def _conll(file: Path) -> Rows:
    rows: Rows = []
    words: list[list[str]] = []
    for line in [*file.read_text("utf-8").splitlines(), ""]:
        parts = line.split("\t")
        if parts[0].strip():
            words.append(parts)
        elif words:
            rows.append({"tokens": [w[0] for w in words], "ner_tags": [w[1] for w in words]})
            words = []
    return rows


def _wnut(folder: Path) -> tuple[Rows, Rows | None, Rows]:
    train, validation, test = (
        _conll(folder / "wnut17" / f"{name}.conll") for name in ("train", "dev", "test")
    )
    return train, validation, test


def _wnut_long(folder: Path) -> tuple[Rows, Rows | None, Rows]:
    """Five sentences a row: long texts, and few optimizer steps."""

    def joined(rows: Rows) -> Rows:
        Random(4).shuffle(rows)
        return [
            {k: [x for row in rows[i : i + 5] for x in row[k]] for k in ("tokens", "ner_tags")}
            for i in range(0, len(rows) - 4, 5)
        ]

    train, validation, test = _wnut(folder)
    return joined(train), joined(validation or []), joined(test)


def _csv(file: Path, text: str, label: str) -> Rows:
    with file.open(encoding="utf-8", newline="") as lines:
        rows = [{"text": row[text], "label": row[label]} for row in csv.DictReader(lines)]
    return [row for row in rows if row["text"].strip()]  # Some reviews are blank.


def _banking(folder: Path) -> tuple[Rows, Rows | None, Rows]:
    train, test = (_csv(folder / "banking77" / f"{n}.csv", "text", "category") for n in _TWO)
    return train, None, test


_TWO = ("train", "test")


def _banking_skewed(folder: Path) -> tuple[Rows, Rows | None, Rows]:
    """Twenty intents, the most frequent of which has some thirty times the rows of the rarest."""
    train, _, test = _banking(folder)
    names = sorted({row["label"] for row in train})[::4][:20]
    rng = Random(5)
    counts = Counter(row["label"] for row in train)
    most = min(counts[name] for name in names)
    share = {name: max(4 / most, 0.84**i) for i, name in enumerate(names)}
    kept = [row for row in train if rng.random() < share.get(row["label"], 0)]
    return kept, None, [row for row in test if row["label"] in share]


def _banking_pairs(folder: Path) -> tuple[Rows, Rows | None, Rows]:
    """Whether two messages have the same intent; half of the other pairs share a first word."""
    train, _, test = _banking(folder)

    def pairs(rows: Rows, count: int, seed: int) -> Rows:
        rng = Random(seed)
        by_label: dict[str, list[str]] = {}
        for row in rows:
            by_label.setdefault(row["label"], []).append(row["text"])
        names = sorted(by_label)
        found: Rows = []
        for number in range(count):
            position = rng.randrange(len(names))
            one = rng.choice(by_label[names[position]])
            if number % 2:
                other = rng.choice(by_label[names[position]])
            else:  # Neighbours in the alphabet are often related: card_arrival, card_linking.
                step = rng.choice((-2, -1, 1, 2))
                other = rng.choice(by_label[names[(position + step) % len(names)]])
            label = "same" if number % 2 else "other"
            found.append({"text": one, "text_pair": other, "label": label})
        return found

    return pairs(train, 3000, 6), None, pairs(test, 1000, 7)


def _sample_entities(_: Path) -> tuple[Rows, Rows | None, Rows]:
    rows = sample_entity_messages()
    return rows["train"], rows["validation"], rows["test"]


def _sample_intents(_: Path) -> tuple[Rows, Rows | None, Rows]:
    rows = sample_intents()
    return rows["train"], rows["validation"], rows["test"]


def _sample_kinds(_: Path) -> tuple[Rows, Rows | None, Rows]:
    """Which kinds of entity a message holds: several labels a text."""
    rows = sample_entity_messages()
    several = {
        name: [
            {"text": row["text"], "label": sorted({e["label"] for e in row["entities"]})}
            for row in split
        ]
        for name, split in rows.items()
    }
    return several["train"], several["validation"], several["test"]


def _semeval(folder: Path) -> tuple[Rows, Rows | None, Rows]:
    def read(name: str) -> Rows:
        lines = (folder / "semeval2010_task8" / f"{name}.jsonl").read_text("utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        return [{"text": row["marked"], "label": row["label"]} for row in rows]

    return read("train"), None, read("test")


_PIECES = re.compile(r"\w+|[^\w\s]")


def _semeval_roles(folder: Path) -> tuple[Rows, Rows | None, Rows]:
    """What two nouns of a sentence are to each other, as entities: cause, effect, whole, part."""

    def read(name: str) -> Rows:
        lines = (folder / "semeval2010_task8" / f"{name}.jsonl").read_text("utf-8").splitlines()
        found: Rows = []
        for row in map(json.loads, lines):
            names, _, order = row["label"].partition("(")
            roles = names.split("-") if order else [names] * 2
            spans = {
                role: (row[end]["start"], row[end]["end"])
                for role, end in zip(("1", "2"), ("head", "tail"), strict=True)
            }
            if order.startswith("e2"):
                roles.reverse()
            tokens, tags = [], []
            for piece in _PIECES.finditer(row["text"]):
                tag = "O"
                for role, (start, end) in zip(roles, spans.values(), strict=True):
                    if start <= piece.start() < end:
                        tag = ("B-" if piece.start() == start else "I-") + role
                tokens.append(piece.group())
                tags.append(tag)
            found.append({"tokens": tokens, "ner_tags": tags})
        return found

    return read("train"), None, read("test")


def _few(name: str) -> Callable[[Path], tuple[Rows, Rows | None, Rows]]:
    def read(folder: Path) -> tuple[Rows, Rows | None, Rows]:
        train, test = (_csv(folder / "fewshot" / f"{name}_{n}.csv", "text", "label") for n in _TWO)
        return train, None, test

    return read


def _french(folder: Path) -> tuple[Rows, Rows | None, Rows]:
    """Where a French sentence is from: a language that the model hardly knows, and skewed."""

    def read(name: str) -> Rows:
        lines = (folder / "tico19_en_fr" / f"{name}.jsonl").read_text("utf-8").splitlines()
        rows = [json.loads(line) for line in lines]
        return [
            {"text": row["translation"]["fr"], "label": row["id"].split(":")[0].rsplit("_", 1)[0]}
            for row in rows
        ]

    return read("train"), read("validation"), read("test")


def _set(name: str, task: str, rows: int, what: str, source: Any, least: int = 200) -> PanelSet:
    return PanelSet(name=name, task=task, rows=rows, least=least, what=what, source=source)


_NER, _CLASSES = "ner", "classification"
PANEL: tuple[PanelSet, ...] = (
    _set("wnut17-300", _NER, 300, "rare entities in social media", _wnut),
    _set("wnut17-1000", _NER, 1000, "the same, more rows", _wnut),
    _set("wnut17-long", _NER, 200, "the same, five sentences a row", _wnut_long, 100),
    _set("sample-entities", _NER, 1000, "messages to a shop, 7 types", _sample_entities),
    _set("sample-intents", _CLASSES, 1200, "messages to a shop, skewed", _sample_intents),
    _set("sample-kinds", _CLASSES, 1000, "several labels a text", _sample_kinds),
    _set("banking77", _CLASSES, 2000, "77 intents", _banking),
    _set("banking77-skewed", _CLASSES, 1000, "20 intents, skewed", _banking_skewed),
    _set("banking77-pairs", _CLASSES, 1000, "pairs: the same intent?", _banking_pairs),
    _set("semeval2010", _CLASSES, 1000, "relations, entities marked in the text", _semeval),
    _set("semeval-roles", _NER, 1000, "roles of two nouns a sentence, 19 types", _semeval_roles),
    _set("ag-news", _CLASSES, 600, "4 topics, longer texts", _few("ag_news")),
    _set("reviews", _CLASSES, 1000, "sentiment of sentences", _few("customer_reviews")),
    _set("french-sources", _CLASSES, 500, "French sentences, skewed", _french),
)
