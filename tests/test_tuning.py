"""`lowcost-ft tune`: halving, kills, exact pauses, memory, and what it says in the end."""

import json
import os
import shlex
import signal
import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
from optuna.trial import create_trial
from small_runs import RECIPES, call_recipe, flags, forget_precision

from lowcost_ft.commands.main import main
from lowcost_ft.commands.tune import parse_tune
from lowcost_ft.config.run import RunConfig, parse_config
from lowcost_ft.errors import UserError
from lowcost_ft.tasks import task_class
from lowcost_ft.tuning import confirm as confirming
from lowcost_ft.tuning import search as searching
from lowcost_ft.tuning.answer import answer_lines
from lowcost_ft.tuning.apart import DiedError, apart
from lowcost_ft.tuning.confirm import _interval
from lowcost_ft.tuning.memory import spare_memory
from lowcost_ft.tuning.optimism import optimism_of_choice
from lowcost_ft.tuning.plots import _ABSENT, _heights
from lowcost_ft.tuning.schedule import Entry, bracket_size, next_step, rungs_of
from lowcost_ft.tuning.space import (
    command_of,
    default_params,
    default_space,
    distributions,
    flags_of,
    read_space,
    settled,
)
from lowcost_ft.tuning.trials import Outcome, data_of, run_trial, settle_search

RECIPE = str(RECIPES / "lora_classification.py")
SPACE = {
    "learning_rate": {"low": 1e-4, "high": 1e-2, "log": True},
    "lora_r": [4, 8, 32],
    "batch_size": [8, 16],
}


@pytest.fixture(scope="module")
def config(tiny_model, small_files):
    return RunConfig(
        task="classification",
        model_id=tiny_model("bert"),
        num_train_epochs=4,
        batch_size=16,
        max_length=48,
        learning_rate=1e-3,
        train_file=small_files["single"]["train_file"],
        validation_file=small_files["single"]["validation_file"],
    )


# --- The schedule


def test_a_trial_pauses_after_a_ninth_and_a_third_of_its_epochs():
    assert rungs_of(9, 1) == (1, 3, 9)
    assert rungs_of(6, 1) == (1, 2, 6)
    assert rungs_of(8, 3) == (3, 8)
    assert rungs_of(1, 1) == (1,)
    assert [bracket_size(rungs) for rungs in ((1, 3, 9), (3, 8), (1,))] == [9, 3, 1]


def halve(score, trials, rungs=(1, 3, 9)):
    """Plays a search whose trials score by a rule; returns the entries and the epochs trained."""
    entries, trained = [], 0
    while (step := next_step(entries, rungs, trials)).kind != "done":
        if step.kind == "ask":
            entries.append(Entry(number=len(entries)))
            continue
        entry = entries[step.number]
        if step.kind == "train":
            trained += step.epoch - max(entry.scores, default=0)
            entry = replace(entry, scores=entry.scores | {step.epoch: score(step.number)})
        else:
            entry = replace(entry, state={"prune": "pruned", "complete": "complete"}[step.kind])
        entries[step.number] = entry
    return entries, trained


def test_a_third_of_a_bracket_goes_on_and_one_trains_to_the_end():
    entries, trained = halve(lambda number: number % 9, 20)
    assert len(entries) == 20
    complete = [entry.number for entry in entries if entry.state == "complete"]
    # The best of each bracket, the last of which is a small one, and the recipe's own settings.
    assert complete == [0, 8, 17, 19]
    assert [max(e.scores) for e in entries[9:18]].count(1) == 6
    assert [max(e.scores) for e in entries[9:18]].count(3) == 2
    assert trained == 20 + 2 * (3 * 2 + 6) + (2 + 6) + 8


@pytest.mark.parametrize("best", [range(9), range(8, -1, -1)])
def test_the_recipes_own_settings_train_to_the_end_however_they_begin(best):
    entries, trained = halve(lambda number: best[number], 9)
    places = {entry.number: max(entry.scores) for entry in entries}
    assert places[0] == 9
    others = sorted((epoch for number, epoch in places.items() if number), reverse=True)
    first_is_best = best[0] == 8
    assert others == ([3, 3, 1, 1, 1, 1, 1, 1] if first_is_best else [9, 3, 3, 1, 1, 1, 1, 1])
    assert trained == sum(places.values())


