"""The tables of docs/doctor.md, from what `doctor.py` left in `doctor.json`."""

import json
import statistics
from collections import Counter, defaultdict
from pathlib import Path
from typing import Any

__all__ = ["doctor_tables"]

FILE = Path(__file__).parent / "doctor.json"
BY_EYE = Path(__file__).parent / "doctor_by_eye.json"
"""Number of a row of Banking77's training file -> what its label looks like to a reader."""

_NOISE = {"uniform": "replaced at random", "similar": "replaced by the most similar class"}


def doctor_tables() -> str:
    """What was found of mistakes put in, and what it was compared with."""
    results = json.loads(FILE.read_text("utf-8"))
    parts = [_texts(results["banking77"])]
    if "as_it_is" in results:
        parts.append(_as_it_is(results["as_it_is"][0]))
    if "entities" in results:
        parts.append(_entities(results["entities"]))
    if "thorough" in results or "thorough_entities" in results:
        parts.append(_thorough(results))
    if "time" in results:
        run = results["time"][0]
        parts.append(
            f"The whole command on Banking77's 10,003 training and 3,080 test rows took "
            f"{run['seconds']:.0f} s, {run['cpu_seconds']:.0f} s of them on the CPU, with "
            f"{run['threads']} threads and a load of {run['load_average']} on the machine."
        )
    return "\n\n".join(parts)


def _texts(runs: list[dict[str, Any]]) -> str:
    groups: dict[tuple[str, float], list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        groups[run["noise"], run["share"]].append(run)
    lines = [
        "| Banking77's labels | seeds | AUROC | precision | cleanlab: AUROC | precision | test "
        "accuracy with mistakes | mended | without any |",
        "|---" * 9 + "|",
    ]
    for (noise, share), found in groups.items():
        cells = [
            f"{share:.0%} {_NOISE[noise]}",
            ", ".join(str(run["seed"]) for run in found),
            *(
                _mean([run[whose][what] for run in found])
                for whose in ("doctor", "cleanlab_self_confidence")
                for what in ("auroc", "precision")
            ),
            *(
                _mean([run["accuracy"][what] for run in found])
                for what in ("noisy", "fixed", "clean")
            ),
        ]
        lines.append(f"| {' | '.join(cells)} |")
    note = (
        "Means over the seeds. Precision is that of as many rows as were changed. cleanlab ranks "
        "by the out-of-fold probability of the given label, from one head on the same embeddings. "
        "Accuracy is that of a linear head on frozen embeddings."
    )
    return "\n".join(lines) + f"\n\n{note}"


def _as_it_is(run: dict[str, Any]) -> str:
    accuracy = run["accuracy"]
    eye = json.loads(BY_EYE.read_text("utf-8")) if BY_EYE.exists() else {}
    counts = Counter(eye[str(row["row"])] for row in run["top"] if str(row["row"]) in eye)
    judged = ", ".join(f"{what} {count}" for what, count in counts.most_common())
    lines = [
        f"As published, {run['flagged']:,} of 10,003 labels are doubted. `--fix` changes "
        f"{run['changed']:,} rows and leaves {run['left_out']:,} out; test accuracy goes from "
        f"{accuracy['as_it_is']:.4f} to {accuracy['fixed']:.4f} ({accuracy['labels_fixed']:.4f} "
        f"with the labels alone). The 50 labels that are doubted most, judged by eye: "
        f"{judged}.",
        "",
        "| row | text | given | suggested | by eye |",
        "|---|---|---|---|---|",
    ]
    for row in run["top"]:
        text = " ".join(row["text"].split()).replace("|", "\\|")
        by_eye = eye.get(str(row["row"]), "")
        lines.append(f"| {row['row']} | {text} | {row['given']} | {row['suggested']} | {by_eye} |")
    return "\n".join(lines)


def _entities(runs: list[dict[str, Any]]) -> str:
    groups: dict[str, list[dict[str, Any]]] = defaultdict(list)
    for run in runs:
        groups[run["data"]].append(run)
    lines = [
        "| data | seeds | mistake | average precision | cleanlab by tokens |",
        "|---|---|---|---|---|",
    ]
    for data, found in groups.items():
        seeds = ", ".join(str(run["seed"]) for run in found)
        for kind in ("wrong_type", "wrong_edge", "invented_entity", "missing_entity"):
            ours, theirs = (
                _mean([run[kind][whose] for run in found], 3)
                for whose in ("doctor", "cleanlab_tokens")
            )
            lines.append(f"| {data} | {seeds} | `{kind}` | {ours} | {theirs} |")
    return "\n".join(lines)


def _thorough(results: dict[str, Any]) -> str:
    lines = [
        "| data | what was put in | how it is ranked | a head on frozen states | adapters "
        "(`--thorough`) | CPU time of both |",
        "|---|---|---|---|---|---|",
    ]
    for run in results.get("thorough", ()):
        times = " and ".join(f"{run[one]['cpu_seconds']:.0f} s" for one in ("head", "adapters"))
        what = f"Banking77, {run['rows']:,} rows | 10% {_NOISE['similar']}"
        for name, title in (("auroc", "AUROC"), ("precision", "precision")):
            cells = [f"{run[one][name]:.4f}" for one in ("head", "adapters")]
            lines.append(f"| {what} | {title} | {cells[0]} | {cells[1]} | {times} |")
    for run in results.get("thorough_entities", ()):
        times = " and ".join(f"{run[one]['cpu_seconds']:.0f} s" for one in ("head", "adapters"))
        for kind, cases in run["cases"].items():
            cells = [f"{run[one][kind]:.3f}" for one in ("head", "adapters")]
            lines.append(
                f"| WNUT-17, {run['sentences']:,} sentences | {cases} times `{kind}` | average "
                f"precision | {cells[0]} | {cells[1]} | {times} |"
            )
    return "\n".join(lines)


def _mean(values: list[float], digits: int = 4) -> str:
    return f"{statistics.mean(values):.{digits}f}"
