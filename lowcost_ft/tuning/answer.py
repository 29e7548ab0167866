"""What a tuning run found: as JSON, in words, and as a page with plots."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from lowcost_ft.data.rows import counted
from lowcost_ft.record.run_file import write_atomically, write_json
from lowcost_ft.report.numbers import seconds_text
from lowcost_ft.report.page_parts import rendered
from lowcost_ft.tuning.plots import draw_search

__all__ = ["answer_lines", "write_answer"]

ANSWER_FILE, PAGE_FILE = "tune.json", "tune.html"


def write_answer(answer: Mapping[str, Any], folder: Path) -> None:
    """Writes `tune.json` and `tune.html`.

    Args:
        answer: What was found; see `docs/tuning.md`.
        folder: The folder of the search.
    """
    write_json(folder / ANSWER_FILE, answer)
    names = list(answer["space"])
    trials, found, *more = answer_lines(answer)
    text = rendered(
        "lowcost_ft.tuning",
        title=f"Tuning of {answer['recipe']}",
        headline=found,
        reasons=[trials, *more[:-2]] if answer["best"] else [trials],
        command=answer["best"]["command"] if answer["best"] else "",
        plots=draw_search(answer),
        names=names,
        trials=[_row(trial, names) for trial in answer["trials"]],
    )
    write_atomically(folder / PAGE_FILE, lambda out: out.write(text.encode("utf-8", "replace")))


def _row(trial: Mapping[str, Any], names: Sequence[str]) -> list[str]:
    """The cells of a trial: number, values, epochs, score, time, state."""
    params, scores = trial["params"], trial["scores"]
    values = [f"{v:.3g}" if isinstance(v := params.get(n, ""), float) else str(v) for n in names]
    last = max(scores, key=int, default=None)
    score = "" if last is None else f"{scores[last]:.4f}"
    state = trial.get("refused") or trial.get("failed") or trial["state"]
    seconds = seconds_text(trial.get("seconds"))
    return [str(trial["number"]), *values, str(last or ""), score, seconds, str(state)]


def answer_lines(answer: Mapping[str, Any]) -> list[str]:
    """What was found, in words."""
    metric, trials, best = answer["metric"], answer["trials"], answer["best"]
    refused = sum(trial["state"] == "refused" for trial in trials)
    failed = sum(trial["state"] == "failed" for trial in trials)
    lines = [
        f"{counted(len(trials) - refused, 'trial')}, {refused} more not started, {failed} failed"
        + (f"; {answer['stopped']}" if answer["stopped"] else "")
    ]
    if best is None:
        return [*lines, "no trial has a score: nothing to recommend"]
    lines.append(
        f"best: trial {best['number']}, validation {metric} {best['score']:.4f} after "
        f"{counted(best['epochs'], 'epoch')}"
        + (" (the recipe's own settings)" if best["is_default"] else "")
    )
    if optimism := answer["optimism"]:
        lower = f"{optimism['optimism']:.4f}"
        lines.append(
            f"optimism: chosen on one half of the validation rows, the best of "
            f"{optimism['trials']} scored "
            + (
                f"{lower} lower on the other half, so that its validation score promises too much"
                if float(lower) > 0
                else "no lower on the other half"
            )
        )
    if final := answer["final"]:
        seeds = ", ".join(map(str, final["seeds"]))
        for name in ("default", "best"):
            if name in final:
                each = ", ".join(f"{score:.4f}" for score in final[name]["scores"])
                lines.append(
                    f"{name}: {final['split']} {final['metric']} {final[name]['mean']:.4f} ({each})"
                )
        if difference := final.get("difference"):
            ends = difference["ci95"]
            interval = f", 95% interval {ends[0]:+.4f} to {ends[1]:+.4f}" if ends else ""
            clear = ends is not None and (ends[0] > 0 or ends[1] < 0)
            doubt = "" if clear else ": no clear difference"
            lines.append(
                f"best less default: {difference['mean']:+.4f}{interval} over fresh seeds "
                f"{seeds}{doubt}"
            )
    price = answer["price"]
    lines.append(
        f"price: {price['search_seconds'] / 60:.1f} min for the trials, "
        f"{price['final_seconds'] / 60:.1f} min of training for the final runs"
    )
    return [*lines, "use it:", f"    {best['command']}"]