def test_refused_trials_do_not_count_and_failed_ones_are_never_promoted():
    entries = [Entry(number=0, state="refused"), *(Entry(number=n + 1) for n in range(3))]
    assert next_step(entries, (1, 3), 3).number == 1
    scored = [replace(e, scores={1: 0.1 * e.number}) for e in entries[1:]]
    scored[2] = Entry(number=3, state="failed")
    step = next_step([entries[0], *scored], (1, 3), 3)
    assert (step.kind, step.number) == ("prune", 1)


# --- The search, with made-up trials


def score_of(config):
    """A score that is highest at a rate of 1e-3 and grows with the rank."""
    return 1 - 0.2 * abs(np.log10(config.learning_rate) + 3) + 0.001 * config.lora_r


@pytest.fixture
def made_up(monkeypatch):
    """Trials that take no time; what was trained, and a switch that kills the search."""
    calls, kill = [], {"after": None}

    def trial(config, *, epoch, folder, deadline=None):
        if kill["after"] is not None and len(calls) >= kill["after"]:
            raise KeyboardInterrupt
        calls.append((folder.name, epoch))
        if config.lora_r == 8:
            return Outcome(scores={}, refused="--memory-budget 1MB: one step needs more")
        scores = {done: score_of(config) + 0.001 * done for done in range(1, epoch + 1)}
        return Outcome(scores=scores, ended=epoch == 9, seconds=2.0, needed_bytes=5)

    facts = {"num_train_epochs": 9, "validate_every_epochs": 1, "learning_rate": 1e-3}
    facts |= {"metric": "accuracy", "needed_bytes": 5, "rows": {}}
    monkeypatch.setattr(searching, "apart", lambda work: work())
    monkeypatch.setattr(searching, "run_trial", trial)
    monkeypatch.setattr(searching, "settle_search", lambda *_: facts)
    return calls, kill


def searched(folder, config, *, resume=True, **changes):
    options = {"trials": 12, "space": SPACE, "say": lambda text: None} | changes
    with searching.claimed(folder, resume=resume):
        return searching.search(config, folder=folder, **options)


def told(found):
    """What must not depend on kills."""
    return [
        {name: trial[name] for name in ("number", "state", "params", "scores")}
        for trial in found.trials
    ]


def test_a_search_that_is_killed_anywhere_finds_what_one_finds_that_is_not(
    tmp_path, config, made_up
):
    calls, kill = made_up
    whole = searched(tmp_path / "whole", config)
    assert len([t for t in whole.trials if t["state"] != "refused"]) == 12
    assert any(trial["state"] == "refused" for trial in whole.trials)
    assert whole.trials[0]["params"] == {"learning_rate": 1e-3, "lora_r": 32, "batch_size": 16}
    assert whole.best is not None
    total = len(calls)
    calls.clear()
    stopped = 0
    for after in range(0, total, 3):
        kill["after"] = after
        with pytest.raises(KeyboardInterrupt):
            searched(tmp_path / "killed", config)
        stopped += 1
    kill["after"] = None
    again = searched(tmp_path / "killed", config)
    assert stopped > 3
    assert told(again) == told(whole)
    assert again.best == whole.best
    # Nothing that was reported was trained again.
    assert len(calls) == len(set(calls)) == total


def test_a_search_does_not_go_on_with_other_data(tmp_path, config, made_up, monkeypatch):
    facts = searching.settle_search() | {"data": "a"}
    monkeypatch.setattr(searching, "settle_search", lambda *_: facts)
    monkeypatch.setattr(searching, "data_of", lambda *_: "a")
    found = searched(tmp_path / "search", config)
    assert told(searched(tmp_path / "search", config)) == told(found)
    with pytest.raises(UserError, match='label_column was null and is now "topic"'):
        searched(tmp_path / "search", replace(config, label_column="topic"))
    monkeypatch.setattr(searching, "data_of", lambda *_: "b")
    with pytest.raises(UserError, match="the files have changed since the search began"):
        searched(tmp_path / "search", config)


