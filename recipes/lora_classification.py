"""LoRA for text classification: one label, several, or a number, for a text or a pair of texts.

    accelerate launch recipes/lora_classification.py
    accelerate launch recipes/lora_classification.py --train-file train.csv --test-file test.csv

Without flags: all-MiniLM-L6-v2 on the embedded shop messages. Any flag of `--help` changes one
field of CONFIG; a variant of this recipe is `dataclasses.replace(CONFIG, ...)`.
"""

from pathlib import Path

import lowcost_ft as ft

CONFIG = ft.RunConfig(task="classification", method="lora", num_train_epochs=6)


def main(config: ft.RunConfig) -> Path:
    """Loads the data, builds the model, trains, evaluates, saves; returns the run folder."""
    with ft.start_run(config) as run:
        splits = ft.load_recipe_splits(run)
        weights = None
        if config.class_weights == "balanced":
            weights = ft.balanced_class_weights(
                splits.train, splits.labels, problem_type=splits.problem_type
            )
        tokenizer = ft.load_tokenizer(
            config.model_id, revision=config.revision, trust_remote_code=config.trust_remote_code
        )
        task = ft.ClassificationTask(
            splits.labels, problem_type=splits.problem_type, class_weights=weights
        )
        features = ft.featurize_splits(run, splits, task, tokenizer)
        ft.plan_memory(run, splits, task, features, tokenizer)
        built = ft.build_recipe_model(run, splits, task, tokenizer)
        ft.train_run(run, built, task, splits, features, tokenizer)
        predictions = ft.evaluate_run(run, built, task, splits, features, tokenizer)
        return ft.save_run(run, built, task, splits, features, predictions, tokenizer)


if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
