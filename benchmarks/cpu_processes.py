"""One process with several threads against as many processes with one thread, on this CPU.

    python benchmarks/cpu_processes.py ../shared/data
    python benchmarks/cpu_processes.py ../shared/data --turns 1 --runs ner

A run is a recipe of `cpu_precision.py` in float32. In each turn every run trains with two threads
in one process, and then in two processes, which share each step (`torchrun`). What counts is the
time of training by the clock, so that nothing else may run beside. Results go to
`benchmarks/cpu_processes.json`, of which `docs/several-gpus.md` shows the medians.
"""

import json
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro
from cpu_precision import RUNS, command_of, environment

from lowcost_ft.record.environment import git_state, hardware, versions

FILE = Path(__file__).resolve().parent / "cpu_processes.json"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder with wnut17 and tico19_en_fr."""
    runs: str = ",".join(RUNS)
    """Comma-separated runs."""
    turns: int = 3
    """How often each run trains each way."""
    file: Path = FILE
    """The results."""


def measured(run: str, processes: int, threads: int, data: Path, folder: str) -> dict[str, Any]:
    """Trains once; returns what it took."""
    start = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = [sys.executable, *(start if processes > 1 else [])]
    command += command_of(run, data, folder, threads=threads)
    command += ["--mixed-precision", "no"]
    done = subprocess.run(command, capture_output=True, text=True, env=environment())
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    train = json.loads((Path(folder) / "run.json").read_text("utf-8"))["train"]
    return {
        "run": run,
        "processes": processes,
        "threads": threads,
        "seconds": round(train["seconds"], 2),
        "real_tokens": train["real_tokens"],
        "peak_resident_bytes": train["peak_resident_bytes"],
        "loss": round(train["validation_history"][-1]["loss"], 4),
    }


def main(options: Options) -> None:
    """Turn by turn; the file is written after each."""
    found: list[dict[str, Any]] = []
    for _ in range(options.turns):
        for run in options.runs.split(","):
            for processes, threads in ((1, 2), (2, 1)):
                with tempfile.TemporaryDirectory() as folder:
                    found.append(measured(run, processes, threads, options.folder, f"{folder}/run"))
                print(found[-1], flush=True)
        facts = {"runs": found, "git": git_state(), "versions": versions()}
        facts["hardware"] = hardware() | {"threads": 2}
        options.file.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
