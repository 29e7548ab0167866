"""LoRA for translation: a text in one language becomes one in another.

    accelerate launch recipes/lora_translation.py
    accelerate launch recipes/lora_translation.py --train-file train.jsonl --test-file test.jsonl \\
        --source-language en --target-language fr

Without flags: SmolLM2-135M-Instruct on the embedded sentence pairs. Any flag of `--help` changes
one field of CONFIG; a variant of this recipe is `dataclasses.replace(CONFIG, ...)`.
"""

from pathlib import Path

import lowcost_ft as ft

CONFIG = ft.RunConfig(
    task="translation",
    model_id="HuggingFaceTB/SmolLM2-135M-Instruct",
    method="lora",
    max_length=256,
    max_target_length=96,
    batch_size=8,
    num_train_epochs=1,
)


def main(config: ft.RunConfig) -> Path:
    """Loads the data, builds the model, trains, evaluates, saves; returns the run folder."""
    with ft.start_run(config) as run:
        data = ft.load_data(run)
        built = ft.build(run, data)
        trained = ft.train(run, built, data)
        evaluated = ft.evaluate(run, built, data, trained)
        return ft.save(run, built, data, trained, evaluated)


if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
