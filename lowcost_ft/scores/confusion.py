"""Confusions: counts of true against predicted classes and entity types.

The counts are nested, `{true: {predicted: count}}`, and leave out what did not occur, so that 77
classes take up the room of their mistakes and not of 77 x 77 zeros.
"""

from collections.abc import Iterable, Sequence

from lowcost_ft.scores.iob2 import strict_spans

__all__ = ["NO_ENTITY", "NO_ENTITY_BESIDE_O", "class_confusion", "entity_confusion"]

NO_ENTITY = "O"
"""Stands where one side has no entity: missed ones are predicted as it, invented ones truly are."""

NO_ENTITY_BESIDE_O = ""
"""Stands there instead where an entity type is called `O`; no type has an empty name."""

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
        `{true type: {predicted type: entities}}`, sorted, with `NO_ENTITY` for none
        (`NO_ENTITY_BESIDE_O` where a type has that name).
    """
    found = [strict_spans(tags) for tags in predictions]
    true = [strict_spans(tags) for tags in references]
    types = {label for spans in (*found, *true) for _, _, label in spans}
    none = NO_ENTITY_BESIDE_O if NO_ENTITY in types else NO_ENTITY
    pairs = []
    for found_here, true_here in zip(found, true, strict=True):
        predicted = {(start, end): label for start, end, label in found_here}
        actual = {(start, end): label for start, end, label in true_here}
        for words in {**actual, **predicted}:
            pairs.append((actual.get(words, none), predicted.get(words, none)))
    return _counted(pairs)


def _counted(pairs: Iterable[tuple[str, str]]) -> Confusion:
    counts: Confusion = {}
    for true, predicted in sorted(pairs):
        row = counts.setdefault(true, {})
        row[predicted] = row.get(predicted, 0) + 1
    return counts
