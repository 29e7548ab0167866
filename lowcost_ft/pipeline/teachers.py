"""Teachers of a distillation: finished runs that make the same choices as the student."""

import hashlib
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from peft import PeftConfig, PeftModel
from tqdm.auto import tqdm

from lowcost_ft.config.methods import find_method
from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.batching import MicroBatch, inference_tokens, share_step
from lowcost_ft.data.features import Features, collate, model_inputs
from lowcost_ft.errors import UserError
from lowcost_ft.models.attention_masks import has_padding, known_padding
from lowcost_ft.models.hub import load_config
from lowcost_ft.models.loading import forward_module
from lowcost_ft.models.merging import is_mergeable, merge_adapter
from lowcost_ft.models.saving import load_trained, run_config
from lowcost_ft.models.tokenizers import load_tokenizer
from lowcost_ft.record.run_file import load_run
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.base import Task
from lowcost_ft.training.recovery import each_that_fits

__all__ = [
    "Teacher",
    "answers_of",
    "choice_numbers",
    "find_teacher",
    "load_teacher",
    "states_width",
    "weights_digest",
]

_ROWS = 256
"""Rows that are looked at together."""


@dataclass(frozen=True, kw_only=True)
class Teacher:
    """A finished run, with the texts as it reads them."""

    folder: str
    run: dict[str, Any]
    task: Task
    features: Features
    pad_token_id: int
    order: list[int]
    """Where each of the student's labels is among the teacher's."""


def choice_numbers(
    task: Task, features: Features
) -> Iterator[tuple[np.ndarray, np.ndarray, np.ndarray]]:
    """Rows of a split, the numbers of their choices, and whether they are labelled."""
    for start in range(0, len(features.lengths), _ROWS):
        rows = np.arange(start, min(start + _ROWS, len(features.lengths)))
        found = task.choice_numbers(features, rows)
        assert found is not None
        yield rows, found[0].reshape(len(rows), -1), found[1].reshape(len(rows), -1)


def find_teacher(
    folder: str, name: str, task: Task, examples: Sequence[Any], features: Features
) -> Teacher:
    """A teacher that makes the student's choices.

    Args:
        folder: The folder of its run.
        name: Name of the task.
        task: The student's task.
        examples: The texts.
        features: Their tokens, as the student reads them.

    Raises:
        UserError: The run makes other choices.
    """
    record = load_run(folder)
    kind = task_class(name)
    if set(record["labels"]) != set(task.labels):
        missing = sorted(set(task.labels) - set(record["labels"]))
        more = sorted(set(record["labels"]) - set(task.labels))
        told = [f"it lacks {', '.join(missing[:5])}"] if missing else []
        told += [f"it has {', '.join(more[:5])} besides"] if more else []
        raise UserError(
            f"--teacher {folder}: its labels are not those of the training data: "
            f"{'; '.join(told)}. Train both on the same labels"
        )
    own = kind.from_record(record)
    if own.problem_type != task.problem_type:
        raise UserError(
            f"--teacher {folder}: it was trained for {own.problem_type}, and this run is "
            f"{task.problem_type}"
        )
    tokenizer = load_tokenizer(folder, **kind.tokenizer_options)
    read = own.featurize(examples, tokenizer, max_length=record["config"]["max_length"])
    if own.num_choices(read) != task.num_choices(features):
        raise UserError(
            f"--teacher {folder}: it reads the texts in other pieces than the student; train it "
            "again with this version"
        )
    order = [record["labels"].index(label) for label in task.labels]
    return Teacher(
        folder=folder,
        run=record,
        task=own,
        features=read,
        pad_token_id=int(tokenizer.pad_token_id),
        order=order,
    )


def states_width(
    config: RunConfig, teachers: Sequence[Teacher], features: Features, say: Callable[[str], None]
) -> int:
    """The width of the hidden states to compare; 0 if none are compared.

    Raises:
        UserError: The settings ask for hidden states that cannot be compared.
    """
    wanted = config.teacher_states
    if wanted == 0 or len(teachers) > 1:
        return 0
    (teacher,) = teachers
    student = load_config(
        config.model_id, revision=config.revision, trust_remote_code=config.trust_remote_code
    )
    described = run_config(teacher.folder, teacher.run, trust_remote_code=config.trust_remote_code)
    widths = [int(c.get_text_config().hidden_size) for c in (student, described)]
    reason = None
    method = find_method(config.method)
    if config.adapter_config or method is None or method.virtual_tokens:
        reason = "the student may have vectors in front of its text"
    elif _has_virtual_tokens(teacher.folder):
        reason = "the teacher has vectors in front of its text"
    elif not (
        np.array_equal(teacher.features.starts, features.starts)
        and np.array_equal(teacher.features.input_ids, features.input_ids)
    ):
        reason = "the student reads other tokens"
    elif widths[0] != widths[1]:
        reason = f"the student's states are {widths[0]} wide, and the teacher's {widths[1]}"
    if reason is None:
        return widths[0]
    if wanted is not None:
        raise UserError(f"--teacher-states {wanted:g}: {reason}; leave it out")
    say(f"note: hidden states are not compared: {reason}")
    return 0


