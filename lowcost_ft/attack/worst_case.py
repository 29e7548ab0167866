"""The worst mistakes within a budget of edits, found greedily.

The words of a text are tried by their importance: by how much harm (`Measuring.harm`, such as the
loss) there is when a word is replaced by one that says nothing. At each, of the edits that are
possible the most harmful one is kept, if it harms more than none, until the budget is spent or
nothing of the answer is right any more. Better attacks may exist: what is found is a lower bound.

Source:
    Jin et al. (2020), Is BERT Really Robust? (arXiv:1907.11932); Li et al. (2019), TextBugger
    (arXiv:1812.05271).
"""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from lowcost_ft.attack.changed_texts import Editable, Place, Places, editable, with_edits
from lowcost_ft.attack.measured import predictions_of
from lowcost_ft.data.noise import Noise, follows
from lowcost_ft.data.text_edits import Edit
from lowcost_ft.data.word_spans import word_spans
from lowcost_ft.tasks.measuring import Harm

__all__ = ["Attacked", "without_word", "worst_examples"]

_MOST_WORDS = 40
"""Words of an example that are tried; of a longer one so many are drawn."""
_NOTHING = "x"


@dataclass(kw_only=True)
class Attacked:
    """An example, and what the attack has made of it.

    Attributes:
        one: The example with its possible edits.
        number: Its number among the examples.
        words: The words to try, the most important first.
        value: With the edits so far: what its harm follows from (`Measuring.harm_values`).
        harm: With the edits so far, each counted when it was made.
        right: Whether anything of the answer is right with them.
        places: The edits so far.
        versions: The example after each of them.
    """

    one: Editable
    number: int
    words: list[int]
    value: float
    harm: float
    right: bool
    places: list[Place] = field(default_factory=list)
    versions: list[Any] = field(default_factory=list)

    def after(self, edits: int) -> Any:
        """The example after so many edits at most."""
        return self.versions[min(edits, len(self.versions)) - 1] if self.versions else self.as_was

    @property
    def as_was(self) -> Any:
        """The example without edits."""
        return self.one.example


def worst_examples(
    predictor: Any,
    examples: Sequence[Any],
    noises: Mapping[str, Noise],
    *,
    edits: int,
    seed: int,
) -> tuple[list[Attacked], int]:
    """Attacks examples.

    Args:
        predictor: The run.
        examples: Labelled ones.
        noises: Kinds of edits that may be made.
        edits: Most edits of an example.
        seed: Draws which edits of a word are tried.

    Returns:
        What became of each, and how many texts the model was asked about.
    """
    task = predictor.task
    ones = [
        editable(task, example, noises, np.random.default_rng([seed, number]))
        for number, example in enumerate(examples)
    ]
    predictions = predictions_of(predictor, examples)
    harm = task.harm(examples, predictions)
    values = task.harm_values(examples, predictions)
    asked = len(examples)
    right = _anything_right(task, examples, predictions)
    states = [
        Attacked(
            one=one,
            number=number,
            words=[],
            value=float(value),
            harm=float(harm.of(number, np.array([value]))[0]),
            right=ok,
        )
        for number, (one, value, ok) in enumerate(zip(ones, values, right, strict=True))
    ]
    active = [s for s in states if s.right and s.one.words and np.isfinite(s.harm)]
    asked += _rank_words(predictor, active, harm, seed)
    bar = tqdm(total=2 * edits, desc="attacking", file=sys.stderr, disable=None, leave=False)
    for _ in range(2 * edits):  # As many words may be tried in vain as are changed.
        tries = [(state, tried) for state in active if (tried := _tries(task, state))]
        if not tries:
            break
        asked += _keep_worst(predictor, tries, harm)
        active = [
            state for state in active if state.right and state.words and len(state.places) < edits
        ]
        bar.update()
    bar.close()
    return states, asked


