"""Python code that loads a run folder without `lowcost_ft` and predicts: part of the model card."""

import pprint
from collections.abc import Mapping
from typing import Any

from lowcost_ft.config.methods import find_method

__all__ = [
    "Run",
    "is_adapter",
    "is_ner",
    "max_length",
    "method_title",
    "pipeline_task",
    "problem_type",
    "quantization",
    "reload_code",
    "run_config",
]

_VECTORS_IN_FRONT = ("prefix_tuning", "prompt_tuning", "p_tuning", "cartridge")
"""Kinds of adapters from a file that put trained vectors in front of the text."""
Run = Mapping[str, Any]
"""The content of `run.json`."""


def reload_code(run: Run) -> str:
    """Code for transformers (and peft, for an adapter) alone, to be run in the run folder."""
    answer = _ner_code(run) if is_ner(run) else _classification_code(run)
    return f"{_loading_code(run)}\n\n{answer}"


def is_ner(run: Run) -> bool:
    return bool(run["task"] == "ner")


def is_adapter(run: Run) -> bool:
    return bool(run["method"] != "full" and not run.get("merged_from"))


def method_title(run: Run) -> str:
    """The method's name as users write it."""
    entry = find_method(run["method"])
    return entry.title if entry else str(run["method"])


def pipeline_task(run: Run) -> str:
    return "token-classification" if is_ner(run) else "text-classification"


def problem_type(run: Run) -> str:
    """Key of `MAIN_METRICS`."""
    return "ner" if is_ner(run) else run.get("problem_type") or "single_label_classification"


def run_config(run: Run) -> Mapping[str, Any]:
    return run.get("config") or {}


def max_length(run: Run) -> int:
    return int(run_config(run).get("max_length") or 128)


def quantization(run: Run) -> str:
    """How the base model's linear layers were quantized: `none`, `8bit` or `nf4`."""
    return run.get("quantization") or "none"


def _runs_remote_code(run: Run) -> bool:
    return bool(run_config(run).get("trust_remote_code"))


def _loading_code(run: Run) -> str:
    head = "TokenClassification" if is_ner(run) else "SequenceClassification"
    auto = f"AutoPeftModelFor{head}" if is_adapter(run) else f"AutoModelFor{head}"
    pipeline = _pipeline_code(run)
    names = ["AutoTokenizer", *(["pipeline"] if pipeline else [])]
    if quantization(run) != "none":
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


def _settings_code(run: Run) -> list[str]:
    lines = []
    if problem_type(run) == "regression":
        entries = ['"num_labels": 1']
    else:
        # repr is Python that reads back any label, with quotes, line ends or half surrogates.
        lines.append(f"labels = {pprint.pformat(list(run['labels']), width=88, compact=True)}")
        entries = [
            '"num_labels": len(labels)',
            '"id2label": dict(enumerate(labels))',
            '"label2id": {label: index for index, label in enumerate(labels)}',
        ]
    if not is_ner(run):
        entries.append(f'"problem_type": "{problem_type(run)}"')
    if run.get("pad_token_id") is not None:
        entries.append(f'"pad_token_id": {run["pad_token_id"]}')
    if _runs_remote_code(run):
        entries.append('"trust_remote_code": True')
    entries.append('"dtype": torch.float32')
    if quantization(run) != "none":
        lines += _quantization_code(run)
        entries.append('"quantization_config": quantization')
    return [*lines, "settings = {", *(f"    {entry}," for entry in entries), "}"]


def _quantization_code(run: Run) -> list[str]:
    arguments = ["load_in_8bit=True"]
    if quantization(run) == "nf4":
        arguments = ["load_in_4bit=True", 'bnb_4bit_quant_type="nf4"']
        arguments.append("bnb_4bit_use_double_quant=True")
    # The head, above all: what was trained in full precision would not fit into codes.
    arguments.append(f"llm_int8_skip_modules={list(run['unquantized_modules'])}")
    return ["quantization = BitsAndBytesConfig(", *(f"    {a}," for a in arguments), ")"]


