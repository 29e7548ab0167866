"""LoRA on 8-bit weights for named-entity recognition.

    accelerate launch recipes/lora_8bit_ner.py
    accelerate launch recipes/lora_8bit_ner.py --model-id FacebookAI/xlm-roberta-large

The frozen linear layers are held in 8 bits by bitsandbytes, on a GPU as on the CPU; what trains
stays in float32. --gradient-accumulation-steps N cuts each step of --batch-size examples into N.
Every line but the precision is shared with lora_ner.py; so are its flags.
"""

from dataclasses import replace

import lora_ner

import lowcost_ft as ft

CONFIG = replace(lora_ner.CONFIG, quantization="8bit")
main = lora_ner.main

if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
