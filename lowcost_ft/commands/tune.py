"""`lowcost-ft tune`: which settings train best, found by halving and confirmed with fresh seeds."""

import importlib.util
import os
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

import tyro

from lowcost_ft.config.checks import range_problems
from lowcost_ft.config.extensions import TRAINED_FIRST
from lowcost_ft.config.flags import parse_flags
from lowcost_ft.config.run import RunConfig, parse_config
from lowcost_ft.config.setting import setting
from lowcost_ft.errors import UserError
from lowcost_ft.screen import print_json, say, wrapped

__all__ = ["Tune", "parse_tune", "tune"]


@dataclass(frozen=True, kw_only=True)
class _Own:
    """Try settings of a recipe, and compare the best with the recipe's own on fresh seeds.

    Other flags go to the recipe (`python RECIPE --help` shows them): data, model, and what all
    trials have in common. Test data is scored once, at the end."""

    recipe: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="RECIPE")]
    """File of a recipe, such as recipes/lora_ner.py."""
    trials: int = setting(20, at_least=1)
    """Number of settings to try. Those that do not fit into memory are not started and do not
    count."""
    hours: float | None = setting(None, above=0)
    """Hours that the trials may take together; the final runs come after. Default: no limit."""
    search: str | None = None
    """JSON file of what to try, such as {"lora_r": [8, 16], "learning_rate": {"low": 1e-4,
    "high": 1e-2, "log": true}}. Default: learning rate, rank, targets, layers, method, dropout and
    batch size, around the recipe's own."""
    fresh_seeds: int = setting(3, at_least=0)
    """Seeds for the final runs of the best and of the recipe's own settings. 0: no final runs."""
    output_dir: str | None = None
    """Folder of the search. Default: runs/tune-TASK-METHOD."""
    resume: bool = False
    """Continue the search in --output-dir that was stopped or killed."""
    json: bool = False
    """Print what was found as JSON."""
    debug: bool = False
    """Show a traceback with each error."""


@dataclass(frozen=True, kw_only=True)
class Tune(_Own):
    """Try settings of a recipe, and compare the best with the recipe's own on fresh seeds."""

    of_recipe: Annotated[tuple[str, ...], tyro.conf.Suppress] = ()
    """The flags that go to the recipe."""


def parse_tune(arguments: Sequence[str], *, prog: str) -> Tune:
    """Reads a command line; what is no flag of `tune` is kept for the recipe.

    Raises:
        SystemExit: For `--help` and for wrong flags.
    """
    known = {f"--{one.name.replace('_', '-')}": one for one in fields(_Own)}
    own: list[str] = []
    rest: list[str] = []
    words = list(arguments)
    # The recipe stands first, or it could be taken for the value of a flag.
    if words and not words[0].startswith("-"):
        own.append(words.pop(0))
    while words:
        word = words.pop(0)
        name, _, value = word.partition("=")
        plain = "--" + name.removeprefix("--").removeprefix("no-").replace("_", "-")
        if word in ("-h", "--help"):
            own.append(word)
        elif name.startswith("--") and plain in known:
            own.append(word)
            if known[plain].type is not bool and not value and words:
                own.append(words.pop(0))
        else:
            rest.append(word)
    parsed = parse_flags(_Own, own, prog=prog)
    return Tune(**vars(parsed), of_recipe=tuple(rest))


def tune(command: Tune) -> None:
    """Searches, confirms, and prints what was found.

    Raises:
        UserError: A flag, the recipe, its settings or the folder cannot be used.
    """
    from lowcost_ft.tuning.study import check_optuna

    if int(os.environ.get("WORLD_SIZE", "1")) > 1:
        raise UserError("tune runs in one process: start it without a launcher")
    if problems := range_problems(command):  # type: ignore[arg-type]
        raise UserError(problems)
    check_optuna()
    config, main = _recipe(command)
    try:
        answer = _answer(command, config, main)
    except (KeyboardInterrupt, SystemExit):
        print("Run the same command with --resume to go on with the search.", file=sys.stderr)
        raise
    if command.json:
        print_json(answer, indent=2)
        return
    from lowcost_ft.tuning.answer import answer_lines

    print(wrapped("\n".join(answer_lines(answer)), sys.stdout))


