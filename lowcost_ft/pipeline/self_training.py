"""Texts without labels, labelled by a finished run; its surest answers become training rows.

How sure is sure enough is decided by validation rows: see `scores/pseudo_labels.py`.
"""

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np

from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.tasks import task_settings
from lowcost_ft.config.values import split_list
from lowcost_ft.data.rows import counted
from lowcost_ft.errors import UserError
from lowcost_ft.models.tokenizers import load_tokenizer
from lowcost_ft.pipeline.predicting import predict
from lowcost_ft.pipeline.run_splits import load_run_splits
from lowcost_ft.pipeline.start import Run
from lowcost_ft.pipeline.teachers import load_teacher
from lowcost_ft.pipeline.unlabelled import unlabelled_examples
from lowcost_ft.record.run_file import load_run
from lowcost_ft.scores.bootstrap import paired_difference
from lowcost_ft.scores.pseudo_labels import Threshold, balanced_rows, choose_threshold
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.base import Predictions, Task
from lowcost_ft.tasks.loading import Splits

__all__ = ["DEFAULT_SCORE", "PseudoLabelled", "check_labels", "label_texts"]

DEFAULT_SCORE = 0.8
"""Score of the validation rows from which on answers as sure are taken as labels."""
LABELLED_SHARE = 1 / 3
"""Share of the rows of an epoch that people have labelled, at least about: they are repeated."""


@dataclass(frozen=True)
class _Labeller:
    """A finished run that predicts.

    Attributes:
        folder: Its folder.
        record: The content of its `run.json`.
        task: Its task.
        tokenizer: Its tokenizer.
        model: Its model, on the device.
        run: The run that asks.
    """

    folder: Path
    record: dict[str, Any]
    task: Task
    tokenizer: Any
    model: Any
    run: Run

    def predict(self, examples: Sequence[Any]) -> Predictions:
        """The answers to examples, the same in all processes."""
        config = self.record["config"]
        features = self.task.featurize(examples, self.tokenizer, max_length=config["max_length"])
        return predict(
            self.run.accelerator,
            self.model,
            self.task,
            features,
            pad_token_id=int(self.tokenizer.pad_token_id),
            micro_batch_tokens=self.run.config.micro_batch_tokens,
        )

    def certainty(self, examples: Sequence[Any], predictions: Predictions) -> np.ndarray:
        """How sure the run is of each answer, at most 1, `(examples,)`."""
        doubts = self.task.uncertainty(examples, predictions)
        assert doubts is not None
        return 1 - doubts


