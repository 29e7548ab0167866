"""Text classification from a few examples a class: contrastive training, then a head.

    accelerate launch recipes/few_shot_classification.py --train-file train.csv --test-file test.csv

A LoRA adapter learns to separate the classes; then a linear head is fitted to the states of all
training texts, and of the names of the labels (--label-words). All rows train: without
--validation-file none is set aside. The number of epochs depends on the number of texts. The flags
are those of lora_classification.py. The model should be one that was made for sentence embeddings.
"""

from dataclasses import replace

import lora_classification

import lowcost_ft as ft

CONFIG = replace(
    lora_classification.CONFIG,
    pooling="mean",
    contrastive="auto",
    batch_size=2,  # Groups of 8 texts.
    validation_share=0,
)
main = lora_classification.main

if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
