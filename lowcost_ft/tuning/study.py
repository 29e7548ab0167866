"""The trials of a tuning run, kept in one SQLite file by Optuna: whole at any moment."""

import json
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lowcost_ft.errors import UserError
from lowcost_ft.tuning.schedule import Entry
from lowcost_ft.tuning.space import Space, distributions

__all__ = ["STUDY_FILE", "Study", "check_optuna"]

STUDY_FILE = "tune.db"
_NAME = "tune"


def check_optuna() -> None:
    """Refuses to begin without the extra `tune`.

    Raises:
        UserError: Names what is missing, and the command that installs it.
    """
    from importlib.util import find_spec

    needed = ("optuna", "jinja2", "matplotlib")
    if missing := [name for name in needed if find_spec(name) is None]:
        raise UserError(f"tune needs {', '.join(missing)}: run `pip install 'lowcost_ft[tune]'`")


class Study:
    """The trials, what was asked for, and the time that it took.

    Args:
        folder: Where the file is, or will be.
        asked: What decides the result of the search, as JSON has it.

    Raises:
        UserError: The file is of a search for something else.
    """

    def __init__(self, folder: Path, asked: Mapping[str, Any]) -> None:
        import optuna

        optuna.logging.set_verbosity(optuna.logging.WARNING)
        self._optuna = optuna
        self.new = not (folder / STUDY_FILE).exists()
        storage = optuna.storages.RDBStorage(f"sqlite:///{folder / STUDY_FILE}")
        self._study = optuna.create_study(
            storage=storage, study_name=_NAME, direction="maximize", load_if_exists=True
        )
        before = self._study.user_attrs.get("asked")
        now = json.loads(json.dumps(asked))
        if before is None:
            self._study.set_user_attr("asked", now)
        elif problems := [
            f"{name} was {json.dumps(before.get(name))} and is now {json.dumps(now.get(name))}"
            for name in sorted({*before, *now})
            if before.get(name) != now.get(name)
        ]:
            problems[-1] += f". A search goes on as it began: name another folder than {folder}"
            raise UserError(problems)

    def kept(self, name: str) -> Any:
        """A fact of the whole search that was kept, or None."""
        return self._study.user_attrs.get(name)

    def note(self, name: str, value: Any) -> Any:
        """Keeps a fact of the whole search the first time, and returns what is kept."""
        kept = self._study.user_attrs
        if name not in kept:
            self._study.set_user_attr(name, value)
            return value
        return kept[name]

    @property
    def seconds(self) -> float:
        """Time that trials have taken, over all times that the search was started."""
        return float(self._study.user_attrs.get("seconds", 0.0))

    def add_seconds(self, seconds: float) -> None:
        """Adds time that trials have taken."""
        self._study.set_user_attr("seconds", self.seconds + seconds)

    def entries(self) -> list[Entry]:
        """The trials as halving sees them."""
        states = self._optuna.trial.TrialState
        names: dict[Any, Any] = {
            states.RUNNING: "open",
            states.PRUNED: "pruned",
            states.COMPLETE: "complete",
        }
        return [
            Entry(
                number=trial.number,
                scores=dict(trial.intermediate_values),
                state="refused"
                if trial.user_attrs.get("refused")
                else names.get(trial.state, "failed"),
            )
            for trial in self._study.get_trials(deepcopy=False)
        ]

    def trials(self) -> list[dict[str, Any]]:
        """All that is known of each trial, as JSON has it."""
        return [
            {
                "number": entry.number,
                "state": entry.state,
                "params": dict(trial.params),
                "scores": {str(epoch): score for epoch, score in entry.scores.items()},
                **trial.user_attrs,
            }
            for entry, trial in zip(
                self.entries(), self._study.get_trials(deepcopy=False), strict=True
            )
        ]

    def params(self, number: int) -> dict[str, Any]:
        """The values that a trial tries."""
        return dict(self._study.get_trials(deepcopy=False)[number].params)

    def ask(self, space: Space, *, seed: int, first: Mapping[str, Any]) -> int:
        """Adds a trial, whole or not at all, and returns its number.

        The first one tries the recipe's own values. The others are drawn by the tree-structured
        Parzen estimator (Bergstra et al. 2011) from what is known of trials that have ended, each
        with a seed of its own, so that a search that was killed draws the same.

        Args:
            space: What is tried.
            seed: Seed of the search.
            first: The recipe's own values.
        """
        known = self._study.get_trials(deepcopy=False)
        number, ranges = len(known), distributions(space)
        params = dict(first)
        if number:
            params = self._drawn(known, ranges, seed=1000 * seed + number)
        # Added as a whole: asking Optuna would write one value after the other.
        self._study.add_trial(
            self._optuna.trial.create_trial(
                state=self._optuna.trial.TrialState.RUNNING,
                params=params,
                distributions={name: ranges[name] for name in params},
            )
        )
        return number

    def _drawn(self, known: list[Any], ranges: dict[str, Any], *, seed: int) -> dict[str, Any]:
        """Values for a trial, drawn beside the file."""
        sampler = self._optuna.samplers.TPESampler(seed=seed, n_startup_trials=8)
        beside = self._optuna.create_study(direction="maximize", sampler=sampler)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            beside.add_trials([trial for trial in known if trial.state.is_finished()])
            tried = {json.dumps(trial.params, sort_keys=True) for trial in known}
            for _ in range(20):  # What was tried already would tell nothing new.
                params = dict(beside.ask(ranges).params)
                if json.dumps(params, sort_keys=True) not in tried:
                    break
        return params

    def report(self, number: int, scores: Mapping[int, float], **facts: Any) -> None:
        """Keeps what a trial has reached, and facts about it."""
        trial = self._trial(number)
        for name, value in facts.items():
            trial.set_user_attr(name, value)
        there = self._study.get_trials(deepcopy=False)[number].intermediate_values
        for epoch, score in sorted(scores.items()):
            if epoch not in there:
                trial.report(score, epoch)

    def end(self, number: int, state: str, **facts: Any) -> None:
        """Ends a trial: "pruned", "complete", "failed" or "refused"."""
        trial = self._trial(number)
        for name, value in facts.items():
            trial.set_user_attr(name, value)
        states = self._optuna.trial.TrialState
        found = self._study.get_trials(deepcopy=False)[number].intermediate_values
        if state == "complete":
            self._study.tell(number, found[max(found)])
        else:
            self._study.tell(number, state=states.PRUNED if state == "pruned" else states.FAIL)

    def _trial(self, number: int) -> Any:
        trial = self._study.get_trials(deepcopy=False)[number]
        return self._optuna.trial.Trial(self._study, trial._trial_id)

    def importances(self) -> dict[str, float]:
        """Share of the spread of scores at the first pause that each setting explains.

        By fANOVA (Hutter et al. 2014); empty where too few trials differ. A trial without a value
        for a setting is left out: the first one where the recipe's own lies outside of the space.
        """
        every = [
            trial for trial in self._study.get_trials(deepcopy=False) if trial.intermediate_values
        ]
        names = {name for trial in every for name in trial.params}
        known = [trial for trial in every if names == set(trial.params)]
        if len(known) < 4 or not names:
            return {}
        first = self._optuna.create_study(direction="maximize")
        for trial in known:
            values = trial.intermediate_values
            first.add_trial(
                self._optuna.trial.create_trial(
                    value=values[min(values)],
                    params={name: trial.params[name] for name in sorted(names)},
                    distributions={name: trial.distributions[name] for name in sorted(names)},
                )
            )
        evaluator = self._optuna.importance.FanovaImportanceEvaluator(seed=0)
        try:
            found = self._optuna.importance.get_param_importances(first, evaluator=evaluator)
        except (ValueError, RuntimeError):  # All scores are the same.
            return {}
        return {name: round(float(share), 4) for name, share in found.items()}
