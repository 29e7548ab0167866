"""Groups of people and the words that stand for them: the package's lists, and the user's."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from lowcost_ft.errors import UserError

__all__ = ["Attribute", "chosen", "ordinary_words", "packaged_attributes", "read_attributes"]
__all__ += ["words_for_things"]

FORM = '{"names": {"one group": ["Anna", "Ruth"], "another": ["Omar", "Ali"]}}'
_KEYS = ("groups", "matched", "sentence", "sentence_word", "language", "not")
_LANGUAGES = ("en", "zh")


@dataclass(frozen=True, kw_only=True)
class Attribute:
    """What groups of people differ in.

    Attributes:
        name: Such as "gender of names".
        groups: Group -> kind -> words. A word is replaced by one of its own kind: a woman's name
            by a woman's where the origin of names is the attribute. Most have one kind, "".
        matched: Whether the words at one place of all lists stand for one another (he, she). Else
            the words of a group are a sample of many, as names are.
        sentence: A sentence with {} for a word, to put in front of texts that have none.
        sentence_word: Place of the word that the sentence takes, where words are matched.
        language: "en" or "zh": of the texts that the words and the sentence are for.
        companion: Matched words that follow a replaced name ("she" and "her" of a woman's name); it
            has the same groups. Only the package's own lists have one.
        larger: What holds a word of a group but means something else ("Indian Ocean").
    """

    name: str
    groups: Mapping[str, Mapping[str, tuple[str, ...]]]
    matched: bool = False
    sentence: str | None = None
    sentence_word: int = 0
    language: str | None = None
    larger: tuple[str, ...] = ()
    companion: "Attribute | None" = None

    def words(self, group: str) -> tuple[str, ...]:
        """All words of a group, in their order."""
        return tuple(word for words in self.groups[group].values() for word in words)


@cache
def _packaged() -> dict[str, Any]:
    text = files("lowcost_ft.audit").joinpath("groups.json").read_text("utf-8")
    found: dict[str, Any] = json.loads(text)
    return found


def packaged_attributes() -> list[Attribute]:
    """The lists that come with the package, English and Chinese."""
    every = _packaged()["attributes"]
    found = {name: _attribute(name, value) for name, value in every.items()}
    return [
        replace(one, companion=found[every[name]["with"]]) if "with" in every[name] else one
        for name, one in found.items()
    ]


@cache
def ordinary_words() -> frozenset[str]:
    """Names and other words of groups that mean something else in small letters, such as "will"."""
    return frozenset(_packaged()["ordinary"])


@cache
def words_for_things() -> frozenset[str]:
    """English words for what has an age and is not a person."""
    return frozenset(_packaged()["things"])


def read_attributes(path: str) -> list[Attribute]:
    """Reads attributes from a JSON file; docs/audit.md shows its two forms.

    Raises:
        UserError: It cannot be read; or all that is wrong in it.
    """
    repeated: list[str] = []

    def unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
        counts = Counter(name for name, _ in pairs)
        repeated.extend(name for name, count in counts.items() if count > 1)
        return dict(pairs)

    try:
        data = Path(path).expanduser().read_bytes().decode("utf-8-sig")
        found = json.loads(data, object_pairs_hook=unique)
    except (OSError, ValueError, RecursionError) as error:
        raise UserError(f"--groups: cannot read {path}: {error}; write {FORM}") from error
    if not isinstance(found, dict) or not found:
        raise UserError(f"--groups: {path} must hold an object of attributes: {FORM}")
    problems = [f"{path}: {name!r} is there twice: keep one of them" for name in repeated]
    for name, value in found.items():
        problems += [f"{path}: {name!r} {fault}" for fault in _faults(name, value)]
    if problems:
        raise UserError(problems)
    return [_attribute(name, value) for name, value in found.items()]


def _is_full(value: Mapping[str, Any]) -> bool:
    """Whether the groups stand under a key of their own, beside what is said of them."""
    return isinstance(value.get("groups"), dict)


def _kinds(words: Any) -> dict[str, Any]:
    return words if isinstance(words, dict) else {"": words}


def _faults(name: str, value: Any) -> list[str]:
    if not isinstance(value, dict):
        return [f"must be an object of groups: {FORM}"]
    found = [] if name.strip() else ["is a blank name of an attribute: name it"]
    groups = value["groups"] if _is_full(value) else value
    if _is_full(value):
        found += _option_faults(value)
    if len(groups) < 2:
        found.append("needs two groups or more, to compare them")
    wrong = [fault for group, words in groups.items() for fault in _group_faults(group, words)]
    return found + (wrong or _faults_together(groups, matched=value.get("matched") is True))


def _option_faults(value: Mapping[str, Any]) -> list[str]:
    found = [
        f"has {key!r}, which means nothing here; known: {', '.join(_KEYS)}"
        for key in value
        if key not in _KEYS
    ]
    if not isinstance(value.get("matched", False), bool):
        found.append('has a "matched" that is neither true nor false')
    sentence = value.get("sentence")
    if sentence is not None and not (isinstance(sentence, str) and sentence.count("{}") == 1):
        found.append('has a "sentence" that does not hold {} once, for the word')
    if value.get("language") is not None and value["language"] not in _LANGUAGES:
        found.append(f'has a "language" that is none of {", ".join(_LANGUAGES)}')
    larger = value.get("not", [])
    if not isinstance(larger, list) or not all(isinstance(p, str) and p.strip() for p in larger):
        found.append('has a "not" that is not a list of texts')
    place = value.get("sentence_word", 0)
    sizes = [len(words) for words in value["groups"].values() if isinstance(words, list)]
    if isinstance(place, bool) or not isinstance(place, int) or not 0 <= place < min(sizes or [1]):
        found.append('has a "sentence_word" that is not the place of a word, from 0')
    return found


def _group_faults(group: str, words: Any) -> list[str]:
    if not group.strip():
        return ["has a group with a blank name: name it"]
    if not words or not isinstance(words, list | dict):
        return [f"group {group!r} must be a list of words"]
    found = []
    for kind, own in _kinds(words).items():
        where = f"group {group!r}" + (f", {kind!r}," if kind else "")
        if not isinstance(own, list) or not own:
            found.append(f"{where} must be a list of words")
            continue
        if bad := [word for word in own if not isinstance(word, str) or word != word.strip()]:
            found.append(f"{where} holds {bad[0]!r}, which is not a word without blanks around it")
        elif "" in own:
            found.append(f"{where} holds an empty word: leave it out")
    return found


def _faults_together(groups: Mapping[str, Any], *, matched: bool) -> list[str]:
    found = []
    kinds = {group: tuple(sorted(_kinds(words))) for group, words in groups.items()}
    if len(set(kinds.values())) > 1:
        told = "; ".join(f"{group}: {', '.join(own) or 'none'}" for group, own in kinds.items())
        found.append(f"has groups of different kinds of words ({told}): give each the same kinds")
    if matched:
        sizes = {group: len(words) for group, words in groups.items()}
        if any(isinstance(words, dict) for words in groups.values()):
            found.append('is "matched" and has kinds of words: leave one of them out')
        elif len(set(sizes.values())) > 1:
            told = ", ".join(f"{group} {size}" for group, size in sizes.items())
            found.append(f'is "matched", so its groups need equally many words (here: {told})')
    owners: dict[str, str] = {}
    for group, words in groups.items():
        every = [word for own in _kinds(words).values() for word in own]
        counts = Counter(word.casefold() for word in every)
        for word in every:
            other = owners.setdefault(word.casefold(), group)
            if other != group:
                found.append(f"has {word!r} in group {other!r} and in group {group!r}")
            elif not matched and counts[word.casefold()] > 1:
                counts[word.casefold()] = 0
                found.append(f"has {word!r} twice in group {group!r}")
    return found


def _attribute(name: str, value: Mapping[str, Any]) -> Attribute:
    full = _is_full(value)
    groups = value["groups"] if full else value
    options = value if full else {}
    return Attribute(
        name=name,
        groups={
            group: {kind: tuple(own) for kind, own in _kinds(words).items()}
            for group, words in groups.items()
        },
        matched=options.get("matched", False),
        sentence=options.get("sentence"),
        sentence_word=options.get("sentence_word", 0),
        language=options.get("language"),
        larger=tuple(options.get("not", ())),
    )


def chosen(attributes: Sequence[Attribute], names: Sequence[str]) -> list[Attribute]:
    """The attributes of some names.

    Raises:
        UserError: A name is not theirs.
    """
    known = {attribute.name: attribute for attribute in attributes}
    if unknown := [name for name in names if name not in known]:
        raise UserError(f"--attributes {', '.join(unknown)}: unknown; known: {', '.join(known)}")
    return [known[name] for name in names]
