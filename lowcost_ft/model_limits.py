"""The limits of a trained model, as its card tells them."""

from collections.abc import Mapping
from typing import Any

from lowcost_ft.data.rows import counted
from lowcost_ft.longer_training import longer_may_help
from lowcost_ft.main_metrics import MAIN_METRICS
from lowcost_ft.reload_code import Run, is_ner, max_length, problem_type, quantization, run_config

__all__ = ["METRICS", "code", "limits", "scored_split"]

# Key in `evaluation`: name to show, identifier on the Hub.
METRICS = {
    "f1": ("entity F1", "f1"),
    "precision": ("entity precision", "precision"),
    "recall": ("entity recall", "recall"),
    "accuracy": ("accuracy", "accuracy"),
    "macro_f1": ("macro F1", "f1"),
    "micro_f1": ("micro F1", "f1"),
    "mse": ("mean squared error", "mse"),
    "pearson": ("Pearson correlation", "pearsonr"),
    "spearman": ("Spearman correlation", "spearmanr"),
}


def scored_split(run: Run) -> tuple[str, Mapping[str, Any]]:
    """Name and scores of the split that tells most: the test split, where there is one."""
    evaluation = run.get("evaluation") or {}
    split = "test" if evaluation.get("test") else "validation"
    return split, evaluation.get(split) or {}


def code(label: str) -> str:
    """A label as code in a table cell, whatever characters it has."""
    shown = " ".join(str(label).replace("`", "'").replace("|", "\\|").split())
    return f"`{shown}`" if shown else "(empty)"


def limits(run: Run) -> str:
    """A list in Markdown: what the run does not show, and what the model cannot do."""
    split, scores = scored_split(run)
    found = [
        "One training run with one seed. Another seed gives another score.",
        f"The scores hold for texts like those of the {split} split. Other subjects, languages and "
        "styles were not tested, nor were fairness and robustness.",
    ]
    main = MAIN_METRICS[problem_type(run)]
    table = scores.get("per_entity") or scores.get("per_class") or {}
    known = {label[2:] if is_ner(run) else label for label in run["labels"]}
    unknown = [label for label in table if table[label]["support"] and label not in known]
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
            f"{table[worst]['support']} {'entities' if is_ner(run) else 'examples'}."
        )
    if unseen := len(table) - len(seen):
        found.append(
            f"{counted(unseen, 'label')} {'does' if unseen == 1 else 'do'} not occur in "
            f"the {split} split: how well the model predicts them is unknown."
        )
    if scores.get(main) == 0:
        found.append(f"The main score, {METRICS[main][0]}, is 0: the model has learned nothing.")
    if longer_may_help(run):
        found.append("Its last epoch was its best: longer training may give a better model.")
    if run.get("thresholds"):
        found.append(
            "A label is given from a threshold of its score on. The thresholds were chosen on the "
            "validation split, whose score is therefore a little too high; texts of another kind "
            "may need others (`lowcost-ft predict --threshold`)."
        )
    if quantization(run) != "none":
        found.append(
            "Outside lowcost_ft, bitsandbytes rounds more than it did in training (on a CPU and, "
            "with 8bit, on a GPU), so predictions of the Python code can differ a little."
        )
    length = max_length(run)
    if is_ner(run):
        found.append("It knows the entity types above and no others, and entities do not nest.")
        found.append(_words(run))
        found.append(
            f"The Python code above cuts a sentence off after {length} tokens. `lowcost-ft "
            "predict` reads longer ones in overlapping windows."
        )
    else:
        if problem_type(run) != "regression":
            found.append("It has no answer for texts that fit none of its labels.")
        found.append(f"A text is cut off after {length} tokens.")
    if not run_config(run).get("dataset") and not run_config(run).get("train_file"):
        found.append(
            "The training data are generated examples that show how the package works. Do not "
            "expect useful answers on real messages."
        )
    return "\n".join(f"- {limit}" for limit in found)


def _words(run: Run) -> str:
    if run.get("file_words") == "split":
        return (
            "It was trained on words as lowcost_ft cuts them, in files and in texts: a run of "
            "letters and digits is a word, and so is every other character; `5,453.87` is five "
            "words, `AT&T` is three. Give the Python code such words."
        )
    return (
        "It was trained on words as the training data has them. Where those are cut otherwise than "
        "lowcost_ft cuts a text (`5,453.87` as one word), it finds fewer entities in texts."
    )
