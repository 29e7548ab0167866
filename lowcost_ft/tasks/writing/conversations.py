"""Rows that hold a reply each of one conversation, the later ones with all that was said before."""

from collections.abc import Iterable, Sequence

from lowcost_ft.tasks.writing.example import Turn, WritingExample

__all__ = ["conversations", "learned_inputs"]

Turns = tuple[Turn, ...]


def learned_inputs(example: WritingExample) -> list[Turns]:
    """What stands before each reply that is learned with an example, the target among them."""
    places = [place for place, (role, _) in enumerate(example.turns) if role == "assistant"]
    return [*(example.turns[:place] for place in places), example.turns]


def conversations(examples: Sequence[WritingExample]) -> dict[Turns, Turns]:
    """The turns of each example -> those of one example of the conversation that it belongs to.

    Examples belong together if one goes on from the target of the other, which both learn. What
    several go on from with different turns is a greeting, which tells conversations not apart.
    """
    above: dict[Turns, Turns] = {example.turns: example.turns for example in examples}
    goes_on: dict[Turns, set[Turn]] = {_with_target(example): set() for example in examples}
    for turns in above:
        for said in _beginnings(turns):
            if said in goes_on:
                goes_on[said].add(turns[len(said)])

    def first(turns: Turns) -> Turns:
        while above[turns] != turns:
            above[turns] = turns = above[above[turns]]
        return turns

    for turns in list(above):
        for said in _beginnings(turns):
            if len(goes_on.get(said, ())) == 1:
                above[first(turns)] = first(said[:-1])
    return {turns: first(turns) for turns in above}


def _beginnings(turns: Turns) -> Iterable[Turns]:
    """Each part of a conversation that ends with the assistant."""
    return (turns[: place + 1] for place, (role, _) in enumerate(turns) if role == "assistant")


def _with_target(example: WritingExample) -> Turns:
    return (*example.turns, ("assistant", example.target or ""))
