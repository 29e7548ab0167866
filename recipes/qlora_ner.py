"""QLoRA for named-entity recognition: LoRA on 4-bit weights.

    accelerate launch recipes/qlora_ner.py
    accelerate launch recipes/qlora_ner.py --model-id Qwen/Qwen3-4B --gradient-checkpointing

bitsandbytes holds the frozen linear layers in 4 bits (NF4, double quantization), on a GPU or on the
CPU; the trained weights stay in float32. It is lora_ner.py with another precision, and takes the
same flags.
"""

from dataclasses import replace

import lora_ner

import lowcost_ft as ft

CONFIG = replace(lora_ner.CONFIG, quantization="nf4")
main = lora_ner.main

if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
