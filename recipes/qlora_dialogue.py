"""QLoRA for dialogue: LoRA on 4-bit weights.

    accelerate launch recipes/qlora_dialogue.py
    accelerate launch recipes/qlora_dialogue.py --model-id Qwen/Qwen3-8B \\
        --train-file chats.jsonl --max-length 1024

The frozen linear layers are held in 4 bits (NF4, double quantization), activations are recomputed
in the backward pass, and on a GPU AdamW keeps its state in 8 bits. By default it trains
SmolLM2-135M, on a CPU, too. Its flags are those of lora_dialogue.py.
"""

from dataclasses import replace

import lora_dialogue

import lowcost_ft as ft

CONFIG = replace(
    lora_dialogue.CONFIG,
    quantization="nf4",
    gradient_checkpointing=True,
    optimizer="auto",
    num_train_epochs=2,
)
main = lora_dialogue.main

if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
