"""A run as a smaller model of transformers.

The rows of the embeddings that no text of the given files needs are cut. For multilingual models
those are most of the weights. Three things are checked before the folder appears: read back from
disk, the tokenizer cuts the given texts as before; the model computes the same logits for them; and
few predictions change on the run's validation split, whose texts may need pieces that are gone.

Layers and neurons that matter least by measuring are dropped. That changes the answers, so that
such a model has to be trained again: unless that is left out, it is distilled from the model as it
was (`healing.py`). What is checked is that the folder holds what was cut.
"""

import tempfile
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from lowcost_ft.compress.answer import CompressReport
from lowcost_ft.compress.cutting import (
    check_cuts,
    chosen_cuts,
    cut_model,
    cut_some_heads,
    parse_targets,
)
from lowcost_ft.compress.healing import (
    Healing,
    check_healing,
    heal_model,
    measured,
    save_teacher,
)
from lowcost_ft.compress.rows import cut_rows
from lowcost_ft.compress.trimming import (
    check_drift,
    check_same,
    given_texts,
    pieces_that_stay,
    save_trimmed,
)
from lowcost_ft.data.python_rows import Rows
from lowcost_ft.errors import UserError
from lowcost_ft.models.loading import forward_module, load_tokenizer, load_trained
from lowcost_ft.models.merging import MERGE_TOLERANCE, check_mergeable, merge_adapter, parity_gap
from lowcost_ft.models.saving import save_model
from lowcost_ft.pipeline.comparing import Comparison, validation_examples
from lowcost_ft.pipeline.confidence import copy_novelty
from lowcost_ft.record.model_card import write_model_card
from lowcost_ft.record.overwriting import paths_of_settings
from lowcost_ft.record.run_file import RUN_FILE, load_run, saved_bytes, write_run
from lowcost_ft.record.run_folder import check_output_dir, claimed_output_dir
from lowcost_ft.tasks import task_class
from lowcost_ft.training.setup import set_num_threads

__all__ = ["CompressReport", "compress_run"]


