"""Training speed: ours against the usual ways of training the same model on the same data.

    python benchmarks/compare_speed.py
    python benchmarks/compare_speed.py --train-file wnut17/train.conll --rounds 5

Without arguments: all-MiniLM-L6-v2 on the embedded sample data, a few minutes. In each round every
arm trains the same number of optimizer steps, one arm after the other (A B C A B C ...), so that
whatever else the machine does falls on all of them; medians and ranges are over the rounds. A
second call with the same settings adds rounds to the same file.
"""

import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

import torch
import tyro
from speed_arms import Arm, OurArm, Setting, Timing, seconds_now
from usual_arms import TextbookArm, TrainerArm, TunedTrainerArm

from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.settings import DEFAULT_MODEL_ID
from lowcost_ft.errors import UserError
from lowcost_ft.models.families import is_causal
from lowcost_ft.models.hub import load_config
from lowcost_ft.models.tokenizers import load_tokenizer
from lowcost_ft.record.environment import git_state, hardware, versions
from lowcost_ft.tasks.classification import ClassificationTask
from lowcost_ft.tasks.loading import load_splits
from lowcost_ft.tasks.ner import NerTask
from lowcost_ft.training.setup import build_accelerator, set_num_threads

RESULTS = Path(__file__).resolve().parent / "results" / "speed"
BASELINE = "trainer-peft"
TUNED = "trainer-peft-tuned"
RATIOS = {TUNED: "over_tuned_trainer_peft", BASELINE: "over_trainer_peft"}
"""Ways that every other one is compared with, and what the ratio is called in the results."""
COMPILED = "ours-lora-query-value-compiled"
LARGE_STEP = 160
"""Sentences a step where micro-batches are to be as large as the token budget allows."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to compare, and how often."""

    task: Literal["ner", "classification"] = "ner"
    """Kind of task."""
    train_file: str | None = None
    """Training file, in any format that the recipes read. Default: the embedded sample data."""
    model_id: str = DEFAULT_MODEL_ID
    """Model on the Hub, or its folder."""
    query_value: str = "query,value"
    """Names of the model's query and value layers, for the adapter of the usual example."""
    trainable_layers: int = 2
    """Top layers that train where the layers below are frozen."""
    batch_size: int = 16
    """Sentences an optimizer step."""
    max_length: int = 128
    """Longest input in tokens; the textbook's loop pads everything to it."""
    steps: int = 12
    """Timed optimizer steps of an arm in a round."""
    rounds: int = 3
    """Rounds."""
    only: str | None = None
    """Comma-separated names of arms. Default: all but the compiled one, which needs a C++ compiler
    and some minutes."""
    dropout: float | Literal["model"] = "model"
    """Dropout in all arms. model: as the model's own configuration says."""
    mixed_precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    """As for the recipes: float32 on a CPU."""
    num_threads: int | None = None
    """CPU threads. Default: the physical cores."""
    output: Path | None = None
    """Results file. Default: in benchmarks/results/speed, by the name of the data."""


def arms_of(setting: Setting, options: Options, cache_dir: str) -> dict[str, Callable[[], Arm]]:
    """All arms, by name; each is made when it is called for."""
    top: dict[str, Any] = {"trainable_layers": options.trainable_layers}
    query_value: dict[str, Any] = {"target_modules": options.query_value}
    return {
        "textbook-full": lambda: TextbookArm(setting),
        BASELINE: lambda: TrainerArm(setting),
        TUNED: lambda: TunedTrainerArm(setting),
        "ours-full": lambda: OurArm(setting, method="full"),
        "ours-lora-query-value": lambda: OurArm(setting, **query_value),
        "ours-lora-query-value-int8": lambda: OurArm(setting, quantization="int8", **query_value),
        COMPILED: lambda: OurArm(setting, torch_compile=True, **query_value),
        "ours-lora": lambda: OurArm(setting),
        "ours-lora-large-step": lambda: OurArm(setting, batch_size=LARGE_STEP),
        "ours-lora-top": lambda: OurArm(setting, **top),
        "ours-lora-top-cached": lambda: OurArm(setting, cache_dir=cache_dir, **top),
        "ours-lora-top-cached-int8": lambda: OurArm(
            setting, cache_dir=cache_dir, quantization="int8", **top
        ),
    }


