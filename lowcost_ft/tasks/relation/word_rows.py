"""Rows that name one pair of entities by the numbers of their words, as TACRED has them."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.data.rows import Row, counted, shown, text_fault
from lowcost_ft.tasks.relation.examples import Mention
from lowcost_ft.tasks.relation.marked_rows import Texts, add_pair

__all__ = ["WORD_ENDS", "read_words"]

_SIDES = ("subj", "obj")
WORD_ENDS = ("subj_start", "subj_end", "obj_start", "obj_end")
"""The columns: the first and the last word of head and tail."""


def read_words(rows: Sequence[Row], column: str, *, problems: list[str]) -> Texts:
    """Rows of words with `subj_start`, `subj_end`, `obj_start`, `obj_end`, as TACRED has them.

    The ends are the last words of the entities, counted from 0; `subj_type` and `obj_type` are
    their types. The text is the words, joined by blanks.
    """
    texts: Texts = []
    for row in rows:
        before = len(problems)
        words = row.values.get(column)
        if not isinstance(words, list | tuple) or not words:
            told = "is missing" if words is None else f"is {shown(words)}"
            problems.append(f"{row.source}: {shown(column)} {told}; give a list of words")
            continue
        for position, word in enumerate(words, 1):
            if fault := text_fault(word):
                problems.append(f"{row.source}: word {position} {fault}")
        mentions = [_of_words(row, side, words, problems) for side in _SIDES]
        if len(problems) == before:
            add_pair(texts, row, " ".join(words), mentions, problems)
    return texts


def _number(value: Any) -> Any:
    """A number that a cell of a table holds as text."""
    return int(value) if isinstance(value, str) and value.strip().isdecimal() else value


def _one_less(row: Row, side: str, words: Sequence[str], first: int, last: int) -> str | None:
    """What is wrong where an entity of OpenNRE's is its name only with the next word, too."""
    given = row.values.get({"subj": "h", "obj": "t"}[side])
    name = given.get("name") if isinstance(given, dict) else None
    if not isinstance(name, str):
        return None
    plain = "".join(name.split()).casefold()
    longer = "".join(words[first : last + 2]).casefold()
    if longer != plain or "".join(words[first : last + 1]).casefold() == plain:
        return None
    return (
        f"the entity {shown(name)} ends with word {last + 1}, counted from 0, so that the second "
        f'number of its "pos" must be {last + 2}: the end is exclusive; add 1 to each in the file'
    )


def _of_words(row: Row, side: str, words: Sequence[Any], problems: list[str]) -> Mention | None:
    first, last = (_number(row.values.get(f"{side}_{end}")) for end in ("start", "end"))
    if type(first) is not int or type(last) is not int or not 0 <= first <= last < len(words):
        name = {"subj": "h", "obj": "t"}[side]
        given = row.values.get(name)
        if isinstance(given, dict) and "pos" in given:
            problems.append(
                f'{row.source}: {shown(name)} has the "pos" {shown(given["pos"])}, which must be '
                f"the number of its first word and that of the word after its last one, of "
                f"{counted(len(words), 'word')} counted from 0; correct it"
            )
            return None
        told = [
            "missing" if number is None else str(number) if type(number) is int else shown(number)
            for number in (first, last)
        ]
        problems.append(
            f"{row.source}: {side}_start is {told[0]} and {side}_end {told[1]}, which are not the "
            f"first and the last of {counted(len(words), 'word')}, counted from 0"
        )
        return None
    if not all(isinstance(word, str) for word in words):
        return None
    if fault := _one_less(row, side, words, first, last):
        problems.append(f"{row.source}: {fault}")
        return None
    kind = row.values.get(f"{side}_type")
    if kind is not None and not isinstance(kind, str):
        problems.append(f"{row.source}: {side}_type is {shown(kind)}, not a text")
        return None
    start = sum(len(word) + 1 for word in words[:first])
    return Mention(
        start=start,
        end=start + len(" ".join(words[first : last + 1])),
        type=(kind or "").strip() or None,
    )