@dataclass(frozen=True)
class PseudoLabelled:
    """What became of the texts without labels.

    Attributes:
        splits: The splits, with pseudo-labelled texts behind the training rows.
        tallies: Of each split that scores, the numbers of each row under the run that labelled,
            which is the run without the texts.
        record: What `run.json` says.
    """

    splits: Splits
    tallies: dict[str, np.ndarray]
    record: dict[str, Any] = field(default_factory=dict)

    def differences(
        self, task: Task, predictions: dict[str, Predictions], *, seed: int
    ) -> dict[str, dict[str, Any]]:
        """What the texts did to the score of each split, against the run without them.

        Args:
            task: The task of the run.
            predictions: Its predictions by split.
            seed: Of the bootstrap.
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
    """Labels the texts of `--unlabelled-file`, and adds those that are sure to the training rows.

    Nothing is added to validation and test, and texts that occur in any split are left out.

    Raises:
        UserError: There is no run that labels, or it has other labels; no validation rows tell
            which answers to take, or none of them are good enough.
    """
    folders = split_list(run.config.labelled_by) or ()
    if not folders:
        raise UserError(
            "--unlabelled-file: no run labels its texts; name one with --labelled-by (in Python "
            "with_pseudo_labels trains it), or give a --teacher"
        )
    kind = task_class(run.config.task)
    known = {
        kind.input_of(example)
        for name in ("train", "validation", "test")
        for example in getattr(splits, name) or ()
    }
    given = unlabelled_examples(run)
    texts: dict[Any, Any] = {}
    for example in given:
        if (content := kind.input_of(example)) not in known:
            texts.setdefault(content, example)
    if not texts:
        raise UserError(
            f"--unlabelled-file {run.config.unlabelled_file}: all of its texts occur in the "
            "training, validation or test rows"
        )
    if left_out := len(given) - len(texts):
        run.say(
            f"note: {counted(left_out, 'text')} of {run.config.unlabelled_file} left out, which "
            "are repeated or occur in the training, validation or test rows"
        )
    examples = list(texts.values())

    labeller = _load(run, folders[0], splits)
    if labeller.record["data"]["fingerprint"] != splits.fingerprint:
        run.say(
            f"note: {folders[0]} was trained on other data; if it has seen rows that are "
            "validation or test rows here, it is surer of them than it should be"
        )
    tallies = {
        name: _tally(labeller, rows)
        for name in ("validation", "test")
        if (rows := getattr(splits, name))
    }
    threshold, best = _threshold(run, labeller, splits, folders[1:])
    target = run.config.pseudo_label_score or DEFAULT_SCORE
    metric = labeller.task.metric
    if threshold is None:
        raise UserError(_too_unsure(best, target, metric))
    answered = labeller.predict(examples)
    certainty = labeller.certainty(examples, answered)
    sure = np.flatnonzero(certainty >= threshold.certainty)
    labelled = labeller.task.with_answers(examples, answered)
    chosen = sure[
        balanced_rows(
            certainty[sure],
            [kind.classes(labelled[row]) for row in sure],
            [kind.classes(example) for example in splits.train],
        )
    ]
    pseudo = [labelled[row] for row in chosen]
    wanted = LABELLED_SHARE / (1 - LABELLED_SHARE) * len(pseudo)
    repeats = max(1, round(wanted / len(splits.train)))
    run.say(
        f"pseudo-labels: {folders[0]} reaches {metric} {threshold.score:.3f} on the "
        f"{counted(threshold.rows, 'validation row')} that it is surest of (certainty "
        f"{threshold.certainty:.3f} or more); it is as sure of {len(sure):,} of {len(examples):,} "
        f"texts, and {len(pseudo):,} of them train, so that no class has many more than others"
    )
    if repeats > 1:
        run.say(f"note: the labelled rows take part {repeats} times an epoch beside them")
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
            "sure": len(sure),
            "labels": len(pseudo),
            "without_class": sum(not kind.classes(example) for example in pseudo),
            "per_class": dict(sorted(counts.items())),
            "labelled_repeats": repeats,
        },
    )


def check_labels(task: Task) -> None:
    """Refuses a task whose answers cannot be labels.

    Raises:
        UserError: Says so.
    """
    if not task.can_label:
        title = task_settings(task.name).title
        kind = f" ({task.problem_type})" if task.problem_type else ""
        raise UserError(
            f"--unlabelled-file: the answers of {title}{kind} cannot be taken as labels; leave it "
            "out, or give a --teacher"
        )


def _load(run: Run, folder: str, splits: Splits | None) -> _Labeller:
    """A finished run, on the device.

    Raises:
        UserError: It is of another task, or has other labels than the training rows.
    """
    config: RunConfig = run.config
    record = load_run(folder)
    if record["task"] != config.task:
        raise UserError(
            f"--labelled-by {folder}: a run for {record['task']}, and this one is for "
            f"{config.task}; give a run of the same task"
        )
    if splits is not None and (
        set(record["labels"]) != set(splits.labels)
        or record.get("problem_type") != splits.problem_type
    ):
        raise UserError(
            f"--labelled-by {folder}: its labels are not those of the training rows; give a run "
            "that was trained on the same labels"
        )
    task: Task = task_class(config.task).from_record(record)
    check_labels(task)
    tokenizer = load_tokenizer(folder, **task.tokenizer_options)
    model = load_teacher(folder, record, config).to(run.accelerator.device).eval()
    task.take_model(model.config, model_id=folder)
    task.take_tokenizer(tokenizer, model_id=folder)
    return _Labeller(Path(folder), record, task, tokenizer, model, run)


def _tally(labeller: _Labeller, examples: Sequence[Any]) -> np.ndarray:
    found = labeller.task.tally(examples, labeller.predict(examples))
    assert found is not None
    return found


def _threshold(
    run: Run, labeller: _Labeller, splits: Splits, held_out: Sequence[str]
) -> tuple[Threshold | None, Threshold | None]:
    """What validation rows say: those of the run, or those of each further run.

    Raises:
        UserError: There are none.
    """
    judged: list[tuple[_Labeller, list[Any]]] = []
    if splits.validation:
        judged = [(labeller, splits.validation)]
    else:
        for folder in held_out:
            other = _load(run, folder, splits)
            examples = load_run_splits(other.record["config"], with_test=False).validation
            judged.append((other, examples))
    certainty, tallies = [], []
    for one, examples in judged:
        if not examples:
            continue
        predictions = one.predict(examples)
        certainty.append(one.certainty(examples, predictions))
        tally = one.task.tally(examples, predictions)
        assert tally is not None
        tallies.append(tally)
    if not certainty:
        raise UserError(
            "--unlabelled-file: no validation rows tell which answers to trust; give a "
            "--validation-file or a --validation-share, or name runs with held-out rows behind the "
            "first one of --labelled-by"
        )
    return choose_threshold(
        np.concatenate(certainty),
        np.concatenate(tallies),
        labeller.task.score_of_tally,
        target=run.config.pseudo_label_score or DEFAULT_SCORE,
    )


def _too_unsure(best: Threshold | None, target: float, metric: str) -> str:
    if best is None:
        return (
            "--unlabelled-file: there are too few validation rows to tell which answers to trust; "
            "give more of them, with --validation-file or a larger --validation-share"
        )
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
