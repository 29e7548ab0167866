"""Learning rates and ranks for tasks that write text: validation perplexity, LoRA beside full.

    python benchmarks/writing_rates.py ../shared/data
    python benchmarks/writing_rates.py ../shared/data --sets tico19 --arms lora:0.0016:64

SmolLM2-135M learns 1,000 rows of TICO-19 (English to French) or DailyDialog++ (replies) for one
epoch of 125 steps, a sixth of `generation.py`'s full run of TICO-19. An arm is METHOD:RATE, and
after it the rank, or settings such as `:trainable_layers=30`. One stands for what there is no
setting for: with `:b_ratio=RATIO` the rate is that of LoRA's A, and B has so many times as much
(LoRA+). What counts is the perplexity of 200 validation rows; nothing is generated, and test data
are not read. Results are added to `benchmarks/writing_rates.json`; what is there already is not run
again.
"""

import json
import tempfile
import time
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Annotated, Any

import generation
import tyro
from default_arms import rate_of, settings_of

import lowcost_ft as ft
from lowcost_ft.training.setup import set_num_threads

FILE = Path(__file__).resolve().parent / "writing_rates.json"
EVERY = 2
"""One of so many of the rows that `generation.py` draws is trained on."""


@dataclass(frozen=True, kw_only=True)
class Options:
    """What to try."""

    folder: Annotated[Path, tyro.conf.Positional]
    """Folder with tico19_en_fr and dailydialog_plusplus."""
    sets: str = "tico19,dailydialog"
    """Comma-separated sets."""
    arms: str = "lora:0.0008,lora:0.0016,lora:0.0032,full:0.00008,full:0.00016,full:0.00004"
    """Comma-separated arms."""
    seed: int = 0
    """Seed of the run."""
    threads: int = 1
    """CPU threads."""
    file: Path = FILE
    """The results."""


def perplexity(options: Options, name: str, arm: str) -> float:
    """Validation perplexity after training from the start."""
    method, rate, *more = arm.split(":")
    fields = settings_of(more, bare="lora_r")
    b_ratio = fields.pop("b_ratio", None)
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        rows = generation.drawn_rows(name, options.folder, folder)
        lines = Path(rows["train"]).read_text("utf-8").splitlines(keepends=True)
        Path(rows["train"]).write_text("".join(lines[::EVERY]), "utf-8")
        del rows["test"]
        changes: dict[str, Any] = {"method": method, **fields}
        config = replace(
            generation.config_of(name, rows, folder / "run"),
            learning_rate=float(rate),
            num_train_epochs=1,
            generated_validation_rows=0,
            resume=False,
            seed=options.seed,
            **changes,
        )
        with rate_of("lora_B", b_ratio, times=True), ft.start_run(config) as run:
            data = ft.load_data(run)
            built = ft.build(run, data)
            trained = ft.train(run, built, data)
    return trained.result.validation_history[-1]["perplexity"]


def main(options: Options) -> None:
    """Tries what is missing, and keeps each result at once."""
    set_num_threads(options.threads, local_processes=1)
    for name in options.sets.split(","):
        for arm in options.arms.split(","):
            key = {"set": name, "arm": arm, "seed": options.seed}
            if any(key.items() <= row.items() for row in _kept(options.file)):
                continue
            started = time.perf_counter()
            found = perplexity(options, name, arm)
            # Read again: another process may have added its own meanwhile.
            rows = [*_kept(options.file), key | {"perplexity": round(found, 4)}]
            rows.sort(key=lambda row: (row["set"], row["arm"], row["seed"]))
            lines = ",\n".join(json.dumps(row) for row in rows)
            options.file.write_text(f"[\n{lines}\n]\n", "utf-8")
            seconds = time.perf_counter() - started
            print(f"{name} {arm}: perplexity {found:.3f}, {seconds:.0f} s", flush=True)


def _kept(file: Path) -> list[dict[str, Any]]:
    return json.loads(file.read_text("utf-8")) if file.exists() else []


if __name__ == "__main__":
    main(tyro.cli(Options, description=__doc__))
