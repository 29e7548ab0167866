"""LoRA on 8-bit weights for text classification.

    accelerate launch recipes/lora_8bit_classification.py
    accelerate launch recipes/lora_8bit_classification.py --gradient-accumulation-steps 4

bitsandbytes holds the frozen linear layers in 8 bits, on a GPU or on the CPU; the trained weights
stay in float32. --gradient-accumulation-steps N cuts each step into N pieces. It is
lora_classification.py with another precision, and takes the same flags.
"""

from dataclasses import replace

import lora_classification

import lowcost_ft as ft

CONFIG = replace(lora_classification.CONFIG, quantization="8bit")
main = lora_classification.main

if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
