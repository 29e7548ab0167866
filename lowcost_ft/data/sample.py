"""The embedded sample data: seeded messages to a small shop, for intents and for entities.

Written for this project, so that every recipe runs without a data set. It is meant to be hard
enough to tell a good run from a bad one: test messages partly use phrases and names that training
never shows, some words are ambiguous, and people make typing mistakes.

Only ``random.Random(seed).random()`` is drawn from, because that stream alone is promised to be
the same in every Python version; the rows are therefore the same everywhere.
"""

import re
from collections.abc import Mapping, Sequence
from random import Random
from typing import Any, TypeVar

from lowcost_ft.data.sample_text import (
    entity_names,
    entity_sentences,
    intent_frames,
    intents,
    intents_heldout,
)

__all__ = ["entity_pieces", "is_new", "joined", "noisy", "pick", "sample_entity_messages"]
__all__ += ["sample_intents", "split_phrases"]

T = TypeVar("T")

# A message in pieces, each with the entity type it is, or None.
Pieces = list[tuple[str, str | None]]

_SPLITS = ("train", "validation", "test")
_INTENT_ROWS = {"train": 1200, "validation": 200, "test": 300}
_ENTITY_ROWS = {"train": 1000, "validation": 200, "test": 300}
_SEED = 20240
# Slots of the sentences that are named otherwise than their entity type.
_LABELS = {
    "past": "date",
    "future": "date",
    "since": "date",
    "courier": "organisation",
    "bank": "organisation",
    "firm": "organisation",
}
_INTENT_PHRASES: dict[str, Mapping[str, tuple[str, ...]]] = {
    "train": intents.TRAIN,
    "validation": intents_heldout.VALIDATION,
    "test": intents_heldout.TEST,
}

_ALTERNATIVES = re.compile(r"\[([^\[\]]*)\]")
_DIGITS = re.compile(r"\{d(\d)\}")
_SLOT = re.compile(r"\{(\w+)(?::([^{}]*))?\}")
_WORD = re.compile(r"[^\W_]{4,}")


def sample_entity_messages() -> dict[str, list[dict[str, Any]]]:
    """The NER sample as running text, by split.

    Returns:
        Rows ``{"text": str, "entities": [{"start": int, "end": int, "label": str}]}``; offsets
        count characters, the end is exclusive.
    """
    rng = Random(_SEED + 1)
    seen: set[str] = set()
    messages: dict[str, list[dict[str, Any]]] = {}
    for split in _SPLITS:
        rows: list[dict[str, Any]] = []
        while len(rows) < _ENTITY_ROWS[split]:
            row = joined(noisy(rng, _entity_message(rng, split)))
            if is_new(row["text"], seen):
                rows.append(row)
        messages[split] = rows
    return messages


def sample_intents() -> dict[str, list[dict[str, Any]]]:
    """The sample of intents: rows ``{"text": str, "label": str}`` by split, no text twice."""
    rng = Random(_SEED)
    seen: set[str] = set()
    labels = [label for label, weight in intent_frames.WEIGHTS.items() for _ in range(weight)]
    rows_by_split: dict[str, list[dict[str, Any]]] = {}
    for split in _SPLITS:
        rows: list[dict[str, Any]] = []
        while len(rows) < _INTENT_ROWS[split]:
            # Every hundred rows hold the weights (ambiguous ones aside): no class is short.
            label = labels[len(rows) * 37 % len(labels)]
            text, label = _intent_message(rng, split, label)
            if is_new(text, seen):
                rows.append({"text": text, "label": label})
        rows_by_split[split] = _shuffled(rng, rows)
    return rows_by_split


def _intent_message(rng: Random, split: str, label: str) -> tuple[str, str]:
    """One message with this intent; rarely an ambiguous one, whose label is drawn."""
    if rng.random() < 0.02:
        core, labels = pick(rng, intent_frames.AMBIGUOUS)
        label = pick(rng, labels)
    else:
        phrases = split_phrases(rng, split, _INTENT_PHRASES)
        core = pick(rng, phrases[label])
    sentences = [core]
    if rng.random() < 0.25:
        others = [intent for intent in intent_frames.REMARKS if intent != label]
        remark = pick(rng, intent_frames.REMARKS[pick(rng, others)])
        sentences.insert(0 if rng.random() < 0.6 else 1, remark)
    if rng.random() < 0.45:
        sentences.insert(0, _pick_one(rng, _edge(rng, split, intent_frames.OPENERS)))
    if rng.random() < 0.4:
        sentences.append(_pick_one(rng, _edge(rng, split, intent_frames.CLOSERS)))
    expanded = [_capitalised(_filled(rng, one, intent_frames.FILLERS)) for one in sentences]
    pieces = noisy(rng, [(" ".join(expanded), None)])
    return pieces[0][0], label


def _entity_message(rng: Random, split: str) -> Pieces:
    """A greeting, one to three sentences and a sign-off, in pieces."""
    parts = [_pick_one(rng, _edge(rng, split, entity_sentences.GREETINGS))]
    draw = rng.random()
    for _ in range(1 if draw < 0.45 else 2 if draw < 0.85 else 3):
        sentence = pick(rng, split_phrases(rng, split, entity_sentences.SENTENCES))
        if sentence not in parts:
            parts.append(sentence)
    parts.append(_pick_one(rng, _edge(rng, split, entity_sentences.SIGN_OFFS)))
    pieces: Pieces = []
    for part in filter(None, parts):
        if pieces:
            pieces.append((" ", None))
        pieces.extend(entity_pieces(rng, split, part))
    return pieces


