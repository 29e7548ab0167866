"""float32 against bf16 on this CPU: the time and the memory of training.

    python benchmarks/cpu_precision.py ../shared/data
    python benchmarks/cpu_precision.py ../shared/data --turns 1 --runs ner

A run is a recipe with so many optimizer steps, in a process of its own, on one thread. In each turn
every run trains in float32 and then in bf16. What counts is the processor's time, which depends
little on other programs; the memory is the largest that the step's tensors took. Results go to
`benchmarks/cpu_precision.json`, of which `docs/methods.md` shows the medians. A turn took ten
minutes on one core of an AMD EPYC, beside other programs.
"""

import json
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import tyro

from lowcost_ft.record.environment import git_state, hardware, versions

ROOT = Path(__file__).resolve().parent
FILE = ROOT / "cpu_precision.json"
RUNS = {
    "ner": "lora_ner --train-file {data}/wnut17/train.conll --max-steps 60",
    "ner-full": "lora_ner --method full --train-file {data}/wnut17/train.conll --max-steps 60",
    "translation": "lora_translation --train-file {data}/tico19_en_fr/train.jsonl "
    "--validation-file {validation} --source-language en "
    "--target-language fr --max-steps 8 --generated-validation-rows 0",
}
"""Recipes and their flags, by the name of the run."""
PRECISIONS = ("no", "bf16")
VALIDATION_ROWS = 40
"""Of a translation: they are not what is timed."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to measure."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder with wnut17 and tico19_en_fr."""
    runs: str = ",".join(RUNS)
    """Comma-separated runs."""
    turns: int = 3
    """How often each run trains in each precision."""
    file: Path = FILE
    """The results."""


def measured(run: str, precision: str, data: Path, folder: str) -> dict[str, Any]:
    """Trains once; returns what it took."""
    validation = Path(folder).with_suffix(".jsonl")
    lines = (data / "tico19_en_fr" / "validation.jsonl").read_text("utf-8").splitlines(True)
    validation.write_text("".join(lines[:VALIDATION_ROWS]), "utf-8")
    recipe, *words = RUNS[run].format(data=data, validation=validation).split()
    command = [sys.executable, str(ROOT.parent / "recipes" / f"{recipe}.py"), *words]
    command += ["--mixed-precision", precision, "--num-threads", "1"]
    command += ["--output-dir", folder, "--overwrite"]
    done = subprocess.run(command, capture_output=True, text=True, env=_environment())
    if done.returncode:
        raise SystemExit(f"{' '.join(command)}\n{done.stderr}")
    train = json.loads((Path(folder) / "run.json").read_text("utf-8"))["train"]
    return {
        "run": run,
        "precision": precision,
        "cpu_seconds": round(train["cpu_seconds"], 2),
        "real_tokens": train["real_tokens"],
        "peak_memory_bytes": train["peak_memory_bytes"],
        "loss": round(train["validation_history"][-1]["loss"], 4),
    }


def _environment() -> dict[str, str]:
    path = os.pathsep.join(filter(None, (str(ROOT.parent), os.environ.get("PYTHONPATH"))))
    return os.environ | {"PYTHONPATH": path, "OMP_NUM_THREADS": "1"}


def main(options: Options) -> None:
    """Turn by turn; the file is written after each."""
    import torch

    has = torch.cpu.get_capabilities()
    cpu = {name: has[name] for name in ("avx512_f", "avx512_bf16", "amx_tile") if name in has}
    found: list[dict[str, Any]] = []
    for _ in range(options.turns):
        for run in options.runs.split(","):
            for precision in PRECISIONS:
                with tempfile.TemporaryDirectory() as folder:
                    found.append(measured(run, precision, options.folder, f"{folder}/run"))
                print(found[-1], flush=True)
        facts = {"runs": found, "instructions": cpu, "git": git_state(), "versions": versions()}
        facts["hardware"] = hardware() | {"threads": 1}
        options.file.write_text(json.dumps(facts, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
