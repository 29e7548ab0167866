"""Settings that cross-validation chooses: which runs are trained, what is taken, what is kept."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from datasets import Dataset, DatasetDict
from small_runs import ner_rows, write_jsonl

import lowcost_ft as ft
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline import cross_validation
from lowcost_ft.pipeline.run_splits import load_run_splits
from lowcost_ft.record.run_file import write_run

CANDIDATES = ({}, {"augment": "entities"}, {"consistency": "r-drop"})
SCORES = {None: (0.5, 0.6, 0.7), "entities": (0.9, 0.5, 0.7), "r-drop": (0.7, 0.7, 0.6)}


class Recipe:
    """A recipe that trains nothing, and has the scores of `SCORES` in turn."""

    def __init__(self, dies_at=None, refuses=()):
        self.configs = []
        self.dies_at = dies_at
        self.refuses = refuses

    def __call__(self, config):
        if len(self.configs) == self.dies_at:
            raise KeyboardInterrupt
        self.configs.append(config)
        if (config.augment or config.consistency) in self.refuses:
            raise UserError("it has no dropout")
        folder = Path(config.output_dir)
        folder.mkdir()
        score = SCORES[config.augment or config.consistency][max(config.seed - 1, 0)]
        record = {"task": "ner", "model_id": "m", "method": "lora", "labels": ["O"]}
        record |= {"metric": "f1", "evaluation": {"validation": {"f1": score}}}
        write_run(folder, record | {"status": "completed"})
        print("noise")
        return folder


@pytest.fixture
def config(tmp_path):
    return ft.RunConfig(
        task="ner",
        train_file=write_jsonl(tmp_path / "train.jsonl", ner_rows(20)),
        test_file=write_jsonl(tmp_path / "test.jsonl", ner_rows(5)),
        output_dir=str(tmp_path / "run"),
        validation_share=0,
    )


def test_each_candidate_is_scored_on_the_same_rows_and_the_best_is_taken(config, tmp_path, capsys):
    recipe = Recipe()
    found = ft.with_cross_validation(config, recipe, CANDIDATES)
    assert found == replace(config, augment="entities")
    assert [(one.augment, one.consistency, one.seed) for one in recipe.configs] == [
        *((None, None, seed) for seed in (1, 2, 3)),
        *(("entities", None, seed) for seed in (1, 2, 3)),
        *((None, "r-drop", seed) for seed in (1, 2, 3)),
    ]
    assert {(one.validation_share, one.test_file) for one in recipe.configs} == {(0.25, None)}
    printed = capsys.readouterr().out
    assert "--augment entities: f1 0.7000 on rows held out of training (0.900" in printed
    assert "noise" not in printed
    assert {file.name for file in (tmp_path / "run-choice").iterdir()} == {"choice.json", "log.txt"}


def test_a_choice_that_was_stopped_goes_on_and_another_begins_anew(config, tmp_path):
    with pytest.raises(KeyboardInterrupt):
        ft.with_cross_validation(config, Recipe(dies_at=4), CANDIDATES)
    recipe = Recipe()
    assert ft.with_cross_validation(config, recipe, CANDIDATES).augment == "entities"
    assert len(recipe.configs) == 5
    kept = json.loads((tmp_path / "run-choice" / "choice.json").read_text())["scores"]
    assert {name: tuple(scores) for name, scores in kept.items()} == {
        "the settings as they are": SCORES[None],
        "--augment entities": SCORES["entities"],
        "--consistency r-drop": SCORES["r-drop"],
    }
    write_jsonl(tmp_path / "train.jsonl", ner_rows(20, seed=1))
    for changed in (config, replace(config, lora_r=4)):
        recipe = Recipe()
        ft.with_cross_validation(changed, recipe, CANDIDATES)
        assert len(recipe.configs) == 9


def test_what_the_model_refuses_is_left_out_with_the_reason(config, capsys):
    recipe = Recipe(refuses=("entities",))
    assert ft.with_cross_validation(config, recipe, CANDIDATES).consistency == "r-drop"
    assert "--augment entities is left out: it has no dropout" in capsys.readouterr().out
    with pytest.raises(UserError, match="no dropout"):
        ft.with_cross_validation(
            replace(config, overwrite=True),
            Recipe(refuses=(None, "entities", "r-drop")),
            CANDIDATES,
        )


def test_what_does_not_go_with_a_given_setting_is_left_out(config, capsys):
    recipe = Recipe()
    config = replace(config, dropout=0.0)
    assert ft.with_cross_validation(config, recipe, CANDIDATES).augment == "entities"
    printed = " ".join(capsys.readouterr().out.split())
    assert "--consistency r-drop is left out: --dropout 0.0 and --consistency" in printed
    assert len(recipe.configs) == 6


def test_nothing_is_chosen_where_no_row_can_be_held_out(config, capsys):
    write_jsonl(Path(config.train_file), ner_rows(1))
    recipe = Recipe()
    assert ft.with_cross_validation(config, recipe, CANDIDATES) == config
    printed = " ".join(capsys.readouterr().out.split())
    assert "no row can be spared" in printed and "Nothing is chosen then" in printed
    assert not recipe.configs


def test_validation_rows_choose_where_there_are_some(config, tmp_path):
    file = write_jsonl(tmp_path / "validation.jsonl", ner_rows(6, seed=2))
    recipe = Recipe()
    config = replace(config, validation_file=file, output_dir=None)
    assert ft.with_cross_validation(config, recipe, CANDIDATES).augment == "entities"
    assert {(one.seed, one.validation_file) for one in recipe.configs} == {(0, file)}


def test_what_is_given_is_not_chosen_and_many_rows_choose_nothing(config, capsys, monkeypatch):
    recipe = Recipe()
    given = replace(config, augment="typos", consistency="r-drop")
    assert ft.with_cross_validation(given, recipe, CANDIDATES) == given
    monkeypatch.setattr(cross_validation, "MOST_ROWS", 10)
    assert ft.with_cross_validation(config, recipe, CANDIDATES[1:]).augment == "entities"
    assert "20 training rows are more than 10" in capsys.readouterr().out
    assert not recipe.configs
    with pytest.raises(UserError):
        ft.with_cross_validation(replace(config, train_file="none"), recipe, CANDIDATES)


def test_candidates_do_not_see_the_test_rows_of_a_data_set(config, tmp_path):
    rows = {"train": Dataset.from_list(ner_rows(20)), "test": Dataset.from_list(ner_rows(5))}
    DatasetDict(rows).save_to_disk(str(tmp_path / "data"))
    config = replace(config, train_file=None, test_file=None, dataset=str(tmp_path / "data"))
    tests = []

    plain = Recipe()

    def recipe(one):
        tests.append(load_run_splits(one.to_dict()).test)
        return plain(one)

    ft.with_cross_validation(config, recipe, CANDIDATES[:2])
    assert tests == [None] * 6
    assert len(load_run_splits(config.to_dict()).test) == 5


def test_a_folder_that_holds_a_run_is_refused_before_anything_is_trained(config, tmp_path):
    unlabelled = write_jsonl(tmp_path / "pool.jsonl", [{"text": "anna lives here"}])
    folder = Recipe()(replace(config, seed=1))
    recipe = Recipe()
    for call in (
        lambda: ft.with_cross_validation(config, recipe, CANDIDATES),
        lambda: ft.with_pseudo_labels(replace(config, unlabelled_file=unlabelled), recipe),
    ):
        with pytest.raises(UserError, match=f"--output-dir {folder} already holds a run"):
            call()
    assert not recipe.configs