def compress_run(
    run_folder: str | Path,
    output_dir: str | Path,
    *,
    trim_vocabulary: Sequence[str | Path] = (),
    layers: int | None = None,
    ffn: float | None = None,
    heads: float | None = None,
    target_size: str | None = None,
    target_latency: str | None = None,
    heal: bool = True,
    unlabelled_file: str | None = None,
    max_drift: float | None = None,
    base_model: str | None = None,
    trust_remote_code: bool = False,
    num_threads: int | None = None,
    train: Rows | None = None,
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
        heads: Which share of the attention heads of each layer stays; see `check_heads`.
        target_size: Most that the weights may take, such as "20MB"; layers and neurons are chosen
            for it, by measuring.
        target_latency: Longest time for one text, such as "5ms", likewise; see `choose_cuts`.
        heal: Whether a model of which layers, neurons or heads were cut learns again from the run's
            training rows, with the model before the cut as its teacher.
        unlabelled_file: Texts without labels that it learns from, too.
        max_drift: Largest share of changed predictions on the validation split for which a trimmed
            vocabulary is written; None: 0.05.
        base_model: Where the base model lies now, if it has moved.
        trust_remote_code: Whether the base model's own Python code may run.
        num_threads: CPU threads.
        train: The training rows of a run whose data were given in Python, to heal with.
        validation: The validation rows of such a run; or the path of a file of rows to compare
            answers on, where the run's own are not at hand.
        say: Prints one line.

    Raises:
        UserError: The run cannot be compressed, a file is wrong, or the drift is too large.
        RuntimeError: A given text is cut or answered otherwise than before: report it.
    """
    targets = parse_targets(target_size, target_latency)
    if not trim_vocabulary and targets is None and layers is ffn is heads is None:
        raise UserError(
            "nothing to do: give --trim-vocabulary (the files whose texts must be read), --layers, "
            "--ffn, --heads, --target-size or --target-latency"
        )
    if problems := [
        f"{flag} {share} is not a share: give a number between 0 and 1"
        for flag, share in (("--ffn", ffn), ("--heads", heads))
        if share is not None and not 0 < share < 1
    ]:
        raise UserError(problems)
    if max_drift is not None and not trim_vocabulary:
        raise UserError(
            "--max-drift bounds what a trimmed vocabulary changes, and no vocabulary is trimmed: "
            "leave it out, or give --trim-vocabulary"
        )
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
    check_output_dir(output_dir, reads, new=True)
    cuts = targets is not None or not layers is ffn is heads is None
    if unlabelled_file is not None and not (cuts and heal):
        raise UserError(
            "--unlabelled-file is for healing a model of which layers, neurons or heads are cut; "
            "leave it out"
        )
    if cuts and heal:
        check_healing(run, rows=train, unlabelled_file=unlabelled_file)
    if unlabelled_file is not None:
        given_texts(run, [unlabelled_file], say, flag="--unlabelled-file")
    examples = []
    if trim_vocabulary:
        examples = given_texts(run, trim_vocabulary, say, flag="--trim-vocabulary")
    rows = None if isinstance(validation, str) else validation
    call = "lowcost_ft.compress_run(run, output_dir, ..., validation=rows)"
    held_out, split = validation_examples(run, validation, command="compress", call=call, say=say)
    set_num_threads(num_threads, local_processes=1)
    say("loading the model ...")
    options: dict[str, Any] = {"trust_remote_code": trust_remote_code}
    whole = load_trained(
        run_folder, run | {"quantization": "none"}, base_model=base_model, **options
    )
    base = forward_module(whole).eval()
    if base is not whole:
        check_mergeable(whole, command="compress")
    family = check_cuts(base, layers, ffn, heads, targets=targets)
    tokenizer = _tokenizer(run, run_folder, **options)
    at = Comparison.of(run, tokenizer, held_out)
    decided = at.task
    given = Comparison.of(run, tokenizer, examples) if examples else None
    say(f"predicting the {split} split{' and the given texts' if given else ''} ...")
    reference, tokens = at.predict(base), len(at.features.input_ids)
    logits_before = None if given is None else given.outputs(base)
    model = merge_adapter(whole) if base is not whole else base
    # Merging rounds, which decides where two labels are alike to a text; cutting rows does not.
    expected = None if given is None else given.predict(model)
    total, pieces = model.num_parameters(), model.get_input_embeddings().num_embeddings

    with (
        claimed_output_dir(str(output_dir), "compressed", overwrite=None, reads=reads) as folder,
        tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as place,
    ):
        scratch, teacher = Path(place) / "cut", Path(place) / "teacher"
        scratch.mkdir()
        record = _record(run, run_folder)
        if given is not None and expected is not None and logits_before is not None:
            say("cutting the vocabulary, and comparing the answers to the given texts ...")
            keep = pieces_that_stay(model, tokenizer, given.features)
            cut_rows(model, keep)
            save_model(model, tokenizer, scratch)
            save_trimmed(scratch, keep)
            if record.get("pad_token_id") is not None:
                record["pad_token_id"] = keep.index(record["pad_token_id"])
            tokenizer = _tokenizer(record, scratch, **options)
            model = load_trained(scratch, record, **options)
            trimmed_given = Comparison.of(record, tokenizer, examples)
            check_same(keep, given, trimmed_given, model, expected, logits_before)
            at = Comparison.of(record, tokenizer, held_out)
            check_drift(at.drift(reference, at.predict(model)), max_drift)
        kept = neurons = left = latency = healing = None
        if family is not None:
            if heal:
                save_teacher(model, tokenizer, record, teacher)
            if heads is not None:
                say("measuring which attention heads matter least ...")
                left = cut_some_heads(at, model, family, heads, say)
            if targets is not None:
                say("measuring which cuts reach the target ...")
                layers, ffn, latency = chosen_cuts(at, model, family, layers, ffn, targets, say)
            say("measuring which layers and neurons matter least ...")
            kept, neurons = cut_model(at, model, family, layers, ffn, say)
            logits = at.outputs(model)
            save_model(model, tokenizer, scratch)
            model = load_trained(scratch, record, **options)
            gap = parity_gap(logits, at.outputs(model))
            if gap > MERGE_TOLERANCE:
                raise RuntimeError(
                    f"read back, the cut model's logits differ by {gap:.2g}; nothing was written"
                )
        was_cut = any(one is not None for one in (kept, neurons, left))
        earlier = run.get("compress") or {}
        found = at.predict(model)
        if was_cut and heal:
            before = at.drift(reference, found)
            say(
                f"healing: {before.metric} {before.score_after:.4f} on the {split} split after the "
                f"cut, {before.score_before:.4f} before; training with the uncut model as teacher"
            )
            trained = heal_model(
                scratch,
                teacher,
                run=run,
                unlabelled_file=unlabelled_file,
                rows={"train": train, "validation": rows},
                trust_remote_code=trust_remote_code,
                num_threads=num_threads,
                say=say,
            )
            record |= measured(trained)
            model = load_trained(scratch, record, **options)
            at = Comparison.of(record, tokenizer, held_out)
            found = at.predict(model)
            # It may decide by other thresholds than the run.
            after = at.drift(reference, found, earlier=decided)
            healing = Healing.of(trained, before=before, after=after)
        drift = at.drift(reference, found, earlier=decided)
        say(
            f"drift: {drift.changed:,} of {drift.predictions:,} predictions ({drift.drift:.2%}) on "
            f"the {split} split differ, {drift.metric} {drift.score_before:.4f} -> "
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
            heads=left,
            covered=len(examples) if examples else None,
            tokens_before=tokens,
            tokens_after=len(at.features.input_ids),
            drift=drift,
            latency=latency,
            healing=healing,
            to_train=(was_cut or bool(earlier.get("to_train"))) and healing is None,
            earlier=earlier or None,
        )
        # The scores of the record are the run's own; these are this model's.
        scores = at.task.score(held_out, found, seed=run["seed"])
        record["evaluation"] = {split: scores}
        if report.to_train:
            # Its states and scores are others than those that were measured.
            cut = {"reason": "the model was cut since"}
            record |= {"calibration": cut, "novelty": cut}
        elif healing is None:
            copy_novelty(Path(run_folder), scratch)
        made = {"compress": asdict(report) | {"folder": None}}
        write_run(scratch, record | made)
        write_model_card(scratch, record | made, name=folder.resolve().name)
        for file in sorted(scratch.iterdir(), key=lambda one: one.name == RUN_FILE):
            file.rename(folder / file.name)
    return report


def _tokenizer(run: dict[str, Any], folder: str | Path, *, trust_remote_code: bool) -> Any:
    options = task_class(run["task"]).tokenizer_options
    return load_tokenizer(str(folder), trust_remote_code=trust_remote_code, **options)


def _record(run: dict[str, Any], run_folder: str | Path) -> dict[str, Any]:
    """`run.json` of the new folder, which `lowcost-ft predict` reads."""
    return run | {
        "merged_from": run.get("merged_from") or Path(run_folder).resolve().name,
        "trained_on": run.get("trained_on") or run.get("quantization", "none"),
        "quantization": "none",
    }
