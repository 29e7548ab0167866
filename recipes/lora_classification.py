"""LoRA for text classification: one label, several, or a number, for a text or a pair of texts.

    accelerate launch recipes/lora_classification.py
    accelerate launch recipes/lora_classification.py --train-file train.csv --test-file test.csv

Without flags: all-MiniLM-L6-v2 on the embedded shop messages. Any flag of `--help` changes one
field of CONFIG; a variant of this recipe is `dataclasses.replace(CONFIG, ...)`.
"""

from pathlib import Path

import lowcost_ft as ft

CONFIG = ft.RunConfig(task="classification", method="lora")


def main(config: ft.RunConfig) -> Path:
    """Loads the data, builds the model, trains, evaluates, saves; returns the run folder."""
    # With --unlabelled-file, a run without it comes first.
    config = ft.with_pseudo_labels(config, main)
    with ft.start_run(config) as run:
        data = ft.load_data(run)
        built = ft.build(run, data)
        trained = ft.train(run, built, data)
        evaluated = ft.evaluate(run, built, data, trained)
        return ft.save(run, built, data, trained, evaluated)


if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
