"""The answers that a row gives, and where they stand in its text."""

from dataclasses import dataclass
from typing import Any

from lowcost_ft.data.cells import unpacked
from lowcost_ft.data.rows import Row, counted, shown, surrogate_fault

__all__ = ["Answer", "read_answers"]

_STARTS = ("answer_start", "start")
_SHOWN_PLACES = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """An answer, and where it stands."""

    start: int
    """The character of the context at which it begins."""
    text: str


def read_answers(
    row: Row, column: str | None, context: str, problems: list[str]
) -> tuple[bool, tuple[Answer, ...]]:
    """Whether the row says where the answers start, and the answers, each found there."""
    value = None if column is None else row.values.get(column)
    impossible = row.values.get("is_impossible")
    if isinstance(impossible, str):  # In a cell of a table.
        written = {"true": True, "false": False, "1": True, "0": False}
        impossible = written.get(impossible.strip().lower(), impossible)
    if type(impossible) is int and impossible in (0, 1):
        impossible = bool(impossible)
    if impossible is not None and type(impossible) is not bool:
        problems.append(f'{row.source}: "is_impossible" must be true or false')
        return True, ()
    name = shown(column or "answers")
    value = unpacked(value)
    missing = value is None or (isinstance(value, str) and not value.strip())
    if missing and impossible:
        return True, ()
    if missing:
        problems.append(
            f"{row.source}: {name} is missing; for a question that the text does not answer write "
            'an empty list, or "is_impossible": true'
        )
        return True, ()
    pairs = _pairs(value, row)
    if pairs is None:
        problems.append(
            f"{row.source}: {name} {shown(value)} is not a list of answers; write "
            '{"text": [...], "answer_start": [...]}, or [{"text": ..., "start": ...}], or one text '
            'beside a column "answer_start"'
        )
        return True, ()
    if pairs and impossible:
        problems.append(
            f'{row.source}: "is_impossible" is true, and {name} holds '
            f"{counted(len(pairs), 'answer')}; correct one of them"
        )
        return True, ()
    given, answers = True, []
    for text, start in pairs:
        fault, place = _place(text, start, context)
        if fault is not None:
            problems.append(f"{row.source}: {name} {shown(text)} {fault}")
            continue
        given = given and start is not None
        answers.append(Answer(start=place, text=text))
    return given, tuple(answers)


def _pairs(value: Any, row: Row) -> list[tuple[Any, Any]] | None:
    """Texts and starts, whichever way a row holds them; None where it is none of those."""
    if isinstance(value, str):
        return [(value, next((row.values[key] for key in _STARTS if key in row.values), None))]
    if isinstance(value, dict):
        texts = value.get("text")
        starts = next((value[key] for key in _STARTS if key in value), None)
        if isinstance(texts, str):
            return [(texts, starts)]
        if not isinstance(texts, list):
            return None
        if not isinstance(starts, list):
            return [(text, None) for text in texts] if starts is None else None
        return list(zip(texts, starts, strict=True)) if len(texts) == len(starts) else None
    if not isinstance(value, list):
        return None
    if all(isinstance(item, str) for item in value):
        starts = next((row.values[key] for key in _STARTS if key in row.values), None)
        if isinstance(starts, list) and len(starts) == len(value):
            return list(zip(value, starts, strict=True))
        return [(text, None) for text in value] if starts is None or not value else None
    if not all(isinstance(item, dict) and "text" in item for item in value):
        return None
    return [(i["text"], next((i[key] for key in _STARTS if key in i), None)) for i in value]


def _place(text: Any, start: Any, context: str) -> tuple[str | None, int]:
    """What is wrong with an answer, and where it starts."""
    if not isinstance(text, str) or not text.strip():
        return "must be a text of one character or more", 0
    if fault := surrogate_fault(text):
        return fault, 0
    places = _occurrences(text, context)
    told = ", ".join(str(place) for place in places[:_SHOWN_PLACES])
    told += f" and {len(places) - _SHOWN_PLACES} more" if len(places) > _SHOWN_PLACES else ""
    if not places:
        return "does not stand in the context, character by character; correct one of them", 0
    if start is None:
        if len(places) == 1:
            return None, places[0]
        return f"stands in the context {len(places)} times, at {told}; give its answer_start", 0
    if isinstance(start, str) and start.strip().isdecimal():
        start = int(start)
    if isinstance(start, float) and start.is_integer():
        start = int(start)
    if type(start) is not int:
        return f"has the start {shown(start)}, which is not a number of characters", 0
    if start in places:
        return None, start
    return f"does not stand at answer_start {start} of the context, but at {told}; correct it", 0


def _occurrences(text: str, context: str) -> list[int]:
    places, place = [], context.find(text)
    while place >= 0:
        places.append(place)
        place = context.find(text, place + 1)
    return places
