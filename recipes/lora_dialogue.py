"""LoRA for dialogue: the next turn of a conversation.

    accelerate launch recipes/lora_dialogue.py
    accelerate launch recipes/lora_dialogue.py --train-file chats.jsonl --max-length 1024

Without flags: SmolLM2-135M-Instruct on the embedded conversations of the shop. It is
lora_translation.py for another task, and takes the same flags.
"""

from dataclasses import replace

import lora_translation

import lowcost_ft as ft

CONFIG = replace(
    lora_translation.CONFIG,
    task="dialogue",
    max_length=384,
    max_target_length=96,
    num_train_epochs=3,
)
main = lora_translation.main

if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
