"""What a model card says of the training and of its cost."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowcost_ft.config.methods import find_method
from lowcost_ft.record.hub_metadata import base_model_name, data_name
from lowcost_ft.record.reload_code import (
    head_of,
    is_adapter,
    method_title,
    needs_bitsandbytes,
    quantization,
    run_config,
)
from lowcost_ft.tasks.card import RunRecord

__all__ = ["cost_section", "is_untrained", "training_section"]


def training_section(run: RunRecord) -> str:
    """What the model was trained from, on what data, how and for how long: a list in Markdown."""
    train, config, parameters = run.get("train") or {}, run_config(run), run.get("parameters") or {}
    data = f"`{data_name(run)}`"
    if not config.get("dataset") and not config.get("train_file"):
        data = "the sample data in `lowcost_ft`: made-up messages to a small shop"
    rows = (run.get("data") or {}).get("rows") or {}
    examples = f"{rows['train']:,} training examples of " if rows.get("train") else ""
    if rows.get("validation") and config.get("train_file") and not config.get("validation_file"):
        data += f", and {rows['validation']:,} of it for validation"
    revision = f", revision `{config['revision']}`" if config.get("revision") else ""
    facts = [
        ("Base model", f"`{base_model_name(run)}`{revision}; its licence and terms apply"),
        ("Data", examples + data),
        ("Method", _method(run)),
    ]
    if taught := (train.get("extensions") or {}).get("distillation"):
        facts.append(("Teacher", _teacher(config, taught)))
    if pseudo := run.get("pseudo_labels"):
        facts.append(
            (
                "Pseudo-labels",
                f"{pseudo['labels']:,} more examples, texts that a first run labelled (threshold "
                f"{pseudo['threshold']:.3f})",
            )
        )
    if parameters.get("total") and not is_untrained(run):
        share = parameters["trainable"] / parameters["total"]
        facts.append(
            (
                "Trained weights",
                f"{parameters['trainable']:,} of {parameters['total']:,} ({share:.1%})",
            )
        )
    if is_untrained(run):
        facts.append(("Length", "no optimizer steps: nothing is trained"))
    elif train.get("optimizer_steps"):
        facts.append(
            (
                "Length",
                f"{train.get('epochs', 0):g} epochs, {train['optimizer_steps']:,} optimizer steps "
                f"of up to {train.get('effective_batch_size', 0)} examples",
            )
        )
    if (rate := config.get("learning_rate")) is not None and not is_untrained(run):
        own = config.get("head_learning_rate") or rate
        facts.append(
            ("Peak learning rate", f"{rate:g}" + (f", head {own:g}" if own != rate else ""))
        )
    if (length := config.get("max_length")) is not None:
        facts.append(("Longest input", f"{length:g} tokens"))
    facts.append(("Seed", str(run.get("seed", 0))))
    found = run.get("versions") or {}
    libraries = ["lowcost_ft", "torch", "transformers", "peft"]
    libraries += ["bitsandbytes"] if needs_bitsandbytes(run) else []
    names = [name for name in libraries if found.get(name)]
    if names:
        facts.append(("Versions", ", ".join(f"{name} {found[name]}" for name in names)))
    return _list(facts) + "\n\nEvery setting is in `run.json`."


def _teacher(config: Mapping[str, Any], taught: Mapping[str, Any]) -> str:
    """Whose answers were learned beside the labels, and from which texts without labels."""
    folders = [Path(part.strip()).name for part in str(config.get("teacher")).split(",")]
    shown = ", ".join(f"`{name}`" for name in folders if name)
    texts = taught.get("unlabelled_texts") or 0
    return (
        f"the answers of {shown} were learned beside the labels (weight "
        f"{taught['teacher_weight']:g}, temperature {taught['teacher_temperature']:g}, hidden "
        f"states {taught['teacher_states']:g})"
        + f", and for {texts:,} texts without labels"
        * (texts > 0)
    )


def _method(run: RunRecord) -> str:
    """Which weights were trained, and how the others were stored."""
    config = run_config(run)
    layers = config.get("trainable_layers")
    new_head = head_of(run).new
    top = f", the top {layers} layers{' and the head' * new_head}" if layers is not None else ""
    if run["method"] == "full":
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
    }[run.get("trained_on") or quantization(run)]
    merged = "" if is_adapter(run) else "; merged into the weights since"
    return f"{method_title(run)}{rank}{top}; {'the head in full, ' * new_head}{frozen}{merged}"


def cost_section(run: RunRecord) -> str:
    """Time, speed, peak memory and hardware of the training: a list in Markdown."""
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
        threads = machine.get("threads")
        cpu = f"{machine.get('cpu')}, {threads} thread{'' if threads == 1 else 's'}"
        facts.append(("Hardware", ", ".join(gpus) or cpu))
    return _list(facts) if facts else "Not recorded."


def is_untrained(run: RunRecord) -> bool:
    """Whether the pretrained model was scored as it is."""
    return (run.get("train") or {}).get("optimizer_steps") == 0


def _list(facts: list[tuple[str, str]]) -> str:
    return "\n".join(f"- {name}: {value}" for name, value in facts)
