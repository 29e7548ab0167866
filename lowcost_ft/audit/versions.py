"""Counterfactual versions of a text: one for each group, with that group's words in it."""

from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from lowcost_ft.audit.grammar import article_edit, cased, starts_sentence
from lowcost_ft.audit.groups import Attribute
from lowcost_ft.audit.mentions import Finder, Mention
from lowcost_ft.data.languages import script_of
from lowcost_ft.data.text_edits import Edit, SpannedText, edited, joined

__all__ = ["Found", "TextVersions", "Version", "versions_of"]

WORDS_A_GROUP = 4
"""Words of a group that each text is tried with, where they are a sample of many."""


@dataclass(frozen=True, kw_only=True)
class Version:
    """A text for one group.

    Attributes:
        group: The group.
        word: What stands in the place of the first mention.
        listed: The same as the list has it.
        example: The example; the very same one where nothing had to be changed.
    """

    group: str
    word: str
    listed: str
    example: Any


@dataclass(frozen=True, kw_only=True)
class TextVersions:
    """An example and its versions, equally many for each group.

    Attributes:
        example: The example; with a sentence in front where it had no mention.
        unit: What texts share that are not independent, as the file has them (`Task.group_of`).
        group: The group that it mentions first.
        groups: All groups that it mentions.
        has_sentence: Whether a sentence was put in front.
        without: The texts without the words: equal ones are one text about several people.
        versions: Those of the first group, of the second, ...
    """

    example: Any
    unit: Hashable
    group: str
    groups: frozenset[str]
    has_sentence: bool
    without: tuple[str, ...]
    versions: tuple[Version, ...]


@dataclass(kw_only=True)
class Found:
    """The versions of all examples.

    Attributes:
        texts: One an example that mentions a group.
        left_out: Why examples with a mention have no versions -> the place of each in its file.
    """

    texts: list[TextVersions] = field(default_factory=list)
    left_out: dict[str, list[str]] = field(default_factory=dict)


class _NoVersionsError(Exception):
    """Why an example has none."""


def versions_of(
    task: Any, examples: Sequence[Any], attribute: Attribute, *, add_sentences: bool, seed: int
) -> Found:
    """The versions of those examples that mention a group.

    The group that a text mentions first changes places with the other one: all of its words become
    the other's, and words of the other group become those of the first. So a text about him and
    her stays one about two people. Of names, every mention of the first one is replaced, and words
    such as "she" follow.

    Args:
        task: Their task.
        examples: Labelled ones.
        attribute: The groups.
        add_sentences: Put the attribute's sentence in front of texts without a mention.
        seed: Deals words of a sample to texts, each about equally often.
    """
    dealer = None if attribute.matched else _Dealer(attribute, seed)
    finder, found = Finder(attribute), Found()
    companion = None if attribute.companion is None else Finder(attribute.companion)
    for number, example in enumerate(examples):
        texts, unit = task.spanned_texts(example), task.group_of(example)
        mentions = finder.mentions(texts) if texts else []
        added = not mentions and add_sentences
        if added:
            example, texts = _with_sentence(task, example, texts, attribute, number)
            mentions = finder.mentions(texts) if texts else []
        if not mentions:
            continue
        try:
            versions = (
                _matched(task, example, texts, mentions, finder)
                if dealer is None
                else _sampled(task, example, texts, mentions, dealer, companion)
            )
        except _NoVersionsError as reason:
            found.left_out.setdefault(str(reason), []).append(example.source)
            continue
        found.texts.append(
            TextVersions(
                example=example,
                unit=unit,
                group=mentions[0].group,
                groups=frozenset(mention.group for mention in mentions),
                has_sentence=added,
                without=_without(texts, mentions),
                versions=versions,
            )
        )
    return found


def _without(texts: Sequence[SpannedText], mentions: Sequence[Mention]) -> tuple[str, ...]:
    found = []
    for part, spanned in enumerate(texts):
        text = spanned.text
        for mention in reversed([one for one in mentions if one.part == part]):
            text = text[: mention.start] + "\0" + text[mention.end :]
        found.append(text)
    return tuple(found)


def _with_sentence(
    task: Any, example: Any, texts: Sequence[SpannedText], attribute: Attribute, number: int
) -> tuple[Any, Sequence[SpannedText]]:
    """The example with a sentence in front, about each group in turn; no texts where it cannot."""
    if attribute.sentence is None or not texts:
        return example, ()
    language = "zh" if script_of(texts[0].text) == "Han" else "en"
    if attribute.language not in (None, language):
        return example, ()
    group = list(attribute.groups)[number % len(attribute.groups)]
    words = attribute.words(group)
    word = words[attribute.sentence_word] if attribute.matched else words[number % len(words)]
    start = attribute.sentence.index("{}")
    sentence = attribute.sentence.replace("{}", word)
    if article := article_edit(sentence, start, "x", word):
        sentence = edited(SpannedText(sentence), [article]).text
    whole = joined([SpannedText(sentence), texts[0]], "" if language == "zh" else " ")
    changed = task.with_texts(example, (whole, *texts[1:]))
    return (example, ()) if changed is None else (changed, task.spanned_texts(changed))


