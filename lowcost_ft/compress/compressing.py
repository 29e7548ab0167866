"""A run as a smaller model of transformers.

The rows of the embeddings that no text of the given files needs are cut. For multilingual models
those are most of the weights. Three things are checked before the folder appears: read back from
disk, the tokenizer cuts the given texts as before; the model computes the same logits for them; and
few predictions change on the run's validation split, whose texts may need pieces that are gone.

Layers and neurons that matter least by measuring are dropped. That changes the answers, so that
such a model has to be trained again; what is checked is that the folder holds what was cut.
"""

import json
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowcost_ft.compress.layers import (
    check_prunable,
    choose_layers,
    cut_neurons,
    keep_layers,
    neuron_importance,
)
from lowcost_ft.compress.rows import cut_rows
from lowcost_ft.compress.targets import choose_cuts, median_tokens, parse_seconds
from lowcost_ft.compress.vocabulary import pieces_to_keep, trimmed
from lowcost_ft.config.values import parse_bytes
from lowcost_ft.data.features import Features
from lowcost_ft.data.python_rows import Rows
from lowcost_ft.errors import UserError
from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.families import Family, find_family
from lowcost_ft.models.loading import forward_module, load_tokenizer, load_trained
from lowcost_ft.models.merging import MERGE_TOLERANCE, check_mergeable, merge_adapter, parity_gap
from lowcost_ft.models.saving import save_model
from lowcost_ft.pipeline.comparing import Comparison, Drift, validation_examples
from lowcost_ft.pipeline.confidence import copy_novelty
from lowcost_ft.pipeline.run_input import read_unlabelled_file
from lowcost_ft.record.model_card import write_model_card
from lowcost_ft.record.overwriting import paths_of_settings
from lowcost_ft.record.run_file import RUN_FILE, load_run, saved_bytes, write_json, write_run
from lowcost_ft.record.run_folder import check_output_dir, claimed_output_dir
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.base import Predictions
from lowcost_ft.training.setup import set_num_threads

__all__ = ["CompressReport", "compress_run"]


@dataclass(frozen=True, kw_only=True)
class CompressReport:
    """What a compression came to."""

    folder: str
    pieces_before: int
    pieces_after: int
    """Rows of the table of embeddings."""
    parameters_before: int
    parameters_after: int
    bytes_after: int
    """Size of the weights in the folder."""
    layers: list[int] | None
    """Numbers of the layers that stay, where some were dropped."""
    neurons: int | None
    """Neurons of each feed-forward that stay, where some were cut."""
    covered: int | None
    """Examples of the given files, whose predictions are the same as before the layers were cut."""
    tokens_before: int
    tokens_after: int
    """Tokens of the validation split: more where its texts need pieces that are gone."""
    drift: Drift
    """Predictions for the validation split, against the run with its adapter in float32."""
    to_train: bool
    """Whether the model has to be trained again."""


