"""The table of extensions: which of them a run has, and which settings exclude each other."""

from math import prod
from typing import TYPE_CHECKING

from lowcost_ft.config.checks import MORE_CHECKS
from lowcost_ft.config.tasks import task_settings
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.base import Task
from lowcost_ft.training.extensions.adalora import AdaLora
from lowcost_ft.training.extensions.adversarial import Adversarial
from lowcost_ft.training.extensions.augmentation import Augmentation
from lowcost_ft.training.extensions.base import Extension, TrainingContext
from lowcost_ft.training.extensions.composition import Extensions
from lowcost_ft.training.extensions.consistency import Consistency
from lowcost_ft.training.extensions.contrastive import Contrastive
from lowcost_ft.training.extensions.distillation import Distillation
from lowcost_ft.training.extensions.focal_loss import FocalLoss
from lowcost_ft.training.extensions.label_smoothing import LabelSmoothing
from lowcost_ft.training.extensions.mixup import Mixup
from lowcost_ft.training.extensions.pseudo_labels import PseudoLabels
from lowcost_ft.training.extensions.weight_average import WeightAverage

if TYPE_CHECKING:
    from lowcost_ft.config.run import RunConfig
    from lowcost_ft.config.settings import TrainingConfig

__all__ = ["EXTENSIONS", "build_extensions", "extension_problems", "not_for_split_models"]
__all__ += ["numbers_choices", "rate_factor", "settings_beside", "usual_epochs"]

EXTENSIONS: tuple[type[Extension], ...] = (
    PseudoLabels,
    Augmentation,
    Mixup,
    Contrastive,
    Adversarial,
    Consistency,
    Distillation,
    LabelSmoothing,
    FocalLoss,
    AdaLora,
    WeightAverage,
)
"""In the order in which they act; what lies around a pass lies around that of the later ones."""


def build_extensions(context: TrainingContext) -> Extensions:
    """The extensions of a run, made from its settings and its model.

    Raises:
        UserError: The task or the model lacks something that an extension needs.
    """
    wanted = [e for e in EXTENSIONS if not e.setting or e.asked_for(context.settings)]
    task = context.task
    if flags := [e.flag() for e in wanted if e.needs_choices and not task.has_choices]:
        title = task_settings(task.name).title
        kind = f" ({task.problem_type})" if task.problem_type else ""
        fix = "leave it out"
        if "--contrastive" in flags:  # The recipe of few labels sets it.
            fix += ", or train with recipes/lora_classification.py"
        raise UserError(
            f"{', '.join(flags)}: for choices between classes, and {title}{kind} makes none; {fix}"
        )
    if flags := [e.flag() for e in wanted if e.numbers_choices and not numbers_choices(task)]:
        title = task_settings(task.name).title
        raise UserError(
            f"{', '.join(flags)}: for choices between classes that a teacher makes as well, and "
            f"those of {title} cannot be told apart; leave it out"
        )
    if flags := [e.flag() for e in wanted if e.edits_texts and not task.can_edit]:
        title = task_settings(task.name).title
        raise UserError(f"{', '.join(flags)}: the texts of {title} cannot be changed; leave it out")
    if flags := [
        e.flag() for e in wanted if e.needs_whole_text_labels and not task.labels_whole_texts
    ]:
        title = task_settings(task.name).title
        raise UserError(
            f"{', '.join(flags)}: for choices of whole texts, and {title} has others, or none; "
            "leave it out"
        )
    # A teacher's answers are learned in another way.
    if flags := [
        e.flag()
        for e in wanted
        if e.takes_answers and not task.can_label and context.settings.teacher is None
    ]:
        title = task_settings(task.name).title
        raise UserError(
            f"{', '.join(flags)}: the answers of {title} cannot be taken as labels; leave it out"
        )
    found = (extension.of(context) for extension in wanted)
    return Extensions([extension for extension in found if extension is not None])


def usual_epochs(settings: "TrainingConfig", examples: int) -> int | None:
    """Epochs that an extension of the run asks for if the user gives none; None: none asks."""
    asked = [e.usual_epochs(examples) for e in EXTENSIONS if e.setting and e.asked_for(settings)]
    return max((epochs for epochs in asked if epochs is not None), default=None)


def rate_factor(settings: "TrainingConfig", examples: int) -> float:
    """The factor of a run's extensions on the default learning rate."""
    return prod(e.rate_factor(examples) for e in EXTENSIONS if e.setting and e.asked_for(settings))


def settings_beside(setting: str) -> tuple[str, ...]:
    """The settings that mean something only beside the one that asks for an extension."""
    return next(e.own_settings for e in EXTENSIONS if e.setting == setting)


def numbers_choices(task: Task) -> bool:
    """Whether a task numbers its choices (`Task.choice_numbers`)."""
    return type(task).choice_numbers is not Task.choice_numbers


def extension_problems(config: "RunConfig") -> list[str]:
    """What is wrong with the settings of extensions, and with others in combination with them."""
    alone = [
        f"--{name.replace('_', '-')} needs {extension.flag()}"
        for extension in EXTENSIONS
        for name in extension.own_settings
        if getattr(config, name) is not None and not extension.asked_for(config)
    ]
    alone += [
        f"{extension.flag()} needs --{name.replace('_', '-')} {value}"
        for extension in EXTENSIONS
        for name, value in extension.needs_settings.items()
        if extension.asked_for(config) and getattr(config, name) != value
    ]
    return alone + [problem for extension in EXTENSIONS for problem in extension.problems(config)]


def not_for_split_models(config: "RunConfig") -> list[str]:
    """Flags of extensions that were not tried on a model that FSDP splits over processes."""
    return [
        extension.flag()
        for extension in EXTENSIONS
        if extension.asked_for(config) and not extension.split_models
    ]


MORE_CHECKS.append(extension_problems)
