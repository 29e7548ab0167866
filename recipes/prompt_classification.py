"""Text classification by a decoder that reads a text in a template and predicts a label's words.

    accelerate launch recipes/prompt_classification.py --train-file train.csv --test-file test.csv
    accelerate launch recipes/prompt_classification.py --train-file train.csv \\
        --prompt-template "{source} Sentiment:" --label-words "pos=good,neg=bad" --max-steps 0

For few examples of each class, or none: --max-steps 0 trains nothing (zero-shot). Without it, LoRA
trains from there; all rows train, and the number of epochs depends on how many there are. With up
to 500 rows, cross-validation decides first whether training beats zero-shot. Without --label-words
the labels themselves are the words. Templates may be in any language that the model reads. The
other flags are those of lora_gpt_classification.py.
"""

from dataclasses import replace
from pathlib import Path
from typing import Any

import lora_gpt_classification

import lowcost_ft as ft

CONFIG = replace(
    lora_gpt_classification.CONFIG,
    num_train_epochs="auto",
    prompt_template="{source}\nTopic:",
    chat_template="plain",
    validation_share=0,
)
CANDIDATES: tuple[dict[str, Any], ...] = ({}, {"max_steps": 0})


def main(config: ft.RunConfig) -> Path:
    """Chooses whether to train, and does so; returns the run folder."""
    chosen = ft.with_cross_validation(config, lora_gpt_classification.main, CANDIDATES)
    return lora_gpt_classification.main(chosen)


if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
