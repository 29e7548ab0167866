"""Rows of OpenNRE, `{"token": [...], "h": {"pos": [0, 1]}, "t": ...}`, as pairs like any other."""

from dataclasses import replace
from typing import Any

from lowcost_ft.data.rows import Row

__all__ = ["plain_pair"]

_ENDS = {"h": ("head", "subj"), "t": ("tail", "obj")}
_WORDS = ("token", "tokens")


def plain_pair(row: Row) -> Row:
    """A row of OpenNRE's with `head` and `tail`, or TACRED's numbers of words; others unchanged.

    `pos` counts words where the row has a list of them, else characters, the end exclusive. What
    `h` and `t` hold besides, such as ids of a knowledge base, stays there.
    """
    values = row.values
    given_ends = [values.get(name) for name in _ENDS]
    if any(name in values for names in _ENDS.values() for name in names) or not all(
        isinstance(one, dict) and "pos" in one for one in given_ends
    ):
        return row
    places = [_place(one) for one in given_ends]
    words = next((values[n] for n in _WORDS if isinstance(values.get(n), list | tuple)), None)
    if None in places and words is None:
        return row
    found: dict[str, Any] = {}
    rest: dict[str, Any] = {}
    for (name, (side, prefix)), place in zip(_ENDS.items(), places, strict=True):
        given = values[name]
        if place is None:
            rest[name] = given
            continue
        start, end = place
        kind = given.get("type")
        # A place outside of the words stays there, to be told as the file has it.
        used = {"pos", "type"} if words is None or 0 <= start < end <= len(words) else {"type"}
        if words is not None:
            found |= {f"{prefix}_start": start, f"{prefix}_end": end - 1}
            found |= {} if kind is None else {f"{prefix}_type": kind}
        else:
            # Some data name the entity as an encyclopedia does, and not as the text has it.
            own = given.get("name")
            is_own = isinstance(own, str) and own in str(values.get("text"))
            found[side] = {"start": start, "end": end}
            found[side] |= ({} if kind is None else {"type": kind}) | (
                {"text": own} if is_own else {}
            )
        if more := {key: v for key, v in given.items() if key not in used}:
            rest[name] = more
    kept = {name: v for name, v in values.items() if name not in _ENDS}
    return replace(row, values=kept | found | rest)


def _place(value: Any) -> tuple[int, int] | None:
    """The start and the end of an entity; None for a value that is none of OpenNRE's."""
    pos = value.get("pos") if isinstance(value, dict) else None
    if not isinstance(pos, list | tuple) or len(pos) != 2:
        return None
    return (pos[0], pos[1]) if all(type(one) is int for one in pos) else None
