"""Translation, summaries and replies of SmolLM2-135M: LoRA, full fine-tuning, TRL, and no training.

    python benchmarks/generation.py ../shared/data
    python benchmarks/generation.py ../shared/data --suites tico19 --arms untrained,copy,lora
    python benchmarks/generation.py ../shared/data --suites speed --peer PEER/bin/python

Each finished run leaves a file in benchmarks/results/generation with its scores and what it wrote.
Runs that are there are not repeated, and one that was stopped goes on where it was. At the end (or
with `--suites ""`) the summary, benchmarks/generation.json, is written from the files.

Suites: `tico19` translates English to French, `scitldr` sums abstracts up, `dailydialog` replies,
each on up to 2,000 training rows and on test rows drawn from a seed. `scratch` trains a small
encoder-decoder from random weights on the embedded pairs, whose test combinations it has not seen.
`speed` trains the same rows with the recipe and with TRL's `SFTTrainer` in turns; TRL lives in an
environment of its own (benchmarks/peers/trl_requirements.txt), whose Python `--peer` names.
`padding` trains nothing: it counts the padding of the steps of the first three, each step as one
micro-batch, as a GPU with room for it takes them.

Arms of the first three: `untrained` is the model with the same prompt; `copy` repeats the source
(`scitldr`: its first sentence); `lora` and `full` are the recipes, and `lora:0.0032` is the recipe
at another learning rate, `lora:lora_start=gradient` with another setting.
"""

import argparse
import json
import random
import re
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from default_arms import settings_of
from small_t5 import write_small_t5

import lowcost_ft as ft
from lowcost_ft.data.sample_translations import sample_translations
from lowcost_ft.pipeline.train import Trained
from lowcost_ft.record.environment import hardware, versions
from lowcost_ft.scores.bootstrap import paired_difference
from lowcost_ft.scores.texts import count_texts, score_texts
from lowcost_ft.training.progress import TrainResult
from lowcost_ft.training.recovery import MicroBatchBudget
from lowcost_ft.training.step_plan import planned_steps

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "generation"
SUMMARY = ROOT / "benchmarks" / "generation.json"
PEER = ROOT / "benchmarks" / "peers" / "trl_sft.py"
sys.path.insert(0, str(ROOT / "recipes"))
import lora_dialogue  # noqa: E402
import lora_summarization  # noqa: E402
import lora_translation  # noqa: E402

TRAIN_ROWS, TEST_ROWS, VALIDATION_ROWS = 2000, 200, 200
DATA_SUITES = ("tico19", "scitldr", "dailydialog")
SUITES = (*DATA_SUITES, "scratch", "speed", "padding")
ARMS = ("copy", "untrained", "lora", "full")
SPEED_ROWS, SPEED_BATCH = 64, 8
KEPT = (
    *("seconds", "cpu_share", "real_tokens_per_second", "optimizer_steps", "best_epoch"),
    *("peak_memory_bytes", "predicted_peak_memory_bytes", "peak_resident_bytes", "padding_share"),
    "validation_history",
)


def config_of(suite: str, rows: dict[str, str], folder: Path) -> ft.RunConfig:
    """The recipe's settings for one data set."""
    common: dict[str, Any] = {f"{split}_file": path for split, path in rows.items()}
    common |= {"output_dir": str(folder), "resume": True, "checkpoint_every_minutes": 5.0}
    if suite == "tico19":
        common |= {"source_language": "en", "target_language": "fr"}
        return replace(lora_translation.CONFIG, num_train_epochs=3, **common)
    if suite == "scitldr":
        common |= {"max_length": 384, "max_target_length": 64}
        return replace(lora_summarization.CONFIG, num_train_epochs=1, **common)
    common |= {"max_length": 256, "max_target_length": 64}
    return replace(lora_dialogue.CONFIG, num_train_epochs=2, **common)


def drawn_rows(suite: str, data: Path, folder: Path) -> dict[str, str]:
    """Files with the rows of a suite; one reply to each context."""
    name = {"tico19": "tico19_en_fr", "dailydialog": "dailydialog_plusplus"}.get(suite, suite)
    counts = {"train": TRAIN_ROWS, "validation": VALIDATION_ROWS, "test": TEST_ROWS}
    folder.mkdir(parents=True, exist_ok=True)
    paths = {}
    for split, count in counts.items():
        lines = (data / name / f"{split}.jsonl").read_text("utf-8").splitlines()
        chosen = sorted(random.Random(0).sample(range(len(lines)), min(count, len(lines))))
        path = folder / f"{suite}-{split}.jsonl"
        path.write_text("".join(lines[place] + "\n" for place in chosen), "utf-8")
        paths[split] = str(path)
    return paths