def test_the_fingerprint_of_a_search_is_that_of_its_runs(tmp_path, config):
    forget_precision()
    look = tmp_path / "look"
    look.mkdir()
    facts = settle_search(config, look, tmp_path / "log.txt")
    assert facts["data"] == data_of(config, look, tmp_path / "log.txt")
    assert not list(look.iterdir())


def test_the_estimator_learns_from_brackets_that_have_ended(tmp_path, config, made_up):
    found = searched(tmp_path / "long", config, trials=27)
    early = [abs(np.log10(t["params"]["learning_rate"]) + 3) for t in found.trials[1:9]]
    late = [abs(np.log10(t["params"]["learning_rate"]) + 3) for t in found.trials[-9:]]
    assert np.mean(late) < np.mean(early)
    assert set(found.importances) == set(SPACE)
    assert max(found.importances, key=found.importances.get) == "learning_rate"


def test_all_settings_have_an_importance_where_the_recipes_own_lie_outside(
    tmp_path, config, made_up
):
    space = {**SPACE, "learning_rate": {"low": 2e-3, "high": 1e-2, "log": True}}
    found = searched(tmp_path / "outside", config, space=space)
    assert "learning_rate" not in found.trials[0]["params"]
    assert set(found.importances) == set(space)


def test_a_value_outside_of_the_space_has_no_place_in_the_plot():
    assert _heights([None, 2, 4], [None, 4, _ABSENT]) == [0.0, 1.0, None]
    assert _heights({"low": 1, "high": 3}, [2, _ABSENT]) == [0.5, None]


def test_a_search_ends_when_its_time_is_over(tmp_path, config, made_up):
    found = searched(tmp_path / "short", config, trials=3, hours=1)
    assert not found.stopped and found.best is not None
    early = searched(tmp_path / "shorter", config, trials=3, hours=1e-9)
    assert "hours are over" in early.stopped
    assert (early.seconds, early.best) == (0.0, None)


def test_a_search_for_something_else_is_refused(tmp_path, config, made_up):
    searched(tmp_path / "one", config, trials=1)
    with pytest.raises(UserError, match=r"max_length was 48 and is now 64.*name another folder"):
        searched(tmp_path / "one", replace(config, max_length=64), trials=1)
    with pytest.raises(UserError, match="go on with --resume"):
        searched(tmp_path / "one", config, resume=False)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").write_text("mine")
    with pytest.raises(UserError, match="holds other files"):
        searched(tmp_path / "other", config)
    with (
        searching.claimed(tmp_path / "two", resume=False),
        pytest.raises(UserError, match="is in use"),
    ):
        searched(tmp_path / "two", config)


# --- What is tried


def test_the_default_space_is_around_the_recipe(config):
    space = default_space(config)
    names = {"learning_rate", "lora_r", "target_modules", "method", "dropout", "batch_size"}
    assert names <= set(space)
    assert space["target_modules"] == [None, "query,value"]
    assert space["learning_rate"]["low"] == pytest.approx(2.5e-4)
    assert "lora_r" not in default_space(replace(config, method="full"))


def test_trials_of_the_same_layers_share_the_cached_states(config):
    found = settled(config, {"trainable_layers": 1, "method": "ia3", "lora_r": 4})
    assert found.cache_frozen_layers
    assert found.lora_r == 32  # No use of ia3.
    whole = settled(replace(found, lora_r=32), {"trainable_layers": None})
    assert not whole.cache_frozen_layers
    expected = ["--method", "ia3", "--trainable-layers", "1", "--cache-frozen-layers"]
    assert sorted(flags_of(found, config)) == sorted(expected)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ('{"lora_r": [8]}', "two values or more"),
        ('{"lora_rank": [8, 16]}', "is no setting"),
        ('{"lora_rank": [8, 16], "dropout": [0, 2]}', "is no setting"),
        ('{"seed": [1, 2]}', "the same in all trials"),
        ('{"task": ["classification", "ner"]}', "the same in all trials"),
        ('{"lora_r": [8, -1]}', "too small"),
        ('{"method": ["lora", "magic"]}', "must be one of"),
        ('{"learning_rate": {"low": 0, "high": 1, "log": true}}', "above 0"),
        ('{"learning_rate": {"lo": 0}}', "write"),
        ('{"learning_rate": {"low": 1e-4, "high": 1, "log": "false"}}', "true or false"),
        ('{"lora_r": {"low": 4, "high": 6, "step": 10}}', "step 10 is longer than the way"),
        ('{"lora_r": [8, 16], "lora_r": [2, 4]}', "lora_r is there twice"),
        ('{"adversarial": ["fgm", null], "adversarial_steps": [2, 3]}', "needs --adversarial"),
        ("[]", "write an object"),
        ("{", "is not JSON"),
        ('{"a":' * 100_000, "is not JSON"),
    ],
)
def test_a_search_file_with_mistakes_is_refused(tmp_path, config, content, message):
    file = tmp_path / "space.json"
    file.write_text(content, "utf-8")
    with pytest.raises(UserError, match=message):
        read_space(str(file), config)


