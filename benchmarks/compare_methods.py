"""Runs full fine-tuning and parameter-efficient methods on the same data, and keeps every run.json.

    python benchmarks/compare_methods.py --data-dir DATA
    python benchmarks/compare_methods.py --data-dir DATA --only wnut17-lora --seeds 0

DATA holds wnut17/{train,dev,test}.conll and banking77/{train,test}.csv. Each run is a process of
its own, started as a user would start the recipe. A run whose result is there already is skipped,
so a suite can be stopped and taken up again; a failed one keeps its status, and is run again.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import tyro

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"

WNUT17 = {
    "train-file": "wnut17/train.conll",
    "validation-file": "wnut17/dev.conll",
    "test-file": "wnut17/test.conll",
}
BANKING77 = {"train-file": "banking77/train.csv", "test-file": "banking77/test.csv"}
SUITE = {
    "wnut17-full": ("full_ner.py", WNUT17, ["--num-train-epochs", "3"]),
    "wnut17-lora": ("lora_ner.py", WNUT17, ["--num-train-epochs", "3"]),
    "wnut17-lora-8bit": ("lora_8bit_ner.py", WNUT17, ["--num-train-epochs", "3"]),
    "wnut17-lora-nf4": ("qlora_ner.py", WNUT17, ["--num-train-epochs", "3"]),
    "banking77-3-lora": ("lora_classification.py", BANKING77, ["--num-train-epochs", "3"]),
    "banking77-3-lora-8bit": (
        "lora_8bit_classification.py",
        BANKING77,
        ["--num-train-epochs", "3"],
    ),
    "banking77-3-lora-nf4": (
        "lora_classification.py",
        BANKING77,
        ["--num-train-epochs", "3", "--quantization", "nf4"],
    ),
    "banking77-lora": ("lora_classification.py", BANKING77, ["--num-train-epochs", "10"]),
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to run."""

    data_dir: Path
    """Folder with the data sets."""
    only: str | None = None
    """Comma-separated names of what to run. Default: everything."""
    seeds: str = "0,1,2"
    """Comma-separated seeds."""


def result_file(name: str, seed: int) -> Path:
    """Where the result of a run is kept."""
    return RESULTS / f"{name}-seed{seed}.json"


def run(name: str, seed: int, data_dir: Path) -> bool:
    """Runs one recipe in a process of its own; returns whether it completed."""
    recipe, files, flags = SUITE[name]
    paths = [part for flag, file in files.items() for part in (f"--{flag}", str(data_dir / file))]
    with tempfile.TemporaryDirectory(prefix=f"{name}-") as folder:
        command = [sys.executable, str(ROOT / "recipes" / recipe), *paths, *flags]
        command += ["--seed", str(seed), "--output-dir", str(Path(folder) / name)]
        done = subprocess.run(command, cwd=ROOT)
        record = Path(folder) / name / "run.json"
        if not record.exists():
            return False
        shutil.copyfile(record, result_file(name, seed))
    # Where the files and the folder lay says nothing about the result.
    result = json.loads(result_file(name, seed).read_text("utf-8"))
    result["config"] |= {flag.replace("-", "_"): file for flag, file in files.items()}
    result["config"]["output_dir"] = None
    result["data"]["notices"] = [
        notice.replace(f"{data_dir}/", "") for notice in result["data"]["notices"]
    ]
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    result_file(name, seed).write_text(text, "utf-8")
    return done.returncode == 0


def main(options: Options) -> int:
    """Runs what is missing; returns 1 if any run failed."""
    RESULTS.mkdir(parents=True, exist_ok=True)
    names = options.only.split(",") if options.only else list(SUITE)
    if unknown := sorted(set(names) - set(SUITE)):
        print(f"error: unknown {', '.join(unknown)}; known: {', '.join(SUITE)}", file=sys.stderr)
        return 2
    failed = []
    for seed in map(int, options.seeds.split(",")):
        for name in names:
            file = result_file(name, seed)
            if file.exists() and json.loads(file.read_text("utf-8"))["status"] == "completed":
                print(f"{file.name}: there already")
                continue
            print(f"--- {name}, seed {seed}", flush=True)
            if not run(name, seed, options.data_dir):
                failed.append(f"{name} seed {seed}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
