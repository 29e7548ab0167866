"""Full fine-tuning against parameter-efficient methods: every run a process, every run.json kept.

    python benchmarks/compare_methods.py                                  # a few minutes
    python benchmarks/compare_methods.py --task ner --train-file train.conll --test-file test.conll
    python benchmarks/compare_methods.py --suite standard --data-dir DATA --only wnut17-lora
    lowcost-ft report runs/compare

Suites: `quick` trains on the embedded sample; `standard` and `relation` need a folder with the
public data sets that benchmarks/README.md describes; `gpu` makes models with random weights, for
memory and speed.
A run that is finished, or was out of memory, is skipped, so a suite can be stopped and taken up
again; delete its file to run it again. One that failed is tried again.
"""

import shlex
import sys
import tempfile
from dataclasses import dataclass, replace
from itertools import product
from pathlib import Path
from typing import Literal

import tyro
from one_run import Place, is_finished, other_settings, run_entry
from suites import METHODS, SUITES, Entry, own_entries

from lowcost_ft.errors import UserError
from lowcost_ft.screen import readers_may_leave

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results"


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to run, and where the results go."""

    suite: Literal["quick", "standard", "gpu", "relation"] = "quick"
    """What to run, unless you name data of your own."""
    only: str | None = None
    """Comma-separated names of what to run (see --list). Default: everything."""
    seeds: str | None = None
    """Comma-separated seeds. Default: 0,1,2 for the suites standard and relation, else 0."""
    list: bool = False
    """Print what would be run, and what is there already, and stop."""
    data_dir: Path | None = None
    """Folder with the public data sets of the suites standard and relation."""
    results_dir: Path | None = None
    """Where the results go. Default: runs/compare; for standard and gpu benchmarks/results, for
    relation a folder of that name in it."""
    task: Literal["ner", "classification"] | None = None
    """Task of your own data."""
    train_file: str | None = None
    """Your training file, in any format that the recipes read."""
    validation_file: str | None = None
    """Your validation file."""
    test_file: str | None = None
    """Your test file."""
    dataset: str | None = None
    """Or a dataset on the Hub, or a folder written by `datasets.save_to_disk`."""
    model_id: str | None = None
    """Pretrained model for the quick suite and your own data. Default: the recipe's."""
    num_train_epochs: int | None = None
    """Passes over your own data. Default: the recipe's."""
    max_length: int | None = None
    """Longest input in tokens, of your own data. Default: the recipe's."""
    num_threads: int | None = None
    """CPU threads of each run. Default: the recipe's."""


def main(options: Options) -> int:
    """Runs what is missing; returns 1 if a run failed, 2 for a mistake in the flags."""
    own = bool(options.train_file or options.dataset)
    entries, problems = _entries(options, own)
    committed = options.suite != "quick" and not own
    usual = RESULTS / "relation" if options.suite == "relation" else RESULTS
    results = options.results_dir or (usual if committed else Path("runs") / "compare")
    several = options.suite in ("standard", "relation") and not own
    seeds = (options.seeds or ("0,1,2" if several else "0")).split(",")
    problems += [
        f"--seeds {seed}: a whole number is needed" for seed in seeds if not seed.isdigit()
    ]
    needs_data = [entry.name for entry in entries if entry.files]
    if needs_data and not options.list and options.data_dir is None:
        problems.append(f"{needs_data[0]} needs --data-dir (see benchmarks/README.md)")
    for name in sorted({name for entry in entries for name in entry.files.values()}):
        if options.data_dir and not (options.data_dir / name).is_file():
            problems.append(f"--data-dir {options.data_dir} lacks {name}")
    if len(set(seeds)) < len(seeds):
        problems.append(f"--seeds {options.seeds}: one of them is named twice")
    if results.exists() and not results.is_dir():
        problems.append(f"--results-dir {results} is a file: name a folder")
    suite = "own" if own else options.suite
    if not problems:
        problems = _differing(entries, seeds, results, suite)
    if problems:
        print("\n".join(f"error: {problem}" for problem in problems), file=sys.stderr)
        return 2
    if options.list:
        _print_list(entries, seeds, results)
        return 0
    results.mkdir(parents=True, exist_ok=True)
    failed = []
    with tempfile.TemporaryDirectory(prefix="compare-methods-") as folder:
        place = Place(
            scratch=Path(folder),
            data_dir=options.data_dir,
            suite=suite,
            keep_predictions=not committed,
        )
        for seed, entry in product(seeds, entries):
            file = results / f"{entry.name}-seed{seed}.json"
            if is_finished(file):
                print(f"{file.name}: there already", flush=True)
                continue
            print(f"--- {entry.name}, seed {seed}", flush=True)
            status = run_entry(entry, int(seed), file, place)
            if status not in ("completed", "out_of_memory"):
                failed.append(f"{entry.name} seed {seed}")
    print(f"next:  lowcost-ft report {shlex.quote(str(results))}")
    if failed:
        print(f"failed: {', '.join(failed)}", file=sys.stderr)
    return 1 if failed else 0


