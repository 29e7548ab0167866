"""`Trainer` with peft on relations, with the same marked texts: a run to compare with.

    python benchmarks/trainer_peft_relation.py --train-file train.jsonl --test-file test.jsonl

As trainer_peft.py, with the data, rates, schedule and scores of recipes/lora_relation.py.
"""

from trainer_peft import main

from lowcost_ft import RunConfig, run_recipe

CONFIG = RunConfig(task="relation", method="lora", target_modules="query,value", num_train_epochs=6)

if __name__ == "__main__":
    run_recipe(main, CONFIG, description=__doc__)
