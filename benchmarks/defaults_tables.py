"""Tables of `defaults.json`: what each arm scored on the panel, and the choice that follows."""

import json
import statistics
from collections import defaultdict
from pathlib import Path
from typing import Any

from lowcost_ft.config.run import RunConfig
from lowcost_ft.training.training_length import num_epochs

__all__ = ["arm_title", "choices", "cuts_table", "defaults_tables", "epochs_table"]
__all__ += ["few_steps_table", "validation_scores"]

FILE = Path(__file__).resolve().parent / "defaults.json"
RATES = FILE.with_name("learning_rates.json")
_MANY_SETS = 6
"""An arm that ran on so many sets has a column; another has rows of its own."""
_TITLES = {
    "b_ratio": "LoRA+ with ratio {}",
    "cache_frozen_layers": "cached",
    "ema": "average {}",
    "frozen_pooler": "pooler frozen",
    "head_learning_rate": "head's rate {}",
    "head_start": "head {}",
    "learning_rate": "rate {}",
    "lora_r": "rank {}",
    "lora_start": "start from the {}",
    "output_rate": "output layer's rate {}",
    "pooling": "{} of the tokens",
    "trainable_layers": "top {} layers",
    "warmup_ratio": "warm-up {}",
    "zero_bias": "head from zero",
}
Scores = dict[str, dict[str, float]]


def validation_scores(runs: list[dict[str, Any]], method: str) -> Scores:
    """Mean validation score over the seeds: arm -> set -> score. A run that failed scored 0."""
    found: dict[str, dict[str, list[float]]] = defaultdict(lambda: defaultdict(list))
    for run in runs:
        if run["arm"].split(":")[0] == method:
            history = run.get("validation") or [{run.get("metric", ""): 0.0}]
            best = max(epoch.get(run.get("metric", ""), 0.0) for epoch in history)
            found[run["arm"]][run["set"]].append(best)
    return {
        arm: {name: statistics.mean(scores) for name, scores in sets.items()}
        for arm, sets in found.items()
    }


def choices(scores: Scores) -> list[dict[str, Any]]:
    """Leave one out: for each set the arm that is best on the others, and what it loses there.

    Only arms that ran on all sets of the arm that ran on most are considered.
    """
    most = max(scores.values(), key=len, default={})
    whole = {arm: sets for arm, sets in scores.items() if set(sets) == set(most)}
    found = []
    for left_out in most:
        others = [name for name in most if name != left_out]
        if not others or len(whole) < 2:
            return []
        arm = max(whole, key=lambda arm: statistics.mean(whole[arm][name] for name in others))
        best = max(whole.values(), key=lambda sets: sets[left_out])[left_out]
        regret = best - whole[arm][left_out]
        found.append({"set": left_out, "arm": arm, "regret": regret})
    return found


def defaults_tables() -> str:
    """Everything that `docs/defaults.md` shows of the results."""
    found = json.loads(FILE.read_text("utf-8"))
    # Not all arms ran with other seeds, and a mean over more would not compare with theirs.
    first = [run for run in found["runs"] if run["seed"] == 0 and run["scale"] == 1]
    parts = []
    for method, title in (("lora", "LoRA"), ("full", "full fine-tuning")):
        scores = validation_scores(first, method)
        if scores:
            default = f"{method}:least_steps=600"
            widely = {
                arm: sets
                for arm, sets in scores.items()
                if arm == default or len(sets) >= _MANY_SETS
            }
            parts += [f"**{title}, validation scores of seed 0**", _panel(first, widely)]
            if tried := _tried(scores, widely, default):
                parts += [f"**{title}, tried on some sets, validation scores of seed 0**", tried]
        if chosen := choices(scores):
            regrets = [choice["regret"] for choice in chosen]
            named = "; ".join(sorted({arm_title(choice["arm"]) for choice in chosen}))
            parts.append(
                f"Chosen on the other sets, for each set in turn: {named}. What the choice loses "
                f"against the best arm of the set that was left out: mean "
                f"{statistics.mean(regrets):.3f}, worst {max(regrets):.3f}."
            )
    parts += _pairs(found["pairs"])
    return "\n\n".join(parts)