def entity_pieces(rng: Random, split: str, template: str) -> Pieces:
    template = _chosen(rng, template)
    pieces: Pieces = []
    position = 0
    for slot in _SLOT.finditer(template):
        name, fixed = slot.groups()
        before = template[position : slot.start()]
        position = slot.end()
        if name in entity_names.FILLERS:
            label, text = None, _numbered(rng, _pick_one(rng, entity_names.FILLERS[name]))
        else:
            label, text = _LABELS.get(name, name), fixed or _new_name(rng, split, name, pieces)
        if label == "date":
            preposition, text = _without_preposition(text)
            if name != "since":
                before += preposition
        pieces.extend([(before, None), (text, label)])
    pieces.append((template[position:], None))
    pieces = [piece for piece in pieces if piece[0]]
    first_text, first_label = pieces[0]
    return [(_capitalised(first_text), first_label), *pieces[1:]]


def _new_name(rng: Random, split: str, slot: str, used: Pieces) -> str:
    """A name of this split, in a quarter of the draws of training, not used in the sentence."""
    while True:
        names = entity_names.NAMES[split if rng.random() < 0.75 else "train"]
        name = _numbered(rng, _pick_one(rng, names["past" if slot == "since" else slot]))
        if all(name != text for text, _ in used):
            return name


def _without_preposition(date: str) -> tuple[str, str]:
    for preposition in ("on ", "in ", "at ", "before "):
        if date.startswith(preposition):
            return preposition, date.removeprefix(preposition)
    return "", date


def split_phrases(rng: Random, split: str, by_split: Mapping[str, T]) -> T:
    """Phrases of training; for the other splits in two draws of five their own."""
    return by_split[split if rng.random() < 0.4 else "train"]


def _edge(rng: Random, split: str, pools: dict[str, str]) -> str:
    heldout = split != "train" and rng.random() < 0.5
    return pools["heldout" if heldout else "train"]


def noisy(rng: Random, pieces: Pieces) -> Pieces:
    """Typing mistakes, casing and lost punctuation, as customers write; entities stay entities."""
    if rng.random() < 0.25:
        pieces = [
            (text if label else re.sub(r"[.,!?]+(?=\s|$)", "", text), label)
            for text, label in pieces
        ]
    if rng.random() < 0.4:
        pieces = [
            (_WORD.sub(lambda word: _mistyped(rng, word.group()), text), label)
            for text, label in pieces
        ]
    casing = rng.random()
    if casing < 0.25:
        pieces = [(text.lower(), label) for text, label in pieces]
    elif casing < 0.29:
        pieces = [(text.upper(), label) for text, label in pieces]
    return [piece for piece in pieces if piece[0]]


def _mistyped(rng: Random, word: str) -> str:
    """The word, in one case of twelve with two letters swapped, or one dropped or doubled."""
    if rng.random() >= 1 / 12 or not word.isalpha():
        return word
    at = 1 + int(rng.random() * (len(word) - 2))
    kind = int(rng.random() * 3)
    middle = (word[at + 1] + word[at], word[at + 1], word[at] * 2 + word[at + 1])[kind]
    return word[:at] + middle + word[at + 2 :]


def joined(pieces: Pieces) -> dict[str, Any]:
    text = ""
    entities = []
    for part, label in pieces:
        if label:
            entities.append({"start": len(text), "end": len(text) + len(part), "label": label})
        text += part
    return {"text": text, "entities": entities}


def _filled(rng: Random, template: str, fillers: dict[str, str]) -> str:
    """The template with alternatives chosen; the same slot gets the same filler throughout."""
    text = _chosen(rng, template)
    return _SLOT.sub(lambda slot: _pick_one(rng, fillers[slot.group(1)]), text)


def _chosen(rng: Random, template: str) -> str:
    return _ALTERNATIVES.sub(lambda found: _pick_one(rng, found.group(1)), template)


def _numbered(rng: Random, text: str) -> str:
    """``{d4}`` becomes four digits of which the first is not zero."""

    def digits(found: re.Match[str]) -> str:
        count = int(found.group(1))
        return str(10 ** (count - 1) + int(rng.random() * 9 * 10 ** (count - 1)))

    return _DIGITS.sub(digits, text)


def _capitalised(text: str) -> str:
    return text[:1].upper() + text[1:]


def is_new(text: str, seen: set[str]) -> bool:
    """Whether the text was not seen, whatever its casing and punctuation; it is then."""
    key = "".join(character for character in text.casefold() if character.isalnum())
    new = key not in seen
    seen.add(key)
    return new


def pick(rng: Random, items: Sequence[T]) -> T:
    return items[int(rng.random() * len(items))]


def _pick_one(rng: Random, alternatives: str) -> str:
    """One of ``a|b|c``."""
    return pick(rng, alternatives.split("|"))


def _shuffled(rng: Random, items: Sequence[T]) -> list[T]:
    keyed = [(rng.random(), item) for item in items]
    return [item for _, item in sorted(keyed, key=lambda pair: pair[0])]