def _ner_code(run: Run) -> str:
    # A decoder sees a word whole only at its last sub-word, and has a padding token set.
    last = run.get("pad_token_id") is not None
    where = "last" if last else "first"
    keep = "tags[word] = best[position]" if last else "tags.setdefault(word, best[position])"
    # Trained vectors that stand in front of the text come out, too.
    virtual = run.get("virtual_logits")
    tokens = f"0, {virtual}:" if virtual else "0"
    code = f"""words = ["Ada", "Lovelace", "lives", "in", "London", "."]
inputs = tokenizer(
    words,
    is_split_into_words=True,
    truncation=True,
    max_length={max_length(run)},
    return_tensors="pt",
)
word_ids = inputs.word_ids()
with torch.inference_mode():
    best = model(**inputs).logits[{tokens}].argmax(-1).tolist()
# A word has the tag of its {where} sub-word; one without sub-words is O.
tags = {{}}
for position, word in enumerate(word_ids):
    {keep}
for index, word in enumerate(words):
    print(word, model.config.id2label[tags[index]] if index in tags else "O")"""
    return "\n\n".join(filter(None, [code, _pipeline_code(run)]))


def _classification_code(run: Run) -> str:
    inputs = '"Where is my parcel?"'
    if run.get("data", {}).get("pairs"):
        inputs += ', "Where is my order?"'
    scale = {
        "regression": "",
        "multi_label_classification": ".sigmoid()",
        "single_label_classification": ".softmax(-1)",
    }[problem_type(run)]
    show = "print(scores.item())"
    if scale:
        show = "print({model.config.id2label[i]: score for i, score in enumerate(scores.tolist())})"
    if problem_type(run) == "multi_label_classification":
        show += "\n" + _decision_code(run)
    code = f"""inputs = tokenizer(
    {inputs}, truncation=True, max_length={max_length(run)}, return_tensors="pt"
)
with torch.inference_mode():
    scores = model(**inputs).logits[0]{scale}
{show}"""
    return "\n\n".join(filter(None, [code, _pipeline_code(run)]))


def _decision_code(run: Run) -> str:
    """How the scores become labels: by the thresholds that training chose, else by 0.5."""
    thresholds = [float(value) for value in run.get("thresholds") or [0.5]]
    if len(set(thresholds)) == 1:
        lines = [
            f"threshold = {thresholds[0]!r}",
            "chosen = [i for i, score in enumerate(scores) if score >= threshold]",
        ]
    else:
        listed = pprint.pformat(thresholds, width=88, compact=True)
        lines = [
            "# Of each label:",
            f"thresholds = {listed}",
            "pairs = zip(scores.tolist(), thresholds, strict=True)",
            "chosen = [i for i, (score, threshold) in enumerate(pairs) if score >= threshold]",
        ]
    return "\n".join([*lines, "print([model.config.id2label[i] for i in chosen])"])


def _pipeline_code(run: Run) -> str:
    entry = find_method(str(run["method"]))
    if entry.virtual_tokens if entry else run["method"] in _VECTORS_IN_FRONT:
        return ""  # A pipeline loads adapters by transformers, which knows none of these.
    arguments = [f'"{pipeline_task(run)}"', "RUN"]
    if is_adapter(run):
        arguments.append("model_kwargs=settings")
    elif _runs_remote_code(run):
        arguments.append("trust_remote_code=True")
    if is_ner(run):
        if run.get("pad_token_id") is not None or run.get("virtual_logits"):
            # Pipelines have no strategy that reads a word's last sub-word, or skips positions.
            return ""
        arguments.append('aggregation_strategy="first"')
        comment = "# As a pipeline, which splits the text into words by rules of its own:"
        example = '"Ada Lovelace lives in London."'
    else:
        if problem_type(run) == "multi_label_classification":
            arguments.append("top_k=None")
        comment = "# The same as a pipeline:"
        if problem_type(run) == "multi_label_classification":
            comment = "# The scores of all labels as a pipeline:"
        example = '"Where is my parcel?"'
        if run.get("data", {}).get("pairs"):
            example = '{"text": "Where is my parcel?", "text_pair": "Where is my order?"}'
    return f"{comment}\npredict = pipeline({', '.join(arguments)})\nprint(predict({example}))"
