"""All extensions: which of them a run has, their settings, and what these exclude."""

from typing import TYPE_CHECKING

from lowcost_ft.config.checks import MORE_CHECKS
from lowcost_ft.training.extensions.adalora import AdaLora
from lowcost_ft.training.extensions.base import Extension, TrainingContext
from lowcost_ft.training.extensions.composition import Extensions

if TYPE_CHECKING:
    from lowcost_ft.config.run import RunConfig

__all__ = ["EXTENSIONS", "build_extensions", "extension_problems"]

EXTENSIONS: tuple[type[Extension], ...] = (AdaLora,)
"""In the order in which they act; what lies around a pass lies around that of the later ones."""


def build_extensions(context: TrainingContext) -> Extensions:
    """The extensions of a run, made from its settings and its model."""
    found = (extension.of(context) for extension in EXTENSIONS)
    return Extensions([extension for extension in found if extension is not None])


def extension_problems(config: "RunConfig") -> list[str]:
    """What is wrong with the settings of extensions, and with others beside them."""
    return [problem for extension in EXTENSIONS for problem in extension.problems(config)]


MORE_CHECKS.append(extension_problems)
