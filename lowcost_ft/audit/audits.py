"""Audits a run on a labelled file: what changes when a text is about somebody of another group."""

import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tqdm.auto import tqdm

from lowcost_ft.attack.measured import predictions_of
from lowcost_ft.audit.comparing import Compared, compare, comparisons_of
from lowcost_ft.audit.groups import Attribute, packaged_attributes
from lowcost_ft.audit.limits import limits
from lowcost_ft.audit.significance import holm
from lowcost_ft.audit.versions import Found, TextVersions, versions_of
from lowcost_ft.config.tasks import task_settings
from lowcost_ft.data.rows import counted
from lowcost_ft.errors import UserError

__all__ = ["LEVEL", "AuditOptions", "audit", "check_task"]

LEVEL = 0.01
"""Corrected p-value below which a difference is reported as one."""
_NOBODY = "no text holds a word of its lists"


@dataclass(frozen=True, kw_only=True)
class AuditOptions:
    """How a run is audited.

    Attributes:
        add_sentences: Put a sentence about somebody in front of texts that mention nobody.
        least_difference: The smallest mean difference that is reported.
        most_texts: Texts of an attribute, drawn by the seed.
        seed: Seed of all that is drawn.
    """

    add_sentences: bool = False
    least_difference: float = 0.05
    most_texts: int = 300
    seed: int = 0


def check_task(task: Any, *, add_sentences: bool = False) -> None:
    """Refuses a task whose answers to texts about unlike people cannot be compared.

    Args:
        task: The task of a run, or its class.
        add_sentences: Whether sentences are to be put in front of texts.

    Raises:
        UserError: It is such a task, or allows no such sentences.
    """
    title = task_settings(task.name).title
    if not (task.can_edit and task.can_audit):
        raise UserError(f"lowcost-ft audit does not work for {title}: {task.not_audited}")
    if add_sentences and not task.audit_sentences:
        raise UserError(
            f"--add-sentences does not work for {title}: a sentence in front of a text would bring "
            "entities that its labels do not know; use a test file whose texts mention people"
        )


def audit(
    predictor: Any,
    examples: Sequence[Any],
    attributes: Sequence[Attribute] | None = None,
    options: AuditOptions | None = None,
) -> dict[str, Any]:
    """Audits a run.

    Args:
        predictor: The run (`pipeline.predictor.Predictor`).
        examples: Labelled examples.
        attributes: What groups differ in; the package's lists by default.
        options: How.

    Returns:
        What `lowcost-ft audit --json` prints: see docs/audit.md.

    Raises:
        UserError: The task cannot be audited, or no text mentions a group.
    """
    options = options or AuditOptions()
    task = predictor.task
    check_task(task, add_sentences=options.add_sentences)
    attributes = packaged_attributes() if attributes is None else attributes
    examples = [example for example in examples if not task.is_blank(example)]
    left_out: dict[str, str] = {}
    compared: dict[str, Compared] = {}
    told: dict[str, dict[str, Any]] = {}
    bar = tqdm(attributes, desc="auditing", file=sys.stderr, disable=None, leave=False)
    for attribute in bar:
        bar.set_postfix_str(attribute.name)
        found = versions_of(
            task, examples, attribute, add_sentences=options.add_sentences, seed=options.seed
        )
        _notice_left_out(predictor, attribute, found)
        if not found.texts:
            left_out[attribute.name] = _why_none(attribute, found)
            continue
        texts = _drawn(found.texts, options)
        one = compare(
            predictor,
            attribute,
            texts,
            options.least_difference,
            seed=options.seed,
            comparisons=sum(map(comparisons_of, attributes)),
        )
        compared[attribute.name] = one
        told[attribute.name] = {
            "texts": len(texts),
            "texts_with_mention": sum(not text.has_sentence for text in texts),
            "drawn_from": len(found.texts),
        } | one.told
    if not told:
        fix = "give lists of your own with --groups FILE"
        if reasons := [f"{name}: {why}" for name, why in left_out.items() if why != _NOBODY]:
            raise UserError(
                f"every text that mentions a group is left out ({'; '.join(reasons)}): give other "
                f"texts, or {fix}"
            )
        raise UserError(
            f"no text of the file mentions a group that the lists know: {fix}, or add "
            "--add-sentences (text classification)"
        )
    _correct(told)
    clean = predictions_of(predictor, examples)
    of_sums, numbers = task.score_sums(examples, clean)
    return {
        "metric": task.metric,
        "rows": len(examples),
        "score": float(of_sums(numbers.sum(axis=0))),
        "level": LEVEL,
        "least_difference": options.least_difference,
        "unit": next(iter(compared.values())).unit,
        "comparisons": sum(
            one["p"] is not None for found in told.values() for one in found["comparisons"]
        ),
        "found": sum(one["found"] for found in told.values() for one in found["comparisons"]),
        "attributes": told,
        "left_out": left_out,
        "cannot_show": limits(told, options.least_difference, level=LEVEL),
        "examples": {name: one.examples for name, one in compared.items()},
    }


def _why_none(attribute: Attribute, found: Found) -> str:
    if found.left_out:
        return "; ".join(f"{len(where):,} left out: {why}" for why, where in found.left_out.items())
    return _NOBODY


def _notice_left_out(predictor: Any, attribute: Attribute, found: Found) -> None:
    for why, where in found.left_out.items():
        first = f", the first at {where[0]}" if len(where) > 1 else f", at {where[0]}"
        predictor.notices.append(
            f"{attribute.name}: {counted(len(where), 'text')} left out ({why}){first}"
        )


def _drawn(texts: Sequence[TextVersions], options: AuditOptions) -> list[TextVersions]:
    """So many of the texts; those that mention somebody themselves come first."""
    order = np.random.default_rng(options.seed).permutation(len(texts))
    ranked = sorted(order.tolist(), key=lambda index: texts[index].has_sentence)
    return [texts[index] for index in sorted(ranked[: options.most_texts])]


def _correct(told: Mapping[str, Mapping[str, Any]]) -> None:
    """Corrects the p-values of all attributes together, and says what is found."""
    every = [one for found in told.values() for one in found["comparisons"]]
    tested = [one for one in every if one["p"] is not None]
    corrected = holm([one["p"] for one in tested])
    for one in every:
        one["p_corrected"], one["found"] = None, False
    for one, p in zip(tested, corrected, strict=True):
        one["p_corrected"], one["found"] = p, p < LEVEL