def run_arm(suite: str, arm: str, config: ft.RunConfig) -> dict[str, Any]:
    """Trains one arm, or asks the baseline; returns its scores, its cost and its texts."""
    method, *given = arm.split(":")
    trains = method in ("lora", "full")
    if method == "full":
        config = replace(config, method="full")
    config = replace(config, **settings_of(given, bare="learning_rate"))
    with ft.start_run(config if trains else replace(config, resume=False, overwrite=True)) as run:
        data = ft.load_data(run)
        test = data.splits.test or []
        if arm == "copy":
            texts = [example.text for example in test]
            if suite == "scitldr":
                texts = [re.split(r"(?<=[.!?])\s+", text)[0] for text in texts]
            references = [list(example.references) for example in test]
            task: Any = data.task
            scores = score_texts(texts, references, metrics=task.metrics)
            folder = str(Path(str(config.train_file)).parent) + "/"
            notices = [notice.replace(folder, "") for notice in data.splits.notices]
            return {"test": scores, "notices": notices}
        built = ft.build(run, data)
        trained = (
            ft.train(run, built, data)
            if trains
            else Trained(result=TrainResult())  # An adapter that has not been trained adds nothing.
        )
        run.record.setdefault("train", {})
        evaluated = ft.evaluate(run, built, data, trained)
        if trains:
            ft.save(run, built, data, trained, evaluated)
        train = dict(run.record["train"]) if trains else run.record.pop("train")
    written = data.task.present(test, evaluated.predictions["test"])
    return {
        "test": evaluated.scores["test"],
        "validation": evaluated.scores["validation"],
        "train": {name: train.get(name) for name in KEPT},
        "written": [row["written"] for row in written],
    }


def padding(data: Path, runs: Path) -> dict[str, float]:
    """Share of padding in the first epoch's tokens, where a step is one micro-batch."""
    found = {}
    for suite in DATA_SUITES:
        rows = drawn_rows(suite, data, runs / "rows")
        del rows["validation"], rows["test"]
        settings: dict[str, Any] = {"resume": False, "overwrite": True, "validation_share": 0.0}
        config = replace(config_of(suite, rows, runs / "padding"), **settings, num_train_epochs=1)
        with ft.start_run(config) as run:
            features = ft.load_data(run).features["train"]
            whole = MicroBatchBudget(tokens=10**9)
            steps = list(planned_steps(features, run.config, 1, whole))
        padded = sum(step.padded_tokens for step in steps)
        found[suite] = round(1 - sum(step.real_tokens for step in steps) / padded, 4)
    return found


def from_scratch(folder: Path) -> dict[str, Any]:
    """A T5 of a million parameters, trained from random weights on the embedded pairs."""
    rows: dict[str, Any] = sample_translations()
    path = write_small_t5(folder / "t5", rows["train"])
    config = replace(
        lora_translation.CONFIG,
        model_id=path,
        method="full",
        output_dir=str(folder / "run"),
        num_train_epochs=40,
        validate_every_epochs=10,
        early_stopping_patience=0,
        learning_rate=3e-3,
        batch_size=16,
        dropout=0.0,
        overwrite=True,
    )
    with ft.start_run(config) as run:
        data = ft.load_data(
            run, train=rows["train"], validation=rows["validation"], test=rows["test"]
        )
        built = ft.build(run, data)
        trained = ft.train(run, built, data)
        evaluated = ft.evaluate(run, built, data, trained)
        ft.save(run, built, data, trained, evaluated)
    seen = {row["source"] for row in rows["train"]}
    return {
        "test": evaluated.scores["test"],
        "unseen": sum(row["source"] not in seen for row in rows["test"]),
        "train": {name: run.record["train"].get(name) for name in KEPT},
    }


def recipes_settings(folder: Path) -> list[str]:
    """Flags of the peer for what the recipe's run trained with."""
    config = json.loads((folder / "run.json").read_text("utf-8"))["config"]
    adapter = json.loads((folder / "adapter_config.json").read_text("utf-8"))
    return [
        *("--learning-rate", str(config["learning_rate"])),
        *("--lora-r", str(adapter["r"]), "--lora-alpha", str(adapter["lora_alpha"])),
    ]


