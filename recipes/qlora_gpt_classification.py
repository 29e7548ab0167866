"""QLoRA for text classification with a GPT-type model: LoRA on 4-bit weights.

    accelerate launch recipes/qlora_gpt_classification.py
    accelerate launch recipes/qlora_gpt_classification.py --model-id Qwen/Qwen3-8B \\
        --train-file train.csv --test-file test.csv --max-length 256

It is made for a decoder of 7 or 8 billion parameters on a card with 12 GB: the frozen linear layers
are held in 4 bits (NF4, double quantization), activations are recomputed in the backward pass, and
on a GPU AdamW keeps its state in 8 bits, in pages that can move to the host's memory. By default it
trains SmolLM2-135M, on a CPU, too. Its flags are those of lora_gpt_classification.py.
"""

from dataclasses import replace

import lora_gpt_classification

import lowcost_ft as ft

CONFIG = replace(
    lora_gpt_classification.CONFIG,
    quantization="nf4",
    gradient_checkpointing=True,
    optimizer="auto",
)
main = lora_gpt_classification.main

if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
