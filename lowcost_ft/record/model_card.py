"""The model card, README.md of a run folder: what was trained, how well, at what cost, how to use.

It is made from `run.json` alone. Its first Python block loads the folder with plain transformers
(and peft) and predicts.
"""

import math
import os
import re
from pathlib import Path
from typing import Any

from huggingface_hub import EvalResult, ModelCardData

from lowcost_ft.config.methods import find_method
from lowcost_ft.record.export_card import export_section, javascript_code
from lowcost_ft.record.model_limits import limits, scored_split
from lowcost_ft.record.redaction import redact_run
from lowcost_ft.record.reload_code import (
    head_of,
    is_adapter,
    max_length,
    method_title,
    needs_bitsandbytes,
    pipeline_task,
    quantization,
    reload_code,
    run_config,
)
from lowcost_ft.record.run_file import write_atomically
from lowcost_ft.scores.class_table import worst_first
from lowcost_ft.scores.metric_names import METRICS
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.card import RunRecord, TaskCard
from lowcost_ft.tasks.markdown import code

__all__ = ["model_card", "write_model_card"]

_HUB_NAME = re.compile(r"^[A-Za-z0-9][\w.-]*(/[A-Za-z0-9][\w.-]*)?$", re.ASCII)
_TABLE_ROWS = 100


def write_model_card(folder: str | Path, run: RunRecord) -> Path:
    """Writes README.md into a run folder, over the one that peft has put there.

    Args:
        folder: The run folder.
        run: The content of `run.json`.

    Returns:
        The path of the card.
    """
    path = Path(folder) / "README.md"
    text = model_card(redact_run(run), name=Path(folder).resolve().name)
    write_atomically(path, lambda file: file.write(text.encode("utf-8", "replace")))
    return path


def model_card(run: RunRecord, *, name: str) -> str:
    """The text of a card.

    Args:
        run: The content of `run.json`.
        name: Name of the model, e.g. the folder's.
    """
    sections = [
        f"---\n{_metadata(run, name)}\n---",
        f"# {name}",
        _summary(run),
        "## Scores\n\n" + _scores(run),
        "## Training\n\n" + _training(run),
        "## Cost\n\n" + _cost(run),
        *(["## Export\n\n" + export_section(run)] if run.get("export") else []),
        "## Use\n\n" + _use(run),
        "## Limits\n\n" + limits(run),
    ]
    return "\n\n".join(sections) + "\n"


def _is_hub_name(name: str) -> bool:
    return bool(_HUB_NAME.match(name)) and not os.path.exists(name)


def _base_model(run: RunRecord) -> str:
    """The base model as the card shows it: no folders of the author's machine."""
    model_id = str(run["model_id"])
    return model_id if _is_hub_name(model_id) else Path(model_id).name


def _data_name(run: RunRecord) -> str:
    config = run_config(run)
    source = config.get("dataset") or config.get("train_file")
    if not source:
        return "lowcost_ft sample"
    return source if config.get("dataset") and _is_hub_name(source) else Path(source).name


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and math.isfinite(value)


def _metadata(run: RunRecord, name: str) -> str:
    """YAML that the Hub accepts: it refuses a base model or a data set that is no name there."""
    split, scores = scored_split(run)
    test_file = run_config(run).get("test_file")
    data = Path(test_file).name if split == "test" and test_file else _data_name(run)
    shown = {key: scores[key] for key in METRICS if _is_number(scores.get(key))}
    results = [
        EvalResult(
            task_type=pipeline_task(run),
            dataset_type=re.sub(r"[^\w./-]+", "-", data),
            dataset_name=data,
            dataset_split=split,
            metric_type=METRICS[key][1],
            metric_name=METRICS[key][0],
            metric_value=round(value, 4),
        )
        for key, value in shown.items()
    ]
    on_hub = _is_hub_name(str(run["model_id"]))
    dataset = run_config(run).get("dataset")
    relation = "adapter" if is_adapter(run) else "finetune"
    tags = ["lowcost-ft", run["method"], pipeline_task(run)]
    if on_hub:
        tags.append(f"base_model:{relation}:{run['model_id']}")
    return ModelCardData(
        base_model=run["model_id"] if on_hub else None,
        base_model_relation=relation if on_hub else None,
        datasets=[dataset] if dataset and _is_hub_name(dataset) else None,
        library_name="peft" if is_adapter(run) else "transformers",
        pipeline_tag=pipeline_task(run),
        tags=tags,
        metrics=list(dict.fromkeys(METRICS[key][1] for key in shown)) or None,
        model_name=name,
        eval_results=results or None,
    ).to_yaml()


def _card(run: RunRecord) -> TaskCard:
    return task_class(run["task"]).card(run, max_length(run))


def _summary(run: RunRecord) -> str:
    base, goal = _base_model(run), _card(run).goal
    adapted = "adapter and head" if head_of(run).new else "adapter"
    what = (
        f"{method_title(run)} {adapted} for" if is_adapter(run) else ("fully fine-tuned version of")
    )
    if run["method"] == "head":
        what = "head for the frozen"
    told = "It was made with `lowcost_ft` and not trained (zero-shot)"
    if not _is_untrained(run):
        told = "It was trained with `lowcost_ft`"
    return f"This {what} `{base}` {goal}. {told}."


def _is_untrained(run: RunRecord) -> bool:
    """Whether the pretrained model was scored as it is."""
    return (run.get("train") or {}).get("optimizer_steps") == 0