def speed(data: Path, runs: Path, peer: str, turns: int) -> list[dict[str, Any]]:
    """The recipe and TRL on the same rows, one process each, in turns."""
    rows = drawn_rows("tico19", data, runs / "rows")
    lines = Path(rows["train"]).read_text("utf-8").splitlines()[:SPEED_ROWS]
    small = runs / "rows" / "speed.jsonl"
    small.write_text("".join(line + "\n" for line in lines), "utf-8")
    found = []
    for turn in range(turns):
        for arm in ("lowcost_ft", "trl-defaults", "trl-tuned"):
            out = runs / f"speed-{arm}-{turn}"
            if arm == "lowcost_ft":
                steps = SPEED_ROWS // SPEED_BATCH
                command = [
                    *(sys.executable, str(ROOT / "recipes" / "lora_translation.py")),
                    *("--train-file", str(small), "--max-steps", str(steps), "--overwrite"),
                    *("--source-language", "en", "--target-language", "fr"),
                    *("--batch-size", str(SPEED_BATCH), "--output-dir", str(out)),
                    *("--generated-validation-rows", "0", "--validation-share", "0.02"),
                ]
                subprocess.run(command, check=True)
                train = json.loads((out / "run.json").read_text("utf-8"))["train"]
                cost = {name: train.get(name) for name in KEPT}
            else:
                command = [peer, str(PEER), str(small), "--output", str(out.with_suffix(".json"))]
                command += ["--batch-size", str(SPEED_BATCH)]
                command += recipes_settings(runs / f"speed-lowcost_ft-{turn}")
                subprocess.run([*command, "--arm", arm.removeprefix("trl-")], check=True)
                cost = json.loads(out.with_suffix(".json").read_text("utf-8"))
            found.append({"arm": arm, "turn": turn, **cost})
    return found


def main() -> None:
    """Runs what is missing, and writes the summary."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("data", type=Path, help="folder with the data sets")
    parser.add_argument("--suites", default=",".join(SUITES))
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--peer", default=None, help="Python of the environment that has TRL")
    parser.add_argument("--turns", type=int, default=3)
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "generation")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    for suite in [suite for suite in options.suites.split(",") if suite]:
        arms = options.arms.split(",") if suite in DATA_SUITES else [suite]
        for arm in arms:
            name = f"{suite}-{arm.replace(':', '-')}"
            file = RESULTS / f"{name}.json"
            if file.exists() or (suite == "speed" and options.peer is None):
                continue
            print(f"--- {suite}, {arm}", flush=True)
            if suite == "scratch":
                record = from_scratch(options.runs / suite)
            elif suite == "padding":
                record = {"padding": padding(options.data, options.runs)}
            elif suite == "speed":
                record = {"runs": speed(options.data, options.runs, options.peer, options.turns)}
            else:
                rows = drawn_rows(suite, options.data, options.runs / "rows")
                config = config_of(suite, rows, options.runs / name)
                record = run_arm(suite, arm, config)
            record |= {"suite": suite, "arm": arm, "versions": versions(), "hardware": hardware()}
            file.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    found = summary()
    if {"lora", "full"} <= found.get("tico19", {}).keys():
        found["tico19"]["lora"]["less_full"] = difference("tico19", options.data, options.runs)
    SUMMARY.write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    print(json.dumps(found, indent=1))


def summary() -> dict[str, Any]:
    """Scores and costs of what has been run, by suite and arm."""
    found: dict[str, Any] = {}
    for file in sorted(RESULTS.glob("*.json")):
        record = json.loads(file.read_text("utf-8"))
        kept = {n: record[n] for n in ("test", "train", "runs", "unseen", "padding") if n in record}
        found.setdefault(record["suite"], {})[record["arm"]] = kept
    return found


def difference(suite: str, data: Path, runs: Path) -> dict[str, tuple[float, list[float]]]:
    """What translations by LoRA score above those by full fine-tuning, with 95% intervals."""
    lines = Path(drawn_rows(suite, data, runs / "rows")["test"]).read_text("utf-8").splitlines()
    references = [[json.loads(line)["translation"]["fr"]] for line in lines]
    counted = []
    for arm in ("lora", "full"):
        record = json.loads((RESULTS / f"{suite}-{arm}.json").read_text("utf-8"))
        counted.append(
            count_texts(record["written"], references, metrics=("chrf", "bleu"), language="fr")
        )
        for name, found in counted[-1].items():
            assert abs(found.score - record["test"][name]) < 1e-6, (arm, name)
    return {
        name: paired_difference(lora.of, lora.rows, counted[1][name].rows, 0)
        for name, lora in counted[0].items()
    }


if __name__ == "__main__":
    main()