def compress_run(
    run_folder: str | Path,
    output_dir: str | Path,
    *,
    trim_vocabulary: Sequence[str | Path] = (),
    layers: int | None = None,
    ffn: float | None = None,
    target_size: str | None = None,
    target_latency: str | None = None,
    max_drift: float = 0.05,
    base_model: str | None = None,
    trust_remote_code: bool = False,
    num_threads: int | None = None,
    validation: Rows | None = None,
    say: Callable[[str], None] = print,
) -> CompressReport:
    """Cuts what a run's model can do without, and writes the whole model.

    Args:
        run_folder: Folder of a completed run; its adapter is merged into the weights.
        output_dir: Folder to write; it must not hold a run or a model.
        trim_vocabulary: Files of texts that the model must go on to read as before, in any format
            that training reads, or one text a line: all other rows of the embeddings are cut.
        layers: How many layers stay.
        ffn: Which share of the neurons of each feed-forward stays.
        target_size: Most that the weights may take, such as "20MB"; layers and neurons are chosen
            for it, by measuring.
        target_latency: Longest time for one text, such as "5ms", likewise; see `choose_cuts`.
        max_drift: Largest share of changed predictions on the validation split for which a trimmed
            vocabulary is written.
        base_model: Where the base model lies now, if it has moved.
        trust_remote_code: Whether the base model's own Python code may run.
        num_threads: CPU threads.
        validation: The validation rows of a run whose data were given in Python.
        say: Prints one line.

    Raises:
        UserError: The run cannot be compressed, a file is wrong, or the drift is too large.
        RuntimeError: A given text is cut or answered otherwise than before: report it.
    """
    targets = _targets(target_size, target_latency)
    if not trim_vocabulary and layers is None and ffn is None and targets is None:
        raise UserError(
            "nothing to do: give --trim-vocabulary (the files whose texts must be read), --layers, "
            "--ffn, --target-size or --target-latency"
        )
    if ffn is not None and not 0 < ffn < 1:
        raise UserError(f"--ffn {ffn} is not a share: give a number between 0 and 1")
    run = load_run(run_folder)
    kind = task_class(run["task"])
    if kind.generates:
        raise UserError(
            "compress: this task writes text, with words that no file can foresee, and only tasks "
            "that predict in one pass are compressed; use the run as it is"
        )
    reads: dict[str, str | Path | None] = {
        **paths_of_settings(run["config"]),
        "RUN": run_folder,
        "--base-model" if base_model else "--model-id": base_model or run["model_id"],
        **{f"--trim-vocabulary {file}": file for file in trim_vocabulary},
    }
    check_output_dir(output_dir, reads)
    examples = _texts(run, trim_vocabulary, say) if trim_vocabulary else []
    call = "lowcost_ft.compress_run(run, output_dir, ..., validation=rows)"
    held_out = validation_examples(run, validation, command="compress", call=call)
    set_num_threads(num_threads, local_processes=1)
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    whole = load_trained(
        run_folder, run | {"quantization": "none"}, base_model=base_model, **options
    )
    base = forward_module(whole).eval()
    if base is not whole:
        check_mergeable(whole, command="compress")
    family = _check_cuts(base, layers, ffn, targets=targets is not None)
    tokenizer = _tokenizer(run, run_folder, **options)
    at = Comparison.of(run, tokenizer, held_out)
    given = Comparison.of(run, tokenizer, examples) if examples else None
    reference, tokens = at.predict(base), len(at.features.input_ids)
    expected = None if given is None else (given.predict(base), given.outputs(base))
    model = merge_adapter(whole) if base is not whole else base
    total, pieces = model.num_parameters(), model.get_input_embeddings().num_embeddings

    with (
        claimed_output_dir(str(output_dir), "compressed", overwrite=None, reads=reads) as folder,
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as scratch,
    ):
        record = _record(run, run_folder)
        if given is not None and expected is not None:
            keep = _pieces(model, tokenizer, given.features)
            cut_rows(model, keep)
            save_model(model, tokenizer, scratch)
            _save_trimmed(Path(scratch), keep)
            if record.get("pad_token_id") is not None:
                record["pad_token_id"] = keep.index(record["pad_token_id"])
            tokenizer = _tokenizer(record, scratch, **options)
            model = load_trained(scratch, record, **options)
            trimmed_given = Comparison.of(record, tokenizer, examples)
            _check_same(keep, given, trimmed_given, model, *expected)
            at = Comparison.of(record, tokenizer, held_out)
            _check_drift(at.drift(reference, at.predict(model)), max_drift)
        kept = neurons = None
        if family is not None:
            if targets is not None:
                layers, ffn = _chosen(at, model, family, layers, ffn, targets, say)
            kept, neurons = _cut(at, model, family, layers, ffn, say)
            logits = at.outputs(model)
            save_model(model, tokenizer, scratch)
            model = load_trained(scratch, record, **options)
            gap = parity_gap(logits, at.outputs(model))
            if gap > MERGE_TOLERANCE:
                raise RuntimeError(
                    f"read back, the cut model's logits differ by {gap:.2g}; nothing was written"
                )
        found = at.predict(model)
        drift = at.drift(reference, found)
        say(
            f"drift: {drift.changed:,} of {drift.predictions:,} predictions ({drift.drift:.2%}) on "
            f"the validation split differ, {drift.metric} {drift.score_before:.4f} -> "
            f"{drift.score_after:.4f}"
        )
        report = CompressReport(
            folder=str(folder),
            pieces_before=pieces,
            pieces_after=model.get_input_embeddings().num_embeddings,
            parameters_before=total,
            parameters_after=model.num_parameters(),
            bytes_after=saved_bytes(scratch),
            layers=kept,
            neurons=neurons,
            covered=len(examples) if examples else None,
            tokens_before=tokens,
            tokens_after=len(at.features.input_ids),
            drift=drift,
            to_train=kept is not None or neurons is not None,
        )
        # The scores of the record are the run's own; these are this model's.
        scores = at.task.score(held_out, found, seed=run["seed"])
        record["evaluation"] = {"validation": scores}
        if report.to_train:
            # Its states and scores are others than those that were measured.
            record |= {"calibration": None, "novelty": {"reason": "layers were cut since"}}
        else:
            copy_novelty(Path(run_folder), Path(scratch))
        write_run(scratch, record | {"compress": asdict(report) | {"folder": None}})
        write_model_card(scratch, record)
        for file in sorted(Path(scratch).iterdir(), key=lambda one: one.name == RUN_FILE):
            file.rename(folder / file.name)
    return report


