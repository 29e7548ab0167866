"""A relation example: a text and the pairs of entities in it that are asked about."""

from dataclasses import dataclass

from lowcost_ft.tasks.classification.examples import TextExample

__all__ = ["Mention", "Pair", "RelationExample"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Mention:
    """One entity of a text.

    Attributes:
        start: Its first character.
        end: The character after its last one.
        type: Its type, where it has one.
        id: What relations call it, where entities have names.
        score: How sure the model was that found it.
    """

    start: int
    end: int
    type: str | None = None
    id: str | int | None = None
    score: float | None = None


Pair = tuple[Mention, Mention]
"""The head and the tail of a possible relation."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RelationExample(TextExample):
    """One text with the pairs whose relations are predicted; one pair where there is a label.

    Attributes:
        pairs: Head and tail of each.
        entities: All entities of the text, where relations are looked for among them; None where
            the input names one pair.
        made: Whether the pair was made as a negative, because no relation joins it.
    """

    pairs: tuple[Pair, ...] = ()
    entities: tuple[Mention, ...] | None = None
    made: bool = False
