"""How long a run trains where the user does not say: a function of the rows and the batch size."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from small_runs import call_recipe, flags, text_rows

import lowcost_ft as ft
from lowcost_ft.errors import UserError
from lowcost_ft.training.checkpoint_files import Checkpoint
from lowcost_ft.training.resume import check_training
from lowcost_ft.training.step_plan import planned_steps
from lowcost_ft.training.training_length import (
    LEAST_EPOCHS,
    LEAST_STEPS,
    MOST_EPOCHS,
    epochs_between_scores,
    length_notice,
    num_epochs,
    settle_length,
)

AUTO = ft.RunConfig(task="classification")


@pytest.mark.parametrize("batch_size", [1, 8, 16, 32])
def test_small_data_trains_for_enough_steps_and_large_data_for_the_usual_epochs(batch_size):
    settings = replace(AUTO, batch_size=batch_size)
    for rows in (1, 15, 16, 17, 200, 1000, 1048, 3394, 10_003, 1_000_000):
        epochs = num_epochs(settings, rows)
        steps = epochs * -(-rows // batch_size)
        assert LEAST_EPOCHS <= epochs <= MOST_EPOCHS
        assert steps >= LEAST_STEPS or epochs == MOST_EPOCHS
        if epochs > LEAST_EPOCHS:  # No more than it takes.
            assert steps - -(-rows // batch_size) < LEAST_STEPS
    assert num_epochs(settings, 1_000_000) == LEAST_EPOCHS


def test_scores_of_short_epochs_are_fifty_steps_apart():
    assert epochs_between_scores(AUTO, 10_000) == 1
    between = epochs_between_scores(AUTO, 160)
    assert between * 10 >= 50 > (between - 1) * 10
    # Who says how long to train has every epoch scored, unless they say otherwise.
    assert epochs_between_scores(replace(AUTO, num_train_epochs=9), 160) == 1
    assert epochs_between_scores(replace(AUTO, max_steps=9), 160) == 1


def test_what_the_user_gives_is_obeyed():
    given = replace(AUTO, num_train_epochs=2, validate_every_epochs=3)
    assert settle_length(given, 20) == given
    assert length_notice(given, 20) is None
    with pytest.raises(UserError, match=r"whole number or one of auto, not the text 'many'"):
        replace(AUTO, num_train_epochs="many")
    with pytest.raises(UserError, match="--validate-every-epochs 0 is too small"):
        replace(AUTO, validate_every_epochs=0)


def test_the_notice_says_what_it_came_to():
    assert length_notice(AUTO, 100_000) is None
    epochs = num_epochs(AUTO, 300)
    said = length_notice(AUTO, 300)
    assert said is not None
    assert f"takes {epochs} epochs ({epochs * 19:,} optimizer steps)" in said
    assert length_notice(replace(AUTO, max_steps=5), 300) is None
    both = length_notice(replace(AUTO, max_steps=5, num_train_epochs=2), 300)
    assert both is not None and "--num-train-epochs 2 has no effect" in both


@pytest.fixture(scope="module")
def run_of_two_steps(tmp_path_factory, tiny_model, small_files):
    folder = tmp_path_factory.mktemp("runs") / "run"
    values = {"model_id": tiny_model("bert"), "max_steps": 2, **small_files["single"]}
    assert call_recipe("lora_classification", *flags(output_dir=folder, **values)) == 0
    return folder


def test_the_record_holds_the_number_that_auto_came_to(run_of_two_steps):
    config = json.loads((run_of_two_steps / "run.json").read_text("utf-8"))["config"]
    assert config["num_train_epochs"] == num_epochs(AUTO, 80)
    assert config["validate_every_epochs"] == 1


def test_the_plan_of_steps_has_as_many_as_the_rule_says(tmp_path, tiny_model):
    config = replace(AUTO, model_id=tiny_model("bert"), output_dir=str(tmp_path / "run"))
    with pytest.raises(KeyError), ft.start_run(config) as run:
        data = ft.load_data(run, train=text_rows(60))
        rows = data.features["train"]
        steps = list(planned_steps(rows, config, 1))
        raise KeyError  # Nothing is trained.
    examples = rows.num_examples
    assert len(steps) == num_epochs(config, examples) * -(-examples // 16)
    assert steps[-1].epoch == num_epochs(config, examples) - 1


def test_a_resumed_run_keeps_the_number_of_epochs_that_it_began_with():
    training = {"data": "a", "tokens": "b", "frozen_weights": "c", "model": "d"}
    before = training | {"length": "20 epochs"}
    checkpoint = Checkpoint(
        folder=Path("step-1"), step=1, state={"identity": {"training": before, "versions": {}}}
    )
    check_training(checkpoint, before, print)
    with pytest.raises(UserError, match="--num-train-epochs auto is 40 epochs, not 20 epochs"):
        check_training(checkpoint, training | {"length": "40 epochs"}, print)
    older = Checkpoint(
        folder=Path("step-1"), step=1, state={"identity": {"training": training, "versions": {}}}
    )
    check_training(older, before, print)