def _texts(
    run: dict[str, Any], files: Sequence[str | Path], say: Callable[[str], None]
) -> list[Any]:
    """The examples that the trimmed model must read as before."""
    kind, notices, examples = task_class(run["task"]), list[str](), []
    for file in files:
        read = read_unlabelled_file(run, str(file), notices=notices)
        examples += [one for one in read if not kind.is_blank(one)]
    if not examples:
        raise UserError("--trim-vocabulary: the files hold no text")
    for notice in dict.fromkeys(notices):
        say(f"note: {notice}")
    return examples


def _targets(size: str | None, latency: str | None) -> tuple[int | None, float | None] | None:
    """Bytes and seconds that the user names; None where neither is.

    Raises:
        UserError: They are not a size and a time.
    """
    if size is None and latency is None:
        return None
    try:
        return (
            None if size is None else parse_bytes(size),
            None if latency is None else parse_seconds(latency),
        )
    except ValueError as error:
        raise UserError(f"--target-size or --target-latency: {error}") from None


def _chosen(
    at: Comparison,
    model: Any,
    family: Family,
    layers: int | None,
    ffn: float | None,
    targets: tuple[int | None, float | None],
    say: Callable[[str], None],
) -> tuple[int | None, float | None]:
    """Layers and share of neurons that reach the targets; None for what stays whole."""
    choice = choose_cuts(
        at,
        model,
        family,
        layers=layers,
        ffn=ffn,
        target_bytes=targets[0],
        target_seconds=targets[1],
    )
    told = f"{choice.layers} layers, {choice.ffn:g} of the neurons: {choice.bytes / 1e6:.1f} MB"
    if choice.seconds is not None:
        told += (
            f", {1000 * choice.seconds:.1f} ms for one text of {median_tokens(at)} tokens (95th "
            f"percentile, {torch.get_num_threads()} thread{'s' * (torch.get_num_threads() != 1)})"
        )
    say(told)
    count = len(layer_list(model, family))
    return (
        choice.layers if choice.layers < count else None,
        choice.ffn if choice.ffn < 1 else None,
    )


def _check_cuts(
    model: Any, layers: int | None, ffn: float | None, *, targets: bool
) -> Family | None:
    """The family whose layers or neurons are cut; None where none are."""
    if layers is None and ffn is None and not targets:
        return None
    flag = "--layers" if layers is not None else "--ffn" if ffn is not None else "--target-size"
    family = check_prunable(model, flag)
    count = len(layer_list(model, family))
    if layers is not None and not 1 <= layers < count:
        raise UserError(
            f"--layers {layers}: the model has {count}; give a number from 1 to {count - 1}"
        )
    return family


