"""Writes a run's folder, loads it again and compares its predictions."""

from dataclasses import replace
from pathlib import Path

from lowcost_ft.models.frozen_precision import hold_frozen_weights
from lowcost_ft.models.loading import forward_module, load_trained, save_model, saved_tensors
from lowcost_ft.models.quantization import compute_dtype
from lowcost_ft.pipeline.build import Built
from lowcost_ft.pipeline.confidence import save_novelty
from lowcost_ft.pipeline.data import Data
from lowcost_ft.pipeline.evaluate import Evaluated
from lowcost_ft.pipeline.float32_drift import measure_float32_drift
from lowcost_ft.pipeline.predicting import check_same, predict
from lowcost_ft.pipeline.start import Run
from lowcost_ft.pipeline.train import Trained
from lowcost_ft.record.model_card import write_model_card
from lowcost_ft.record.run_file import saved_bytes, write_predictions
from lowcost_ft.tasks.base import Predictions
from lowcost_ft.training.checkpoint_files import sync_folder
from lowcost_ft.training.sharding import is_sharded, on_device, whole_tensors

__all__ = ["save"]


def save(run: Run, built: Built, data: Data, trained: Trained, evaluated: Evaluated) -> Path:
    """Writes model, tokenizer, predictions and model card, then reloads the folder and compares.

    Args:
        run: The run; its record gets the size of what was saved.
        built: Its model.
        data: Its data.
        trained: What training returned.
        evaluated: Scores and predictions, with which those of the folder are compared.

    Returns:
        The run folder.

    Raises:
        RuntimeError: The reloaded model predicts something else, so it is not the one that was
            trained.
    """
    sharded = is_sharded(run.accelerator)
    main = run.accelerator.is_main_process
    model = built.model.model
    weights = whole_tensors(saved_tensors(model), keep=main) if sharded else None
    if main:
        save_model(
            model,
            data.tokenizer,
            run.folder,
            weights=weights,
            own_dropout=built.model.own_dropout,
            generation=data.task.generation() if data.task.writes else None,
        )
        run.record["saved_bytes"] = saved_bytes(run.folder)
        save_novelty(run.folder, evaluated.novelty)
        if "test" in evaluated.predictions:
            _write_predictions(run, data, evaluated.predictions["test"])
        if built.model.quantization == "int8":
            run.record["float32_drift"] = measure_float32_drift(run, data, evaluated.split)
        write_model_card(run.folder, run.record)
    run.accelerator.wait_for_everyone()
    if not sharded:
        model.to("cpu")  # The device need not hold two models.
    again = _predicted_by_the_folder(run, built, data, trained, evaluated.split)
    exact = run.accelerator.mixed_precision == "no"
    check_same(evaluated.predictions[evaluated.split], again, tolerance=1e-4 if exact else 2e-2)
    if main:
        sync_folder(run.folder)  # Everything is on disk before run.json says "completed".
    return run.folder


def _write_predictions(run: Run, data: Data, predictions: Predictions) -> None:
    examples = data.splits.test or []
    write_predictions(
        run.folder / "predictions.jsonl",
        data.task.present(examples, predictions),
        [data.task.truth_row(example) for example in examples],
        losses=data.task.losses(examples, predictions).tolist(),
    )


def _predicted_by_the_folder(
    run: Run, built: Built, data: Data, trained: Trained, split: str
) -> Predictions:
    """Predictions of a split by the model that is loaded from the run folder."""
    config = run.config
    top_layers = config.trainable_layers if built.streamed else None
    reloaded = load_trained(
        run.folder,
        run.record,
        trust_remote_code=config.trust_remote_code,
        dtype=compute_dtype(run.accelerator.mixed_precision),
        stream_below=top_layers,
    )
    hold_frozen_weights(
        reloaded,
        compute_dtype(run.accelerator.mixed_precision),
        family=built.model.family,
        top_layers=top_layers,
    )
    cached = None
    if built.streamed:
        part = built.streamed.of(forward_module(reloaded))
        cached = replace(trained.states[split], part=part)
    return predict(
        run.accelerator,
        on_device(run.accelerator, forward_module(reloaded)),
        data.task,
        data.features[split],
        pad_token_id=data.pad_token_id,
        micro_batch_tokens=run.prediction_tokens,
        cached=cached,
        written="none",  # The losses show whether the weights are the same.
    )