def _scores(run: RunRecord) -> str:
    split, scores = scored_split(run)
    if not scores:
        return "This run was not scored."
    lines = []
    if split == "validation":
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
    size = f", {scores['examples']:,} {card.unit}" if _is_number(scores.get("examples")) else ""
    lines += [f"| {split} split{size} | score | 95% interval |", "|---|---|---|"]
    for key, (shown, _) in METRICS.items():
        if key in scores:
            low_high = scores.get(f"{key}_ci95")
            interval = f"{low_high[0]:.3f} to {low_high[1]:.3f}" if low_high else ""
            value = f"{scores[key]:.3f}" if _is_number(scores[key]) else "undefined"
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


def _training(run: RunRecord) -> str:
    train, config, parameters = run.get("train") or {}, run_config(run), run.get("parameters") or {}
    data = f"`{_data_name(run)}`"
    if not config.get("dataset") and not config.get("train_file"):
        data = "the sample data in `lowcost_ft`: made-up messages to a small shop"
    rows = (run.get("data") or {}).get("rows") or {}
    examples = f"{rows['train']:,} training examples of " if rows.get("train") else ""
    if rows.get("validation") and config.get("train_file") and not config.get("validation_file"):
        data += f", and {rows['validation']:,} of it for validation"
    revision = f", revision `{config['revision']}`" if config.get("revision") else ""
    facts = [
        ("Base model", f"`{_base_model(run)}`{revision}; its licence and terms apply"),
        ("Data", examples + data),
        ("Method", _method(run)),
    ]
    if pseudo := run.get("pseudo_labels"):
        facts.append(
            (
                "Pseudo-labels",
                f"{pseudo['labels']:,} more examples, texts that a first run labelled (threshold "
                f"{pseudo['threshold']:.3f})",
            )
        )
    if parameters.get("total") and not _is_untrained(run):
        share = parameters["trainable"] / parameters["total"]
        facts.append(
            (
                "Trained weights",
                f"{parameters['trainable']:,} of {parameters['total']:,} ({share:.1%})",
            )
        )
    if _is_untrained(run):
        facts.append(("Length", "no optimizer steps: nothing is trained"))
    elif train.get("optimizer_steps"):
        facts.append(
            (
                "Length",
                f"{train.get('epochs', 0):g} epochs, {train['optimizer_steps']:,} optimizer steps "
                f"of up to {train.get('effective_batch_size', 0)} examples",
            )
        )
    for name, shown in (("learning_rate", "Peak learning rate"), ("max_length", "Longest input")):
        value = train.get(name, config.get(name))
        if value is not None and not (name == "learning_rate" and _is_untrained(run)):
            facts.append((shown, f"{value:g}" + (" tokens" if name == "max_length" else "")))
    facts.append(("Seed", str(run.get("seed", 0))))
    found = run.get("versions") or {}
    libraries = ["lowcost_ft", "torch", "transformers", "peft"]
    libraries += ["bitsandbytes"] if needs_bitsandbytes(run) else []
    names = [name for name in libraries if found.get(name)]
    if names:
        facts.append(("Versions", ", ".join(f"{name} {found[name]}" for name in names)))
    return _list(facts) + "\n\nEvery setting is in `run.json`."


def _method(run: RunRecord) -> str:
    config = run_config(run)
    layers = config.get("trainable_layers")
    new_head = head_of(run).new
    top = f", the top {layers} layers{' and the head' * new_head}" if layers is not None else ""
    if not is_adapter(run):
        return "full fine-tuning" + (top or ", all weights")
    if run["method"] == "head":
        return "linear probe: the head alone, the rest frozen"
    entry = find_method(run["method"])
    rank = f", rank {config['lora_r']}" if entry and entry.ranked and "lora_r" in config else ""
    frozen = {
        "none": "the rest frozen",
        "int8": "the rest frozen, its linear layers in 8 bits and multiplied as integers",
        "8bit": "the rest frozen, its linear layers in 8 bits",
        "nf4": "the rest frozen, its linear layers in 4 bits (NF4, double quantization)",
    }[quantization(run)]
    return f"{method_title(run)}{rank}{top}; {'the head in full, ' * new_head}{frozen}"


def _cost(run: RunRecord) -> str:
    train, machine = run.get("train") or {}, run.get("hardware") or {}
    facts = []
    if train.get("seconds"):
        facts.append(("Training time", f"{train['seconds']:,.0f} s, without evaluation and saving"))
    if train.get("real_tokens_per_second"):
        padding = train.get("padding_share")
        beside = f", without the {padding:.0%} padding" if padding is not None else ""
        share = train.get("cpu_share")
        if share is not None and train.get("peak_memory_source") == "cpu_allocator":
            beside += f", with {share:.0%} of the CPU time of its threads"
        facts.append(("Speed", f"{train['real_tokens_per_second']:,.0f} tokens/s{beside}"))
    if train.get("peak_memory_bytes"):
        source = {"cuda_allocator": "GPU", "cpu_allocator": "main memory, counted by allocations"}
        where = source.get(str(train.get("peak_memory_source")), "unknown source")
        facts.append(("Peak memory", f"{train['peak_memory_bytes'] / 1e9:.2f} GB ({where})"))
    if machine:
        gpus = [gpu["name"] for gpu in machine.get("gpus") or []]
        cpu = f"{machine.get('cpu')}, {machine.get('threads')} threads"
        facts.append(("Hardware", ", ".join(gpus) or cpu))
    return _list(facts) if facts else "Not recorded."


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


def _list(facts: list[tuple[str, str]]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts)
