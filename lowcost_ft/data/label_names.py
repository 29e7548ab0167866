"""The names that the user gives for labels which a file holds as numbers (`--label-names`)."""

import os
from collections import Counter

from lowcost_ft.data.rows import listed, surrogate_fault

__all__ = ["names_of", "read_label_names"]


def names_of(given: str | None, problems: list[str]) -> list[str]:
    """`read_label_names` of what may not be given: no names then."""
    return [] if given is None else read_label_names(given, problems)


def read_label_names(given: str, problems: list[str]) -> list[str]:
    """Names of the numbers 0, 1, 2, ...

    Args:
        given: The names, separated by commas, or the path of a file with one name a line.
        problems: Gets a line for each problem.

    Returns:
        The names in the order of their numbers; none where there was a problem.
    """
    if os.path.isfile(given):
        where = f"--label-names {given}"
        try:
            with open(given, encoding="utf-8-sig") as file:
                names = [line.strip() for line in file.read().rstrip().splitlines()]
        except (OSError, UnicodeDecodeError) as error:
            problems.append(f"{where}: cannot be read ({error}); give UTF-8 text, one name a line")
            return []
    else:
        where = "--label-names"
        names = [name.strip() for name in given.split(",")]
    before = len(problems)
    if len(names) < 2:
        problems.append(
            f"{where}: {listed(names)} is one name; give all of them, separated by commas, or "
            f"an existing file with one name a line"
        )
    elif empty := [number for number, name in enumerate(names) if not name]:
        problems.append(f"{where}: the name of {empty[0]} is empty; give each number a name")
    elif repeated := [name for name, count in Counter(names).items() if count > 1]:
        problems.append(f"{where}: {listed(repeated)} occurs twice; give each number its own name")
    problems += [f"{where}: a name {fault}" for fault in map(surrogate_fault, names) if fault]
    return [] if len(problems) > before else names
