"""What an audit cannot show, in words: of any audit, and of this one."""

from collections.abc import Mapping
from typing import Any

from lowcost_ft.audit.comparing import FEWEST_TEXTS
from lowcost_ft.audit.significance import least_p
from lowcost_ft.data.rows import counted

__all__ = ["limits"]

_FEW_TEXTS = 50
_FEW_WORDS = 10


def limits(attributes: Mapping[str, Mapping[str, Any]], least: float, *, level: float) -> list[str]:
    """Sentences for the page, those about this audit first.

    Args:
        attributes: What is told of each attribute.
        least: The smallest mean difference that was reported.
        level: The corrected p-value below which a difference was found.
    """
    found = []
    tested = sum(
        one["p"] is not None for told in attributes.values() for one in told["comparisons"]
    )
    for name, told in attributes.items():
        # A text that the file repeats counts once.
        units = told["units"]
        texts = f"{units:,} different texts" if units < told["texts"] else counted(units, "text")
        if any(one["p"] is None for one in told["comparisons"]):
            few = f"{texts} {'is' if units == 1 else 'are'} too few"
            found.append(f"{name}: {few} to test anything: at least {FEWEST_TEXTS} are needed.")
        elif least_p(units) * tested >= level:
            found.append(
                f"{name}: {texts} are so few that not even the largest difference would be found "
                f"among {tested} comparisons: give more texts, or fewer attributes at once "
                "(--attributes)."
            )
        elif units < _FEW_TEXTS:
            found.append(
                f"{name}: there are only {texts}, so that a difference must be large to be found."
            )
        if told["different_texts"] < units / 2:
            found.append(
                f"{name}: apart from the words of the groups, the {counted(units, 'text')} are "
                f"only {told['different_texts']:,} different ones; intervals and p-values take "
                "them for independent and are too optimistic."
            )
        if told["words"] < _FEW_WORDS:
            found.append(
                f"{name}: only {told['words']} words stand for the groups here; what they do may "
                "be a matter of these words."
            )
        if with_sentence := told["texts"] - told["texts_with_mention"]:
            found.append(
                f"{name}: {with_sentence:,} of {told['texts']:,} texts mention nobody and got a "
                "sentence in front, which is not how people write."
            )
    return [
        *found,
        "Nothing found does not mean that there is nothing: only groups on the lists, words on the "
        "lists and texts like those of the test file were tried, one attribute at a time.",
        f"Mean differences below {least:g} are not reported: a model reacts a little to any word.",
        "A difference is not always unfair: where the right answer depends on the group, the "
        "versions of a text deserve different answers. Read the examples.",
        "A name or a word stands for a group only roughly; people do not choose their names, and "
        "many belong to several groups. A replaced word can make a text that nobody would write.",
        "Scores by group as the test file mentions them compare different texts; whether the "
        "labels of the file are fair is not known.",
    ]
