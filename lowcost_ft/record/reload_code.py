"""Python code that loads a run folder without `lowcost_ft` and predicts: part of the model card."""

import pprint
from collections.abc import Mapping
from typing import Any

from lowcost_ft.config.methods import find_method
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.card import RunRecord
from lowcost_ft.tasks.heads import Head, find_head

__all__ = [
    "head_of",
    "is_adapter",
    "max_length",
    "method_title",
    "needs_bitsandbytes",
    "pipeline_task",
    "quantization",
    "reload_code",
    "run_config",
]

_VECTORS_IN_FRONT = ("prefix_tuning", "prompt_tuning", "p_tuning", "cartridge")
"""Kinds of adapters from a file that put trained vectors in front of the text."""


def reload_code(run: RunRecord) -> str:
    """Code for transformers (and peft, for an adapter) alone, to be run in the run folder."""
    task = task_class(run["task"])
    parts = [_loading_code(run), task.answer_code(run, max_length(run)), _pipeline_call(run)]
    return "\n\n".join(filter(None, parts))


def head_of(run: RunRecord) -> Head:
    """The head of the run's model."""
    return find_head(task_class(run["task"]).head_of_run(run))


def is_adapter(run: RunRecord) -> bool:
    return bool(run["method"] != "full" and not run.get("merged_from"))


def method_title(run: RunRecord) -> str:
    """The method's name as users write it."""
    entry = find_method(run["method"])
    return entry.title if entry else str(run["method"])


def pipeline_task(run: RunRecord) -> str:
    """What the Hub and pipelines call the task."""
    return head_of(run).pipeline


def run_config(run: RunRecord) -> Mapping[str, Any]:
    return run.get("config") or {}


def max_length(run: RunRecord) -> int:
    return int(run_config(run).get("max_length") or 128)


def quantization(run: RunRecord) -> str:
    """How the base model's linear layers were quantized: `none`, `int8`, `8bit` or `nf4`."""
    return run.get("quantization") or "none"


def needs_bitsandbytes(run: RunRecord) -> bool:
    """Whether the base model is quantized outside this package, too, which knows int8 alone."""
    return quantization(run) not in ("none", "int8")


def _runs_remote_code(run: RunRecord) -> bool:
    return bool(run_config(run).get("trust_remote_code"))


def _exported_code(run: RunRecord) -> str:
    """Code that loads an exported folder, and calls it as a model of transformers is called."""
    file = next(one["file"] for one in run["export"]["files"] if one["file"])
    return f"""from types import SimpleNamespace

import onnxruntime
import torch
from transformers import AutoConfig, AutoTokenizer

RUN = "."
session = onnxruntime.InferenceSession(f"{{RUN}}/{file}")
tokenizer = AutoTokenizer.from_pretrained(RUN)


def model(**inputs):
    taken = {{one.name: inputs[one.name].numpy() for one in session.get_inputs()}}
    names = [one.name for one in session.get_outputs()]
    found = map(torch.from_numpy, session.run(names, taken))
    return SimpleNamespace(**dict(zip(names, found)))


model.config = AutoConfig.from_pretrained(RUN)"""


def _loading_code(run: RunRecord) -> str:
    if run.get("export"):
        return _exported_code(run)
    head = head_of(run)
    auto = head.peft_class if is_adapter(run) else head.auto_class
    pipeline = _pipeline_call(run)
    names = ["AutoTokenizer", *(["pipeline"] if pipeline else [])]
    if needs_bitsandbytes(run):
        names.insert(1, "BitsAndBytesConfig")
    lines = ["import torch"]
    if is_adapter(run):
        lines += [f"from peft import {auto}", f"from transformers import {', '.join(names)}"]
    else:
        lines += [f"from transformers import {', '.join([auto, *names])}"]
    lines += ["", 'RUN = "."']
    arguments = "RUN, trust_remote_code=True" if _runs_remote_code(run) else "RUN"
    if is_adapter(run):
        # An adapter has no config.json, so that what it says must be said here.
        lines += [*_settings_code(run)]
        arguments = "RUN, **settings"
    lines += [
        f"model = {auto}.from_pretrained({arguments}).eval()",
        "tokenizer = AutoTokenizer.from_pretrained(RUN)",
    ]
    return "\n".join(lines)


def _settings_code(run: RunRecord) -> list[str]:
    lines = []
    if run.get("problem_type") == "regression":
        entries = ['"num_labels": 1']
    else:
        # repr is Python that reads back any label, with quotes, line ends or half surrogates.
        lines.append(f"labels = {pprint.pformat(list(run['labels']), width=88, compact=True)}")
        entries = [
            '"num_labels": len(labels)',
            '"id2label": dict(enumerate(labels))',
            '"label2id": {label: index for index, label in enumerate(labels)}',
        ]
    entries += task_class(run["task"]).settings_code(run)
    if run.get("pad_token_id") is not None:
        entries.append(f'"pad_token_id": {run["pad_token_id"]}')
    if _runs_remote_code(run):
        entries.append('"trust_remote_code": True')
    if run.get("key_mapping"):
        # The checkpoint has another name for the backbone, which would else start random.
        entries.append(f'"key_mapping": {run["key_mapping"]!r}')
    entries.append('"dtype": torch.float32')
    if needs_bitsandbytes(run):
        lines += _quantization_code(run)
        entries.append('"quantization_config": quantization')
    return [*lines, "settings = {", *(f"    {entry}," for entry in entries), "}"]


def _quantization_code(run: RunRecord) -> list[str]:
    arguments = ["load_in_8bit=True"]
    if quantization(run) == "nf4":
        arguments = ["load_in_4bit=True", 'bnb_4bit_quant_type="nf4"']
        arguments.append("bnb_4bit_use_double_quant=True")
    # The head, above all: what was trained in full precision would not fit into codes.
    arguments.append(f"llm_int8_skip_modules={list(run['unquantized_modules'])}")
    return ["quantization = BitsAndBytesConfig(", *(f"    {a}," for a in arguments), ")"]


def _pipeline_call(run: RunRecord) -> str:
    if run.get("export"):
        return ""  # Pipelines of transformers take no ONNX.
    entry = find_method(str(run["method"]))
    if entry.virtual_tokens if entry else run["method"] in _VECTORS_IN_FRONT:
        return ""  # A pipeline loads adapters by transformers, which knows none of these.
    found = task_class(run["task"]).pipeline_code(run)
    if found is None:
        return ""
    arguments = [f'"{pipeline_task(run)}"', "RUN"]
    if is_adapter(run):
        arguments.append("model_kwargs=settings")
    elif _runs_remote_code(run):
        arguments.append("trust_remote_code=True")
    arguments += found.arguments
    call = f"predict = pipeline({', '.join(arguments)})"
    return f"{found.comment}\n{call}\nprint(predict({found.example}))"
