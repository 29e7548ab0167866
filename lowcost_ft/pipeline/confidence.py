"""How far a run's scores can be trusted, and which texts are unlike its training data."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from lowcost_ft.data.features import Features
from lowcost_ft.errors import UserError
from lowcost_ft.models.loading import forward_module
from lowcost_ft.models.pooled_states import PooledTexts, keeping_states
from lowcost_ft.pipeline.build import Built
from lowcost_ft.pipeline.data import Data
from lowcost_ft.pipeline.predicting import predict
from lowcost_ft.pipeline.start import Run
from lowcost_ft.scores.calibration import (
    FEWEST_ANSWERS,
    Graded,
    ScoreMap,
    calibration_error,
    fit_scores,
)
from lowcost_ft.scores.novelty import (
    MOST_REFERENCES,
    Novelty,
    auroc,
    auroc_ci95,
    fit_novelty,
)
from lowcost_ft.scores.promises import promises
from lowcost_ft.tasks.base import Predictions
from lowcost_ft.training.sharding import is_sharded

__all__ = ["NOVELTY_FILE", "copy_novelty", "load_novelty", "measure_calibration", "measure_novelty"]
__all__ += ["against", "keeps_states", "save_novelty"]

NOVELTY_FILE = "novelty.safetensors"
_FEWEST_TEXTS = 50
"""With fewer validation texts there is no distance that 5% of them exceed."""


def measure_calibration(
    data: Data, predictions: dict[str, Predictions], *, seed: int
) -> dict[str, Any]:
    """Calibrates the scores on validation data, and measures their error before and after.

    Decisions and saved predictions do not change.

    Args:
        data: The run's data.
        predictions: The predictions for its splits, by name.
        seed: Seed of the bootstrap intervals.

    Returns:
        The content of `calibration` in `run.json`. If it has no `temperature`, its `reason` says
        why.
    """
    task = data.task
    if task.why_no_confidence is not None:
        return {"temperature": None, "reason": task.why_no_confidence}
    if "validation" not in predictions:
        return {"temperature": None, "reason": "there are no validation rows to fit it on"}
    graded: dict[str, Graded] = {}
    for name in predictions:
        found = task.graded(getattr(data.splits, name), predictions[name])
        assert found is not None
        graded[name] = found
    fitted_on = graded["validation"]
    given = int(fitted_on.given.sum())
    if given < FEWEST_ANSWERS:
        reason = f"{given} answers to validation data are too few: it takes {FEWEST_ANSWERS}"
        return {"temperature": None, "reason": reason}
    scores = fit_scores(fitted_on)
    told = scores.apply(fitted_on)
    return {
        "temperature": scores.temperature,
        "offset": scores.offset,
        "answers": task.answers_counted,
        **{
            name: _before_and_after(found, scores, len(getattr(data.splits, name)), seed)
            for name, found in graded.items()
        },
        "promises": promises(told[fitted_on.given], fitted_on.right[fitted_on.given]),
    }


def _before_and_after(
    graded: Graded, scores: ScoreMap, examples: int, seed: int
) -> dict[str, Any] | None:
    if not len(graded.scores):
        return None
    told = {"before": graded.scores, "after": scores.apply(graded)}
    return {
        name: calibration_error(values, graded.right, graded.owners, examples=examples, seed=seed)
        for name, values in told.items()
    }


@dataclass(frozen=True, kw_only=True)
class _Forward:
    """Runs the model over texts for their states."""

    run: Run
    built: Built
    data: Data

    def states(self, features: Features, *, texts: np.ndarray | None = None) -> np.ndarray | None:
        """The pooled states of texts (None: all), `(texts, hidden)`; None if there are none."""
        pooled = PooledTexts(features.num_examples)
        predict(
            self.run.accelerator,
            forward_module(self.built.model.model),
            self.data.task,
            features,
            pad_token_id=self.data.pad_token_id,
            micro_batch_tokens=self.run.prediction_tokens,
            pooled=pooled,
            rows=None if texts is None else features.rows_of(texts),
        )
        return pooled.states(texts)


def measure_novelty(
    run: Run, built: Built, data: Data, validation: np.ndarray | None
) -> tuple[dict[str, Any], Novelty | None]:
    """Keeps states of training texts, and the distance beyond which a text is unlike them.

    Args:
        run: The run.
        built: Its model, with the weights that are saved.
        data: Its data.
        validation: Pooled states of the validation texts, `(texts, hidden)`; None if the model has
            none.

    Returns:
        The content of `novelty` in `run.json`, and what is saved beside it, if anything.
    """
    if "validation" not in data.features:
        return {"threshold": None, "reason": "there are no validation texts to choose it by"}, None
    if data.task.writes or data.task.generates:
        return {"threshold": None, "reason": "the task writes texts"}, None
    if built.streamed:
        why = "the model has been without its lower layers"
        return {"threshold": None, "reason": why}, None
    if validation is None:
        return {"threshold": None, "reason": "the model shows no states of its backbone"}, None
    if len(validation) < _FEWEST_TEXTS:
        few = f"{len(validation)} validation texts are too few: it takes {_FEWEST_TEXTS}"
        return {"threshold": None, "reason": few}, None
    forward = _Forward(run=run, built=built, data=data)
    features = data.features["train"]
    chosen = np.random.default_rng(run.config.seed).permutation(features.num_examples)
    with keeping_states(forward_module(built.model.model)):
        training = forward.states(features, texts=np.sort(chosen[:MOST_REFERENCES]))
        if training is None or len(training) < 2:
            return {"threshold": None, "reason": "the model's states are not finite"}, None
        novelty = fit_novelty(training, validation)
        inside = novelty.distances(validation)
        record: dict[str, Any] = {
            "threshold": novelty.threshold,
            "training_texts": len(novelty.references),
            "flagged_of_validation": float((inside > novelty.threshold).mean()),
        }
        if texts := _sample_texts(run, data):
            record["out_of_scope"] = _out_of_scope(forward, novelty, inside, texts)
    return record, novelty


def _sample_texts(run: Run, data: Data) -> Sequence[str]:
    """Texts unlike the embedded sample, if the run was trained on it; else none."""
    config, record = run.config, run.record["data"]
    own = config.train_file or config.dataset or record.get("in_python")
    return () if own else data.task.out_of_scope_texts()


def _out_of_scope(
    forward: _Forward, novelty: Novelty, inside: np.ndarray, texts: Sequence[str]
) -> dict[str, Any]:
    task, config = forward.data.task, forward.run.config
    examples = type(task).read_texts(list(texts), None)
    features = task.featurize(examples, forward.data.tokenizer, max_length=config.max_length)
    states = forward.states(features)
    assert states is not None
    return against(novelty, inside, novelty.distances(states), seed=config.seed)


def against(
    novelty: Novelty, inside: np.ndarray, outside: np.ndarray, *, seed: int = 0
) -> dict[str, Any]:
    """Measures how well distances separate texts unlike the training data from others.

    Args:
        novelty: What the run keeps.
        inside: Distances of texts like the training data, `(texts,)`.
        outside: Distances of other texts, `(texts,)`.
        seed: Seed of the bootstrap interval.
    """
    return {
        "texts": len(outside),
        "flagged": float((outside > novelty.threshold).mean()),
        "auroc": auroc(inside, outside),
        "auroc_ci95": auroc_ci95(inside, outside, seed),
    }


def keeps_states(run: Run, data: Data) -> bool:
    """Whether states of whole texts can be taken.

    They cannot if the model is split over processes, or if the task writes texts: its rows then
    hold the text to write as well.
    """
    return not is_sharded(run.accelerator) and not data.task.writes


def save_novelty(folder: Path, novelty: Novelty | None) -> None:
    """Writes the file that `load_novelty` reads, if there is something to keep."""
    if novelty is not None:
        tensors = {
            "references": torch.from_numpy(novelty.references),
            "mean": torch.from_numpy(novelty.mean),
            "scale": torch.tensor([novelty.scale], dtype=torch.float64),
        }
        save_file(tensors, folder / NOVELTY_FILE)


def copy_novelty(source: Path, folder: Path) -> None:
    """Copies the file that `load_novelty` reads, if there is one, for a model with equal states."""
    if (source / NOVELTY_FILE).is_file():
        shutil.copy(source / NOVELTY_FILE, folder / NOVELTY_FILE)


def load_novelty(folder: Path, record: dict[str, Any] | None) -> Novelty | None:
    """Loads what a run keeps to recognize texts unlike its training data; None without it.

    The file may have been left behind when the folder was copied. Texts are then not flagged, and
    the predictor says so.

    Args:
        folder: The run folder.
        record: The content of `novelty` in `run.json`.

    Raises:
        UserError: The file is damaged.
    """
    file = folder / NOVELTY_FILE
    if not record or record.get("threshold") is None or not file.exists():
        return None
    try:
        tensors = load_file(file)
        return Novelty(
            references=tensors["references"].numpy(),
            mean=tensors["mean"].numpy(),
            scale=float(tensors["scale"][0]),
            threshold=record["threshold"],
        )
    except (OSError, SafetensorError, KeyError) as error:
        raise UserError(f"{file} cannot be read ({error}): restore the run folder") from None
