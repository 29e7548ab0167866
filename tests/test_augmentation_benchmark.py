"""The script that measures augmentation: its rows, its mistakes, its paired differences."""

import sys
from pathlib import Path

import pytest
from small_training import Trainer

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "benchmarks"))
import augmentation

from lowcost_ft.config.run import RunConfig


def test_every_arm_can_be_asked_for():
    for arm, settings in augmentation.ARMS.items():
        assert (RunConfig(**settings) == RunConfig()) == (arm == "plain")


def test_rows_are_drawn_by_the_seed_and_never_trained_and_validated_on_at_once():
    given = {"train": [{"n": n} for n in range(300)], "test": [{"n": n} for n in range(40)]}
    one, again, other = (augmentation.drawn(given, 50, seed, 30) for seed in (0, 0, 1))
    assert one == again
    assert one["train"] != other["train"]
    assert one["test"] == other["test"]
    assert [len(one[name]) for name in ("train", "validation", "test")] == [50, 250, 30]
    whole = augmentation.drawn(given, 0, 0, 30)
    assert [len(whole[name]) for name in ("train", "validation")] == [270, 30]
    for found in (one, whole):
        assert not {r["n"] for r in found["train"]} & {r["n"] for r in found["validation"]}


@pytest.mark.parametrize("task", ["ner", "classification"])
def test_mistakes_of_the_test_split_are_the_same_for_every_run(tiny_model, tmp_path, task):
    trainer = Trainer(tiny_model, tmp_path, task, "bert")
    once = list(augmentation.noisy(trainer.task, trainer.examples))
    assert once == list(augmentation.noisy(trainer.task, trainer.examples))
    changed = [a != b for a, b in zip(once, trainer.examples, strict=True)]
    assert sum(changed) > 10


def test_gains_are_means_of_paired_differences_with_their_intervals():
    mean, half = augmentation.difference([(0.5, 0.4), (0.7, 0.5), (0.6, 0.3)])
    assert mean == pytest.approx(0.2)
    assert half == pytest.approx(4.302653 * 0.1 / 3**0.5)
    assert augmentation.difference([(0.5, 0.4)])[1] is None
    shared = {"data": "sample", "model_id": "m", "rows": 50, "max_steps": 9, "test": 0.5}
    shared |= {"train_cpu_seconds": 2.0, "peak_memory_bytes": 10, "noisy_test": 0.25}
    results = [
        shared | {"arm": arm, "seed": seed, "validation": 0.5 + (arm == "fgm") * (1 + seed) / 10}
        for arm in ("plain", "fgm")
        for seed in range(2)
    ]
    text = augmentation.table(results)
    assert "| sample | 50 | fgm | 2 | 0.650 (+0.150 ± 0.635) | 0.500 (+0.000 ± 0.000) |" in text
    assert "| sample | 50 | plain | 2 | 0.500 |" in text