def epochs_table() -> str:
    """What `--num-train-epochs auto` comes to."""
    settings = RunConfig()
    lines = [
        f"| training rows | steps an epoch ({settings.batch_size} rows a step) | epochs "
        "| optimizer steps |",
        "|---|---|---|---|",
    ]
    for rows in (20, 200, 500, 1000, 1600, 10_000):
        steps, epochs = -(-rows // settings.batch_size), num_epochs(settings, rows)
        lines.append(f"| {rows:,} | {steps:,} | {epochs} | {epochs * steps:,} |")
    return "\n".join(lines)


def few_steps_table() -> str:
    """Rates of LoRA and full fine-tuning in a very short training."""
    lines = ["| method | rate | validation F1 |", "|---|---|---|"]
    for run in json.loads(RATES.read_text("utf-8")):
        if run["method"] in ("full", "lora"):
            lines.append(f"| `{run['method']}` | {run['rate']:g} | {run['f1']:.3f} |")
    return "\n".join(lines)


def cuts_table() -> str:
    """Smaller cuts of the panel's sets: LoRA's best validation score and its last loss."""
    found: dict[tuple[str, int], dict[str, str]] = defaultdict(dict)
    for run in json.loads(FILE.read_text("utf-8"))["runs"]:
        if run["scale"] != 1 and run["seed"] == 0 and "validation" in run:
            best = max(epoch[run["metric"]] for epoch in run["validation"])
            told = f"{best:.3f}, loss {run['validation'][-1]['loss']:.2f}"
            found[run["set"], run["rows"]][run["arm"]] = told
    arms = sorted(
        {arm for cells in found.values() for arm in cells}, key=lambda arm: (len(arm), arm)
    )
    lines = [
        "| cut | rows | " + " | ".join(map(arm_title, arms)) + " |",
        "|---" * (len(arms) + 2) + "|",
    ]
    for (name, rows), cells in found.items():
        lines.append(
            f"| {name} | {rows} | " + " | ".join(cells.get(arm, "") for arm in arms) + " |"
        )
    return "\n".join(lines)


def _panel(runs: list[dict[str, Any]], scores: Scores) -> str:
    """A row a set, a column an arm; in brackets the optimizer steps."""
    steps = {(run["set"], run["arm"]): run.get("optimizer_steps") for run in runs}
    rows = {run["set"]: run["rows"] for run in runs if "rows" in run}
    arms = sorted(scores, key=lambda arm: (arm.count(":"), arm))
    lines = [
        "| set | rows | " + " | ".join(map(arm_title, arms)) + " |",
        "|---" * (len(arms) + 2) + "|",
    ]
    for name in dict.fromkeys(run["set"] for run in runs):
        cells = [
            f"{scores[arm][name]:.3f} ({steps[name, arm]})" if name in scores[arm] else ""
            for arm in arms
        ]
        if any(cells):
            lines.append(f"| {name} | {rows.get(name, '')} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def _tried(scores: Scores, widely: Scores, default: str) -> str:
    """A row for each arm that ran on few sets, beside the default on the same set."""
    lines = ["| set | arm | score | the default's |", "|---|---|---|---|"]
    for arm in sorted(set(scores) - set(widely)):
        for name, score in scores[arm].items():
            beside = scores.get(default, {}).get(name)
            shown = "" if beside is None else f"{beside:.3f}"
            lines.append(f"| {name} | {arm_title(arm)} | {score:.3f} | {shown} |")
    return "\n".join(lines) if len(lines) > 2 else ""


def _pairs(pairs: list[dict[str, Any]]) -> list[str]:
    """For each two arms their test scores on each set, with the paired interval."""
    by_pair: dict[tuple[str, str], list[dict[str, Any]]] = defaultdict(list)
    for pair in pairs:
        by_pair[pair["arm"], pair["against"]].append(pair)
    parts = []
    for (arm, against), found in by_pair.items():
        one, other = arm_title(arm), arm_title(against)
        lines = [
            f"| set | seeds | {one} | {other} | difference (95% interval) |",
            "|---|---|---|---|---|",
        ]
        for pair in found:
            (first, second), (low, high) = pair["scores"], pair["ci95"]
            lines.append(
                f"| {pair['set']} | {pair['seeds']} | {first:.3f} | {second:.3f} "
                f"| {pair['difference']:+.3f} ({low:+.3f} to {high:+.3f}) |"
            )
        parts += [f"**Test scores: {one}, against {other}**", "\n".join(lines)]
        if len(found) > 1:
            differences = [pair["difference"] for pair in found]
            parts.append(
                f"Mean difference {statistics.mean(differences):+.3f} over {len(found)} sets, "
                f"lowest {min(differences):+.3f}."
            )
    return parts


def arm_title(arm: str) -> str:
    """What an arm is, in words: the method, and where it leaves today's defaults."""
    method, *fields = arm.split(":")
    settings = dict(field.split("=") for field in fields)
    words = [{"lora": "LoRA", "full": "full fine-tuning"}.get(method, method)]
    if settings.pop("least_steps", None) is None:
        words.append("6 epochs")
    for name, value in settings.items():
        title = _TITLES.get(name, f"{name} {{}}").format(value)
        words.append("no average" if (name, value) == ("ema", "0") else title)
    return ", ".join(words)
