"""Where the time of a training step goes, by torch's profiler.

    python benchmarks/profile_step.py
    python benchmarks/profile_step.py --train-file wnut17/train.conll --arm ours-lora

Profiles optimizer steps of one of the ways that `compare_speed.py` compares, adds the operations up
by kind, and repeats the matrix products alone, at the sizes that the steps had, to show what the
machine can do with them.
"""

import json
import sys
import tempfile
import time
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import compare_speed
import torch
import tyro
from torch.profiler import ProfilerActivity, profile

from lowcost_ft.config.settings import DEFAULT_MODEL_ID
from lowcost_ft.errors import UserError

RESULTS = compare_speed.RESULTS
KINDS = {
    "matrix products": ("aten::mm", "aten::addmm", "aten::addmm_"),
    "attention": ("aten::_scaled_dot", "aten::bmm", "aten::baddbmm", "aten::_softmax"),
    "GELU": ("aten::gelu",),
    "copies": ("aten::copy_", "aten::clone", "aten::cat"),
    "random numbers": ("aten::random_", "aten::bernoulli_", "aten::uniform_"),
    "normalization": ("aten::native_layer_norm",),
    "optimizer": ("aten::_fused_adam", "aten::_foreach", "Optimizer"),
}
"""Kinds of operations, by how their names begin; everything else is `other`."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to profile."""

    train_file: str | None = None
    """Training file of NER. Default: the embedded sample data."""
    model_id: str = DEFAULT_MODEL_ID
    """Model on the Hub, or its folder."""
    arm: str = "ours-lora-query-value"
    """One of our ways in `compare_speed.py`."""
    steps: int = 20
    """Optimizer steps, after the warm-up."""
    num_threads: int | None = None
    """CPU threads. Default: the physical cores."""
    output: Path | None = None
    """Results file. Default: in benchmarks/results/speed, by the name of the data."""


def main(options: Options) -> int:
    """Profiles and writes the result; returns the exit code."""
    data = Path(options.train_file).parent.name if options.train_file else "sample"
    file = options.output or RESULTS / f"profile-{data}-ner.json"
    try:
        result = profiled(options)
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    for kind, share in result["shares"].items():
        print(f"{kind:16}{share:7.1%}")
    print(
        f"matrix products: {result['matmul_gflops_in_steps']:,} GFLOP/s in the steps, "
        f"{result['matmul_gflops_alone']:,} repeated alone, "
        f"{result['machine_gflops']:,} in large squares"
    )
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(result, indent=1) + "\n", "utf-8")
    print(f"written to {file}", file=sys.stderr)
    return 0


def profiled(options: Options) -> dict[str, Any]:
    """Some steps under the profiler, and their matrix products without it."""
    speed = compare_speed.Options(
        train_file=options.train_file, model_id=options.model_id, num_threads=options.num_threads
    )
    with tempfile.TemporaryDirectory(prefix="profile-step-") as folder:
        setting = compare_speed.load_setting(speed, f"{folder}/run")
        arms = compare_speed.arms_of(setting, speed, f"{folder}/cache")
        known = [name for name in arms if name.startswith("ours")]
        if options.arm not in known:
            raise UserError(f"--arm {options.arm}: give one of {', '.join(known)}")
        arm = arms[options.arm]()
        arm.run(options.steps, part=0)
        machine = compare_speed.matmul_gflops(setting.accelerator)
        with profile(activities=[ProfilerActivity.CPU], record_shapes=True) as profiler:
            arm.run(options.steps, part=1)
    products = _products(profiler)
    flops = sum(2 * n * k * m * count for (n, k, m), (count, _) in products.items())
    seconds = sum(spent for _, spent in products.values())
    return compare_speed.conditions(asdict(options) | {"output": None}) | {
        "shares": _shares(profiler),
        "machine_gflops": round(machine),
        "matmul_gflops_in_steps": round(flops / seconds / 1e9),
        "matmul_gflops_alone": round(flops / _seconds_alone(products) / 1e9),
    }


def _shares(profiler: Any) -> dict[str, float]:
    """Share of the profiled time of each kind of operation, by the time of the operation alone."""
    spent: Counter[str] = Counter()
    for event in profiler.key_averages():
        name = event.key
        kind = next((k for k, begins in KINDS.items() if name.startswith(begins)), "other")
        spent[kind] += event.self_cpu_time_total
    whole = sum(spent.values())
    return {kind: round(time / whole, 4) for kind, time in spent.most_common()}


def _products(profiler: Any) -> dict[tuple[int, int, int], tuple[int, float]]:
    """How often each size (rows, inner, columns) came, and the seconds that it took in all."""
    found: dict[tuple[int, int, int], tuple[int, float]] = {}
    for event in profiler.key_averages(group_by_input_shape=True):
        if event.key not in ("aten::mm", "aten::addmm", "aten::addmm_"):
            continue
        left, right = [shape for shape in event.input_shapes if len(shape) == 2][-2:]
        size = (left[0], left[1], right[1])
        count, seconds = found.get(size, (0, 0.0))
        found[size] = (count + event.count, seconds + event.self_cpu_time_total / 1e6)
    return found


def _seconds_alone(products: dict[tuple[int, int, int], tuple[int, float]]) -> float:
    """The same products, one size after the other, each repeated for a hundredth of a second."""
    whole = 0.0
    for (n, k, m), (count, _) in products.items():
        a, b = torch.randn(n, k), torch.randn(k, m)
        torch.mm(a, b)
        repeats, started = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - started) < 0.01:
            torch.mm(a, b)
            repeats += 1
        whole += count * elapsed / repeats
    return whole


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