def test_settings_that_need_another_one_are_tried_beside_it(tmp_path, config):
    file = tmp_path / "space.json"
    space = {"adversarial": ["pgd", "freelb"], "adversarial_steps": [2, 3]}
    space |= {"consistency": [None, "r-drop"], "consistency_weight": {"low": 1, "high": 5}}
    file.write_text("\ufeff" + json.dumps(space), "utf-8")
    assert read_space(str(file), config) == space


def test_numbers_of_a_file_are_of_the_settings_kind(tmp_path, config):
    file = tmp_path / "space.json"
    space = {
        "weight_decay": {"low": 0, "high": 1, "step": 0.1},
        "lora_r": {"low": 4.0, "high": 32.0, "step": 8},
        "head_learning_rate": {"low": 0.001, "high": 1, "log": True},
    }
    file.write_text(json.dumps(space))
    found = distributions(read_space(str(file), config))
    kinds = {name: type(one).__name__ for name, one in found.items()}
    assert kinds == {
        "weight_decay": "FloatDistribution",
        "lora_r": "IntDistribution",
        "head_learning_rate": "FloatDistribution",
    }
    # Of the recipe's own values only those that lie on the steps: 0.01 and 16 do not.
    assert default_params(config, space, 1e-3) == {}
    on = {"weight_decay": {"low": 0, "high": 1, "step": 0.01}, "lora_r": {"low": 4, "high": 32}}
    own = default_params(config, on, 1e-3)
    assert own == {"weight_decay": config.weight_decay, "lora_r": config.lora_r}
    create_trial(params=own, distributions=distributions(on), value=0.0)  # Optuna takes them.
    file.write_text(json.dumps({"lora_r": {"low": 4, "high": 8.5}}))
    with pytest.raises(UserError, match="lora_r is a whole number"):
        read_space(str(file), config)


def test_final_runs_are_those_of_the_settings_that_are_best_now(tmp_path, monkeypatch):
    trained = []

    def trains(work):
        config, seed, place = work.args[1:]
        trained.append((config.lora_r, seed))
        place.mkdir(parents=True)
        record = {"status": "completed", "metric": "accuracy", "train": {"seconds": 1.0}}
        record["evaluation"] = {"test": {"accuracy": config.lora_r / 100}}
        (place / "run.json").write_text(json.dumps(record))

    monkeypatch.setattr(confirming, "apart", trains)
    read = lambda place, **_: json.loads((place / "run.json").read_text())  # noqa: E731
    monkeypatch.setattr(confirming, "load_run", read)
    for number, rank in ((3, 4), (3, 4), (7, 32)):
        settings = {"default": RunConfig(lora_r=8), "best": RunConfig(lora_r=rank)}
        found = confirming.confirm(
            *(None, settings),
            seeds=[1, 2],
            folder=tmp_path,
            say=str,
            names={"best": f"trial{number:03}"},
        )
        assert found["best"]["scores"] == [rank / 100] * 2
        assert found["default"]["scores"] == [0.08] * 2
    assert trained == [(8, 1), (8, 2), (4, 1), (4, 2), (32, 1), (32, 2)]


