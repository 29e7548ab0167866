"""LoRA for text classification with a GPT-type model, which reads a text's last real token.

    accelerate launch recipes/lora_gpt_classification.py
    accelerate launch recipes/lora_gpt_classification.py --model-id gpt2 --train-file train.csv

Any decoder with a sequence classification head in transformers will do (GPT-2, Llama, Qwen,
Gemma). It is lora_classification.py with another model, and takes the same flags.
"""

from dataclasses import replace

import lora_classification

import lowcost_ft as ft

CONFIG = replace(
    lora_classification.CONFIG,
    model_id="HuggingFaceTB/SmolLM2-135M-Instruct",
    num_train_epochs=3,
)
main = lora_classification.main

if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
