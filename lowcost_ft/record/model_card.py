"""The model card, README.md of a run folder: what was trained, how well, at what cost, how to use.

It is made from `run.json` alone. Its first Python block loads the folder with plain transformers
(and peft) and predicts.
"""

from pathlib import Path

from lowcost_ft.record.compress_card import compress_section
from lowcost_ft.record.export_card import export_section, javascript_code
from lowcost_ft.record.hub_metadata import base_model_name, hub_metadata, is_number
from lowcost_ft.record.model_limits import limits, scored_split
from lowcost_ft.record.redaction import redact_run
from lowcost_ft.record.reload_code import (
    head_of,
    is_adapter,
    max_length,
    method_title,
    reload_code,
)
from lowcost_ft.record.run_file import write_atomically
from lowcost_ft.record.training_card import cost_section, is_untrained, training_section
from lowcost_ft.scores.class_table import worst_first
from lowcost_ft.scores.metric_names import METRICS
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.card import RunRecord, TaskCard
from lowcost_ft.tasks.markdown import code

__all__ = ["model_card", "write_model_card"]

_TABLE_ROWS = 100


def write_model_card(folder: str | Path, run: RunRecord, *, name: str | None = None) -> Path:
    """Writes README.md into a run folder, over the one that peft wrote there.

    Args:
        folder: The run folder.
        run: The content of `run.json`.
        name: Name of the model, where the folder is going to have another one.

    Returns:
        The path of the card.
    """
    path = Path(folder) / "README.md"
    text = model_card(redact_run(run), name=name or Path(folder).resolve().name)
    write_atomically(path, lambda file: file.write(text.encode("utf-8", "replace")))
    return path


def model_card(run: RunRecord, *, name: str) -> str:
    """The text of a model card, in Markdown with YAML at its top.

    Args:
        run: The content of `run.json`.
        name: Name of the model, e.g. the folder's.
    """
    sections = [
        f"---\n{hub_metadata(run, name)}\n---",
        f"# {name}",
        _summary(run),
        "## Scores\n\n" + _scores(run),
        "## Training\n\n" + training_section(run),
        "## Cost\n\n" + cost_section(run),
        *(
            ["## Compression\n\n" + compress_section(run["compress"])]
            if run.get("compress")
            else []
        ),
        *(["## Export\n\n" + export_section(run)] if run.get("export") else []),
        "## Use\n\n" + _use(run),
        "## Limits\n\n" + limits(run),
    ]
    return "\n\n".join(sections) + "\n"


def _card(run: RunRecord) -> TaskCard:
    return task_class(run["task"]).card(run, max_length(run))


def _summary(run: RunRecord) -> str:
    base, goal = base_model_name(run), _card(run).goal
    adapted = "adapter and head" if head_of(run).new else "adapter"
    what = "fully fine-tuned version of"
    if is_adapter(run):
        what = f"{method_title(run)} {adapted} for"
    elif run["method"] != "full":  # The adapter is merged into the weights.
        what = f"{method_title(run)} fine-tuned version of"
    if run["method"] == "head":
        what = "head for the frozen"
    told = "It was made with `lowcost_ft` and not trained (zero-shot)"
    if not is_untrained(run):
        told = "It was trained with `lowcost_ft`"
    return f"This {what} `{base}` {goal}. {told}."


def _scores(run: RunRecord) -> str:
    split, scores = scored_split(run)
    if not scores:
        return "This run was not scored."
    lines = []
    if split == "validation" and run.get("compress"):
        lines.append(
            "The smaller model was scored on the validation split alone, which also chose the "
            "epoch that was kept; expect slightly lower scores on new texts.\n"
        )
    elif split == "validation":
        lines.append(
            "There was no test split. These are the scores on the validation split, which also "
            "chose the epoch that was kept; expect slightly lower scores on new texts.\n"
        )
    if split == "train":
        lines.append(
            "There was no other split. These are the scores on what the model was trained on; "
            "expect much lower scores on new texts.\n"
        )
    card = _card(run)
    size = f", {scores['examples']:,} {card.unit}" if is_number(scores.get("examples")) else ""
    lines += [f"| {split} split{size} | score | 95% interval |", "|---|---|---|"]
    for key, (shown, _) in METRICS.items():
        if key in scores:
            low_high = scores.get(f"{key}_ci95")
            interval = f"{low_high[0]:.3f} to {low_high[1]:.3f}" if low_high else ""
            value = f"{scores[key]:.3f}" if is_number(scores[key]) else "undefined"
            lines.append(f"| {shown} | {value} | {interval} |")
    lines += [
        "",
        "The interval is a bootstrap over the split's examples: it shows how much the score may "
        "change with another test set of this size, not with another training seed."
        + (f" {card.score_note}" if card.score_note else ""),
    ]
    table = scores.get("per_entity") or scores.get("per_class") or {}
    if table:
        lines += [
            "",
            f"| {card.class_title} | precision | recall | F1 | {split} {card.class_unit} |",
        ]
        lines += ["|---|---|---|---|---|"]
        for label, row in worst_first(table, most=_TABLE_ROWS):
            numbers = " | ".join(f"{row[key]:.3f}" for key in ("precision", "recall", "f1"))
            lines.append(f"| {code(label)} | {numbers} | {row['support']} |")
        if len(table) > _TABLE_ROWS:
            lines.append(
                f"\nThese are the {_TABLE_ROWS} of the lowest F1; {len(table) - _TABLE_ROWS} more "
                "are in `run.json`."
            )
    return "\n".join(lines)


def _use(run: RunRecord) -> str:
    flags = " ".join(
        flag if flag.startswith("--") else f'"{flag}"'
        for flag in task_class(run["task"]).example_flags(run)
    )
    libraries = "peft and transformers" if is_adapter(run) else "transformers"
    if run.get("export"):
        libraries = "onnxruntime and transformers"
    return "\n\n".join(
        [
            "With `lowcost_ft`, on texts, files or standard input:",
            f"```bash\nlowcost-ft predict . {flags}\n```",
            f"Without it, with {libraries} alone:",
            f"```python\n{reload_code(run)}\n```",
            *_in_a_browser(run),
            "`RUN` is this folder or, after an upload, the name of its repository on the Hub. If "
            "the Hub cannot be reached, set `HF_HUB_OFFLINE=1`, or the libraries wait for it.",
        ]
    )


def _in_a_browser(run: RunRecord) -> list[str]:
    code = javascript_code(run) if run.get("export") else None
    if code is None:
        return []
    return ["In a browser or under Node.js, with transformers.js:", f"```js\n{code}\n```"]
