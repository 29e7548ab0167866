"""Proves that a change of the code does not change a bit of what it computes.

    python benchmarks/same_bits.py                     # the working tree against HEAD
    python benchmarks/same_bits.py v1.0 --only ner-nf4,ner-resumed

Each run of `RUNS` happens twice with the same data, models and number of threads: in a git worktree
of the given commit, and in the working tree as it is, changes that are not committed included. Of
both, the weights, the predictions, the scores and the losses are compared by their SHA-256. The
exit code is 1 if anything differs or a run fails. Predicted memory is compared, too, but a
difference of it is only mentioned, and so is what only the newer side records. All runs together
take about three minutes on two cores.

Both sides are started as users start them, `python recipes/NAME.py FLAGS`, so that they may differ
in everything inside. Runs are forks of this process, so that libraries (but not this package) are
imported once. MiniLM must be on this machine, which `make test` sees to.
"""

import hashlib
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Annotated, Any

import tyro
from child_processes import fork, wait
from short_runs import RUNS, RunFailed, ShortRun, import_libraries, perform, prepare

ROOT = Path(__file__).resolve().parent.parent


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to compare."""

    commit: Annotated[str, tyro.conf.Positional] = "HEAD"
    """The commit that the working tree is compared with."""
    only: str | None = None
    """Comma-separated names of the runs. Default: all of them."""
    num_threads: int = 1
    """CPU threads of each process; of two numbers of threads the bits differ anyway."""
    jobs: int = 2
    """How many runs go on at the same time."""
    keep: bool = False
    """Keep the worktree and all run folders, and say where they are."""


def main(options: Options) -> int:
    """Returns 0 if all runs give the same bits, 1 if not, 2 for a mistake in the flags."""
    names = options.only.split(",") if options.only else list(RUNS)
    if unknown := [name for name in names if name not in RUNS]:
        print(f"--only {','.join(unknown)}: the runs are {', '.join(RUNS)}", file=sys.stderr)
        return 2
    asked = subprocess.run(
        ["git", "rev-parse", "--verify", "--quiet", f"{options.commit}^{{commit}}"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    if asked.returncode:
        print(f"{options.commit}: git knows no such commit", file=sys.stderr)
        return 2
    commit, started = asked.stdout.strip(), time.monotonic()
    with _scratch(keep=options.keep) as folder, _worktree(folder / "code", commit) as code:
        import_libraries(num_threads=options.num_threads)
        wait(fork(lambda: prepare(folder)))
        width = max(len(name) for name in names)
        print(f"{'run':{width}}  {'old':12}  {'new':12}  {commit[:12]} against the working tree")
        different = 0
        sides = {"old": code, "new": ROOT}
        for name, old, new in _both_sides(names, sides, folder, options.jobs):
            verdict, same = compare(old, new)
            different += not same
            hashes = f"{_short(old):12}  {_short(_as_far_as(old, new)):12}"
            print(f"{name:{width}}  {hashes}  {verdict}", flush=True)
        seconds, count = time.monotonic() - started, len(names)
        print(f"{count - different} of {count} runs gave the same bits, in {seconds:.0f} s")
    return int(bool(different))


# What is compared.


Fingerprint = dict[str, Any]
"""Hashes of the parts of a run."""


def fingerprint(folder: Path) -> Fingerprint:
    """SHA-256 of what a run computed; times, paths, versions and hardware are left out.

    Args:
        folder: The run folder.

    Returns:
        `weights`, `predictions`, `scores`, `losses` (by what is recorded of them), and `memory`,
        the predicted peak in bytes.
    """
    record = json.loads((folder / "run.json").read_text("utf-8"))
    weights = [folder / f"{name}.safetensors" for name in ("adapter_model", "model")]
    train = record["train"]
    numbers = ("final_loss", "best_epoch", "real_tokens", "padded_tokens")
    recorded = {name: train[name] for name in numbers}
    for name in ("loss_history", "validation_history"):
        fields = {field for point in train[name] for field in point} - {"seconds"}
        recorded |= {f"{name}.{f}": [point.get(f) for point in train[name]] for f in fields}
    found = {file.stem: file.read_bytes() for file in weights if file.exists()}
    return {
        "weights": _digest(b"".join(name.encode() + data for name, data in found.items())),
        "predictions": _digest((folder / "predictions.jsonl").read_bytes()),
        "scores": _digest(_canonical(record["evaluation"])),
        "losses": {name: _digest(_canonical(value)) for name, value in recorded.items()},
        "memory": str(train["predicted_peak_memory_bytes"]),
    }


def compare(old: Fingerprint, new: Fingerprint) -> tuple[str, bool]:
    """What to say of the two sides of a run, and whether they are the same."""
    sides = {"old": old, "new": new}
    if failed := [f"{label} {side['failed']}" for label, side in sides.items() if "failed" in side]:
        return f"FAILED: {'; '.join(failed)}", False
    told = ""
    if more := sorted(new["losses"].keys() - old["losses"].keys()):
        told += f" (recorded by the newer side alone: {', '.join(more)})"
    new = _as_far_as(old, new)
    parts = [part for part in old if old[part] != new.get(part)]
    if "memory" in parts:
        parts.remove("memory")
        told += f" (predicted memory: {old['memory']} -> {new['memory']} bytes)"
    return (f"DIFFERS: {', '.join(parts)}" if parts else "same") + told, not parts


def _as_far_as(old: Fingerprint, new: Fingerprint) -> Fingerprint:
    """The newer side without what the older one does not record."""
    if "failed" in old or "failed" in new:
        return new
    losses = {name: new["losses"][name] for name in old["losses"] if name in new["losses"]}
    return {**new, "losses": losses}


def _short(side: Fingerprint) -> str:
    """One hash for all parts of a run, shortened."""
    if "failed" in side:
        return "-"
    parts = {name: value for name, value in side.items() if name != "memory"}
    return _digest(_canonical(parts))[:12]


def _digest(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True).encode()


# How the runs are done.

Results = Iterator[tuple[str, Fingerprint, Fingerprint]]


def _both_sides(
    names: Sequence[str], sides: Mapping[str, Path], folder: Path, jobs: int
) -> Results:
    """Runs all, a few at a time; yields each name with its old and its new fingerprint."""
    waiting = [(name, side) for name in names for side in sides]
    found: dict[tuple[str, str], Fingerprint] = {}
    going_on: dict[int, tuple[str, str]] = {}
    while waiting or going_on:
        while waiting and len(going_on) < jobs:
            name, side = waiting.pop(0)
            work = partial(_work, RUNS[name], sides[side], folder, folder / side / name)
            going_on[fork(work)] = (name, side)
        process, _ = os.wait()
        name, side = going_on.pop(process)
        result = folder / side / name / "fingerprint.json"
        failed = {"failed": "broke, as printed above"}
        found[name, side] = json.loads(result.read_text()) if result.exists() else failed
        if (name, "old") in found and (name, "new") in found:
            yield name, found[name, "old"], found[name, "new"]


def _work(run: ShortRun, code: Path, shared: Path, folder: Path) -> None:
    try:
        found: Fingerprint = fingerprint(perform(run, code, shared, folder))
    except RunFailed as error:
        found = {"failed": str(error)}
    (folder / "fingerprint.json").write_text(json.dumps(found))


@contextmanager
def _scratch(*, keep: bool) -> Iterator[Path]:
    folder = Path(tempfile.mkdtemp(prefix="same-bits-"))
    try:
        yield folder
    finally:
        if keep:
            print(f"the worktree and the run folders are in {folder}")
            print(f"to remove them: git worktree remove --force {folder}/code; rm -r {folder}")
        else:
            shutil.rmtree(folder, ignore_errors=True)
            subprocess.run(["git", "worktree", "prune"], cwd=ROOT, check=False)


@contextmanager
def _worktree(folder: Path, commit: str) -> Iterator[Path]:
    """The files of a commit, in a folder that git forgets with its files."""
    command = ["git", "worktree", "add", "--quiet", "--detach", str(folder), commit]
    subprocess.run(command, cwd=ROOT, check=True)
    yield folder


if __name__ == "__main__":
    sys.exit(main(tyro.cli(Options, description=__doc__)))
