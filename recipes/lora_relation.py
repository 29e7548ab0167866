"""LoRA for relation extraction: how two entities of a text are related, and in which direction.

    accelerate launch recipes/lora_relation.py
    accelerate launch recipes/lora_relation.py --train-file train.jsonl --test-file test.jsonl

Without flags: all-MiniLM-L6-v2 on the embedded shop messages. Any flag of `--help` changes one
field of CONFIG; a variant of this recipe is `dataclasses.replace(CONFIG, ...)`.
"""

from pathlib import Path

import lowcost_ft as ft

CONFIG = ft.RunConfig(task="relation", method="lora")


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
