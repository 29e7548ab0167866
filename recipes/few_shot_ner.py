"""Named-entity recognition from 50 or 100 sentences: LoRA with what cross-validation chooses.

    accelerate launch recipes/few_shot_ner.py --train-file train.conll --test-file test.conll

All rows train: without --validation-file none is set aside. First each of CANDIDATES is trained
without a part of the rows and scored on that part. The best one then trains on all rows, for as
many steps as lora_ner.py. The flags are those of lora_ner.py; a flag that you give is fixed.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import lora_ner

import lowcost_ft as ft

CONFIG = replace(lora_ner.CONFIG, validation_share=0)
CANDIDATES: tuple[dict[str, Any], ...] = (
    {},
    {"augment": "entities"},
    {"consistency": "r-drop"},
    {"augment": "entities", "consistency": "r-drop"},
)


def main(config: ft.RunConfig) -> Path:
    """Chooses what helps, and trains with it; returns the run folder."""
    return lora_ner.main(ft.with_cross_validation(config, lora_ner.main, CANDIDATES))


if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
