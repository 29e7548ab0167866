"""`lowcost-ft compress`: a run as a smaller plain folder."""

import sys
from dataclasses import asdict, dataclass

from lowcost_ft.commands.saved_run import MadeOfRun, check_threads, share_problems
from lowcost_ft.errors import UserError
from lowcost_ft.screen import print_json, say, wrapped

__all__ = ["Compress", "compress"]


@dataclass(frozen=True, kw_only=True)
class Compress(MadeOfRun):
    """Write a run as a smaller model: fewer embeddings, layers, neurons or heads."""

    trim_vocabulary: tuple[str, ...] = ()
    """Files whose texts the model must still read exactly as before: labelled or not, in any
    format that training reads, or one text a line. Give all that you have."""
    layers: int | None = None
    """How many layers to keep; the ones that matter least, by measurement, are removed."""
    ffn: float | None = None
    """Share of the neurons of each feed-forward to keep, such as 0.5; the ones that matter least,
    by measurement, are removed."""
    heads: float | None = None
    """Share of the attention heads of each layer to keep, such as 0.5; only for families whose
    configuration states the size of a head (Llama, Qwen, Gemma)."""
    target_size: str | None = None
    """Largest file of weights, such as 20MB: layers and neurons are chosen to reach it, by
    measuring which cut moves the logits least."""
    target_latency: str | None = None
    """Longest time for one text, such as 5ms: the 95th percentile for the validation text of median
    length, on --num-threads threads of this machine. Layers and neurons are chosen in the same
    way."""
    heal: bool = True
    """After a cut, train the model on the run's training rows, with the model before the cut as its
    teacher. Off: train it again yourself."""
    unlabelled_file: str | None = None
    """File of texts without labels that the healing learns from, too: one text a line, or any
    format that training reads; labels in it are ignored."""
    max_drift: float | None = None
    """Largest share of predictions on the run's validation split that a trimmed vocabulary may
    change; above it nothing is written. Default: 0.05."""


def compress(command: Compress) -> None:
    """Writes the smaller folder and says what was cut.

    Raises:
        UserError: A flag, a file or the run is wrong, or too many predictions change.
    """
    check_threads(command)
    drift = command.max_drift
    if drift is not None and (problems := share_problems("--max-drift", drift)):
        raise UserError(problems)
    from lowcost_ft.compress.compressing import compress_run
    from lowcost_ft.record.run_file import load_run
    from lowcost_ft.tasks import task_class

    report = compress_run(
        command.run,
        command.output_dir,
        trim_vocabulary=command.trim_vocabulary,
        layers=command.layers,
        ffn=command.ffn,
        heads=command.heads,
        target_size=command.target_size,
        target_latency=command.target_latency,
        heal=command.heal,
        unlabelled_file=command.unlabelled_file,
        max_drift=command.max_drift,
        base_model=command.base_model,
        validation=command.validation_file,
        trust_remote_code=command.trust_remote_code,
        num_threads=command.num_threads,
        say=say,
    )
    if command.json:
        print_json(asdict(report))
        return
    share = report.parameters_after / report.parameters_before
    lines = [
        f"Compressed into {report.folder}: {report.parameters_after:,} of "
        f"{report.parameters_before:,} weights ({share:.1%}), {report.bytes_after / 1e6:.1f} MB."
    ]
    if report.covered is not None:
        more = report.tokens_after / max(report.tokens_before, 1) - 1
        lines += [
            f"{report.pieces_after:,} of {report.pieces_before:,} pieces of the vocabulary stay; "
            f"the {report.covered:,} given texts are cut as before.",
            f"The validation split takes {more:+.1%} tokens.",
        ]
    if (healing := report.healing) is not None:
        texts = f" and {healing.unlabelled_texts:,} texts" * (healing.unlabelled_texts > 0)
        lines.append(
            f"Healed by distillation on {healing.rows:,} rows{texts}: {healing.metric} "
            f"{healing.score_before:.4f} after the cut, {healing.score_after:.4f} now; "
            f"{report.drift.score_before:.4f} before the cut."
        )
    if report.to_train:
        run = load_run(command.run)
        distilled = ""
        cut_now = any((report.layers, report.neurons, report.heads))
        # Else the run knows no more than the new model, or distillation is refused.
        if cut_now and task_class(run["task"]).from_record(run).has_choices:
            distilled = (
                f"a distillation recipe with --teacher {command.run} --student-model "
                f"{report.folder}, or "
            )
        lines.append(
            "Layers, neurons or heads were cut, so train the model again on your data: "
            f"{distilled}any recipe of the task with --model-id {report.folder} --method full."
        )
    print("\n".join(wrapped(line, sys.stdout) for line in lines))
