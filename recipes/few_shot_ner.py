"""Named-entity recognition from 50 or 100 sentences: LoRA that also reads other entities in them.

    accelerate launch recipes/few_shot_ner.py --train-file train.conll --test-file test.conll

All rows train: without --validation-file none is set aside. In each epoch half of the sentences get
other entities of the same types (--augment entities). The flags are those of lora_ner.py.
"""

from dataclasses import replace
from pathlib import Path

import lora_ner

import lowcost_ft as ft

CONFIG = replace(lora_ner.CONFIG, validation_share=0, augment="entities")


def main(config: ft.RunConfig) -> Path:
    """Trains as lora_ner.py does; returns the run folder."""
    return lora_ner.main(config)


if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