def _anything_right(task: Any, examples: Sequence[Any], predictions: Any) -> list[bool]:
    """Whether anything of each answer is right, so that there is something to lose."""
    if not task.verdicts(examples, predictions):
        return [True] * len(examples)  # Numbers can always get worse.
    of_sums, numbers = task.score_sums(examples, predictions)
    # Where nothing is to be found and nothing was, a wrong find is to be feared.
    return [bool(of_sums(row) > 0 or not row.any()) for row in numbers]


def _rank_words(predictor: Any, states: Sequence[Attacked], harm: Harm, seed: int) -> int:
    """Orders the words of each example; returns how many texts were asked about."""
    task = predictor.task
    texts, owners = [], []
    for number, state in enumerate(states):
        words = list(range(len(state.one.words)))
        if len(words) > _MOST_WORDS:
            random = np.random.default_rng([seed, number, 1])
            words = sorted(random.choice(len(words), _MOST_WORDS, replace=False).tolist())
        for word in words:
            without = without_word(task, state.one, word)
            if without is not None:
                texts.append(without)
                owners.append((number, word))
    if not texts:
        return 0
    values = task.harm_values(texts, predictions_of(predictor, texts))
    found: dict[int, list[tuple[int, float]]] = {}
    for (number, word), value in zip(owners, values, strict=True):
        found.setdefault(number, []).append((word, float(value)))
    for number, tried in found.items():
        harms = harm.of(states[number].number, np.array([value for _, value in tried]))
        ranked = sorted(zip((-harms).tolist(), (word for word, _ in tried), strict=True))
        states[number].words = [word for _, word in ranked]
    return len(texts)


def without_word(task: Any, one: Editable, word: int) -> Any:
    """The example with a word replaced by one that says nothing.

    Where a word cannot go as a whole, since a span ends inside of it, only what its first edit
    changes goes, or that edit is made; None where nothing of this can be.

    Args:
        task: Its task.
        one: The example with its possible edits.
        word: Number of the word among those that have edits.
    """
    number, edit = one.words[word][0]
    spanned = one.texts[number]
    start, end = edit[:2]
    tried: list[Edit] = [(start, end, _NOTHING), edit]
    # Of the words that an edit touches the last one is its own, as in `editable`.
    own = [span for span in word_spans(spanned.text) if span[0] <= start <= span[1]]
    if own:
        first, last = own[-1]
        whole = (first, last if start == last else max(last, end), _NOTHING)
        if follows(spanned, whole):
            tried.insert(0, whole)
    changed = (with_edits(task, one, [(number, other)]) for other in tried)
    return next((example for example in changed if example is not None), None)


def _tries(task: Any, state: Attacked) -> list[tuple[Place, Any]]:
    """The edits of the next word, each with the example that it would leave."""
    while state.words:
        word, kept = state.words.pop(0), Places(state.places)
        tried = [
            (place, other)
            for place in state.one.words[word]
            if not kept.meets(place)
            and (other := with_edits(task, state.one, [*state.places, place])) is not None
        ]
        if tried:
            return tried
    return []


def _keep_worst(
    predictor: Any, tries: Sequence[tuple[Attacked, list[tuple[Place, Any]]]], harm: Harm
) -> int:
    """Keeps the worst edit of each example, if it is worse than none."""
    task = predictor.task
    texts = [other for _, tried in tries for _, other in tried]
    predictions = predictions_of(predictor, texts)
    values = task.harm_values(texts, predictions)
    right = _anything_right(task, texts, predictions)
    first = 0
    for state, tried in tries:
        own = values[first : first + len(tried)]
        *harms, before = harm.of(state.number, np.append(own, state.value)).tolist()
        worst = int(np.nan_to_num(harms, nan=-np.inf).argmax())
        if harms[worst] > before + 1e-6:
            place, other = tried[worst]
            state.value, state.right = float(own[worst]), right[first + worst]
            state.harm += harms[worst] - before
            harm.keep(state.number, state.value)
            state.places.append(place)
            state.versions.append(other)
        first += len(tried)
    return len(texts)
