"""LoRA for summarization: a long text, written as a short one.

    accelerate launch recipes/lora_summarization.py
    accelerate launch recipes/lora_summarization.py --train-file train.jsonl --max-length 512

Without flags: SmolLM2-135M-Instruct on the embedded messages, each with a summary of one line.
Every line but the task is shared with lora_translation.py; so are its flags.
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