def _has_virtual_tokens(folder: str) -> bool:
    if not (Path(folder) / "adapter_config.json").is_file():
        return False
    return bool(PeftConfig.from_pretrained(folder).is_prompt_learning)


def load_teacher(
    folder: str,
    run: dict[str, Any],
    config: RunConfig,
    *,
    plain: bool = False,
    as_trained: bool = False,
) -> Any:
    """Loads a teacher in float32 on the CPU, with its adapter merged if that is possible.

    Args:
        folder: The folder of its run.
        run: The content of its `run.json`.
        config: The student's settings.
        plain: Whether its layers are taken, so that the adapter must be merged.
        as_trained: Whether frozen weights that were quantized in its training are so here; else
            they are those of the base model, as its layers could be taken.

    Raises:
        UserError: The adapter cannot be merged, and has to be.
    """
    wanted = run if as_trained else run | {"quantization": "none"}
    model = load_trained(folder, wanted, trust_remote_code=config.trust_remote_code)
    if not isinstance(model, PeftModel):
        return model
    if is_mergeable(model):
        return merge_adapter(model)
    if plain:
        raise UserError(
            "its adapter is not part of the weights of its layers, which the student would take: "
            "give --student-model"
        )
    return forward_module(model).eval()


def weights_digest(folder: str, run: dict[str, Any]) -> str:
    """A digest of what a teacher's answers depend on: its weights and the base model's name."""
    found = hashlib.sha256()
    described = {name: run.get(name) for name in ("model_id", "base_model", "labels", "task")}
    found.update(json.dumps(described, sort_keys=True, default=str).encode())
    for file in sorted(Path(folder).glob("*.safetensors")):
        with open(file, "rb") as opened:
            found.update(hashlib.file_digest(opened, "sha256").digest())
    return found.hexdigest()


def answers_of(
    accelerator: Accelerator,
    model: Any,
    teacher: Teacher,
    total: np.ndarray,
    answered: np.ndarray,
    *,
    micro_batch_tokens: int,
) -> Iterator[tuple[int, torch.Tensor]]:
    """Adds up a teacher's logits; yields the hidden states of each row.

    A teacher with vectors in front of its text yields none.

    Args:
        accelerator: Device and precision.
        model: The teacher's model, on the device.
        teacher: The teacher.
        total: Gets the logits, `(choices, classes)`, classes in the student's order.
        answered: Gets 1 for each choice that the teacher makes, `(choices,)`: its tokenizer may
            make nothing of a word that the student reads.
        micro_batch_tokens: Padded tokens that a micro-batch may hold.

    Yields:
        The number of a row's first token, and its last hidden states, `(tokens, hidden)`.
    """
    features, task, device = teacher.features, teacher.task, accelerator.device
    caught: list[torch.Tensor] = []

    def ask(rows: MicroBatch) -> tuple[np.ndarray, np.ndarray, torch.Tensor | None]:
        caught.clear()
        batch = collate(features, rows, pad_token_id=teacher.pad_token_id)
        inputs = {n: v.to(device) for n, v in model_inputs(batch, features).items()}
        masks = known_padding(has_padding(features.lengths[rows]))
        with torch.inference_mode(), masks, accelerator.autocast():
            outputs = task.forward(model, inputs)
        choices = task.choices(outputs, batch)
        found = task.choice_numbers(features, rows)
        assert choices is not None and found is not None
        states = caught[-1].float().cpu() if caught else None
        return found[0], choices.logits.cpu().numpy(), states

    (cut,) = share_step(
        np.arange(len(features.lengths)),
        features.lengths,
        micro_batch_tokens=inference_tokens(micro_batch_tokens, device.type),
    )
    hooks = [
        module.register_forward_hook(lambda m, args, out: caught.append(out[0]))
        for module in (getattr(model, "base_model", None),)
        if module is not None
    ]
    bar = tqdm(total=len(features.lengths), file=sys.stderr, disable=None, unit="row", leave=False)
    try:
        with bar:
            for rows, (numbers, logits, states) in each_that_fits(
                cut,
                features.lengths,
                ask,
                absorb=True,
                name=lambda row: f"row {row}",
                recoveries=[],
            ):
                asked = numbers >= 0
                total[numbers[asked]] += logits[asked][:, teacher.order]
                answered[numbers[asked]] += 1
                for row, state in zip(rows, [] if states is None else states, strict=False):
                    yield int(features.starts[row]), state[: features.lengths[row]]
                bar.update(len(rows))
    finally:
        for hook in hooks:
            hook.remove()
