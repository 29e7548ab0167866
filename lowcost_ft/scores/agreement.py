"""How far annotators agree: Cohen's kappa, Krippendorff's alpha, entity F1 between them."""

from collections import Counter
from collections.abc import Hashable, Iterable, Sequence
from itertools import combinations

__all__ = ["cohen_kappa", "krippendorff_alpha", "span_f1"]


def cohen_kappa(pairs: Sequence[tuple[Hashable, Hashable]]) -> float | None:
    """Agreement of two annotators beyond chance (Cohen, 1960).

    Args:
        pairs: The class that each of the two gave to each item.

    Returns:
        At most 1, which is full agreement; 0 is chance. None without items, or where both gave
        one and the same class to every item, so that chance alone explains all.
    """
    if not pairs:
        return None
    total = len(pairs)
    observed = sum(first == second for first, second in pairs) / total
    ones, others = Counter(first for first, _ in pairs), Counter(second for _, second in pairs)
    expected = sum(count * others[label] for label, count in ones.items()) / total**2
    return None if expected == 1 else (observed - expected) / (1 - expected)


def krippendorff_alpha(items: Iterable[Sequence[Hashable]]) -> float | None:
    """Agreement of any number of annotators on classes (nominal; Krippendorff, 2011).

    Args:
        items: For each item the classes that annotators gave to it, in any order and of any
            number; items with fewer than two say nothing about agreement.

    Returns:
        At most 1, which is full agreement; 0 is chance. None where no item has two classes given
        to it, or where all classes are the same.
    """
    pairable = [list(values) for values in items if len(values) > 1]
    totals = Counter(value for values in pairable for value in values)
    number = sum(totals.values())
    # Ordered pairs of different classes within an item, weighted by 1 / (annotators - 1).
    observed = 0.0
    for values in pairable:
        counts = Counter(values)
        differing = len(values) ** 2 - sum(count**2 for count in counts.values())
        observed += differing / (len(values) - 1)
    expected = number**2 - sum(count**2 for count in totals.values())
    return 1 - (number - 1) * observed / expected if expected else None


def span_f1(items: Iterable[Sequence[frozenset[Hashable]]]) -> float | None:
    """F1 between annotators over exact entities, summed over all pairs of annotations of an item.

    It does not depend on which of two annotators is taken for the truth, and needs no count of
    what is no entity (Hripcsak and Rothschild, 2005).

    Args:
        items: For each item the entities of each annotation.

    Returns:
        Between 0 and 1; None where no pair has an entity.
    """
    common = given = 0
    for annotations in items:
        for one, other in combinations(annotations, 2):
            common += len(one & other)
            given += len(one) + len(other)
    return 2 * common / given if given else None
