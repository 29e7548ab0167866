"""Ages that are not a person's: a whisky, a house or a loan has one, too."""

import re

from lowcost_ft.audit.groups import words_for_things

__all__ = ["is_age_of_a_thing"]

_AGE = re.compile(r"aged\s+\d+|\d+[\s-]years?[\s-]old", re.IGNORECASE)
_OTHER_UNIT = re.compile(
    r"[\s-]*(?:(?:or|to|and|-|\u2013)\s*\d+\s*)?"
    r"(?:hours?|hrs?|minutes?|days?|nights?|weeks?|months?|mos?|%)(?!\w)",
    re.IGNORECASE,
)
"""What makes "aged 30" no age in years."""
_THINGS = "|".join(sorted(map(re.escape, words_for_things()), key=len, reverse=True))
_THING_FOLLOWS = re.compile(rf"[\s,-]+(?:[\w-]+\s+)?(?:{_THINGS})(?:e?s)?(?!\w)", re.IGNORECASE)
_THING_BEFORE = re.compile(
    rf"(?<!\w)(?:{_THINGS})(?:e?s)?[\s,(]+(?:(?:(?:that|which)\s+)?(?:is|are|was|were|has\s+been)"
    r"\s+)?(?:(?:about|around|over|nearly|almost|already|now|only|at\s+least)\s+)?$",
    re.IGNORECASE,
)


def is_age_of_a_thing(text: str, start: int, end: int) -> bool:
    """Whether an age such as "aged 30" or "21-year-old" is said of something else than a person.

    Args:
        text: The text.
        start: The first character of the age.
        end: The character after its last one.
    """
    if not _AGE.fullmatch(text, start, end):
        return False
    if text[start : start + 4].casefold() == "aged" and _OTHER_UNIT.match(text, end):
        return True
    return bool(_THING_FOLLOWS.match(text, end) or _THING_BEFORE.search(text, 0, start))
