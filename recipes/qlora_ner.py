"""QLoRA for named-entity recognition: LoRA on 4-bit weights.

    accelerate launch recipes/qlora_ner.py
    accelerate launch recipes/qlora_ner.py --model-id Qwen/Qwen3-4B --gradient-checkpointing

The frozen linear layers are held in 4 bits (NF4, double quantization) by bitsandbytes, on a GPU as
on the CPU; what trains stays in float32. Every line but the precision is shared with lora_ner.py;
so are its flags.
"""

from dataclasses import replace

import lora_ner

import lowcost_ft as ft

CONFIG = replace(lora_ner.CONFIG, quantization="nf4")
main = lora_ner.main

if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