def _entries(options: Options, own: bool) -> tuple[list[Entry], list[str]]:
    """What to run, and what is wrong with the flags."""
    problems = []
    names = ("validation_file", "test_file", "task", "num_train_epochs", "max_length")
    given = [name for name in names if getattr(options, name) is not None]
    if given and not own:
        flags = ", ".join("--" + name.replace("_", "-") for name in given)
        problems.append(f"{flags} go with data of your own: --train-file or --dataset")
    for name in ("train_file", "validation_file", "test_file"):
        path = getattr(options, name)
        if path is not None and not Path(path).exists():
            problems.append(f"--{name.replace('_', '-')} {path} does not exist")
    if options.num_threads is not None and options.num_threads < 1:
        problems.append(f"--num-threads {options.num_threads} is too small: it must be at least 1")
    if own and options.task is None:
        problems.append("--task ner or --task classification must say what your data is for")
    if options.model_id and not own and options.suite != "quick":
        problems.append(f"--model-id: the {options.suite} suite has its own models")
    passed = ("train_file", "validation_file", "test_file", "dataset", "num_train_epochs")
    flags_of_own = [
        part
        for name in (*passed, "max_length")
        if getattr(options, name) is not None
        for part in ("--" + name.replace("_", "-"), str(getattr(options, name)))
    ]
    entries = own_entries(options.task or "ner", flags_of_own) if own else SUITES[options.suite]
    common = []
    if options.model_id:
        common += ["--model-id", options.model_id]
    if options.num_threads:
        common += ["--num-threads", str(options.num_threads)]
    entries = [replace(entry, flags=(*entry.flags, *common)) for entry in entries]
    if options.only:
        wanted = options.only.split(",")
        # A method's name stands for the entry of the user's own data.
        wanted = [f"own-{name}" if own and name in METHODS else name for name in wanted]
        known = [entry.name for entry in entries]
        if unknown := [name for name in wanted if name not in known]:
            problems.append(f"unknown {', '.join(unknown)}; known: {', '.join(known)}")
        entries = [entry for entry in entries if entry.name in wanted]
    return entries, problems


def _differing(entries: list[Entry], seeds: list[str], results: Path, suite: str) -> list[str]:
    """Results that are in the way: those of other settings under the same name, and no results."""
    problems = []
    for seed, entry in product(seeds, entries):
        file = results / f"{entry.name}-seed{seed}.json"
        try:
            other = other_settings(file, entry, int(seed), suite)
        except UserError as error:
            problems.append(f"{error}, or delete the file")
            continue
        if other:
            problems.append(
                f"{file} is the result of other settings: {other}. Name another --results-dir, or "
                "delete the file"
            )
    return problems


def _print_list(entries: list[Entry], seeds: list[str], results: Path) -> None:
    for entry in entries:
        done = [s for s in seeds if is_finished(results / f"{entry.name}-seed{s}.json")]
        state = f"seeds {','.join(seeds)}" + (f", done {','.join(done)}" if done else "")
        shape = f", random weights of {entry.shape}" if entry.shape else ""
        print(f"{entry.name}  ({state})\n    {entry.program} {shlex.join(entry.flags)}{shape}")


if __name__ == "__main__":
    with readers_may_leave():
        code = main(tyro.cli(Options, description=__doc__))
    sys.exit(code)
