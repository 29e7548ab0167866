"""`Trainer` with peft, set as someone would who knows its options: a run to compare with.

    python benchmarks/trainer_peft_tuned.py --train-file train.conll --test-file test.conll

As trainer_peft.py, with batches of texts of like length.
"""

from pathlib import Path

from trainer_peft import CONFIG, train_and_score
from usual_arms import TunedTrainerArm

from lowcost_ft import RunConfig, run_recipe


def main(config: RunConfig) -> Path:
    """Loads the data, trains with `Trainer`, evaluates, saves; returns the run folder."""
    return train_and_score(config, TunedTrainerArm, name="trainer-peft-tuned")


if __name__ == "__main__":
    run_recipe(main, CONFIG, description=__doc__)
