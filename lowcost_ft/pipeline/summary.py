"""The end of what a run prints: scores, cost, where the model is, and what to type next."""

import shlex
import shutil
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from lowcost_ft.data.rows import counted, on_one_line
from lowcost_ft.record.longer_training import longer_command, longer_may_help
from lowcost_ft.scores.class_table import worst_first
from lowcost_ft.tasks import task_class

__all__ = ["score_lines", "summarize"]

_SHOWN_CLASSES = 20


def summarize(record: Mapping[str, Any], folder: Path) -> str:
    """The end of a run, in words.

    Args:
        record: The content of `run.json`.
        folder: The run folder.
    """
    if not record.get("train") or not record.get("evaluation"):
        done = "trained, and not evaluated" if record.get("train") else "not trained"
        return f"note: the run in {folder} was left before its end: its model was {done} or saved"
    train = record["train"]
    scored = record["evaluation"]
    split = next(name for name in ("test", "validation", "train") if name in scored)
    scores = record["evaluation"][split]
    lines = ["", *score_lines(split, scores), ""]
    lines += [*_pseudo_labels(record, split), *_confidence(record, split)]
    if not train["optimizer_steps"]:
        lines += [
            "training      none (--max-steps 0): the pretrained model is scored as it is",
            f"peak memory   process {train['peak_resident_bytes'] / 1e6:,.0f} MB",
        ]
    else:
        lines += _cost(record)
    lines += [
        f"saved in      {folder}",
        "",
        *(f"warning: {warning}\n" for warning in record.get("warnings", ())),
        *_longer(record, folder),
        f"page:  {_program()} serve {shlex.quote(str(folder))}",
        "next:  " + next_command(record, folder),
    ]
    return "\n".join(lines)


def _pseudo_labels(record: Mapping[str, Any], split: str) -> list[str]:
    """How texts without labels changed the score."""
    if (pseudo := record.get("pseudo_labels")) is None:
        return []
    if (found := pseudo["differences"].get(split)) is None:
        return [
            "pseudo-labels no rows tell what they did: compare `evaluate --test-file` of this run "
            f"and of {pseudo['labelled_by'][0]}"
        ]
    low, high = found["difference_ci95"]
    return [
        f"pseudo-labels {split} {found['metric']} {found['without']:.4f} without them, "
        f"{found['difference']:+.4f} with them (95% interval {low:+.4f} to {high:+.4f})"
    ]


def _confidence(record: Mapping[str, Any], split: str) -> list[str]:
    """How far scores are from the share of right answers, before and after calibration."""
    lines = []
    calibration, novelty = record.get("calibration") or {}, record.get("novelty") or {}
    if measured := calibration.get(split):
        before, after = (measured[name] for name in ("before", "after"))
        doubt = ", not distinguishable from 0" if after["p_calibrated"] > 0.05 else ""
        lines.append(
            f"calibration   error of scores {before['ece']:.3f}, calibrated {after['ece']:.3f}"
            f"{doubt} ({counted(after['answers'], 'answer')})"
        )
    if outside := novelty.get("out_of_scope"):
        lines.append(
            f"out of scope  {outside['flagged']:.0%} of {outside['texts']} such messages flagged, "
            f"{novelty['flagged_of_validation']:.0%} of others; AUROC {outside['auroc']:.3f}"
        )
    return lines


def _cost(record: Mapping[str, Any]) -> list[str]:
    """Time, speed and memory of the training."""
    train = record["train"]
    source = {"cuda_allocator": "GPU", "cpu_allocator": "CPU"}[train["peak_memory_source"]]
    return [
        f"peak memory   {train['peak_memory_bytes'] / 1e6:,.0f} MB in a training step ({source} "
        f"tensors); process {train['peak_resident_bytes'] / 1e6:,.0f} MB",
        f"throughput    {train['real_tokens_per_second']:,.0f} real tokens/s, "
        f"{train['padding_share']:.1%} padding{_cpu_share(record)}",
        f"training      {train['seconds']:.0f} s, {counted(train['optimizer_steps'], 'step')} of "
        f"up to {counted(train['effective_batch_size'], 'example')}, "
        + (f"best epoch {train['best_epoch']}" if train["best_epoch"] else "its last weights kept"),
    ]


