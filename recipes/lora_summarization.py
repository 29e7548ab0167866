"""LoRA for summarization: a short text that says what a long one says.

    accelerate launch recipes/lora_summarization.py
    accelerate launch recipes/lora_summarization.py --train-file train.jsonl --max-length 512

Without flags: SmolLM2-135M-Instruct on the embedded messages, each with a summary of one line.
It is lora_translation.py for another task, and takes the same flags.
"""

from dataclasses import replace

import lora_translation

import lowcost_ft as ft

CONFIG = replace(
    lora_translation.CONFIG,
    task="summarization",
    max_length=384,
    max_target_length=64,
    num_train_epochs=2,
)
main = lora_translation.main

if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
