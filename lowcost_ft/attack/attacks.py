"""Attacks a run on a labelled file: noise at random, texts joined, and the worst mistakes."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from lowcost_ft.attack.lists import packaged_synonyms, read_synonyms, unseen_entities
from lowcost_ft.attack.measured import Measured, lost, measure, predictions_of
from lowcost_ft.attack.random_noise import SHARES, at_random, noisy_examples
from lowcost_ft.attack.worst_case import Attacked, worst_examples
from lowcost_ft.config.tasks import task_settings
from lowcost_ft.data.noise import NOISES, Noise, entity_noise, synonym_noise
from lowcost_ft.errors import UserError

__all__ = ["JOINED", "KINDS", "AttackOptions", "attack", "check_task"]

JOINED = "joined"
KINDS = (*NOISES, "synonyms", "masked-model", "entities", JOINED)
"""Kinds of noise; the last ones need a list, a model, spans, or a truth of several texts."""
_TOGETHER = (2, 3, 4)
_SHOWN_EXAMPLES = 50


@dataclass(frozen=True, kw_only=True)
class AttackOptions:
    """What is attacked, and how.

    Attributes:
        kinds: Names of `KINDS`; None: all that need nothing more than is there.
        edits: Most edits of a text in the worst case; 0 leaves it out.
        most_rows: Rows that are attacked, drawn by the seed.
        synonyms: A file of synonyms.
        masked_model: A model that guesses words.
        entities: A file of entities.
        seed: Seed of all that is drawn.
    """

    kinds: tuple[str, ...] | None = None
    edits: int = 3
    most_rows: int = 300
    synonyms: str | None = None
    masked_model: str | None = None
    entities: str | None = None
    seed: int = 0


def check_task(task: Any) -> None:
    """Refuses a task whose texts cannot be changed or whose answers cannot be compared.

    Raises:
        UserError: It is such a task.
    """
    if not (task.can_edit and task.can_measure):
        raise UserError(
            f"lowcost-ft attack does not work for {task_settings(task.name).title}, which does not "
            "say when a changed text should keep its answer"
        )


def attack(
    predictor: Any, examples: Sequence[Any], options: AttackOptions | None = None
) -> dict[str, Any]:
    """Attacks a run.

    Args:
        predictor: The run (`pipeline.predictor.Predictor`).
        examples: Labelled examples.
        options: How.

    Returns:
        What `lowcost-ft attack --json` prints: see docs/attack.md.

    Raises:
        UserError: The task cannot be attacked, or in none of the ways that are asked for.
    """
    options = options or AttackOptions()
    task = predictor.task
    check_task(task)
    examples = _drawn([e for e in examples if not task.is_blank(e)], options)
    noises, refused, notices = _noises(predictor, examples, options)
    predictor.notices.extend(notices)
    seed = options.seed
    groups = _groups(task, examples)
    clean = measure(predictor, examples, groups, seed=seed)
    found: dict[str, Any] = {
        "metric": task.metric,
        "rows": len(examples),
        "clean": {"score": clean.score, "ci95": list(clean.ci95)},
        "noise": {},
        "left_out": refused,
    }
    bar = tqdm(noises.items(), desc="noise", file=sys.stderr, disable=None, leave=False)
    for kind, noise in bar:
        levels, unchanged = [], []
        for share in SHARES:
            noisy, changed = noisy_examples(task, examples, kind, noise, share, seed=seed)
            if changed:
                after = measure(predictor, noisy, groups, seed=seed)
                level = {"share": share, "changed_rows": changed}
                levels.append(level | _told(clean, after, seed))
            else:
                unchanged.append(f"{share:.0%}")
        if levels:
            found["noise"][kind] = levels
            if unchanged:
                refused[f"{kind} at {', '.join(unchanged)}"] = "changed none of these texts"
        else:
            refused[kind] = "found nothing to change in these texts"
    if JOINED not in refused and (options.kinds is None or JOINED in options.kinds):
        found[JOINED] = _joined(predictor, examples, seed)
    usable = {kind: noises[kind] for kind in found["noise"]}
    if options.edits and usable:
        found["worst_case"], found["examples"] = _worst_case(
            predictor, examples, usable, groups, clean, options
        )
    if not found["noise"] and JOINED not in found:
        told = "; ".join(f"{kind}: {why}" for kind, why in refused.items())
        raise UserError(f"nothing to attack with: {told}")
    return found


def _drawn(examples: Sequence[Any], options: AttackOptions) -> list[Any]:
    if len(examples) <= options.most_rows:
        return list(examples)
    chosen = np.random.default_rng(options.seed).permutation(len(examples))[: options.most_rows]
    return [examples[i] for i in sorted(chosen)]


def _groups(task: Any, examples: Sequence[Any]) -> list[int]:
    """Number of the group of each example: what is not independent is drawn together."""
    numbers: dict[Any, int] = {}
    return [numbers.setdefault(task.group_of(example), len(numbers)) for example in examples]


def _told(clean: Measured, after: Measured, seed: int) -> dict[str, Any]:
    cost, interval = lost(clean, after, seed=seed)
    return {
        "score": after.score,
        "ci95": list(after.ci95),
        "lost": cost,
        "lost_ci95": list(interval),
    }


def _noises(
    predictor: Any, examples: Sequence[Any], options: AttackOptions
) -> tuple[dict[str, Noise], dict[str, str], list[str]]:
    """The kinds that can be used; why the others cannot; and what to tell."""
    task, run = predictor.task, predictor.run
    asked = options.kinds or KINDS
    found: dict[str, Noise] = {kind: NOISES[kind] for kind in asked if kind in NOISES}
    refused: dict[str, str] = {}
    notices: list[str] = []
    if "synonyms" in asked:
        words = packaged_synonyms() if options.synonyms is None else read_synonyms(options.synonyms)
        found["synonyms"] = synonym_noise(words)
    if "masked-model" in asked:
        if options.masked_model is None:
            refused["masked-model"] = "needs --masked-model MODEL, which guesses words"
        else:
            from lowcost_ft.attack.guessed_words import guessed_noise

            texts = [text for example in examples for text in task.spanned_texts(example)]
            found["masked-model"] = guessed_noise(options.masked_model, texts)
    if "entities" in asked:
        if not any(text.spans for example in examples for text in task.spanned_texts(example)):
            refused["entities"] = "the labels of these texts are about no part of them"
            if options.entities is not None:
                raise UserError(f"--entities {options.entities}: {refused['entities']}")
        else:
            pool, told = unseen_entities(run, task, examples, options.entities)
            if any(pool.values()):
                found["entities"] = entity_noise(pool)
                notices += told
            else:
                refused["entities"] = (
                    "training has seen all that could be put in: give others with --entities"
                )
    pairs = (examples[i : i + 2] for i in range(0, len(examples) - 1, 2))
    if JOINED in asked and all(task.together(pair) is None for pair in pairs):
        refused[JOINED] = "the truth of no two of these texts together is known"
    if options.kinds is not None and refused:
        raise UserError([f"--kinds {kind}: {why}" for kind, why in refused.items()])
    return found, refused, notices


def _joined(predictor: Any, examples: Sequence[Any], seed: int) -> list[dict[str, Any]]:
    """Two, three and more texts as one; the same texts by themselves are what it is compared to."""
    task, found = predictor.task, []
    for count in _TOGETHER:
        pieces = [examples[i : i + count] for i in range(0, len(examples) - count + 1, count)]
        wholes = [(piece, task.together(piece)) for piece in pieces]
        kept = [(piece, whole) for piece, whole in wholes if whole is not None]
        if not kept:
            break
        apart = [example for piece, _ in kept for example in piece]
        owners = [number for number, (piece, _) in enumerate(kept) for _ in piece]
        before = measure(predictor, apart, owners, seed=seed)
        after = measure(predictor, [whole for _, whole in kept], range(len(kept)), seed=seed)
        found.append({"texts": count, "rows": len(kept)} | _told(before, after, seed))
    return found


def _worst_case(
    predictor: Any,
    examples: Sequence[Any],
    noises: Mapping[str, Noise],
    groups: Sequence[int],
    clean: Measured,
    options: AttackOptions,
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """The curve of the greedy attack beside as many edits at random, and the worst examples."""
    task, seed = predictor.task, options.seed
    attacked, asked = worst_examples(predictor, examples, noises, edits=options.edits, seed=seed)
    curve = []
    for count in range(1, options.edits + 1):
        worst = measure(predictor, [state.after(count) for state in attacked], groups, seed=seed)
        by_chance = [
            at_random(task, state.one, count, np.random.default_rng([seed, number]))
            or state.one.example
            for number, state in enumerate(attacked)
        ]
        chance = measure(predictor, by_chance, groups, seed=seed)
        curve.append(
            {"edits": count} | _told(clean, worst, seed) | {"random": _told(clean, chance, seed)}
        )
    words = sum(len(state.places) for state in attacked)
    told = {
        "kinds": list(noises),
        "edits": curve,
        "texts_asked": asked,
        "mean_edits": words / len(attacked),
    }
    return told, _examples(predictor, [state for state in attacked if state.places])


def _examples(predictor: Any, attacked: Sequence[Attacked]) -> list[dict[str, Any]]:
    """The texts whose answer has become worst, with what was changed."""
    worst = sorted(attacked, key=lambda state: -state.harm)[:_SHOWN_EXAMPLES]
    if not worst:
        return []
    task = predictor.task
    before, after = ([s.one.example for s in worst], [s.versions[-1] for s in worst])
    answers = [task.answer(rows, predictions_of(predictor, rows)) for rows in (before, after)]
    return [
        {
            "source": state.one.example.source,
            "texts": [spanned.text for spanned in state.one.texts],
            "changed": [spanned.text for spanned in task.spanned_texts(state.versions[-1])],
            "edits": [
                {"text": text, "start": start, "end": end, "new": new}
                for text, (start, end, new) in state.places
            ],
            "answer": one,
            "changed_answer": other,
            "truth": task.truth_row(state.one.example),
        }
        for state, one, other in zip(worst, *answers, strict=True)
    ]
