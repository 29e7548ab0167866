"""LoRA for question answering: a question is answered by a span of a text, or by none.

    accelerate launch recipes/lora_qa.py
    accelerate launch recipes/lora_qa.py --train-file train.json --test-file test.json

Without flags: all-MiniLM-L6-v2 on the embedded pages of manuals. Any flag of `--help` changes one
field of CONFIG; a variant of this recipe is `dataclasses.replace(CONFIG, ...)`.
"""

from pathlib import Path

import lowcost_ft as ft

CONFIG = ft.RunConfig(task="question_answering", method="lora", max_length=384)


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
