"""The label that means no relation: which it is, and how many such pairs training gets."""

import hashlib
import re
from collections.abc import Sequence
from typing import Literal

from lowcost_ft.data.rows import counted, file_of
from lowcost_ft.tasks.relation.examples import RelationExample

__all__ = ["NO_RELATION", "draw_negatives", "negative_label"]

NO_RELATION = "no_relation"
"""What a pair without a relation is labelled where the data has no name for it."""

_LIKE_NONE = (
    *("norelation", "none", "na", "other", "unrelated", "norel", "notrelated"),
    *("无关系", "没有关系", "无", "其他", "其它"),
)


def negative_label(labels: Sequence[str], given: str | None) -> str | None:
    """The label that means no relation: the one that is given, else the first that looks like it.

    Args:
        labels: All labels.
        given: What the settings say.

    Returns:
        The label; None where there is none, so that every label is a relation.
    """
    if given is not None:
        return given
    plain = {re.sub(r"[\W_]+", "", label).casefold(): label for label in reversed(labels)}
    return next((plain[name] for name in _LIKE_NONE if name in plain), None)


def draw_negatives(
    examples: Sequence[RelationExample], ratio: float | Literal["all"], notices: list[str]
) -> list[RelationExample]:
    """Keeps so many made negatives for each pair that has a relation; all others stay.

    The draw depends on the text and the pair alone, so that it is the same for every seed of a
    comparison and in every order of the rows.

    Args:
        examples: Training examples.
        ratio: How many for each; or all.
        notices: Gets a line where some are left out.
    """
    made = [index for index, example in enumerate(examples) if example.made]
    if ratio == "all":
        return list(examples)
    wanted = max(round(ratio * (len(examples) - len(made))), 1)
    if wanted >= len(made):
        return list(examples)

    def rank(index: int) -> tuple[str, int]:
        example = examples[index]
        ends = [(mention.start, mention.end) for mention in example.pairs[0]]
        return hashlib.sha256(f"{ends} {example.text}".encode()).hexdigest(), index

    kept = set(sorted(made, key=rank)[:wanted])
    notices.append(
        f"{file_of(examples[0].source)}: {wanted:,} of the {len(made):,} pairs without a relation "
        f"are trained on, {ratio:g} for each of {counted(len(examples) - len(made), 'relation')} "
        f"(--negative-ratio); validation and test files keep all of theirs"
    )
    return [e for index, e in enumerate(examples) if not e.made or index in kept]
