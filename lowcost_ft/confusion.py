"""Confusions: counts of true against predicted classes and entity types.

The counts are nested, `{true: {predicted: count}}`, and leave out what did not occur, so that 77
classes take up the room of their mistakes and not of 77 x 77 zeros.
"""

from collections.abc import Iterable, Sequence

from seqeval.scheme import IOB2, Entities

__all__ = ["NO_ENTITY", "class_confusion", "entity_confusion"]

NO_ENTITY = "O"
"""Stands where one side has no entity: missed ones are predicted as it, invented ones truly are."""

Confusion = dict[str, dict[str, int]]


def class_confusion(predictions: Sequence[str], references: Sequence[str]) -> Confusion:
    """Counts of classes, one label an example.

    Returns:
        `{true: {predicted: examples}}`, sorted.
    """
    return _counted(zip(references, predictions, strict=True))


def entity_confusion(
    predictions: Sequence[list[str]], references: Sequence[list[str]]
) -> Confusion:
    """Counts of entity types, by strict IOB2.

    Entities are matched by their exact words. One with other bounds than any true entity counts
    as invented, and the true one as missed: as in the score.

    Args:
        predictions: IOB2 tags, one a word, a list a sentence.
        references: The true tags, of the same lengths.

    Returns:
        `{true type: {predicted type: entities}}`, sorted, with `NO_ENTITY` for none.
    """
    pairs = []
    found = Entities(list(predictions), IOB2).entities
    true = Entities(list(references), IOB2).entities
    for found_here, true_here in zip(found, true, strict=True):
        predicted = {(entity.start, entity.end): entity.tag for entity in found_here}
        actual = {(entity.start, entity.end): entity.tag for entity in true_here}
        for words in {**actual, **predicted}:
            pairs.append((actual.get(words, NO_ENTITY), predicted.get(words, NO_ENTITY)))
    return _counted(pairs)


def _counted(pairs: Iterable[tuple[str, str]]) -> Confusion:
    counts: Confusion = {}
    for true, predicted in sorted(pairs):
        row = counts.setdefault(true, {})
        row[predicted] = row.get(predicted, 0) + 1
    return counts