def test_flags_that_are_not_of_tune_go_to_the_recipe():
    command = parse_tune(
        [RECIPE, "--trials", "3", "--lora-r", "4", "--hours=0.5", "--json", "--no-group-by-length"],
        prog="lowcost-ft tune",
    )
    assert (command.trials, command.hours, command.json) == (3, 0.5, True)
    assert command.of_recipe == ("--lora-r", "4", "--no-group-by-length")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere.py"], "is not a file"),
        ([RECIPE, "--trials", "0"], "too small"),
        ([RECIPE, "--max-steps", "5"], "trials are cut by epochs"),
        ([RECIPE.replace("lora", "distill")], "trials share one teacher: train it first"),
        ([RECIPE, "--seeds", "0,1"], "--fresh-seeds"),
        ([RECIPE, "--lr", "5"], "--learning-rate"),
    ],
)
def test_flags_that_cannot_be_obeyed_are_refused(arguments, message, capsys):
    assert main(["tune", *arguments]) == 2
    assert message in " ".join(capsys.readouterr().err.split())


def test_an_unknown_flag_is_looked_up_in_the_help_of_the_recipe(capsys):
    with pytest.raises(SystemExit):
        main(["tune", RECIPE, "--foo", "5"])
    told = "".join(capsys.readouterr().err.replace("│", "").split())
    assert f"python{RECIPE}--help" in told


# --- Trials that train


def test_a_trial_paused_twice_is_the_run_that_was_not_paused(tmp_path, config):
    forget_precision()
    folder = tmp_path / "trial"
    first = run_trial(config, epoch=1, folder=folder)
    assert (sorted(first.scores), first.ended) == ([1], False)
    second = run_trial(config, epoch=2, folder=folder)
    assert (sorted(second.scores), second.ended) == ([1, 2], False)
    # Asked again, as after a kill, it trains nothing and says the same.
    assert run_trial(config, epoch=2, folder=folder).scores == second.scores
    given = flags(
        **{
            name: getattr(config, name)
            for name in ("model_id", "num_train_epochs", "max_length", "learning_rate")
        },
        train_file=config.train_file,
        validation_file=config.validation_file,
    )
    alone = tmp_path / "alone"
    assert call_recipe("lora_classification", *given, *flags(output_dir=alone)) == 0
    assert call_recipe("lora_classification", *given, "--resume", *flags(output_dir=folder)) == 0
    for name in ("adapter_model.safetensors", "predictions.jsonl"):
        if (alone / name).exists():
            assert (folder / name).read_bytes() == (alone / name).read_bytes()
    runs = [json.loads((place / "run.json").read_text("utf-8")) for place in (alone, folder)]
    losses = [[entry["loss"] for entry in run["train"]["loss_history"]] for run in runs]
    assert losses[0] == losses[1]
    assert runs[1]["train"]["resumed_at_steps"]


def test_a_trial_that_does_not_fit_is_refused_before_it_starts(tmp_path, config):
    forget_precision()
    found = run_trial(replace(config, memory_budget="2KB"), epoch=1, folder=tmp_path / "trial")
    assert found.refused.startswith("--memory-budget")
    assert not found.scores
    assert spare_memory() > 0


def test_tally_sums_give_the_score(tmp_path, config):
    forget_precision()
    found = run_trial(config, epoch=2, folder=tmp_path / "trial")
    tally = np.load(tmp_path / "trial" / "validation.npy")
    score = task_class("classification").score_of_tally(tally.sum(axis=0))
    assert score == pytest.approx(found.scores[2])


def test_choosing_among_trials_that_are_all_alike_is_optimistic(tmp_path):
    draw = np.random.default_rng(0)
    folders = [tmp_path / str(number) for number in range(20)]
    for folder in folders:
        folder.mkdir()
        right = draw.random(200) < 0.7
        np.save(folder / "validation.npy", np.stack([right, np.ones(200), np.ones(200)], axis=1))
    score = task_class("classification").score_of_tally
    found = optimism_of_choice(folders, score)
    assert found["trials"] == 20
    assert 0.02 < found["optimism"] < 0.15
    assert optimism_of_choice(folders[:1], score) is None


