"""How fast a step is on a CPU, by the padded tokens that its micro-batches hold.

    python benchmarks/cut_of_a_step.py

A step of 4,096 tokens, in texts of 128, is cut into micro-batches of 512 tokens up to the whole
step, for LoRA on all linear layers of BERT-type models of several widths with random weights. The
cuts take turns, round by round. Time is CPU time, which depends less on other programs than the
clock does; but they use the caches, too, so run it alone. It checks the table of cache sizes in
`planning/micro_batches.py`.
"""

import json
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import tyro
from accelerate import Accelerator
from transformers import AutoConfig, AutoModel

from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.batching import cut_step
from lowcost_ft.memory.operators import Target
from lowcost_ft.models.loading import build_model, forward_module
from lowcost_ft.planning.longest_rows import longest_forecast
from lowcost_ft.planning.model_options import model_options
from lowcost_ft.record.environment import cache_sizes, hardware, versions
from lowcost_ft.training.steps import StepRunner

FILE = Path(__file__).resolve().parent / "results" / "speed" / "cuts.json"
LAYERS = 3


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    widths: str = "384,768,1024"
    """Comma-separated widths of the model, multiples of 64."""
    cuts: str = "512,1024,2048,4096"
    """Comma-separated sizes of a micro-batch in padded tokens."""
    texts: int = 32
    """Texts a step."""
    tokens: int = 128
    """Tokens of a text."""
    rounds: int = 4
    """Rounds."""
    threads: int = 1
    """CPU threads."""
    output: Path = FILE
    """Results file."""


def seconds_by_cut(width: int, options: Options) -> dict[str, list[float]]:
    """CPU seconds of each round's step, by cut; without the first round, which warms up."""
    with tempfile.TemporaryDirectory() as folder:
        described = AutoConfig.for_model(
            "bert",
            hidden_size=width,
            intermediate_size=4 * width,
            num_attention_heads=width // 64,
            num_hidden_layers=LAYERS,
            vocab_size=1000,
            pad_token_id=0,
        )
        AutoModel.from_config(described).save_pretrained(folder)
        config = RunConfig(
            task="classification",
            model_id=folder,
            max_length=options.tokens,
            batch_size=options.texts,
        )
        forecast = longest_forecast(config, Target(device="cpu"), num_labels=9)
        task, features = forecast.task, forecast.features
        built = build_model(
            **model_options(config, task, labels=task.labels, mixed_precision="no", pad_token_id=0)
        )
    runner = StepRunner(
        Accelerator(cpu=True),
        forward_module(built.model).train(),
        task,
        features,
        pad_token_id=0,
        max_grad_norm=1.0,
    )
    optimizer = torch.optim.AdamW(runner.trainable, lr=1e-4, fused=True)
    rows = torch.arange(options.texts).numpy()
    found: dict[str, list[float]] = {cut: [] for cut in options.cuts.split(",")}
    for number in range(options.rounds + 1):
        for cut, seconds in found.items():
            pieces = cut_step(rows, features.lengths, micro_batch_tokens=int(cut))
            started = time.process_time()
            runner.update(optimizer, runner.backward(pieces, 1.0))
            if number:
                seconds.append(round(time.process_time() - started, 4))
    return found


def main(options: Options) -> int:
    """Writes the results."""
    torch.set_num_threads(options.threads)
    widths: dict[str, Any] = {}
    for width in map(int, options.widths.split(",")):
        found = seconds_by_cut(width, options)
        widths[str(width)] = found
        medians = {cut: statistics.median(seconds) for cut, seconds in found.items()}
        best = min(medians.values())
        told = ", ".join(f"{cut}: {best / median:.2f}" for cut, median in medians.items())
        print(f"width {width}, speed beside the fastest cut: {told}", flush=True)
    record = {
        "hardware": hardware() | {"cache_bytes": cache_sizes()},
        "versions": versions(),
        "layers": LAYERS,
        "step_tokens": options.texts * options.tokens,
        "cpu_seconds": widths,
    }
    options.output.parent.mkdir(parents=True, exist_ok=True)
    options.output.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
