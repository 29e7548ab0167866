"""A run as an ONNX folder, written when it was measured to answer like the run.

Three things are checked before the folder appears. Parity: in float32 the graph computes the run's
logits. Drift: few predictions on the run's validation split change in a smaller form. Worth: the
8-bit form is faster than float32 on this machine's CPU.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import torch

from lowcost_ft.data.python_rows import Rows
from lowcost_ft.errors import UserError
from lowcost_ft.export.folder import save_exported
from lowcost_ft.export.graph import OPSET
from lowcost_ft.export.measuring import Limits, Measuring
from lowcost_ft.export.refusals import (
    check_family,
    check_precisions,
    check_task,
    check_weights,
)
from lowcost_ft.export.report import ExportedFile, ExportReport
from lowcost_ft.export.smaller import Layer, quantizable_layers, to_half
from lowcost_ft.export.telling import notes_on
from lowcost_ft.export.timing import Speed
from lowcost_ft.models.loading import forward_module, load_tokenizer, load_trained
from lowcost_ft.models.merging import MERGE_TOLERANCE, merge_adapter, parity_gap
from lowcost_ft.models.onnx_model import ONNX_FILES, OnnxModel, check_onnx_installed
from lowcost_ft.models.saving import run_config
from lowcost_ft.pipeline.comparing import Drift, validation_examples
from lowcost_ft.pipeline.load_predictor import load_predictor
from lowcost_ft.pipeline.predicting import predict
from lowcost_ft.record.environment import hardware, int8_instructions, versions
from lowcost_ft.record.overwriting import paths_of_settings
from lowcost_ft.record.prediction_tokens import prediction_tokens
from lowcost_ft.record.run_file import load_run
from lowcost_ft.record.run_folder import check_output_dir, claimed_output_dir
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.base import Predictions, Task
from lowcost_ft.tasks.heads import find_head
from lowcost_ft.training.setup import set_num_threads

__all__ = ["export_run"]


def export_run(
    run_folder: str | Path,
    output_dir: str | Path,
    *,
    precision: Sequence[str] = ("fp32",),
    max_drift: float | None = None,
    max_score_drop: float = 0.005,
    min_speedup: float = 1.1,
    base_model: str | None = None,
    trust_remote_code: bool = False,
    num_threads: int | None = None,
    validation: Rows | None = None,
    say: Callable[[str], None] = print,
) -> ExportReport:
    """Writes a completed run as an ONNX folder, with the adapter merged into the weights.

    Args:
        run_folder: Folder of the run.
        output_dir: Folder to write; it must not hold a run or a model.
        precision: What to write: "fp32", "fp16", "int8".
        max_drift: Largest share of changed predictions for which a file is written; None: what is
            usual for the task, 0.02, or 0.05 of a tagger's entities.
        max_score_drop: Largest loss of the validation score for which fp16 or int8 is written.
        min_speedup: How many times as fast as float32 int8 must be to be written.
        base_model: Where the base model lies now, if it has moved.
        trust_remote_code: Whether the base model's own Python code may run.
        num_threads: CPU threads.
        validation: Rows to compare answers on, or the path of a file of them, where the run's own
            data are not at hand.
        say: Prints one line.

    Raises:
        UserError: The run cannot be exported, its data are not there, or float32 itself answers
            otherwise than the run too often.
        RuntimeError: The graph computes something else: report it.
    """
    check_precisions(precision)
    check_onnx_installed(to_write=True)
    run = load_run(run_folder)
    options: dict[str, Any] = {"base_model": base_model, "trust_remote_code": trust_remote_code}
    check_task(run)
    check_family(run_config(run_folder, run, **options))
    reads: dict[str, str | Path | None] = {
        **paths_of_settings(run["config"]),
        "RUN": run_folder,
        "--base-model" if base_model else "--model-id": base_model or run["model_id"],
    }
    check_output_dir(output_dir, reads, new=True)
    call = "lowcost_ft.export_run(run, output_dir, validation=rows)"
    examples, split = validation_examples(run, validation, command="export", call=call, say=say)
    threads = set_num_threads(num_threads, local_processes=1)
    whole = load_trained(run_folder, run | {"quantization": "none"}, **options)
    check_weights(whole)
    task: Task = task_class(run["task"]).from_record(run)
    max_drift = task.usual_drift if max_drift is None else max_drift
    tokenizer = load_tokenizer(
        str(run_folder), trust_remote_code=trust_remote_code, **task.tokenizer_options
    )
    base = forward_module(whole).eval()
    at = Measuring.of(run, tokenizer, examples)
    beside = at.outputs(base)
    before = _as_trained(at, base, run_folder, num_threads=num_threads, **options)
    plain = merge_adapter(whole) if base is not whole else base

    with (
        claimed_output_dir(str(output_dir), "exported", overwrite=None, reads=reads) as folder,
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch,
    ):
        say("exporting to ONNX ...")
        graph = at.graph(plain)
        exact = at.runs(graph, "fp32")
        gap = _check_parity(at, beside, exact)
        reference = at.predict(exact)
        limits = Limits(max_drift=max_drift, max_score_drop=max_score_drop)
        forms = {
            "fp32": _Form(
                graph, exact, _checked(at.drift(before, reference), run, max_drift, split)
            )
        }
        for name in ("fp16", "int8"):
            if name in precision:
                say(f"measuring {name} ...")
                forms[name] = _form(at, name, graph, exact, reference, limits)
        say("timing ...")
        models = {"run": plain, **{name: form.model for name, form in forms.items()}}
        speeds = at.speeds(models)
        files = _files(forms, speeds, precision, limits=limits, min_speedup=min_speedup)
        report = ExportReport(
            folder=str(folder),
            parity_gap=gap,
            files=files,
            **asdict(speeds["run"]),
            cpu=str(hardware()["cpu"]),
            int8_instructions=int8_instructions(),
            threads=threads,
            validation_rows=len(examples),
            opset=OPSET,
            versions=versions(("onnx", "onnxscript", "onnxruntime")),
        )
        plain.config.architectures = [_class_name(plain, task)]
        save_exported(
            folder,
            Path(scratch),
            run=run,
            run_folder=run_folder,
            report=asdict(report),
            graphs={one.precision: forms[one.precision].graph for one in files if one.file},
            config=plain.config,
            tokenizer=tokenizer,
        )
    for note in notes_on(run):
        say(note)
    return report


@dataclass
class _Form:
    """The model in one precision."""

    graph: Any
    model: OnnxModel
    drift: Drift
    left: list[Layer] = field(default_factory=list)
    """Layers that stay in float32, of those that could be in 8 bits."""
    layers: int | None = None
    """How many those are."""


def _check_parity(at: Measuring, beside: torch.Tensor, exact: OnnxModel) -> float:
    """How far the graph's logits are from the run's."""
    gap = max(parity_gap(beside, at.outputs(exact)), parity_gap(beside, at.logits(exact)))
    if gap > MERGE_TOLERANCE:
        raise RuntimeError(
            f"the ONNX graph's logits differ by {gap:.2g} from the run's (at most "
            f"{MERGE_TOLERANCE:g}); nothing was written"
        )
    return gap


def _checked(drift: Drift, run: dict[str, Any], max_drift: float, split: str) -> Drift:
    """Refuses a float32 model that answers otherwise than the run as it was trained."""
    if drift.drift > max_drift:
        weights = run.get("quantization", "none")
        why, advice = "since ONNX Runtime rounds otherwise", "Allow more"
        if weights != "none":
            why = f"since the run was trained on {weights} weights and ONNX holds the full ones"
            advice += ", or train without --quantization"
        raise UserError(
            f"export: {drift.drift:.2%} of the predictions on the {split} split changed, more "
            f"than --max-drift {max_drift:g}, {why}; nothing was written. {advice}"
        )
    return drift


def _form(
    at: Measuring,
    name: str,
    graph: Any,
    exact: OnnxModel,
    reference: Predictions,
    limits: Limits,
) -> _Form:
    """The model in half precision or in 8 bits."""
    left: list[Layer] = []
    layers = quantizable_layers(graph)
    if name == "fp16":
        smaller = to_half(graph)
    else:
        left = at.left_in_float(graph, exact, reference, layers, limits)
        smaller = at.rounded(graph, [one for one in layers if one not in left])
    model = at.runs(smaller, name)
    drift = at.drift(reference, at.predict(model))
    return _Form(smaller, model, drift, left, len(layers) if name == "int8" else None)


def _files(
    forms: dict[str, _Form],
    speeds: dict[str, Speed],
    precision: Sequence[str],
    *,
    limits: Limits,
    min_speedup: float,
) -> list[ExportedFile]:
    """What is written of each form, and why the rest is not."""
    reasons: dict[str, str | None] = {}
    for name, form in forms.items():
        reasons[name] = None if name == "fp32" else limits.broken_by(form.drift)
        if reasons[name] is None and form.layers is not None:
            faster = speeds[name].texts_per_second / speeds["fp32"].texts_per_second
            reasons[name] = _not_worth(faster, min_speedup, kept=len(form.left), of=form.layers)
    written = {name for name in forms if name in precision and reasons[name] is None}
    # Where something is not worth it, there is float32 in its place.
    written |= {"fp32"} if set(precision) - written else set()
    return [
        ExportedFile(
            precision=name,
            file=ONNX_FILES[name] if name in written else None,
            reason=reasons[name] or (None if name in written else "it was not asked for"),
            bytes=form.graph.ByteSize(),
            drift=form.drift,
            float_layers=[layer.title for layer in form.left],
            layers=form.layers,
            **asdict(speeds[name]),
        )
        for name, form in forms.items()
    ]


def _class_name(model: Any, task: Task) -> str:
    """What other programs tell the outputs by: the base model's own class has no head."""
    name = type(model).__name__
    # The mean over a text's tokens is part of the graph.
    return name.replace("ForToken", "ForSequence") if find_head(task.head).per_text else name


def _as_trained(at: Measuring, base: Any, run_folder: str | Path, **options: Any) -> Predictions:
    """Predictions of the run as it was trained, on quantized weights where it was."""
    if (at.run.get("quantization") or "none") == "none":
        return at.predict(base)
    trained = load_predictor(run_folder, keep_adapter=True, **options)
    return predict(
        trained.accelerator,
        trained.model,
        at.task,
        at.features,
        pad_token_id=at.tokenizer.pad_token_id,
        micro_batch_tokens=prediction_tokens(at.run),
    )


def _not_worth(faster: float, least: float, *, kept: int, of: int) -> str | None:
    """Why int8 is not written; None where it is worth it."""
    if kept == of:
        return "no layer can be held in 8 bits within --max-drift and --max-score-drop"
    if faster >= least:
        return None
    kind = int8_instructions()
    has = f"with {kind}" if kind else "which has no instructions for 8-bit products"
    left = f" with {kept} of {of} layers left in float32" if kept else ""
    return (
        f"on this CPU, {has}, it is {faster:.2f} times as fast as float32{left}, and "
        f"--min-speedup asks for {least:g}"
    )
