"""A validation split cut from the training examples: stratified, seeded, losing no label.

Examples with the same input, or of the same text, stay on one side, since a model is not validated
by what it has seen.
"""

import heapq
import math
import random
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable
from typing import Any

from lowcost_ft.data.rows import counted, file_of

__all__ = ["cut_validation"]


def cut_validation(
    examples: list[Any],
    *,
    classes_of: Callable[[Any], frozenset[str]],
    group_of: Callable[[Any], Hashable],
    group_title: str = "input",
    share: float,
    every_class: bool,
    seed: int,
    problems: list[str],
    notices: list[str],
) -> tuple[list[Any], list[Any]]:
    """Cuts a stratified, seeded share off the training examples, both parts in their order.

    Args:
        examples: Training examples, at least one.
        classes_of: The labels or entity types of an example.
        group_of: What an example shares with others, such as its input; those with the same go to
            the same side.
        group_title: What to call it.
        share: Share to cut off, above 0 and below 1.
        every_class: Whether each class gets one place first, as far as there are places.
        seed: Seed of the choice within the strata.
        problems: Gets a line when there are too few examples.
        notices: Gets a line about the cut.

    Returns:
        The examples to train on and those to validate on.
    """
    file = file_of(examples[0].source)
    asked = round(share * len(examples))
    size = max(asked, 1)
    classes = [classes_of(example) for example in examples]
    num_classes = len(frozenset[str]().union(*classes))

    grouped: dict[Hashable, list[int]] = defaultdict(list)
    for index, example in enumerate(examples):
        grouped[group_of(example)].append(index)
    groups = list(grouped.values())
    chosen = _choose(groups, classes, size=size, every_class=every_class, seed=seed)
    if not chosen or len(chosen) == len(examples):
        of_classes = f" of {num_classes} classes" if every_class else ""
        only_row = "taking a label's only row or " if num_classes else ""
        reason = (
            f"no validation split can be cut from {counted(len(examples), 'training row')}"
            f" ({counted(len(groups), f'different {group_title}')}){of_classes} without "
            f"{only_row}parting rows with the same {group_title}"
        )
        if asked < 1:
            reason = (
                f"a validation split cut from the {counted(len(examples), 'training row')} "
                f"({share:.0%}: 0 rows) is smaller than one row, and no row can be spared"
            )
        problems.append(f"{file}: {reason}; give a --validation-file or more rows")
        return examples, []
    if every_class:
        notices += _missing(groups, classes, chosen, num_rows=len(examples), seed=seed, file=file)
    repeats = len(examples) - len(groups)
    together = (
        f"; {counted(repeats, 'row')} repeat an earlier {group_title}, and rows with the same "
        f"{group_title} stay on one side"
        if repeats
        else ""
    )
    told = f" ({asked} asked for)" if len(chosen) != asked else ""
    told += ", stratified" if num_classes else ""
    notices.append(
        f"no validation split: {len(chosen)} of the {len(examples)} training rows "
        f"{'was' if len(chosen) == 1 else 'were'} cut off for it{told}, seed {seed}{together}"
    )
    return (
        [example for index, example in enumerate(examples) if index not in chosen],
        [example for index, example in enumerate(examples) if index in chosen],
    )


def _missing(
    groups: list[list[int]],
    classes: list[frozenset[str]],
    chosen: set[int],
    *,
    num_rows: int,
    seed: int,
    file: str,
) -> list[str]:
    """What to say of the classes that the validation split lacks, and the share that has them."""

    def seen(indices: set[int]) -> frozenset[str]:
        return frozenset[str]().union(*(classes[index] for index in indices))

    every = frozenset[str]().union(*classes)
    missing = every - seen(chosen)
    if not missing:
        return []
    # In thousandths, as one would type it, and with a place for each class.
    share = math.ceil(1000 * len(every) / num_rows) / 1000
    more: frozenset[str] = frozenset()
    if share < 1:
        size = round(share * num_rows)
        larger = _choose(groups, classes, size=size, every_class=True, seed=seed)
        more = missing & seen(larger) if len(larger) < num_rows else frozenset()
    notices = []
    if more:
        notices.append(
            f"{file}: the validation split has no place for {len(more)} of the {len(every)} "
            f"classes, which are not scored there: {', '.join(sorted(more)[:5])} "
            f"(--validation-share {share:g} gives each a row)"
        )
    if unparted := sorted(missing - more):
        notices.append(
            f"{file}: {len(unparted)} class(es) whose rows cannot be parted stay in training and "
            f"are missing from the validation split: {', '.join(unparted[:5])}"
        )
    return notices


def _choose(
    groups: list[list[int]],
    classes: list[frozenset[str]],
    *,
    size: int,
    every_class: bool,
    seed: int,
) -> set[int]:
    """The indices to cut off: whole groups, in all as near to `size` as they allow.

    Groups with the same set of classes are a stratum. Places go to the strata in proportion to
    their sizes (Sainte-Laguë). A group stays if training would lose a class with it.
    """
    remaining = Counter(name for names in classes for name in names)
    strata: dict[tuple[str, ...], list[list[int]]] = defaultdict(list)
    for group in groups:
        together = frozenset[str]().union(*(classes[index] for index in group))
        strata[tuple(sorted(together))].append(group)
    generator = random.Random(seed)
    # Only random() is promised to give the same numbers in every version of Python.
    waiting = {
        names: sorted(strata[names], key=lambda _: generator.random()) for names in sorted(strata)
    }
    sizes = {names: sum(map(len, members)) for names, members in waiting.items()}
    given = dict.fromkeys(waiting, 0)
    seen: set[str] = set()
    chosen: set[int] = set()

    def rank(names: tuple[str, ...]) -> tuple[bool, float, tuple[str, ...]]:
        served = not every_class or seen.issuperset(names)
        return served, -sizes[names] / (2 * given[names] + 1), names

    def take(names: tuple[str, ...], group: list[int]) -> bool:
        lost = Counter(name for index in group for name in classes[index])
        if any(remaining[name] <= count for name, count in lost.items()):
            return False
        remaining.subtract(lost)
        seen.update(names)
        given[names] += len(group)
        chosen.update(group)
        return True

    too_large: list[tuple[tuple[str, ...], list[int]]] = []
    order = [rank(names) for names in waiting]
    heapq.heapify(order)
    while len(chosen) < size and order:
        names = order[0][2]
        # Ranks only ever fall, so one that has not changed is still the first.
        if order[0] != rank(names):
            heapq.heapreplace(order, rank(names))
            continue
        group = waiting[names].pop()
        if len(chosen) + len(group) > size:
            too_large.append((names, group))
        else:
            take(names, group)
        if not waiting[names]:
            heapq.heappop(order)
    # One group too many where that comes nearer than one too few.
    for stratum, group in sorted(too_large, key=lambda item: len(item[1])):
        missing = size - len(chosen)
        if (chosen and len(group) >= 2 * missing) or take(stratum, group):
            break
    return chosen
