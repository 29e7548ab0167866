"""LoRA for text classification: one label, several, or a number, for a text or a pair of texts.

    accelerate launch recipes/lora_classification.py
    accelerate launch recipes/lora_classification.py --train-file train.csv --test-file test.csv

Without flags: all-MiniLM-L6-v2 on the embedded shop messages. Any flag of `--help` changes one
field of CONFIG; a variant of this recipe is `dataclasses.replace(CONFIG, ...)`.
"""

from pathlib import Path

from lowcost_ft import RunConfig, run_recipe, start_run
from lowcost_ft.models.loading import load_tokenizer
from lowcost_ft.recipe import (
    build_recipe_model,
    evaluate_run,
    featurize_splits,
    load_recipe_splits,
    save_run,
    train_run,
)
from lowcost_ft.tasks.classification import ClassificationTask, balanced_class_weights

CONFIG = RunConfig(task="classification", method="lora", num_train_epochs=6)


def main(config: RunConfig) -> Path:
    """Loads the data, builds the model, trains, evaluates, saves; returns the run folder."""
    with start_run(config) as run:
        splits = load_recipe_splits(run)
        weights = None
        if config.class_weights == "balanced":
            weights = balanced_class_weights(
                splits.train, splits.labels, problem_type=splits.problem_type
            )
        tokenizer = load_tokenizer(
            config.model_id, revision=config.revision, trust_remote_code=config.trust_remote_code
        )
        task = ClassificationTask(
            splits.labels, problem_type=splits.problem_type, class_weights=weights
        )
        features = featurize_splits(run, splits, task, tokenizer)
        built = build_recipe_model(run, splits, task, tokenizer)
        train_run(run, built, task, splits, features, tokenizer)
        predictions = evaluate_run(run, built, task, splits, features, tokenizer)
        return save_run(run, built, task, splits, features, predictions, tokenizer)


if __name__ == "__main__":
    run_recipe(main, CONFIG, description=__doc__)
