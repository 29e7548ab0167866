"""Trains a model larger than the memory that is left: frozen layers streamed, under a hard limit.

    python benchmarks/limited_memory.py
    python benchmarks/limited_memory.py --output benchmarks/results/limited_memory.json

Three processes run the same recipe (SmolLM2-135M, its top layers, text classification): with
--stream-frozen-layers and without it under a limit, and without it and without a limit. The limit
is RLIMIT_DATA, which the kernel holds every private writable page to (what any allocator hands
out, touched or not), set after all imports to what the process has by then and `--room-mb` more.
Files that are mapped are no part of it: the most of them that was resident is looked up in
/proc/PID/smaps meanwhile. Linux only.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from lowcost_ft.data.sample import sample_intents

RECIPES = Path(__file__).resolve().parents[1] / "recipes"
MODEL_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
FLAGS = [
    *("--model-id", MODEL_ID, "--trainable-layers", "2", "--cache-frozen-layers"),
    *("--num-train-epochs", "1", "--max-length", "64", "--micro-batch-tokens", "1024"),
]
RECORDED = [
    *("seconds", "optimizer_steps", "final_loss", "cache_seconds", "cache_bytes"),
    *("streaming", "peak_memory_bytes"),
]
SCORES = ("accuracy", "macro_f1")
DATA_FILES = (".safetensors", ".bin")


def run_limited(room_bytes: int | None, arguments: list[str]) -> None:
    """Runs the recipe in this process, with so much memory beside what the imports took."""
    sys.path.insert(0, str(RECIPES))
    import lora_gpt_classification as recipe
    import peft  # noqa: F401
    import transformers.models.llama.modeling_llama  # noqa: F401

    import lowcost_ft as ft
    from lowcost_ft.pipeline.train import train  # noqa: F401

    runtime = status_bytes("self")
    print(json.dumps({"runtime": runtime}), flush=True)
    if room_bytes is not None:
        limit = runtime["VmData"] + room_bytes
        resource.setrlimit(resource.RLIMIT_DATA, (limit, limit))
    sys.argv = [str(RECIPES / "lora_gpt_classification.py"), *arguments]
    ft.run_recipe(recipe.main, recipe.CONFIG, description=recipe.__doc__)


def status_bytes(process: int | str) -> dict[str, int]:
    """Sizes of a process, in bytes, by their names in /proc/PID/status."""
    lines = Path(f"/proc/{process}/status").read_text("utf-8").splitlines()
    wanted = ("VmData", "VmHWM", "VmRSS", "RssAnon", "RssFile")
    fields = (line.split() for line in lines if line.startswith(wanted))
    return {name.rstrip(":"): int(size) * 1024 for name, size, _ in fields}


def mapped_bytes(process: int) -> int:
    """Resident bytes of mapped files that hold weights or states."""
    total, counts = 0, False
    for line in Path(f"/proc/{process}/smaps").read_text("utf-8").splitlines():
        words = line.split()
        if not words[0].endswith(":"):
            counts = words[-1].endswith(DATA_FILES)
        elif counts and words[0] == "Rss:":
            total += int(words[1]) * 1024
    return total


def watch(room_bytes: int | None, arguments: list[str], folder: Path) -> dict[str, Any]:
    """Runs the recipe in a process of its own; returns what it took and what came out."""
    command = [sys.executable, __file__, "--child", str(room_bytes or 0), *arguments]
    command += ["--output-dir", str(folder)]
    log = folder.with_suffix(".log")
    started = time.perf_counter()
    most = {"anonymous": 0, "data": 0, "mapped": 0, "mapped_and_anonymous": 0}
    with log.open("w") as file:
        process = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        while process.poll() is None:
            try:
                sizes, mapped = status_bytes(process.pid), mapped_bytes(process.pid)
            except (OSError, ValueError):  # It has just ended.
                continue
            anonymous = sizes.get("RssAnon", 0)
            most["anonymous"] = max(most["anonymous"], anonymous)
            most["data"] = max(most["data"], sizes.get("VmData", 0))
            most["mapped"] = max(most["mapped"], mapped)
            most["mapped_and_anonymous"] = max(most["mapped_and_anonymous"], anonymous + mapped)
            time.sleep(0.02)
    text = log.read_text("utf-8")
    runtime = next(json.loads(x)["runtime"] for x in text.splitlines() if x.startswith('{"runt'))
    found: dict[str, Any] = {
        "exit_code": process.returncode,
        "seconds": round(time.perf_counter() - started, 1),
        "room_bytes": room_bytes,
        "runtime_anonymous_bytes": runtime["RssAnon"],
        "runtime_data_bytes": runtime["VmData"],
        "peak_anonymous_bytes": most["anonymous"],
        "peak_data_bytes": most["data"],
        "peak_mapped_data_bytes": most["mapped"],
        "peak_beside_runtime_bytes": most["mapped_and_anonymous"] - runtime["RssAnon"],
        # Without the folders of this machine.
        "said": [x.split(" in /")[0] for x in text.splitlines() if x.startswith("frozen layers:")],
    }
    record = folder / "run.json"
    if record.is_file():
        run = json.loads(record.read_text("utf-8"))
        found["status"] = run["status"]
        if run["status"] == "completed":
            found |= {
                "versions": run["versions"],
                "hardware": run["hardware"],
                "git": run["git"],
                "train": {name: run["train"][name] for name in RECORDED},
                "test": {name: run["evaluation"]["test"][name] for name in SCORES},
            }
    if process.returncode:
        refused = "Cannot allocate memory"
        found["last_line"] = refused if refused in text else text.strip().splitlines()[-1]
    return found


def main() -> int:
    """Runs the three and writes what they took."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--room-mb", type=int, default=250, help="memory beside the runtime")
    parser.add_argument("--rows", type=int, default=300, help="training rows of the sample")
    parser.add_argument("--output", help="JSON file for the result")
    options, more = parser.parse_known_args()
    room = options.room_mb * 10**6
    result: dict[str, Any] = {"flags": [*FLAGS, *more], "rows": options.rows}
    with tempfile.TemporaryDirectory() as folder:
        more += write_rows(Path(folder), options.rows)
        for name, limit, extra in (
            ("streamed_limited", room, ["--stream-frozen-layers"]),
            ("whole_limited", room, []),
            ("whole_unlimited", None, []),
        ):
            arguments = [*FLAGS, *more, *extra, "--cache-dir", f"{folder}/cache-{name}"]
            result[name] = watch(limit, arguments, Path(folder, name))
            print(json.dumps({name: result[name]}, indent=2), flush=True)
        result["same_adapter"] = _same_adapter(Path(folder))
        result["same_predictions"] = _same_file(Path(folder), "predictions.jsonl")
    text = json.dumps(result, indent=2)
    if options.output:
        Path(options.output).write_text(text + "\n", "utf-8")
    print(json.dumps({k: result[k] for k in ("same_adapter", "same_predictions")}))
    return 0


def write_rows(folder: Path, count: int) -> list[str]:
    """Writes the first rows of the embedded sample; returns the flags that name the files."""
    flags = []
    for split, part in (("train", count), ("validation", count // 5), ("test", count // 3)):
        path = folder / f"{split}.jsonl"
        rows = sample_intents()[split][:part]
        path.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
        flags += [f"--{split}-file", str(path)]
    return flags


def _same_file(folder: Path, name: str) -> bool:
    paths = [folder / run / name for run in ("streamed_limited", "whole_unlimited")]
    return all(p.is_file() for p in paths) and paths[0].read_bytes() == paths[1].read_bytes()


def _same_adapter(folder: Path) -> bool:
    return _same_file(folder, "adapter_model.safetensors")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--child"]:
        os.environ.setdefault("OMP_NUM_THREADS", "1")
        run_limited(int(sys.argv[2]) or None, sys.argv[3:])
    sys.exit(main())
