"""Distillation for named-entity recognition: a smaller model learns from a trained one.

    accelerate launch recipes/distill_ner.py --teacher runs/ner
    accelerate launch recipes/distill_ner.py --teacher runs/a,runs/b

`--teacher` is the folder of a finished run, or several, whose mean answer is learned.
`--unlabelled-file` adds texts without labels. The student is `--student-model`, or the lower half
of the teacher's layers. Without `--teacher`, one is trained first, by lora_ner.py
with the same flags.
"""

from dataclasses import replace
from pathlib import Path

import lora_ner

import lowcost_ft as ft

CONFIG = replace(lora_ner.CONFIG, method="full", teacher="auto")


def main(config: ft.RunConfig) -> Path:
    """Trains the student, and before it a teacher if there is none; returns its run folder."""
    config = ft.with_teacher(config, lora_ner.main)
    return lora_ner.main(config)


if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