def load_setting(options: Options, output_dir: str) -> Setting:
    """Reads the data and the tokenizer once, for all arms."""
    accelerator = build_accelerator(mixed_precision=options.mixed_precision)
    set_num_threads(options.num_threads, local_processes=1)
    splits = load_splits(options.task, train_file=options.train_file)
    tokenizer = load_tokenizer(options.model_id, words=options.task == "ner")
    task: Any
    if options.task == "ner":
        task = NerTask(splits.labels, causal=is_causal(load_config(options.model_id)))
    else:
        task = ClassificationTask(splits.labels, problem_type=splits.problem_type)
    return Setting(
        accelerator=accelerator,
        model_id=options.model_id,
        task=task,
        tokenizer=tokenizer,
        features=task.featurize(splits.train, tokenizer, max_length=options.max_length),
        config=RunConfig(
            task=options.task,
            batch_size=options.batch_size,
            max_length=options.max_length,
            dropout=options.dropout,
            output_dir=output_dir,
        ),
        query_value=tuple(options.query_value.split(",")),
    )


def matmul_gflops(accelerator: Any, *, seconds: float = 0.3) -> float:
    """What the machine itself reaches: the best rate of some square matrix products.

    In the precision that training computes in.
    """
    device, best = accelerator.device, 0.0
    precision = {"bf16": torch.bfloat16, "fp16": torch.float16}.get(accelerator.mixed_precision)
    for size in (512, 1024, 2048) if device.type == "cpu" else (4096, 8192):
        a, b = (torch.randn(size, size, device=device, dtype=precision) for _ in range(2))
        a @ b
        started, count = seconds_now(device), 0
        while seconds_now(device) - started < seconds:
            a @ b
            count += 1
        elapsed = seconds_now(device) - started
        best = max(best, 2 * size**3 * count / elapsed / 1e9)
    return best


def main(options: Options) -> int:
    """Runs the rounds and writes the results; returns the exit code."""
    data = Path(options.train_file).parent.name if options.train_file else "sample"
    file = options.output or RESULTS / f"speed-{data}-{options.task}.json"
    try:
        result = run_rounds(options, file)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    print(table(result))
    print(f"written to {file}", file=sys.stderr)
    return 0


def run_rounds(options: Options, file: Path) -> dict[str, Any]:
    """Adds rounds to a results file, which is written after each."""
    with tempfile.TemporaryDirectory(prefix="compare-speed-") as folder:
        setting = load_setting(options, f"{folder}/run")
        result = describe(options, setting)
        if file.exists():
            result["rounds"] = earlier_rounds(file, result)
        factories = arms_of(setting, options, f"{folder}/cache")
        usual = [name for name in factories if name != COMPILED]
        names = options.only.split(",") if options.only else usual
        if unknown := sorted(set(names) - set(factories)):
            raise UserError(f"unknown {', '.join(unknown)}; known: {', '.join(factories)}")
        arms = {name: factories[name]() for name in names}
        facts = {name: arm.facts for name, arm in arms.items()}
        for _ in range(options.rounds):
            part = len(result["rounds"])
            result["rounds"].append(run_round(setting, arms, options.steps, part=part))
            result["arms"] = summarize(result["rounds"], facts)
            rates = [entry["matmul_gflops"] for entry in result["rounds"]]
            result["matmul_gflops"] = statistics.median(rates)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
            print(f"round {part + 1}", file=sys.stderr, flush=True)
    return result


def run_round(setting: Setting, arms: dict[str, Arm], steps: int, *, part: int) -> dict[str, Any]:
    """Every arm once, one after the other, and what the machine can do meanwhile."""
    rate = round(matmul_gflops(setting.accelerator), 1)
    timings = {name: asdict(arm.run(steps, part=part)) for name, arm in arms.items()}
    return {"matmul_gflops": rate, "arms": timings}


