"""The limits of a trained model, as its card tells them."""

from collections.abc import Mapping
from typing import Any

from lowcost_ft.data.rows import counted
from lowcost_ft.record.longer_training import longer_may_help
from lowcost_ft.record.reload_code import (
    max_length,
    needs_bitsandbytes,
    quantization,
    run_config,
)
from lowcost_ft.scores.metric_names import metric_title
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.card import RunRecord
from lowcost_ft.tasks.markdown import code

__all__ = ["limits", "main_metric", "scored_split"]


def scored_split(run: RunRecord) -> tuple[str, Mapping[str, Any]]:
    """Name and scores of the split that tells most: the test split, where there is one."""
    evaluation = run.get("evaluation") or {}
    names = ("test", "validation", "train")
    split = next((name for name in names if evaluation.get(name)), "validation")
    return split, evaluation.get(split) or {}


def main_metric(run: RunRecord) -> str:
    """The metric that chose the epoch."""
    return run.get("metric") or task_class(run["task"]).from_record(run).metric


def limits(run: RunRecord) -> str:
    """A list in Markdown: what the run does not show, and what the model cannot do."""
    split, scores = scored_split(run)
    found = [
        "One training run with one seed. Another seed gives another score.",
        f"The scores hold for texts like those of the {split} split. Other subjects, languages and "
        "styles were not tested, nor were fairness and robustness.",
    ]
    if split == "train":
        found.append("It was scored on nothing but what it was trained on.")
    main = main_metric(run)
    card = task_class(run["task"]).card(run, max_length(run))
    table = scores.get("per_entity") or scores.get("per_class") or {}
    unknown = [label for label in table if table[label]["support"] and label not in card.known]
    if unknown:
        found.append(
            f"{len(unknown)} labels of the {split} split did not occur in training, and the model "
            f"cannot give them: {', '.join(map(code, unknown[:5]))}. They count as mistakes."
        )
    table = {label: row for label, row in table.items() if label not in unknown}
    seen = [label for label in table if table[label]["support"]]
    if seen:
        worst = min(seen, key=lambda label: table[label]["f1"])
        found.append(
            f"The weakest label is {code(worst)}, with F1 {table[worst]['f1']:.2f} on "
            f"{table[worst]['support']} {card.class_unit}."
        )
    if unseen := len(table) - len(seen):
        found.append(
            f"{counted(unseen, 'label')} {'does' if unseen == 1 else 'do'} not occur in "
            f"the {split} split: how well the model predicts them is unknown."
        )
    if scores.get(main) == 0:
        found.append(f"The main score, {metric_title(main)}, is 0: the model has learned nothing.")
    if longer_may_help(run):
        found.append("Its last epoch was its best: longer training may give a better model.")
    if quantization(run) == "int8":
        found.append(_in_float32(run))
    if needs_bitsandbytes(run):
        found.append(
            "Outside lowcost_ft, bitsandbytes rounds more than it did in training (on a CPU and, "
            "with 8bit, on a GPU), so predictions of the Python code can differ a little."
        )
    found += card.limits
    if not run_config(run).get("dataset") and not run_config(run).get("train_file"):
        found.append(
            "The training data are generated examples that show how the package works. Do not "
            "expect useful answers on real messages."
        )
    return "\n".join(f"- {limit}" for limit in found)


def _in_float32(run: RunRecord) -> str:
    """How the answers of the Python code differ from those of an int8 run, as it was measured."""
    said = (
        "Outside lowcost_ft, as in the Python code, the base model runs in float32, without the "
        "rounding to 8 bits that it was trained with"
    )
    drift = run.get("float32_drift")
    if not drift:
        return f"{said}; how far the answers differ was not measured."
    return (
        f"{said}: on {counted(drift['examples'], 'example')} of the {drift['split']} split, "
        f"{drift['changed']:,} of {drift['predictions']:,} predictions differ "
        f"({drift['drift']:.1%}), and {metric_title(drift['metric'])} is "
        f"{drift['score_after']:.3f} instead of {drift['score_before']:.3f}."
    )
