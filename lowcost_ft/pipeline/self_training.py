"""Texts without labels, labelled by a finished run; its surest answers become training rows.

How sure is sure enough is decided by validation rows: see `scores/pseudo_labels.py`.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from lowcost_ft.config.values import split_list
from lowcost_ft.data.rows import counted
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.labelling import TOO_FEW_ROWS, Labeller, load_labeller
from lowcost_ft.pipeline.run_splits import load_run_splits
from lowcost_ft.pipeline.start import Run
from lowcost_ft.pipeline.unlabelled import new_texts, unlabelled_examples
from lowcost_ft.scores.bootstrap import paired_difference
from lowcost_ft.scores.pseudo_labels import Threshold, balanced_rows, choose_threshold
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.base import Predictions, Task
from lowcost_ft.tasks.loading import Splits

__all__ = ["DEFAULT_SCORE", "PseudoLabelled", "label_texts"]

DEFAULT_SCORE = 0.8
"""Score of the validation rows from which on answers as sure are taken as labels."""
LABELLED_SHARE = 1 / 3
"""Share of the rows of an epoch that people have labelled, at least about: they are repeated."""


@dataclass(frozen=True)
class PseudoLabelled:
    """The result of labelling texts without labels.

    Attributes:
        splits: The splits, with pseudo-labelled texts after the training rows.
        tallies: For each split that is scored, the numbers of each row (`Task.tally`) by the run
            that labelled, which was trained without the texts.
        record: The content of `pseudo_labels` in `run.json`.
    """

    splits: Splits
    tallies: dict[str, np.ndarray]
    record: dict[str, Any]

    def differences(
        self, task: Task, predictions: dict[str, Predictions], *, seed: int
    ) -> dict[str, dict[str, Any]]:
        """How the texts changed the score of each split, compared with the run without them.

        Args:
            task: The task of the run.
            predictions: Its predictions, by split.
            seed: Seed of the bootstrap.
        """
        found = {}
        for name, before in self.tallies.items():
            after = task.tally(getattr(self.splits, name), predictions[name])
            assert after is not None
            gain, bounds = paired_difference(task.score_of_tally, after, before, seed)
            found[name] = {
                "metric": task.metric,
                "without": float(task.score_of_tally(before.sum(axis=0))),
                "difference": gain,
                "difference_ci95": bounds,
            }
        return found


def label_texts(run: Run, splits: Splits) -> PseudoLabelled:
    """Labels the texts of `--unlabelled-file`, and adds the sure answers to the training rows.

    Validation and test stay as they are, and texts that occur in any split are left out.

    Raises:
        UserError: There is no run that labels, or it has other labels; there are no validation rows
            to choose the threshold on, or no answers to them are good enough.
    """
    folders = _labellers(run)
    examples, left_out = _new_texts(run, splits)
    labeller = load_labeller(run, folders[0], splits)
    if labeller.record["data"]["fingerprint"] != splits.fingerprint:
        run.say(
            f"note: {folders[0]} was trained on other data; if it has seen rows that are "
            "validation or test rows here, it is surer of them than it should be"
        )
    scored = {name: getattr(splits, name) for name in ("validation", "test")}
    tallies = {
        name: labeller.tally(rows, labeller.predict(rows)) for name, rows in scored.items() if rows
    }
    target = run.config.pseudo_label_score or DEFAULT_SCORE
    threshold = _threshold(labeller, splits, folders[1:], target=target)
    sure, pseudo = _sure_rows(labeller, examples, splits.train, threshold.certainty)
    wanted = LABELLED_SHARE / (1 - LABELLED_SHARE) * len(pseudo)
    repeats = max(1, round(wanted / len(splits.train)))
    run.say(
        f"pseudo-labels: {folders[0]} reaches {labeller.task.metric} {threshold.score:.3f} on the "
        f"{counted(threshold.rows, 'validation row')} that it is surest of (certainty "
        f"{threshold.certainty:.3f} or more); it is as sure of {sure:,} of {len(examples):,} "
        f"texts, and {len(pseudo):,} of them train, so that no class has many more than others"
    )
    if repeats > 1:
        run.say(f"note: the labelled rows take part {repeats} times an epoch beside them")
    kind = type(labeller.task)
    counts = Counter(name for example in pseudo for name in kind.classes(example))
    return PseudoLabelled(
        splits=replace(
            splits,
            train=[*splits.train * repeats, *pseudo],
            fingerprint=_fingerprint(kind, splits, repeats, pseudo),
        ),
        tallies=tallies,
        record={
            "file": run.config.unlabelled_file,
            "labelled_by": list(folders),
            "texts": len(examples),
            "left_out": left_out,
            "target": target,
            "threshold": threshold.certainty,
            "validation_score": threshold.score,
            "validation_rows": threshold.rows,
            "sure": sure,
            "labels": len(pseudo),
            "without_class": sum(not kind.classes(example) for example in pseudo),
            "per_class": dict(sorted(counts.items())),
            "labelled_repeats": repeats,
        },
    )


def _labellers(run: Run) -> tuple[str, ...]:
    """The folders of the runs that label.

    Raises:
        UserError: There are none, or the run would overwrite one of them.
    """
    folders = split_list(run.config.labelled_by) or ()
    if not folders:
        raise UserError(
            "--unlabelled-file: no run labels its texts; name one with --labelled-by (in Python "
            "with_pseudo_labels trains it), or give a --teacher"
        )
    for folder in folders:
        if Path(folder).resolve() == run.folder.resolve():
            raise UserError(
                f"--output-dir {run.folder} is the folder of --labelled-by: give another one"
            )
    return tuple(folders)


def _new_texts(run: Run, splits: Splits) -> tuple[list[Any], int]:
    """The texts that occur in no split, each once, and how many were left out.

    Raises:
        UserError: There are none.
    """
    kind, file = task_class(run.config.task), run.config.unlabelled_file
    given = unlabelled_examples(run)
    texts = new_texts(kind, given, splits, file=str(file))
    if left_out := len(given) - len(texts):
        run.say(
            f"note: {counted(left_out, 'text')} of {file} left out, which are repeated or occur in "
            "the training, validation or test rows"
        )
    return texts, left_out


def _sure_rows(
    labeller: Labeller, examples: Sequence[Any], train: Sequence[Any], least: float
) -> tuple[int, list[Any]]:
    """The number of sure answers, and examples labelled by them, limited for each class."""
    answers = labeller.predict(examples)
    certainty = labeller.certainty(examples, answers)
    labelled = labeller.task.with_answers(examples, answers)
    sure = np.flatnonzero(certainty >= least)
    kept = balanced_rows(
        certainty[sure],
        [labeller.task.classes(labelled[row]) for row in sure],
        [labeller.task.classes(example) for example in train],
    )
    return len(sure), [labelled[row] for row in sure[kept]]


def _threshold(
    labeller: Labeller, splits: Splits, held_out: Sequence[str], *, target: float
) -> Threshold:
    """The threshold that validation rows give: those of the run, or those of each further run.

    Raises:
        UserError: There are none, or no answers to them are good enough.
    """
    judged = [(labeller, splits.validation)] if splits.validation else []
    if not judged:
        others = [load_labeller(labeller.run, folder, splits) for folder in held_out]
        judged = [(other, _held_out_rows(other)) for other in others]
    certainty, tallies = [], []
    for one, examples in judged:
        if examples:
            predictions = one.predict(examples)
            certainty.append(one.certainty(examples, predictions))
            tallies.append(one.tally(examples, predictions))
    if not certainty:
        raise UserError(
            "--unlabelled-file: no validation rows tell which answers to trust; give a "
            "--validation-file or a --validation-share, or name runs with held-out rows behind the "
            "first one of --labelled-by"
        )
    found, best = choose_threshold(
        np.concatenate(certainty),
        np.concatenate(tallies),
        labeller.task.score_of_tally,
        target=target,
    )
    if found is None:
        raise UserError(_too_unsure(best, target, labeller.task.metric))
    return found


def _held_out_rows(labeller: Labeller) -> list[Any]:
    """The rows that a run held out of its training.

    Raises:
        UserError: No file holds them, or they have changed.
    """
    known = labeller.record["data"]
    if known.get("in_python"):
        raise UserError(
            f"--labelled-by {labeller.folder}: its data were given in Python, so that no file "
            "holds the rows that it held out; give a --validation-file or a --validation-share"
        )
    splits = load_run_splits(labeller.record["config"], with_test="test" in known["rows"])
    if splits.fingerprint != known["fingerprint"]:
        raise UserError(
            f"--labelled-by {labeller.folder}: its data have changed since, so that it may have "
            "learned the rows that are held out now; train it again"
        )
    return splits.validation


def _too_unsure(best: Threshold | None, target: float, metric: str) -> str:
    if best is None:
        return TOO_FEW_ROWS
    lower = int(best.score * 100) / 100
    lowered = f"lower --pseudo-label-score to {lower:g}, " if lower else ""
    return (
        f"--unlabelled-file: not even the answers that the run is surest of reach {metric} "
        f"{target:g} on validation rows, at most {best.score:.3f} (over {best.rows:,} rows): "
        f"{lowered}train for longer, or label more rows"
    )


def _fingerprint(kind: Any, splits: Splits, repeats: int, pseudo: Sequence[Any]) -> str:
    digest = sha256(f"{splits.fingerprint} {repeats}".encode())
    for example in pseudo:
        content = [kind.input_of(example), kind.truth_of(example)]
        digest.update(json.dumps(content).encode() + b"\n")
    return digest.hexdigest()