def test_the_interval_over_seeds_is_students():
    found = _interval([0.01, 0.02, 0.03])
    assert found["mean"] == pytest.approx(0.02)
    assert found["ci95"] == pytest.approx([0.02 - 0.02484, 0.02 + 0.02484], abs=1e-4)
    assert _interval([0.5])["ci95"] is None
    many = [0.01, -0.01] * 6  # Of 11 degrees of freedom: 2.2010, not 2.
    assert _interval(many)["ci95"][1] == pytest.approx(2.2010 * 0.010445 / 12**0.5, rel=1e-3)


def tuned(*arguments):
    """The command as a program of its own, which has trained nothing before it begins."""
    return subprocess.run(
        [sys.executable, "-m", "lowcost_ft", "tune", *arguments], capture_output=True, text=True
    )


def test_a_whole_search_ends_with_a_command_that_works(tmp_path, config, small_files):
    space = tmp_path / "space.json"
    space.write_text(json.dumps({"learning_rate": [1e-3, 3e-3], "trainable_layers": [None, 1]}))
    given = flags(
        model_id=config.model_id, num_train_epochs=3, max_length=48, **small_files["single"]
    )
    folder = tmp_path / "tune"
    own = flags(trials=3, search=space, output_dir=folder, fresh_seeds=2, json=True)
    done = tuned(RECIPE, *given, *own)
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer == json.loads((folder / "tune.json").read_text("utf-8"))
    assert len(answer["trials"]) == 3
    assert answer["rungs"] == [1, 3]
    page = (folder / "tune.html").read_text("utf-8")
    assert "data:image/svg+xml" in page
    for file in (folder / "trials").glob("*/run.json"):
        run = json.loads(file.read_text("utf-8"))
        assert "test" not in run["data"]["rows"]
        assert run["config"]["test_file"] is None
    final = answer["final"]
    assert final["split"] == "test"
    assert len(final["default"]["scores"]) == 2
    if not answer["best"]["is_default"]:
        assert final["difference"]["mean"] == pytest.approx(
            final["best"]["mean"] - final["default"]["mean"]
        )
    words = shlex.split(answer["best"]["command"])
    assert words[:3] == ["accelerate", "launch", RECIPE]
    parse_config(RunConfig(task="classification"), words[3:])
    # Once more: nothing is trained again.
    before = {path: path.stat().st_mtime_ns for path in folder.glob("final/*/run.json")}
    assert len(before) >= 2
    again = tuned(RECIPE, *given, *own[:-1], "--resume")
    assert "use it:" in again.stdout, again.stderr
    assert {path: path.stat().st_mtime_ns for path in before} == before


def test_the_command_of_the_best_gives_each_flag_once():
    given = ["--learning-rate", "1e-3", "--lora_r=8", "--dropout", "0", "--cache-frozen-layers"]
    found = ["--learning-rate", "0.002", "--lora-r", "4", "--no-cache-frozen-layers"]
    words = shlex.split(command_of("recipe.py", given, found))
    assert words[3:] == ["--dropout", "0", *found]


@pytest.mark.parametrize(
    ("optimism", "told"),
    [(0.02, "scored 0.0200 lower on the other half, so"), (-0.001, "scored no lower on the other")],
)
def test_optimism_is_told_as_it_is(optimism, told):
    best = {"number": 0, "score": 0.9, "epochs": 3, "is_default": True, "command": "x"}
    answer = {"metric": "accuracy", "trials": [], "best": best, "stopped": "", "final": None}
    answer |= {"optimism": {"trials": 3, "optimism": optimism}}
    answer |= {"price": {"search_seconds": 60, "final_seconds": 0}}
    assert told in " ".join(answer_lines(answer))


def test_work_apart_returns_refuses_dies_and_is_interrupted_by_itself():
    assert apart(lambda: {"a": [1]}) == {"a": [1]}

    def refuse():
        raise UserError(["one", "two"])

    with pytest.raises(UserError, match="two"):
        apart(refuse)
    with pytest.raises(DiedError, match="SIGKILL"):
        apart(lambda: os.kill(os.getpid(), signal.SIGKILL))

    def stop():
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        apart(stop)
    with pytest.raises(RuntimeError, match="ZeroDivisionError"):
        apart(lambda: 1 / 0)
