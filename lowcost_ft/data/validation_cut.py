"""A validation split cut from the training examples: stratified, seeded, losing no label."""

import random
from collections import Counter, defaultdict
from collections.abc import Callable
from typing import Any

from lowcost_ft.data.rows import file_of

__all__ = ["cut_validation"]


def cut_validation(
    examples: list[Any],
    *,
    classes_of: Callable[[Any], frozenset[str]],
    share: float,
    every_class: bool,
    seed: int,
    problems: list[str],
    notices: list[str],
) -> tuple[list[Any], list[Any]]:
    """Cuts a stratified, seeded share off the training examples, both parts in their order.

    Examples with the same set of classes are a stratum. Places go to the strata in proportion to
    their sizes (Sainte-Laguë). An example stays if training would lose a class with it.

    Args:
        examples: Training examples, at least one.
        classes_of: The labels or entity types of an example.
        share: Share to cut off, above 0 and below 1.
        every_class: Whether each stratum gets one place first, and all must have one.
        seed: Seed of the choice within the strata.
        problems: Gets a line when there are too few examples.
        notices: Gets a line about the cut.

    Returns:
        The examples to train on and those to validate on.
    """
    file = file_of(examples[0].source)
    size = round(share * len(examples))
    remaining = Counter(name for example in examples for name in classes_of(example))
    smallest = len(remaining) if every_class else 1
    fix = "give a --validation-file or more rows"
    if size < smallest:
        kind = f"its {smallest} classes" if every_class else "one row"
        problems.append(
            f"{file}: a validation split cut from the {len(examples)} training rows "
            f"({share:.0%}: {size} rows) is smaller than {kind}; {fix}"
        )
        return examples, []

    generator = random.Random(seed)
    strata: dict[str, list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        strata["|".join(sorted(classes_of(example)))].append(index)
    sizes = {name: len(members) for name, members in strata.items()}
    # Only random() is promised to give the same numbers in every version of Python.
    waiting = {
        name: sorted(strata[name], key=lambda _: generator.random()) for name in sorted(strata)
    }
    given = dict.fromkeys(waiting, 0)
    chosen: set[int] = set()
    while len(chosen) < size and waiting:
        # The first of equals: names are sorted.
        name = max(
            waiting,
            key=lambda name: (every_class and not given[name], sizes[name] / (2 * given[name] + 1)),
        )
        index = waiting[name].pop()
        if not waiting[name]:
            del waiting[name]
        names = classes_of(examples[index])
        if all(remaining[label] > 1 for label in names):
            remaining.subtract(names)
            given[name] += 1
            chosen.add(index)
    if not chosen or len(chosen) == len(examples):
        problems.append(
            f"{file}: no validation split can be cut from {len(examples)} training row(s) without "
            f"taking a label's only row; {fix}"
        )
        return examples, []
    if every_class and (alone := [name for name, count in given.items() if not count]):
        notices.append(
            f"{file}: {len(alone)} class(es) with a single row stay in training and are missing "
            f"from the validation split: {', '.join(alone[:5])}"
        )
    notices.append(
        f"no validation split: {len(chosen)} of the {len(examples)} training rows were cut off "
        f"for it, stratified, seed {seed}"
    )
    return (
        [example for index, example in enumerate(examples) if index not in chosen],
        [example for index, example in enumerate(examples) if index in chosen],
    )
