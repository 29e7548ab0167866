"""What serving costs: throughput beside the usual server, many adapters at once, memory, start.

    python benchmarks/serving.py --output-dir build/serving

Trains short runs of MiniLM on the embedded sample (how fast they answer does not depend on how good
they are), then measures on loopback, one program at a time:

- single short texts from 32 clients, by `lowcost-ft serve` and by FastAPI with
  `transformers.pipeline` (`serving_peer.py`), each with all threads of the machine;
- six adapters on one base model: the time of six answers to one text beside the time of one answer
  by the same run served alone, and of six pipelines;
- the memory of their weights, at the recipes' rank of LoRA and at 16;
- many requests in a row: errors, and how the process grows;
- the time from the command to the page.

The clients are a process of their own (`serving_load.py`). Writes benchmarks/serving.json; `--parts
memory` measures the memory alone and leaves what else is there.
"""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import tyro

from lowcost_ft.record.environment import git_state, hardware, versions
from lowcost_ft.record.run_file import write_json

ROOT = Path(__file__).resolve().parent.parent
MODEL = "sentence-transformers/all-MiniLM-L6-v2"
SHORT = "Where is my parcel? It should have come on Monday."
SIXTEEN = "Please send the blue lamp to Jane Smith in Berlin by Friday"
"""16 tokens with those that mark its ends."""
LONG = " ".join([SIXTEEN] * 12)
RANKS = (None, 16)
"""Ranks of LoRA whose memory is measured; None is the recipes' own."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """How much is measured, and where the result goes."""

    output_dir: Path
    """Folder for the runs."""
    model_id: str = MODEL
    """Base model."""
    clients: int = 32
    """Clients at once."""
    requests: int = 3000
    """Requests for the throughput of each server."""
    soak_requests: int = 100_000
    """Requests in a row for errors and memory."""
    repeats: int = 200
    """Answers whose time is taken; the median counts."""
    port: int = 8765
    """Port on loopback."""
    parts: str = "answers,memory,soak"
    """Comma-separated parts."""
    output: Path = ROOT / "benchmarks" / "serving.json"
    """The result."""


def main(options: Options) -> None:
    """Measures the parts that are asked for, and keeps the others."""
    file = options.output
    result = json.loads(file.read_text("utf-8")) if file.is_file() else {}
    for name in options.parts.split(","):
        found = {"hardware": hardware(), "versions": versions(), "git": git_state()}
        result[name] = found | PARTS[name](options)
        write_json(file, result)


def answers(options: Options) -> dict[str, Any]:
    """Throughput beside the usual server, and the times of one answer and of six."""
    all_layers = [train(options, number, layers=None) for number in range(6)]
    top_layers = [train(options, number, layers=3) for number in range(6)]
    single = _classifier(all_layers)
    result: dict[str, Any] = {"clients": options.clients, "model_id": options.model_id}
    body = {"inputs": SHORT}
    with ours(options, single) as (url, process, started):
        result["seconds_to_the_page"] = started
        result["throughput"] = {"lowcost_ft": load(options, url, body, options.requests)}
        result["one_answer"] = {"16": answer_times(options, url, {"inputs": [SIXTEEN]})}
        result["one_answer"]["128"] = answer_times(options, url, {"inputs": [LONG]})
    with peer(options, single) as url:
        result["throughput"]["pipeline"] = load(options, url, body, options.requests)
    for name, runs, text in (
        ("all_layers_16", all_layers, SIXTEEN),
        ("top_3_128", top_layers, LONG),
    ):
        with ours(options, runs[0]) as (url, _, _):
            one = answer_times(options, url, {"inputs": [text]})
        with ours(options, *runs) as (url, process, _):
            names = [run.name for run in runs]
            six = answer_times(options, url, {"inputs": [text], "models": names})
            resident = psutil.Process(process.pid).memory_info().rss
        result[name] = {
            "one_answer_ms": one,
            "six_answers_ms": six,
            "ratio": six["median_ms"] / one["median_ms"],
            "resident_bytes": resident,
        }
    result["six_pipelines"] = json.loads(
        run_script("serving_peer.py", "six", *map(str, all_layers), SIXTEEN, str(options.repeats))
    )
    return result


def memory(options: Options) -> dict[str, Any]:
    """Bytes of six runs' weights in one server beside those of one, by the rank of LoRA."""
    found = {}
    for rank in RANKS:
        runs = [train(options, number, layers=None, rank=rank) for number in range(6)]
        own = json.loads((runs[0] / "run.json").read_text("utf-8"))["config"]["lora_r"]
        found[str(own)] = json.loads(run_script("serving_memory.py", *map(str, runs)))
    return {"ranks": found}


