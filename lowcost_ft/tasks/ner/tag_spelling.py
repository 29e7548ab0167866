"""How a file spells its tags: `B-per`, `B_PER`, `b-per`, `per`, numbers. All become `B-per`."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from lowcost_ft.data.rows import counted, listed, shown
from lowcost_ft.tasks.ner.tagging import is_tag

__all__ = ["TagSpelling", "find_spelling"]

_UNTYPED = "entity"
_SPELLED = re.compile(r"([BIESLUMW])[-_:/.\u2010-\u2015\u2212](.+)", re.DOTALL | re.IGNORECASE)
_REVERSED = re.compile(r".+[-_:/.][BIESLUMW]", re.DOTALL)
_EMPTY = re.compile(r"[BIESLUMW]?[-_:/.]", re.IGNORECASE)  # a prefix without its type
_BARE = frozenset("BIESLUMW")


@dataclass(frozen=True, slots=True)
class TagSpelling:
    """What the tags of one split look like.

    Attributes:
        kind: "usual": `B-per`; "other": a prefix in another spelling, such as `B_per` or `b-per`;
            "untyped": a prefix alone; "types": the type alone, IO.
        names: What the numbers 0, 1, 2, ... stand for; empty where the tags are texts.
    """

    kind: Literal["usual", "other", "untyped", "types"]
    names: Sequence[str] = ()

    def read(self, tags: Sequence[Any]) -> tuple[list[str], int | None]:
        """Rewrites the tags of one sentence.

        Returns:
            The tags as `O` and PREFIX-TYPE, and the position of the first that is neither, or
            None. The tags are complete only without one.
        """
        read: list[str] = []
        previous: str | None = None
        for position, given in enumerate(tags):
            tag = self._named(given)
            if tag is None:
                return read, position
            written = self._written(tag, previous)
            if not is_tag(written):
                return read, position
            read.append(written)
            previous = tag
        return read, None

    def _named(self, tag: Any) -> str | None:
        number = _number(tag)
        if self.names and number is not None:
            return self.names[number] if 0 <= number < len(self.names) else None
        return tag if isinstance(tag, str) else None

    def _written(self, tag: str, previous: str | None) -> str:
        if self.kind == "usual":
            return tag
        if tag in ("O", "o"):
            return "O"
        if self.kind == "types":
            # The one thing that IO cannot say is where one entity ends and its like begins.
            return f"{'I' if tag == previous else 'B'}-{tag}"
        if self.kind == "untyped":
            return f"{tag.upper()}-{_UNTYPED}" if tag.upper() in _BARE else tag
        found = _SPELLED.fullmatch(tag)
        return f"{found[1].upper()}-{found[2]}" if found else tag


def find_spelling(
    sentences: Iterable[Sequence[Any]],
    *,
    file: str,
    names: Sequence[str],
    problems: list[str],
    notices: list[str],
) -> TagSpelling:
    """Finds out how the tags of one split are spelled.

    Args:
        sentences: The tags of each row as they stand in the file, whatever their types.
        file: For messages.
        names: The user's names of the numbers 0, 1, 2, ...; empty without them.
        problems: Gets a line where all tags are numbers without names, or not one of them.
        notices: Gets a line where another spelling than `B-per` was read.
    """
    distinct: dict[Any, None] = {}
    for tags in sentences:
        distinct |= dict.fromkeys(tag for tag in tags if isinstance(tag, str | int | float))
    texts = [tag for tag in distinct if isinstance(tag, str) and _number(tag) is None]
    numbers = {number for tag in distinct if (number := _number(tag)) is not None}
    used: Sequence[str] = ()
    if numbers and not texts:
        if not names:
            problems.append(
                f"{file}: the tags are the numbers {listed([str(n) for n in sorted(numbers)])}; "
                f"say what 0, 1, 2, ... stand for, such as --label-names O,B-person,I-person"
            )
        elif outside := sorted(number for number in numbers if not 0 <= number < len(names)):
            problems.append(
                f"{file}: the tags hold {listed([str(n) for n in outside])}, but --label-names "
                f"has names for 0 to {len(names) - 1} only; give each number a name"
            )
        else:
            used = names
            texts = list(names)
    kind = _kind_of(texts)
    if names and texts and not used:
        notices.append(f"{file}: --label-names is not used, since the tags are not numbers")
    if used:
        pairs = ", ".join(f"{number} is {shown(used[number])}" for number in sorted(numbers)[:4])
        notices.append(f"{file}: the tags are numbers, read by --label-names: {pairs}")
    if kind == "other":
        odd = [tag for tag in texts if not is_tag(tag)]
        example = next((tag for tag in odd if tag != "o"), "o")
        tag = TagSpelling("other").read([example])[0][0]
        notices.append(f"{file}: tags such as {shown(example)} are read as {shown(tag)}")
    elif kind == "untyped":
        notices.append(
            f"{file}: the tags have prefixes but no types; all entities are of one type, called "
            f"{shown(_UNTYPED)}"
        )
    elif kind == "types":
        types = [tag for tag in texts if tag not in ("O", "o")]
        notices.append(
            f"{file}: the tags are {counted(len(types), 'type')} without prefixes "
            f"({listed(types[:5])}{', ...' if len(types) > 5 else ''}): neighbouring words of one "
            f"type are read as one entity"
        )
    return TagSpelling(kind, used)


def _kind_of(texts: Sequence[str]) -> Literal["usual", "other", "untyped", "types"]:
    types = [tag for tag in texts if tag not in ("O", "o")]
    prefixes = {tag[0] for tag in types if is_tag(tag)}
    # M continues and W is whole only beside what begins and ends entities.
    alone = bool(prefixes) and prefixes <= {"M"}
    if all(map(is_tag, texts)) and not alone:
        return "usual"
    if types and not alone and all(map(_SPELLED.fullmatch, types)):
        return "other"
    if not types:
        return "other" if "o" in texts else "usual"
    bare = {tag.upper() for tag in types}
    if bare <= _BARE and bare & {"B", "I"}:
        return "untyped"
    if all(map(_REVERSED.fullmatch, types)) or any(map(_EMPTY.fullmatch, types)):
        return "usual"  # refused: `PER-B` as a type would cut every entity into two types
    outside = len(types) < len(texts)
    if outside and (alone or not any(map(_SPELLED.fullmatch, types))):
        return "types"
    return "usual"  # its tags are refused one by one


def _number(tag: Any) -> int | None:
    if isinstance(tag, bool):
        return None
    if isinstance(tag, int):
        return tag
    if isinstance(tag, float):
        return int(tag) if tag.is_integer() else None
    if isinstance(tag, str) and re.fullmatch(r"-?[0-9]{1,9}", tag):
        return int(tag)
    return None
