"""LoRA in the top layers for named-entity recognition; the layers below run once, not every epoch.

    accelerate launch recipes/cached_lora_ner.py --train-file train.conll --test-file test.conll

The first run writes the output of the frozen layers to a cache folder and says where and how large
it is. Later runs on the same data start from it. Its flags are those of lora_ner.py.
"""

from dataclasses import replace

import lora_ner

import lowcost_ft as ft

CONFIG = replace(lora_ner.CONFIG, trainable_layers=3, cache_frozen_layers=True)
main = lora_ner.main

if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