def _check_drift(drift: Drift, max_drift: float) -> None:
    if drift.drift > max_drift:
        raise UserError(
            f"compress: {drift.drift:.2%} of the predictions changed, more than --max-drift "
            f"{max_drift:g}; nothing was written. Give --trim-vocabulary more texts like those "
            "that the model will get (the training file, above all), or allow more"
        )


def _cut(
    at: Comparison,
    model: Any,
    family: Family,
    layers: int | None,
    ffn: float | None,
    say: Callable[[str], None],
) -> tuple[list[int] | None, int | None]:
    """Drops layers and neurons, in place; says which stay."""
    kept = neurons = None
    if layers is not None:
        kept = choose_layers(model, family, layers, lambda: at.outputs(model))
        keep_layers(model, family, kept)
        say(f"layers that stay: {', '.join(map(str, kept))}")
    if ffn is not None:
        importance = neuron_importance(model, family, lambda: at.outputs(model))
        neurons = cut_neurons(model, family, ffn, importance)
        say(f"neurons of each feed-forward that stay: {neurons:,} of {len(importance[0]):,}")
    return kept, neurons


def _tokenizer(run: dict[str, Any], folder: str | Path, *, trust_remote_code: bool) -> Any:
    options = task_class(run["task"]).tokenizer_options
    return load_tokenizer(str(folder), trust_remote_code=trust_remote_code, **options)


def _pieces(model: Any, tokenizer: Any, covered: Features) -> list[int]:
    """The rows of the embeddings that stay."""
    family = find_family(model.config)
    below = tokenizer.pad_token_id if family and family.positions_after_padding else 0
    content = json.loads(tokenizer.backend_tokenizer.to_str())
    used = {int(one) for one in np.unique(covered.input_ids)} | {tokenizer.pad_token_id}
    rows = model.get_input_embeddings().num_embeddings
    return [one for one in pieces_to_keep(content, used, below=below) if one < rows]


def _save_trimmed(folder: Path, keep: list[int]) -> None:
    """Replaces the tokenizer in a folder by the one with fewer pieces."""
    file = folder / "tokenizer.json"
    write_json(file, trimmed(json.loads(file.read_text("utf-8")), keep))
    numbers = {old: new for new, old in enumerate(keep)}
    file = folder / "tokenizer_config.json"
    values = json.loads(file.read_text("utf-8"))
    if added := values.get("added_tokens_decoder"):
        values["added_tokens_decoder"] = {
            str(numbers[int(old)]): token for old, token in added.items() if int(old) in numbers
        }
        write_json(file, values)


def _record(run: dict[str, Any], run_folder: str | Path) -> dict[str, Any]:
    """`run.json` of the new folder, which `lowcost-ft predict` reads."""
    return run | {
        "merged_from": run.get("merged_from") or Path(run_folder).resolve().name,
        "trained_on": run.get("trained_on") or run.get("quantization", "none"),
        "quantization": "none",
    }


def _check_same(
    keep: list[int],
    before: Comparison,
    after: Comparison,
    model: Any,
    expected: Predictions,
    logits: torch.Tensor,
) -> None:
    """Refuses a model that reads or answers a given text otherwise than before."""
    found = np.array(keep)[after.features.input_ids]
    if not np.array_equal(found, before.features.input_ids):
        raise RuntimeError(
            "the trimmed tokenizer cuts a given text otherwise than before; nothing was written"
        )
    gap = parity_gap(logits, after.outputs(model))
    answers = after.predict(model)
    same = all(
        np.allclose(answers[name], array, atol=MERGE_TOLERANCE, rtol=MERGE_TOLERANCE)
        if np.issubdtype(array.dtype, np.floating)
        else np.array_equal(answers[name], array)
        for name, array in expected.items()
    )
    if gap > MERGE_TOLERANCE or not same:
        raise RuntimeError(
            "the trimmed model answers a given text otherwise than before (logits differ by "
            f"{gap:.2g}); nothing was written"
        )
