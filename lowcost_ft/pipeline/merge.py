"""Merges a run's adapter into the full-precision base model: a plain folder of transformers.

Two things are checked before the folder appears. Parity: read back from disk, the merged model
computes the same as the unquantized base model with the adapter beside it. Drift: how many
predictions on the run's validation split differ from those of the run as it was trained, such as on
8-bit or 4-bit weights.
"""

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowcost_ft.data.features import Features
from lowcost_ft.data.python_rows import Rows
from lowcost_ft.errors import UserError
from lowcost_ft.models.loading import forward_module, load_trained
from lowcost_ft.models.merging import MERGE_TOLERANCE, check_mergeable, merge_adapter, parity_gap
from lowcost_ft.models.saving import save_model
from lowcost_ft.pipeline.comparing import Drift, compare, outputs_of, validation_examples
from lowcost_ft.pipeline.confidence import copy_novelty
from lowcost_ft.pipeline.load_predictor import load_predictor
from lowcost_ft.pipeline.predicting import predict
from lowcost_ft.pipeline.predictor import Predictor
from lowcost_ft.record.model_card import write_model_card
from lowcost_ft.record.overwriting import paths_of_settings
from lowcost_ft.record.prediction_tokens import prediction_tokens
from lowcost_ft.record.run_file import load_run, write_run
from lowcost_ft.record.run_folder import check_output_dir, claimed_output_dir
from lowcost_ft.tasks.base import Predictions

__all__ = ["MergeReport", "merge_run"]


@dataclass(frozen=True, kw_only=True)
class MergeReport(Drift):
    """The result of a merge; predictions are compared with those of the run as it was trained."""

    folder: str
    parity_gap: float
    """Largest difference of logits from the unmerged model's, relative where they are above 1."""


def merge_run(
    run_folder: str | Path,
    output_dir: str | Path,
    *,
    max_drift: float = 0.05,
    base_model: str | None = None,
    trust_remote_code: bool = False,
    num_threads: int | None = None,
    validation: Rows | None = None,
    say: Callable[[str], None] = print,
) -> MergeReport:
    """Merges the adapter of a completed run, and writes the whole model.

    Args:
        run_folder: The folder of the run.
        output_dir: Folder to write; it must not hold a run or a model.
        max_drift: Largest share of changed predictions for which anything is written.
        base_model: Where the base model lies now, if it has moved.
        trust_remote_code: Whether the base model's own Python code may run.
        num_threads: CPU threads.
        validation: Rows to compare answers on, or the path of a file of them, where the run's own
            data are not at hand.
        say: Prints one line.

    Raises:
        UserError: The run has nothing to merge, its data are missing, or the drift is too large.
        RuntimeError: The merged model computes something else, which is a fault of this package.
    """
    run = load_run(run_folder)
    reads: dict[str, str | Path | None] = {
        **paths_of_settings(run["config"]),
        "RUN": run_folder,
        "--base-model" if base_model else "--model-id": base_model or run["model_id"],
    }
    check_output_dir(output_dir, reads, new=True)
    options: dict[str, Any] = {
        "base_model": base_model,
        "trust_remote_code": trust_remote_code,
    }
    plain = run | {"quantization": "none"}
    whole = load_trained(run_folder, plain, **options)
    check_mergeable(whole)
    call = "lowcost_ft.merge_run(run, output_dir, validation=rows)"
    examples, split = validation_examples(run, validation, command="merge", call=call, say=say)
    as_trained = load_predictor(run_folder, num_threads=num_threads, keep_adapter=True, **options)
    tokenizer = as_trained.tokenizer
    features = as_trained.task.featurize(
        examples, tokenizer, max_length=run["config"]["max_length"]
    )
    before = _predict(as_trained, as_trained.model, features)
    beside = _outputs(as_trained, forward_module(whole).eval(), features)

    # The folder is removed if nothing is written. The scratch folder is beside it, so that the
    # last step is a rename.
    with (
        claimed_output_dir(str(output_dir), "merged", overwrite=None, reads=reads) as folder,
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch,
    ):
        task = as_trained.task
        writing = task.generation() if task.writes else None
        save_model(merge_adapter(whole), tokenizer, scratch, generation=writing)
        merged_run = _merged_record(run, run_folder)
        merged = load_trained(scratch, merged_run, trust_remote_code=trust_remote_code)
        gap = parity_gap(beside, _outputs(as_trained, merged, features))
        if gap > MERGE_TOLERANCE:
            raise RuntimeError(
                f"the merged model's logits differ by {gap:.2g} from those with the adapter beside "
                f"the weights (at most {MERGE_TOLERANCE:g}); nothing was written"
            )
        after = _predict(as_trained, merged, features)
        drift = compare(task, examples, before, after, seed=run["seed"])
        report = MergeReport(folder=str(folder), parity_gap=gap, **vars(drift))
        say(
            f"drift: {report.changed:,} of {report.predictions:,} predictions "
            f"({report.drift:.2%}) on the {split} split differ from the adapter's, "
            f"{report.metric} {report.score_before:.4f} -> {report.score_after:.4f}"
        )
        if report.drift > max_drift:
            raise UserError(
                f"merge: {report.drift:.2%} of the predictions changed, more than --max-drift "
                f"{max_drift:g}; nothing was written. Use the adapter on its "
                f"{merged_run['trained_on']} weights, or allow more"
            )
        write_run(scratch, merged_run | {"merge": vars(report)})
        write_model_card(scratch, merged_run, name=folder.resolve().name)
        copy_novelty(Path(run_folder), Path(scratch))
        for file in sorted(Path(scratch).iterdir()):
            file.rename(folder / file.name)
    return report


def _merged_record(run: dict[str, Any], run_folder: str | Path) -> dict[str, Any]:
    """The content of `run.json` in the merged folder, which `lowcost-ft predict` reads."""
    return run | {
        "merged_from": str(Path(run_folder).resolve().name),
        "trained_on": run.get("quantization", "none"),
        "quantization": "none",
    }


def _predict(predictor: Predictor, model: Any, features: Features) -> Predictions:
    return predict(
        predictor.accelerator,
        forward_module(model).to(predictor.accelerator.device),
        predictor.task,
        features,
        pad_token_id=predictor.tokenizer.pad_token_id,
        micro_batch_tokens=prediction_tokens(predictor.run),
        written="drawn",
    )


def _outputs(predictor: Predictor, model: Any, features: Features) -> Any:
    pad_token_id = predictor.tokenizer.pad_token_id
    return outputs_of(predictor.task, model, features, pad_token_id=pad_token_id)
