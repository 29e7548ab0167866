"""LoRA for named-entity recognition, with an encoder (BERT and its kin) or a decoder (Llama, ...).

    accelerate launch recipes/lora_ner.py
    accelerate launch recipes/lora_ner.py --train-file train.conll --test-file test.conll

Without flags: all-MiniLM-L6-v2 on the embedded shop messages. Any flag of `--help` changes one
field of CONFIG; a variant of this recipe is `dataclasses.replace(CONFIG, ...)`.
"""

from pathlib import Path

from lowcost_ft import RunConfig, run_recipe, start_run
from lowcost_ft.models.families import is_causal
from lowcost_ft.models.loading import load_config, load_tokenizer
from lowcost_ft.recipe import (
    build_recipe_model,
    evaluate_run,
    featurize_splits,
    load_recipe_splits,
    save_run,
    train_run,
)
from lowcost_ft.tasks.ner import NerTask

CONFIG = RunConfig(task="ner", method="lora", num_train_epochs=6)


def main(config: RunConfig) -> Path:
    """Loads the data, builds the model, trains, evaluates, saves; returns the run folder."""
    with start_run(config) as run:
        splits = load_recipe_splits(run)
        tokenizer = load_tokenizer(
            config.model_id,
            words=True,
            revision=config.revision,
            trust_remote_code=config.trust_remote_code,
        )
        model_config = load_config(
            config.model_id,
            revision=config.revision,
            trust_remote_code=config.trust_remote_code,
        )
        task = NerTask(
            splits.labels,
            causal=is_causal(model_config),
            window_overlap=config.window_overlap,
        )
        features = featurize_splits(run, splits, task, tokenizer)
        built = build_recipe_model(run, splits, task, tokenizer)
        train_run(run, built, task, splits, features, tokenizer)
        predictions = evaluate_run(run, built, task, splits, features, tokenizer)
        return save_run(run, built, task, splits, features, predictions, tokenizer)


if __name__ == "__main__":
    run_recipe(main, CONFIG, description=__doc__)