def _cpu_share(record: Mapping[str, Any]) -> str:
    """The share of CPU time that a run on a CPU got: with a low share its speed says little."""
    train, threads = record["train"], (record.get("hardware") or {}).get("threads")
    if train.get("cpu_share") is None or train["peak_memory_source"] != "cpu_allocator":
        return ""
    of = counted(threads, "thread") if threads else "its threads"
    return f", with {train['cpu_share']:.0%} of the CPU time of {of}"


def _longer(record: Mapping[str, Any], folder: Path) -> list[str]:
    if not longer_may_help(record):
        return []
    command = longer_command(record, folder)
    how = f"`{command}`" if command else "raise num_train_epochs or max_steps"
    return [f"note: the last epoch was the best, so longer training may help: {how}\n"]


def score_lines(split: str, scores: Mapping[str, Any], *, rest: str = "in run.json") -> list[str]:
    """Scores with their intervals, and the table of classes.

    Args:
        split: Name of the scored split.
        scores: The scores.
        rest: Where to find the classes that a long table leaves out; it shows the worst ones.
    """
    lines = []
    width = max(
        [12, *(len(name) + 1 for name, value in scores.items() if isinstance(value, float))]
    )
    for name, value in scores.items():
        if isinstance(value, float):
            interval = scores.get(f"{name}_ci95")
            text = f"{split} {name:<{width}}{value:.4f}"
            if interval and None not in interval:
                text += f"   95% interval {interval[0]:.4f} to {interval[1]:.4f}"
            lines.append(text)
    if ties := scores.get("near_ties"):
        texts = counted(scores["written"], "text")
        lines.append(f"{split} near_ties: {ties:,} of {texts} may read otherwise if written alone")
    tables = [value for name, value in scores.items() if name in ("per_entity", "per_class")]
    for table in tables:
        shown = worst_first(table, most=_SHOWN_CLASSES)
        names = [on_one_line(name) for name, _ in shown]
        width = min(30, max(map(len, names))) if names else 0
        if len({name[:width] for name in names}) < len(names):
            width = max(map(len, names))  # Cut to this width, two names would look the same.
        corner = "lowest F1 first" if len(table) > _SHOWN_CLASSES else ""
        width = max(width, len(corner))
        lines += ["", f"{corner:{width}}  precision  recall      f1  support"]
        for name, (_, row) in zip(names, shown, strict=True):
            lines.append(
                f"{name[:width]:{width}}  {row['precision']:9.3f}  {row['recall']:6.3f}  "
                f"{row['f1']:6.3f}  {row['support']:7,}"
            )
        if len(table) > _SHOWN_CLASSES:
            lines.append(f"... and {len(table) - _SHOWN_CLASSES} more {rest}")
    return lines


def _program() -> str:
    """How to call `lowcost-ft` from here: by its name, or by its path if that is not found."""
    beside = Path(sys.executable).with_name("lowcost-ft")
    if shutil.which("lowcost-ft") or not beside.exists():
        return "lowcost-ft"
    with suppress(ValueError):  # It may not be below the working directory.
        beside = beside.relative_to(Path.cwd())
    return shlex.quote(str(beside))


def next_command(record: Mapping[str, Any], folder: Path) -> str:
    """A command that shows what a new model does, to be typed from here."""
    flags = task_class(record["task"]).example_flags(record)
    shown = [flag if flag.startswith("--") else f'"{flag}"' for flag in flags]
    return f"{_program()} predict {shlex.quote(str(folder))} {' '.join(shown)}"