def earlier_rounds(file: Path, result: dict[str, Any]) -> list[dict[str, Any]]:
    """The rounds that a file holds, where they were run under the same conditions."""
    earlier = json.loads(file.read_text("utf-8"))
    if differing := [key for key in IDENTITY if earlier.get(key) != result[key]]:
        raise UserError(
            f"{file} holds rounds of another {' and '.join(differing)}: delete it, or name "
            "another file with --output"
        )
    rounds: list[dict[str, Any]] = earlier["rounds"]
    return rounds


IDENTITY = ("config", "versions", "hardware", "git")
"""Rounds are added to a file only where all of these are the same."""


def describe(options: Options, setting: Setting) -> dict[str, Any]:
    """What the results depend on."""
    config = asdict(options)
    for field in ("rounds", "only", "output"):
        del config[field]
    return conditions(config) | {"precision": setting.accelerator.mixed_precision, "rounds": []}


def conditions(config: dict[str, Any]) -> dict[str, Any]:
    """The beginning of a results file: settings, without the places of this machine, and the rest
    that a result depends on."""
    if Path(config["model_id"]).is_dir():
        config["model_id"] = Path(config["model_id"]).name
    if config["train_file"]:
        config["train_file"] = "/".join(Path(config["train_file"]).parts[-2:])
    return {
        "status": "completed",
        "config": config,
        "versions": versions(),
        "hardware": hardware(),
        "git": git_state(),
    }


def summarize(rounds: list[dict[str, Any]], facts: dict[str, Any]) -> dict[str, Any]:
    """Median and range of each arm's speed, its ratios to `Trainer`, its share of the machine.

    Ratios and shares are taken within a round, then their median.
    """
    summary: dict[str, Any] = {}
    for name, known in facts.items():
        runs = [(r, Timing(**r["arms"][name])) for r in rounds if name in r["arms"]]
        speeds = [timing.real_tokens / timing.seconds for _, timing in runs]
        padded = sum(timing.padded_tokens for _, timing in runs)
        entry = {
            **known,
            "real_tokens_per_second": round(statistics.median(speeds), 1),
            "range": [round(min(speeds), 1), round(max(speeds), 1)],
            "padding_share": round(1 - sum(t.real_tokens for _, t in runs) / padded, 4),
        }
        for other, ratio_name in RATIOS.items():
            ratios = [
                speed / (base.real_tokens / base.seconds)
                for speed, (r, _) in zip(speeds, runs, strict=True)
                if other in r["arms"]
                for base in [Timing(**r["arms"][other])]
            ]
            if ratios:
                entry[ratio_name] = round(statistics.median(ratios), 2)
        if "flops_a_padded_token" in known:
            flops = known["flops_a_padded_token"]
            shares = [
                flops * timing.padded_tokens / timing.seconds / (r["matmul_gflops"] * 1e9)
                for r, timing in runs
            ]
            entry["share_of_matmul_rate"] = round(statistics.median(shares), 3)
        summary[name] = entry
    return summary


def table(result: dict[str, Any]) -> str:
    """The summary, for people."""
    lines = [
        f"{'arm':30} {'tokens/s':>9} {'range':>15} {'x tuned':>7} {'x plain':>7} {'padding':>8} "
        f"{'of matmul':>9}"
    ]
    for name, arm in result["arms"].items():
        low, high = arm["range"]
        share = arm.get("share_of_matmul_rate")
        lines.append(
            f"{name:30} {arm['real_tokens_per_second']:9,.0f} {f'{low:,.0f}-{high:,.0f}':>15} "
            f"{arm.get(RATIOS[TUNED], ''):>7} {arm.get(RATIOS[BASELINE], ''):>7} "
            f"{arm['padding_share']:8.1%} "
            f"{f'{share:.0%}' if share else '':>9}"
        )
    lines.append(
        f"machine: {result['matmul_gflops']:,.0f} GFLOP/s in matrix products, "
        f"{result['hardware']['threads']} threads, {len(result['rounds'])} rounds"
    )
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
