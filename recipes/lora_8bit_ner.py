"""LoRA on 8-bit weights for named-entity recognition.

    accelerate launch recipes/lora_8bit_ner.py
    accelerate launch recipes/lora_8bit_ner.py --model-id FacebookAI/xlm-roberta-large

bitsandbytes holds the frozen linear layers in 8 bits, on a GPU or on the CPU; the trained weights
stay in float32. --gradient-accumulation-steps N cuts each step into N pieces. It is
lora_ner.py with another precision, and takes the same flags.
"""

from dataclasses import replace

import lora_ner

import lowcost_ft as ft

CONFIG = replace(lora_ner.CONFIG, quantization="8bit")
main = lora_ner.main

if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
