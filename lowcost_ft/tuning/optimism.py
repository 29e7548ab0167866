"""How much too high the best validation score is, since it is the best of many."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lowcost_ft.tuning.trials import TALLY_FILE

__all__ = ["optimism_of_choice"]

_HALVES = 1000


def optimism_of_choice(
    folders: Sequence[Path], score: Callable[[np.ndarray], np.ndarray], *, seed: int = 0
) -> dict[str, Any] | None:
    """The best of many trials on one half of the validation rows, scored on the other half.

    Over random halves, the mean difference of the two scores is what choosing by one half makes
    look better than it is. The whole split is twice as large, so that its optimism is smaller.

    Args:
        folders: Folders of the trials.
        score: From sums of tallies to scores; see `Task.score_of_tally`.
        seed: Seed of the halves.

    Returns:
        `optimism`, its 95% interval over the halves, how many `halves` and `trials` there were, and
        how many `rows`; None with fewer than two trials or twenty rows.
    """
    files = [folder / TALLY_FILE for folder in folders]
    tallies = [np.load(file, allow_pickle=False) for file in files if file.exists()]
    if len(tallies) < 2 or len(tallies[0]) < 20:
        return None
    each = np.stack([tally for tally in tallies if tally.shape == tallies[0].shape])
    trials, rows, numbers = each.shape
    generator = np.random.default_rng(seed)
    first = np.zeros((_HALVES, rows))
    for half in first:
        half[generator.permutation(rows)[: rows // 2]] = 1.0
    flat = each.transpose(1, 0, 2).reshape(rows, -1)
    shape = (_HALVES, trials, numbers)
    chosen_by, judged_by = (score((half @ flat).reshape(shape)) for half in (first, 1.0 - first))
    best = chosen_by.argmax(axis=1)
    places = np.arange(_HALVES)
    differences = chosen_by[places, best] - judged_by[places, best]
    low, high = np.percentile(differences, [2.5, 97.5])
    return {
        "optimism": float(differences.mean()),
        "ci95": [float(low), float(high)],
        "halves": _HALVES,
        "trials": trials,
        "rows": rows,
    }
