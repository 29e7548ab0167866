"""Pseudo-labels: a first run's surest answers to texts without labels become training rows.

They become training rows before anything else is done (`pipeline/self_training.py`), so that steps,
memory plan, checkpoints and the cache of frozen layers treat them like all others. This file has
only the settings. The idea is that of Lee 2013 (Pseudo-Label); a threshold
of the certainty decides which answers are taken, as in FixMatch (Sohn et al. 2020,
arXiv:2001.07685), and validation rows decide the threshold.
"""

from typing import TYPE_CHECKING

from lowcost_ft.training.extensions.base import Extension, TrainingContext

if TYPE_CHECKING:
    from lowcost_ft.config.run import RunConfig

__all__ = ["PseudoLabels"]


class PseudoLabels(Extension):
    """The settings of pseudo-labels, which do nothing in a step."""

    name = "pseudo_labels"
    setting = "unlabelled_file"
    own_settings = ("labelled_by", "pseudo_label_score")
    needs_choices = True
    takes_answers = True
    split_models = True

    @classmethod
    def problems(cls, config: "RunConfig") -> list[str]:
        """A teacher's answers are learned as they are, without a threshold."""
        given = [
            "--" + name.replace("_", "-")
            for name in cls.own_settings
            if getattr(config, name) is not None
        ]
        if config.teacher is None or not given:
            return []
        return [
            f"{', '.join(given)}: --teacher answers the texts of --unlabelled-file, and its "
            "answers are learned as they are; leave one of them out"
        ]

    @classmethod
    def of(cls, context: TrainingContext) -> None:
        """Returns None: the rows are there already."""
        return
