"""LoRA for named-entity recognition, with an encoder (BERT and its kin) or a decoder (Llama, ...).

    accelerate launch recipes/lora_ner.py
    accelerate launch recipes/lora_ner.py --train-file train.conll --test-file test.conll

Without flags: all-MiniLM-L6-v2 on the embedded shop messages. Any flag of `--help` changes one
field of CONFIG; a variant of this recipe is `dataclasses.replace(CONFIG, ...)`.
"""

from pathlib import Path

import lowcost_ft as ft

CONFIG = ft.RunConfig(task="ner", method="lora", num_train_epochs=6)


def main(config: ft.RunConfig) -> Path:
    """Loads the data, builds the model, trains, evaluates, saves; returns the run folder."""
    with ft.start_run(config) as run:
        splits = ft.load_recipe_splits(run)
        tokenizer = ft.load_tokenizer(
            config.model_id,
            words=True,
            revision=config.revision,
            trust_remote_code=config.trust_remote_code,
        )
        model_config = ft.load_config(
            config.model_id,
            revision=config.revision,
            trust_remote_code=config.trust_remote_code,
        )
        task = ft.NerTask(
            splits.labels,
            causal=ft.is_causal(model_config),
            window_overlap=config.window_overlap,
        )
        features = ft.featurize_splits(run, splits, task, tokenizer)
        ft.plan_memory(run, splits, task, features, tokenizer)
        built = ft.build_recipe_model(run, splits, task, tokenizer)
        ft.train_run(run, built, task, splits, features, tokenizer)
        predictions = ft.evaluate_run(run, built, task, splits, features, tokenizer)
        return ft.save_run(run, built, task, splits, features, predictions, tokenizer)


if __name__ == "__main__":
    ft.run_recipe(main, CONFIG, description=__doc__)
