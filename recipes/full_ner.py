"""Full fine-tuning for named-entity recognition: what LoRA is compared with.

    accelerate launch recipes/full_ner.py

It is lora_ner.py with another method, and takes the same flags.
"""

from dataclasses import replace

import lora_ner

import lowcost_ft as ft

CONFIG = replace(lora_ner.CONFIG, method="full")
main = lora_ner.main

if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
