"""Conversations -> tokens: what is read, what is learned, and what is cut where it is too long."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

from lowcost_ft.data.features import IGNORED_LABEL
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.problems import capped
from lowcost_ft.tasks.writing.chat_format import ChatFormat
from lowcost_ft.tasks.writing.example import Turn, WritingExample
from lowcost_ft.tasks.writing.special_tokens import SpecialTokens

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

__all__ = ["CUTS", "Encoded", "Encoding"]

CUTS = ("inputs", "targets", "turns")
"""What can be cut: the text to read, the text to learn, and the oldest turns of a dialogue."""

Fill = Callable[[str], str]
"""Puts a row's text into the template of the input."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoded:
    """The tokens of one example.

    Attributes:
        ids: What is read and what is learned.
        targets: Of each token the one that should follow, `IGNORED_LABEL` where that is not
            learned.
        prompt_tokens: How many of `ids` come before the last target.
        cuts: Which of `CUTS` were made.
    """

    ids: list[int]
    targets: list[int]
    prompt_tokens: int
    cuts: frozenset[str]


@dataclass(frozen=True)
class Encoding:
    """How the examples of one run become tokens, for a decoder.

    Special tokens are those of the chat template and of `fill`. Inside a row's texts their names
    are characters like others.

    Attributes:
        tokenizer: The model's.
        format: The chat template.
        fill: Makes the last turn's text of the row's; None: as it is.
        max_length: Most tokens of a row.
        max_target_length: Most tokens of a target, its end included.
        keeps_newest: Whether a conversation that is too long loses its oldest turns; else the text
            of its only turn loses its end.
    """

    tokenizer: PreTrainedTokenizerBase
    format: ChatFormat
    fill: Fill | None
    max_length: int
    max_target_length: int
    keeps_newest: bool
    _known: dict[str, list[int]] = field(default_factory=dict, repr=False)

    @cached_property
    def special(self) -> SpecialTokens:
        """The tokenizer's special tokens."""
        return SpecialTokens(self.tokenizer)

    @property
    def room(self) -> int:
        """Tokens that there are for the prompt, whatever the length of the target."""
        return self.max_length - self.max_target_length

    def encode(self, examples: Sequence[WritingExample]) -> list[Encoded]:
        """Tokens of some examples, of which all texts are tokenized together.

        Raises:
            UserError: Every example that the template does not take, or that has no room.
        """
        problems: list[str] = []
        found = []
        contexts = []
        for example in examples:
            try:
                contexts.append(self._contexts(example.turns))
            except ValueError as error:
                problems.append(
                    f"{example.source}: the model's chat template refuses the turns [{error}]; "
                    "correct them, or give another --chat-template"
                )
        if problems:
            raise UserError(capped(problems), total=len(problems))
        self._tokenize(
            text
            for example, pieces in zip(examples, contexts, strict=True)
            for text in (*pieces, *self._said(example))
        )
        for example, pieces in zip(examples, contexts, strict=True):
            try:
                found.append(self._one(example, pieces))
            except ValueError as error:
                problems.append(f"{example.source}: {error}")
        self._known.clear()
        if problems:
            raise UserError(capped(problems), total=len(problems))
        return found

    def prompt(self, turns: Sequence[Turn]) -> tuple[list[int], frozenset[str]]:
        """The tokens that the model goes on from, and what was cut to make room.

        Raises:
            ValueError: The template does not take the turns, or leaves no room.
        """
        example = WritingExample(turns=tuple(turns), target=None, source="prompt")
        encoded = self._one(example, self._contexts(example.turns))
        self._known.clear()
        return encoded.ids, encoded.cuts

    def _contexts(self, turns: Sequence[Turn]) -> list[str]:
        turns = [(role, self.special.marked(text)) for role, text in turns]
        if self.fill is not None:
            turns = [*turns[:-1], (turns[-1][0], self.fill(turns[-1][1]))]
        return self.format.contexts(turns)

    def _one(self, example: WritingExample, contexts: list[str]) -> Encoded:
        cuts = set()
        turns = example.turns
        said = self._said(example)
        pieces = self._pieces(contexts, said[: len(contexts) - 1])
        if _length(pieces) > self.room:
            if self.keeps_newest:
                turns, contexts = self._newest(turns)
                if len(turns) < len(example.turns):
                    cuts.add("turns")
                if turns[-1] != example.turns[-1]:
                    cuts.add("inputs")
            else:
                contexts = self._shorter_end(turns, _length(pieces) - self.room)
                cuts.add("inputs")
            pieces = self._pieces(contexts, self._earlier(turns))
        if example.target is None:  # Where texts are only written, nothing is learned.
            pieces = [(tokens, 0) for tokens, _ in pieces]
        ids: list[int] = []
        targets: list[int] = []
        for tokens, learned in pieces:
            _add(ids, targets, tokens, learned)
        prompt_tokens = len(ids)
        if example.target is not None:
            if any(learned and learned < len(tokens) for tokens, learned in pieces):
                cuts.add("targets")  # What was said before is read as a whole, and learned in part.
            target = [*self._tokens(said[-1]), *self.format.end]
            if len(target) > self.max_target_length:
                target = target[: self.max_target_length]
                cuts.add("targets")
            _add(ids, targets, target, len(target))
        return Encoded(ids=ids, targets=targets, prompt_tokens=prompt_tokens, cuts=frozenset(cuts))

    def _pieces(
        self, contexts: Sequence[str], earlier: Sequence[str]
    ) -> list[tuple[list[int], int]]:
        """Tokens of a prompt piece by piece, and how many of each, from its start, are learned."""
        found = []
        for number, context in enumerate(contexts):
            found.append((self._tokens(context), 0))
            if number < len(earlier):
                reply = [*self._tokens(earlier[number]), *self.format.end]
                found.append((reply, min(len(reply), self.max_target_length)))
        return found

    def _newest(self, turns: tuple[Turn, ...]) -> tuple[tuple[Turn, ...], list[str]]:
        """The turns that there is room for: the first of the system, and the newest others."""
        system = turns[:1] if turns[0][0] == "system" else ()
        others = turns[len(system) :]
        # What remains begins with the user, as templates want it.
        starts = [0, *(i for i in range(1, len(others)) if others[i][0] == "user")]

        def fits(start: int) -> bool:
            return self._over((*system, *others[start:])) <= 0

        # By halves, since the template is filled anew for each try.
        place = bisect_left(starts, True, key=fits)
        if place < len(starts):
            kept = (*system, *others[starts[place] :])
            return kept, self._contexts(kept)
        role, text = others[-1]
        while (over := self._over(kept := (*system, (role, text)))) > 0:
            text = self._cut_text(text, over, from_start=True, system=bool(system))
        return kept, self._contexts(kept)

    def _over(self, turns: tuple[Turn, ...]) -> int:
        """How many tokens the prompt of some turns has beyond the room for it."""
        return _length(self._pieces(self._contexts(turns), self._earlier(turns))) - self.room

    def _shorter_end(self, turns: tuple[Turn, ...], over: int) -> list[str]:
        """The prompt with so much less of the last turn's end that it fits."""
        text = turns[-1][1]
        while over > 0:
            text = self._cut_text(text, over, from_start=False)
            contexts = self._contexts([*turns[:-1], (turns[-1][0], text)])
            over = _length(self._pieces(contexts, ())) - self.room
        return contexts

    def _cut_text(self, text: str, over: int, *, from_start: bool, system: bool = False) -> str:
        """A text with so many tokens less.

        Raises:
            ValueError: It has not so many.
        """
        encoded: Any = self.tokenizer(
            text,
            add_special_tokens=False,
            split_special_tokens=True,
            return_offsets_mapping=True,
            verbose=False,
        )
        offsets = encoded["offset_mapping"]
        if over >= len(offsets):
            beside = "the system's turn, the template" if system else "its template"
            raise ValueError(
                f"--max-length {self.max_length} leaves no room for the text beside {beside} and a "
                f"target of --max-target-length {self.max_target_length}; raise the first or lower "
                f"the second{', or shorten the system turn' if system else ''}"
            )
        if from_start:
            return text[max(offsets[over][0], 1) :]
        return text[: min(offsets[len(offsets) - over][0], len(text) - 1)].rstrip()

    def _tokenize(self, texts: Iterable[str]) -> None:
        different = [text for text in dict.fromkeys(texts) if text]
        if different:
            self._known.update(zip(different, self.special.ids(different), strict=True))

    def _tokens(self, text: str) -> list[int]:
        if not text:
            return []
        if text not in self._known:
            self._tokenize([text])
        return self._known[text]

    def _earlier(self, turns: Sequence[Turn]) -> list[str]:
        """What the assistant has said, in order."""
        return [self.special.marked(content) for role, content in turns if role == "assistant"]

    def _said(self, example: WritingExample) -> list[str]:
        """What the assistant says, in order; the target last."""
        earlier = self._earlier(example.turns)
        if example.target is None:
            return earlier
        return [*earlier, self.special.marked(example.target)]


def _length(pieces: Sequence[tuple[list[int], int]]) -> int:
    return sum(len(tokens) for tokens, _ in pieces)


def _add(ids: list[int], targets: list[int], tokens: list[int], learned: int) -> None:
    """Appends tokens, of which so many from the first on are what the one before should bring."""
    if not tokens:
        return
    if ids and learned:
        targets[-1] = tokens[0]
    ids += tokens
    follow = [*tokens[1:learned], *[IGNORED_LABEL] * (len(tokens) - max(learned - 1, 0))]
    targets += follow[: len(tokens)]