def soak(options: Options) -> dict[str, Any]:
    """Many requests in a row: errors, and the process's memory before and after."""
    single = _classifier([train(options, number, layers=None) for number in range(2)])
    body = {"inputs": SHORT}
    with ours(options, single) as (url, process, _):
        load(options, url, body, 2000)
        before = psutil.Process(process.pid).memory_info().rss
        found = load(options, url, body, options.soak_requests)
        after = psutil.Process(process.pid).memory_info().rss
    return found | {"resident_before": before, "resident_after": after}


PARTS: dict[str, Callable[[Options], dict[str, Any]]] = {
    "answers": answers,
    "memory": memory,
    "soak": soak,
}
"""Name of a part -> what measures it."""


def _classifier(runs: list[Path]) -> Path:
    return next(run for run in runs if "classification" in run.name)


def train(options: Options, number: int, *, layers: int | None, rank: int | None = None) -> Path:
    """A short run, a tagger or a classifier in turn; kept where it is there already."""
    kind = ("ner", "classification")[number % 2]
    folder = options.output_dir / f"{kind}-{number}-{layers or 'all'}{f'-r{rank}' if rank else ''}"
    if (folder / "run.json").is_file():
        return folder
    command = [sys.executable, str(ROOT / "recipes" / f"lora_{kind}.py"), "--max-steps", "3"]
    command += ["--model-id", options.model_id, "--output-dir", str(folder)]
    command += ["--seed", str(number), "--max-length", "128"]
    command += [] if layers is None else ["--trainable-layers", str(layers)]
    command += [] if rank is None else ["--lora-r", str(rank)]
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
    return folder


@contextmanager
def ours(options: Options, *runs: Path) -> Iterator[tuple[str, subprocess.Popen, float]]:
    """`lowcost-ft serve`: its address, its process, and after how many seconds the page came."""
    command = [sys.executable, "-m", "lowcost_ft", "serve", *map(str, runs)]
    command += ["--port", str(options.port), "--num-threads", str(os.cpu_count() or 1)]
    with running(command) as process:
        url, began = f"http://127.0.0.1:{options.port}", time.perf_counter()
        wait_for(f"{url}/", process)
        started = time.perf_counter() - began
        wait_for(f"{url}/ready", process)
        yield f"{url}/answers", process, started


@contextmanager
def peer(options: Options, run: Path) -> Iterator[str]:
    """FastAPI with `transformers.pipeline`: its address."""
    script = str(ROOT / "benchmarks" / "serving_peer.py")
    command = [sys.executable, script, "serve", str(run), str(options.port)]
    with running(command) as process:
        url = f"http://127.0.0.1:{options.port}"
        wait_for(f"{url}/health", process)
        yield f"{url}/"


@contextmanager
def running(command: list[str]) -> Iterator[subprocess.Popen]:
    """A process that is told to stop in the end."""
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        yield process
    finally:
        process.send_signal(signal.SIGTERM)
        process.wait(60)


def wait_for(url: str, process: subprocess.Popen) -> None:
    """Waits until an address answers with 200."""
    while process.poll() is None:
        try:
            with urllib.request.urlopen(url, timeout=5):
                return
        except OSError:
            time.sleep(0.05)
    raise RuntimeError(f"the server ended before {url} answered")


def load(options: Options, url: str, body: dict[str, Any], requests: int) -> dict[str, Any]:
    """What `serving_load.py` measures."""
    shown = json.dumps(body if url.endswith("/answers") else {"inputs": body["inputs"]})
    if url.endswith("/answers"):
        shown = json.dumps({"inputs": [body["inputs"]]})
    found: dict[str, Any] = json.loads(
        run_script("serving_load.py", url, shown, str(options.clients), str(requests))
    )
    return found


def answer_times(options: Options, url: str, body: dict[str, Any]) -> dict[str, Any]:
    """The times of answers to one client, one after the other."""
    return {
        name: value
        for name, value in json.loads(
            run_script("serving_load.py", url, json.dumps(body), "1", str(options.repeats))
        ).items()
    }


def run_script(name: str, *arguments: str) -> str:
    """The last line of what a script beside this one prints."""
    command = [sys.executable, str(ROOT / "benchmarks" / name), *arguments]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
    return done.stdout.strip().splitlines()[-1]


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
