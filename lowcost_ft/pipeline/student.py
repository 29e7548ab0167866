"""The model that learns in a distillation: one of its own, or the teacher's lower layers."""

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from lowcost_ft.config.extensions import TRAINED_FIRST
from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.settings import DEFAULT_MODEL_ID
from lowcost_ft.config.values import split_list
from lowcost_ft.errors import UserError
from lowcost_ft.frozen.stored_states import default_cache_dir, locked
from lowcost_ft.models.hub import load_config
from lowcost_ft.models.saving import save_model
from lowcost_ft.models.shortened import keep_lower_layers, layers_problem
from lowcost_ft.models.tokenizers import load_tokenizer
from lowcost_ft.pipeline.teachers import load_teacher, weights_digest
from lowcost_ft.record.run_file import load_run
from lowcost_ft.screen import say
from lowcost_ft.tasks import task_class
from lowcost_ft.training.extensions.registry import settings_beside

__all__ = ["settle_student", "with_teacher"]


def with_teacher(config: RunConfig, train: Callable[[RunConfig], Path]) -> RunConfig:
    """The settings of a student; its teacher is trained first if it is `auto` or not given.

    Such a teacher learns by LoRA from the same labelled data, in a folder beside the student's. A
    teacher that is complete there is taken as it is.

    Args:
        config: The student's settings. With `--teacher auto`, `--model-id` is the teacher's.
        train: Runs a recipe; returns the run folder.

    Raises:
        UserError: The student cannot have these settings.
    """
    if config.teacher not in (None, TRAINED_FIRST):
        return config
    config = replace(config, teacher=TRAINED_FIRST)
    folder = f"{config.output_dir}-teacher" if config.output_dir else None
    # What no student can be is told before a teacher is trained for it.
    student = replace(config, model_id=DEFAULT_MODEL_ID, revision=None)
    done = folder is not None and _is_complete(folder)
    problems = [_adapter_problem(student), None if done else _layer_problem(config)]
    if told := [problem for problem in problems if problem]:
        raise UserError(told)
    if done:
        say(f"teacher: {folder}, which is there already; remove it to train another")
    if folder and done:
        return replace(student, teacher=folder)
    alone: dict[str, Any] = dict.fromkeys(("teacher", "unlabelled_file"))
    alone |= dict.fromkeys(settings_beside("teacher"))
    teacher = train(replace(config, output_dir=folder, method="lora", **alone))
    return replace(student, teacher=str(teacher))


def _is_complete(folder: str) -> bool:
    try:
        load_run(folder)
    except UserError:
        return False
    return True


def settle_student(config: RunConfig) -> RunConfig:
    """The settings with the student as the model, if there is a teacher.

    Raises:
        UserError: A teacher is not a completed run of the same task, would be overwritten, or its
            layers cannot be taken.
    """
    teachers = split_list(config.teacher) or ()
    if not teachers:
        return config
    if config.model_id != DEFAULT_MODEL_ID:
        raise UserError(
            f"--model-id {config.model_id}: with --teacher the model that learns is "
            "--student-model, or the teacher's own lower layers; leave --model-id out"
        )
    runs: list[dict[str, Any]] = []
    problems = []
    if problem := _adapter_problem(config):
        problems.append(problem)
    for folder in teachers:
        if folder == TRAINED_FIRST:
            problems.append(
                "--teacher auto is for the distill recipes, which train a teacher first: train one "
                "and give its folder"
            )
            continue
        try:
            runs.append(load_run(folder))
        except UserError as error:
            problems.append(f"--teacher: {error}")
            continue
        if runs[-1]["task"] != config.task:
            problems.append(
                f"--teacher {folder}: a run for {runs[-1]['task']}, and this one is for "
                f"{config.task}; give a run of the same task"
            )
        if config.output_dir and Path(config.output_dir).resolve() == Path(folder).resolve():
            problems.append(
                f"--output-dir {config.output_dir} is the folder of the teacher: give another one"
            )
    if runs and config.student_model is None:
        problems += _head_problems(teachers[0], runs[0], config)
    if problems:
        raise UserError(problems)
    if config.student_model is not None:
        return replace(config, model_id=config.student_model)
    return replace(config, model_id=str(_lower_layers(teachers[0], runs[0], config)))


def _adapter_problem(config: RunConfig) -> str | None:
    if config.student_model is not None or (config.method == "full" and not config.adapter_config):
        return None
    return (
        "without --student-model the student is made of the teacher's lower layers, which no "
        "adapter could be loaded on later: leave --method and --adapter-config out (every weight "
        "is trained), or give --teacher and --student-model"
    )


def _layer_problem(config: RunConfig) -> str | None:
    """More layers than the student has, whose teacher is not trained yet."""
    if config.trainable_layers is None and config.student_layers is None:
        return None
    found = load_config(
        config.student_model or config.model_id,
        revision=None if config.student_model else config.revision,
        trust_remote_code=config.trust_remote_code,
    )
    whole = getattr(found.get_text_config(), "num_hidden_layers", 0)
    if config.student_layers is not None and config.student_layers >= whole:
        return layers_problem(config.student_layers, whole, field="--student-layers")
    has, what = whole, config.student_model
    if config.student_model is None:
        has = config.student_layers or max(1, whole // 2)
        what = f"made of the teacher's {has} lower layers"
    if config.trainable_layers is None or config.trainable_layers <= has:
        return None
    return (
        f"trainable_layers: {config.trainable_layers} is more than the {has} of the student, which "
        f"is {what}"
    )


def _head_problems(folder: str, run: dict[str, Any], config: RunConfig) -> list[str]:
    """Settings by which the teacher's head, which the student begins with, would see other states.

    Args:
        folder: The folder of the teacher.
        run: Its record.
        config: The student's settings.
    """
    problems = []
    for name in ("pooling", "prompt_template", "chat_template"):
        default = getattr(RunConfig, name)
        theirs, own = run["config"].get(name, default), getattr(config, name)
        if theirs != own:
            flag = f"--{name.replace('_', '-')}"
            was = f"with {flag} {theirs}" if theirs != default else f"without {flag} {own}"
            mend = f"add {flag} {theirs!r}" if theirs != default else f"leave {flag} out"
            problems.append(
                f"--teacher {folder} was trained {was}, and the student begins with its head: "
                f"{mend}, or give --student-model"
            )
    return problems


def _lower_layers(folder: str, run: dict[str, Any], config: RunConfig) -> Path:
    """The folder with the lower layers of a teacher, which is made once in the cache."""
    layers = config.student_layers
    key = f"{layers or 'half'}-layers-of-{Path(folder).resolve().name}-"
    target = default_cache_dir().parent / "students" / (key + weights_digest(folder, run)[:12])
    with locked(target):
        if (target / "config.json").is_file():
            return target
        try:
            model = load_teacher(folder, run, config, plain=True)
        except UserError as error:
            raise UserError(f"--teacher {folder}: {error}") from error
        keep_lower_layers(model, layers, field="--student-layers")
        options = task_class(run["task"]).tokenizer_options
        tokenizer = load_tokenizer(folder, **options)
        partial = target.with_name(target.name + ".partial")
        shutil.rmtree(partial, ignore_errors=True)  # A run that was killed here may have left it.
        save_model(model, tokenizer, partial)
        partial.rename(target)
    return target
