"""Scores a run with the weights that will be saved."""

from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any

from lowcost_ft.memory.measure import resident_peak_bytes
from lowcost_ft.models.loading import forward_module
from lowcost_ft.models.pooled_states import PooledTexts, keeping_states
from lowcost_ft.pipeline.build import Built
from lowcost_ft.pipeline.confidence import keeps_states, measure_calibration, measure_novelty
from lowcost_ft.pipeline.data import Data
from lowcost_ft.pipeline.predicting import predict_and_score
from lowcost_ft.pipeline.run_warnings import run_warnings
from lowcost_ft.pipeline.start import Run
from lowcost_ft.pipeline.train import Trained
from lowcost_ft.scores.novelty import Novelty
from lowcost_ft.tasks.base import Predictions

__all__ = ["Evaluated", "evaluate"]


@dataclass(frozen=True, kw_only=True)
class Evaluated:
    """Scores, and the predictions that they were computed from.

    Attributes:
        scores: The task's metrics, by the name of the split.
        predictions: The task's arrays, by the name of the split.
        novelty: Recognizes texts unlike the training data; None where nothing can.
    """

    scores: dict[str, dict[str, Any]]
    predictions: dict[str, Predictions]
    novelty: Novelty | None = None

    @property
    def split(self) -> str:
        """The split that tells most about new texts: test, else validation, else train."""
        return next(name for name in ("test", "validation", "train") if name in self.scores)


def evaluate(run: Run, built: Built, data: Data, trained: Trained) -> Evaluated:
    """Scores the validation and the test split, and records the scores.

    Without either, the training split is scored, so that the saved model can be compared with it.

    The task chooses thresholds and the like on the validation split, before the test split is
    scored. The scores of answers are calibrated on the validation split as well
    (`pipeline/confidence.py`).

    Args:
        run: The run; its record gets the scores.
        built: Its model.
        data: Its data.
        trained: What training returned.
    """
    found = Evaluated(scores={}, predictions={})
    model, states = forward_module(built.model.model), None
    held_out: list[str] = [name for name in ("validation", "test") if name in data.features]
    for name in held_out or ["train"]:
        pooled = PooledTexts(data.features[name].num_examples)
        with keeping_states(model) if keeps_states(run, data) else nullcontext():
            found.scores[name], found.predictions[name] = predict_and_score(
                run.accelerator,
                model,
                data.task,
                getattr(data.splits, name),
                data.features[name],
                pad_token_id=data.pad_token_id,
                micro_batch_tokens=run.prediction_tokens,
                seed=run.config.seed,
                cached=trained.states.get(name),
                recoveries=trained.result.recoveries,
                validation=name == "validation",
                pooled=pooled if name == "validation" else None,
                written="all" if name == "test" else "drawn",
            )
        if name == "validation":
            states = pooled.states()
        found.scores[name].pop("loss", None)  # The training history holds the loss of each epoch.
    run.record["evaluation"] = found.scores
    run.record["calibration"] = measure_calibration(data, found.predictions, seed=run.config.seed)
    run.record["novelty"], novelty = measure_novelty(run, built, data, states)
    run.record["thresholds"] = getattr(data.task, "thresholds", None)
    run.record["train"] |= {
        "recoveries": trained.result.recoveries,
        "peak_resident_bytes": resident_peak_bytes(),
    }
    run.record["metric"] = data.task.metric
    if data.pseudo is not None:
        run.record["pseudo_labels"]["differences"] = data.pseudo.differences(
            data.task, found.predictions, seed=run.config.seed
        )
    doubts, nothing_learned = data.task.doubts(
        found.split,
        getattr(data.splits, found.split),
        found.scores[found.split],
        found.predictions[found.split],
    )
    if nothing_learned and not trained.result.optimizer_steps:
        # Without steps nothing could be learned.
        doubts, nothing_learned = [*doubts, nothing_learned], None
    run.record["warnings"] = run_warnings(
        doubts,
        nothing_learned,
        unmoved=trained.unmoved,
        bad_steps=len(trained.result.bad_steps),
        warmup_ratio=run.config.warmup_ratio,
    )
    return replace(found, novelty=novelty)
