"""`Trainer` with peft on relations, with the same marked texts: a run to compare with.

    python benchmarks/trainer_peft_relation.py --train-file train.jsonl --test-file test.jsonl

As trainer_peft_tuned.py, with the data, schedule and scores of recipes/lora_relation.py. Trains
query and value, and the head; BERT's pooler stays as it is, as peft leaves it.
"""

from trainer_peft_tuned import main

from lowcost_ft import RunConfig, run_recipe

CONFIG = RunConfig(task="relation", method="lora", target_modules="query,value", num_train_epochs=6)

if __name__ == "__main__":
    run_recipe(main, CONFIG, description=__doc__)
