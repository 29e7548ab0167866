"""Exported runs on WNUT-17 and Banking77: test scores and speed of the run, float32 and int8.

    python benchmarks/export.py DATA [--seeds 0,1,2] [--num-threads 1]

Each run is trained by its recipe (three epochs of WNUT-17, five of Banking77) and exported by
`lowcost-ft export` with its default limits, which are checked on the validation split. Only then is
the test split predicted, by the run's own predictor, by ONNX in float32, and by int8 where it was
written: three rounds in turns, of which the median counts. Each seed leaves a JSON in
`benchmarks/results/export`; one that is there is not run again.
"""

import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from lowcost_ft.export.exporting import export_run
from lowcost_ft.pipeline.load_predictor import load_predictor
from lowcost_ft.pipeline.run_input import read_labelled_file
from lowcost_ft.record.environment import git_state, hardware, versions
from lowcost_ft.record.run_file import write_json

ROOT = Path(__file__).resolve().parent.parent
OUTPUT = ROOT / "benchmarks" / "results" / "export"
ROUNDS = 3
SETS: dict[str, tuple[str, list[str], str]] = {
    "wnut17": (
        "lora_ner",
        ["--train-file", "train.conll", "--validation-file", "dev.conll", "--num-train-epochs=3"],
        "test.conll",
    ),
    "banking77": (
        "lora_classification",
        ["--train-file", "train.csv", "--num-train-epochs=5"],
        "test.csv",
    ),
}
"""Name -> the recipe, its flags, and the test file."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """Measure exported runs on WNUT-17 and Banking77."""

    data: Annotated[Path, tyro.conf.Positional]
    """Folder with `wnut17/` and `banking77/`."""
    seeds: str = "0,1,2"
    """Seeds, with commas between."""
    num_threads: int = 1
    """CPU threads for predicting."""
    model_id: str = "sentence-transformers/all-MiniLM-L6-v2"
    """Base model."""
    more: str = ""
    """More flags for the recipes, to try the script: --more="--max-steps 2"."""
    output_dir: Path = OUTPUT
    """Folder of the results."""


def main(options: Options) -> None:
    """Measures what is not there yet."""
    for name in SETS:
        for seed in map(int, options.seeds.split(",")):
            file = options.output_dir / f"{name}-seed{seed}.json"
            if file.exists():
                print(f"{file} is there", file=sys.stderr)
                continue
            with tempfile.TemporaryDirectory(prefix="export-") as scratch:
                result = measure(options, name, seed, Path(scratch))
            options.output_dir.mkdir(parents=True, exist_ok=True)
            write_json(file, result)
            print(f"{file}: {result['test']}", file=sys.stderr)


def measure(options: Options, name: str, seed: int, scratch: Path) -> dict[str, Any]:
    """Trains, exports and tests one run."""
    recipe, flags, test_file = SETS[name]
    place = options.data / name
    paths = [str(place / word) if (place / word).is_file() else word for word in flags]
    command = [sys.executable, str(ROOT / "recipes" / f"{recipe}.py"), *paths]
    command += ["--model-id", options.model_id, "--seed", str(seed), *options.more.split()]
    subprocess.run([*command, "--output-dir", str(scratch / "run")], check=True)
    report = export_run(
        scratch / "run",
        scratch / "onnx",
        precision=("fp32", "int8"),
        num_threads=options.num_threads,
        say=lambda text: print(text, file=sys.stderr),
    )
    written = [one.precision for one in report.files if one.file]
    ways = {"run": load_predictor(scratch / "run", num_threads=options.num_threads)}
    for precision in written:
        ways[precision] = load_predictor(
            scratch / "onnx", precision=precision, num_threads=options.num_threads
        )
    examples = read_labelled_file(ways["run"].run, str(place / test_file), notices=[])
    metric = ways["run"].task.metric
    scores = {way: float(predictor.score(examples)[metric]) for way, predictor in ways.items()}
    seconds: dict[str, list[float]] = {way: [] for way in ways}
    for number in range(ROUNDS):
        for way, predictor in ways.items():
            started = time.perf_counter()
            predictor.predict(examples)
            seconds[way].append(time.perf_counter() - started)
        print(f"round {number + 1}", file=sys.stderr)
    return {
        "data": name,
        "seed": seed,
        "model_id": options.model_id,
        "metric": metric,
        "texts": len(examples),
        "validation": asdict(report) | {"folder": None},
        "test": {
            way: {"score": scores[way], "seconds": statistics.median(seconds[way])} for way in ways
        },
        "versions": versions(("onnx", "onnxscript", "onnxruntime")),
        "hardware": hardware(),
        "git": git_state(),
    }


if __name__ == "__main__":
    main(tyro.cli(Options))