def _matched(
    task: Any,
    example: Any,
    texts: Sequence[SpannedText],
    mentions: Sequence[Mention],
    finder: Finder,
) -> tuple[Version, ...]:
    first = mentions[0].group
    versions = []
    for group in finder.attribute.groups:
        other = {first: group, group: first}
        put = [_of_group(finder, one, other.get(one.group, one.group)) for one in mentions]
        versions.append(_version(task, example, texts, mentions, put, group))
    return tuple(versions)


class _Dealer:
    """Deals the words of each group and kind in random order, in turn."""

    def __init__(self, attribute: Attribute, seed: int) -> None:
        random = np.random.default_rng(seed)
        self.groups = list(attribute.groups)
        self._decks: Mapping[tuple[str, str], list[str]] = {
            (group, kind): [words[i] for i in random.permutation(len(words))]
            for group, kinds in attribute.groups.items()
            for kind, words in kinds.items()
        }

    def deal(self, kind: str, taken: set[str]) -> dict[str, list[str]]:
        """Words of one kind for each group, equally many, none of which the text has already."""
        decks = {
            group: [word for word in self._decks[group, kind] if word.casefold() not in taken]
            for group in self.groups
        }
        count = min(WORDS_A_GROUP, *map(len, decks.values()))
        dealt = {group: words[:count] for group, words in decks.items()}
        for group, words in dealt.items():
            deck = self._decks[group, kind]
            for word in words:
                deck.remove(word)
            deck.extend(words)
        return dealt


def _sampled(
    task: Any,
    example: Any,
    texts: Sequence[SpannedText],
    mentions: Sequence[Mention],
    dealer: _Dealer,
    companion: Finder | None,
) -> tuple[Version, ...]:
    first = mentions[0]
    name = first.listed.casefold()
    same = [mention for mention in mentions if mention.listed.casefold() == name]
    others = [mention for mention in mentions if mention.listed.casefold() != name]
    follow = [
        mention
        for mention in (() if companion is None else companion.mentions(texts))
        if mention.group == first.group
    ]
    if follow and any(mention.group == first.group for mention in others):
        raise _NoVersionsError("it names several people whom a pronoun could mean")
    dealt = dealer.deal(first.kind, {mention.listed.casefold() for mention in others})
    versions = tuple(
        _version(
            task,
            example,
            texts,
            [*same, *follow],
            [word] * len(same) + [_of_group(companion, one, group) for one in follow],
            group,
        )
        for group, words in dealt.items()
        for word in words
    )
    if not versions:
        raise _NoVersionsError("the text mentions every word of a group already")
    return versions


def _of_group(finder: Finder | None, mention: Mention, group: str) -> str:
    """What stands for a matched word in a group."""
    if group == mention.group:
        return mention.listed
    if mention.place is None:
        raise _NoVersionsError('"her" or "his" could be either of two words')
    assert finder is not None
    return finder.attribute.words(group)[mention.place]


def _version(
    task: Any,
    example: Any,
    texts: Sequence[SpannedText],
    mentions: Sequence[Mention],
    put: Sequence[str],
    group: str,
) -> Version:
    """The example with other words in the places of some mentions."""
    edits: list[list[Edit]] = [[] for _ in texts]
    words = []
    for mention, word in zip(mentions, put, strict=True):
        text = texts[mention.part].text
        own = text[mention.start : mention.end]
        new = own if word == mention.listed else cased(own, mention.listed, word)
        if own[:1].isupper() and starts_sentence(text, mention.start):
            new = new[:1].upper() + new[1:]
        words.append(new)
        if new == own:
            continue
        if mention.fixed:
            raise _NoVersionsError("a word lies across the edge of an entity")
        edits[mention.part].append((mention.start, mention.end, new))
        if article := article_edit(text, mention.start, own, new):
            edits[mention.part].append(article)
    changed = example
    if any(edits):
        changed = task.with_texts(
            example,
            [
                edited(spanned, own) if own else spanned
                for spanned, own in zip(texts, edits, strict=True)
            ],
        )
        if changed is None:
            raise _NoVersionsError("an entity would not be whole words any more")
    return Version(group=group, word=words[0], listed=put[0], example=changed)