def _recipe(command: Tune) -> tuple[RunConfig, Callable[[RunConfig], Any]]:
    """The settings of a recipe with the user's flags, and the recipe."""
    path = Path(command.recipe)
    if not path.is_file():
        raise UserError(f"{path} is not a file: give a recipe, such as recipes/lora_ner.py")
    described = importlib.util.spec_from_file_location(path.stem, path)
    if described is None or described.loader is None:
        raise UserError(f"{path} is not Python: give a recipe, such as recipes/lora_ner.py")
    module = importlib.util.module_from_spec(described)
    sys.path.insert(0, str(path.resolve().parent))  # A variant imports the recipe it varies.
    try:
        described.loader.exec_module(module)
    finally:
        sys.path.pop(0)
    default, main = getattr(module, "CONFIG", None), getattr(module, "main", None)
    if not isinstance(default, RunConfig) or not callable(main):
        raise UserError(f"{path} has no CONFIG and main, as recipes have")
    config = parse_config(
        default, command.of_recipe, description=f"Settings of {path}.", prog=f"python {path}"
    )
    problems = [
        f"--{name.replace('_', '-')}: {why}"
        for name, why in (
            ("max_steps", "trials are cut by epochs: give --num-train-epochs"),
            ("seeds", "give --fresh-seeds for the final runs"),
            ("overwrite", "a search replaces nothing: name another --output-dir"),
            ("allow_model_change", "a trial is what it says: leave it out"),
        )
        if getattr(config, name)
    ]
    if config.teacher == TRAINED_FIRST:
        problems.append("--teacher: trials share one teacher: train it first, and give its folder")
    if problems:
        raise UserError(problems)
    return config, main


def _answer(command: Tune, config: RunConfig, main: Callable[[RunConfig], Any]) -> dict[str, Any]:
    from lowcost_ft.tasks import task_class
    from lowcost_ft.tuning.answer import write_answer
    from lowcost_ft.tuning.confirm import confirm
    from lowcost_ft.tuning.optimism import optimism_of_choice
    from lowcost_ft.tuning.search import claimed, search
    from lowcost_ft.tuning.space import command_of, default_space, flags_of, read_space

    folder = Path(command.output_dir or f"runs/tune-{config.task}-{config.method}")
    space = read_space(command.search, config) if command.search else default_space(config)
    with claimed(folder, resume=command.resume):
        found = search(
            config, folder=folder, trials=command.trials, hours=command.hours, space=space, say=say
        )
        best, final, optimism = None, None, None
        if found.best is not None:
            chosen, trial = found.config(found.best), found.trials[found.best]
            last = max(map(int, trial["scores"]))
            best = {
                "number": found.best,
                "params": trial["params"],
                "score": trial["scores"][str(last)],
                "epochs": last,
                "is_default": found.best == 0,
                "flags": flags_of(chosen, config),
                "command": command_of(command.recipe, command.of_recipe, flags_of(chosen, config)),
            }
            places = [found.trial_folder(one["number"]) for one in found.trials]
            score = task_class(config.task).score_of_tally
            optimism = optimism_of_choice(places, score, seed=config.seed)
            settings = {"default": found.base}
            if found.best != 0:
                settings["best"] = chosen
            seeds = [config.seed + 1 + place for place in range(command.fresh_seeds)]
            if seeds:
                final = confirm(
                    main,
                    settings,
                    seeds=seeds,
                    folder=folder / "final",
                    say=say,
                    names={"best": f"trial{found.best:03}"},
                )
        parts = [final[name] for name in ("default", "best") if final and name in final]
        answer = {
            "recipe": command.recipe,
            "metric": found.facts["metric"],
            "space": dict(space),
            "rungs": list(found.rungs),
            "best": best,
            "optimism": optimism,
            "final": final,
            "importances": found.importances,
            "price": {
                "search_seconds": found.seconds,
                "final_seconds": sum(part["seconds"] for part in parts),
            },
            "stopped": found.stopped,
            "trials": found.trials,
            "folder": str(folder),
        }
        write_answer(answer, folder)
    say(f"wrote {folder / 'tune.json'} and {folder / 'tune.html'}")
    return answer
