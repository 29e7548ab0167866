"""Whether `lowcost-ft audit` finds a bias that was planted, and none where there is none.

    python benchmarks/audit.py

Trains MiniLM with LoRA on messages of the sample, each with a sentence in front that names
somebody. A share of the labels is set to "complaint": in planted runs those of messages by
one group of names, in the others as many by anybody. Test messages have their own labels and random
names. Each run is audited with all lists of the package. The NER sample as it is gives the example
of `docs/audit.md`. What is in `benchmarks/audit.json` already is not run again.
"""

import contextlib
import io
import json
import random
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import tyro

import lowcost_ft as ft
from lowcost_ft.audit.audits import AuditOptions, audit
from lowcost_ft.audit.groups import Attribute, packaged_attributes
from lowcost_ft.data.sample import sample_entity_messages, sample_intents
from lowcost_ft.pipeline.run_input import read_labelled_file
from lowcost_ft.record.environment import versions
from lowcost_ft.record.run_file import write_json

FILE = Path(__file__).resolve().parent / "audit.json"
ATTRIBUTES = {one.name: one for one in packaged_attributes()}
PLANTED = {"gender of names": "female", "origin of names": "Arabic"}
"""Attribute -> the group that is tied to a class."""
CLASS = "complaint"
RELABELLED = 0.7
"""Share of the group's messages that get the class."""
EXAMPLE, EXAMPLE_TEXTS = "origin of names", 60
"""What docs/audit.md shows of the NER sample."""
SENTENCES = ("My name is {}.", "{} here.", "This is {}.", "I am {}.")


@dataclass(frozen=True, kw_only=True)
class Arguments:
    """How much is run."""

    planted_seeds: int = 3
    """Runs with each planted bias."""
    null_seeds: int = 20
    """Runs without one; the attributes take turns."""
    train_rows: int = 1000
    """Messages of training and validation."""
    test_rows: int = 60
    """Messages of the audit."""
    layers: int = 6
    """Lowest layers of MiniLM that the audited runs have; a single one learns next to nothing."""
    example_run: Path | None = None
    """A run of the NER sample (`recipes/lora_ner.py` as it is) for the example of the
    documentation. Default: it is trained."""
    file: Path = FILE
    """Where results go."""


def named(rows: list[dict[str, Any]], attribute: Attribute, seed: int) -> list[dict[str, Any]]:
    """Messages with a sentence in front, by somebody of a random group."""
    draw = random.Random(seed)
    groups = list(attribute.groups)
    found = []
    for row in rows:
        group = draw.choice(groups)
        sentence = draw.choice(SENTENCES).format(draw.choice(attribute.words(group)))
        found.append({"text": f"{sentence} {row['text']}", "label": row["label"], "group": group})
    return found


def splits_of(name: str, seed: int, *, planted: bool, options: Arguments) -> dict[str, Any]:
    """Training and test messages."""
    draw, sample = random.Random(seed), sample_intents()
    test = draw.sample(sample["test"], min(options.test_rows, len(sample["test"])))
    attribute = ATTRIBUTES[name]
    train = named(draw.sample(sample["train"], options.train_rows), attribute, seed)
    of_group = [number for number, row in enumerate(train) if row["group"] == PLANTED[name]]
    among = of_group if planted else range(len(train))
    for number in draw.sample(list(among), int(RELABELLED * len(of_group))):
        train[number]["label"] = CLASS
    test = named(test, attribute, seed + 1)
    return {
        split: [{key: row[key] for key in ("text", "label")} for row in rows]
        for split, rows in {"train": train[:-100], "validation": train[-100:], "test": test}.items()
    }


def lowest_layers(count: int, folder: str) -> str:
    """MiniLM without its upper layers, in a folder."""
    from transformers import AutoModel, AutoTokenizer

    model = AutoModel.from_pretrained(ft.RunConfig.model_id)
    model.encoder.layer = model.encoder.layer[:count]
    model.config.num_hidden_layers = count
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(ft.RunConfig.model_id).save_pretrained(folder)
    return folder


def train(config: ft.RunConfig, rows: dict[str, Any]) -> tuple[Path, ft.Data]:
    """Trains and saves a run, as a recipe does."""
    with ft.start_run(config) as run:
        data = ft.load_data(run, **rows)
        built = ft.build(run, data)
        trained = ft.train(run, built, data)
        folder = ft.save(run, built, data, trained, ft.evaluate(run, built, data, trained))
    return folder, data


def audited(config: ft.RunConfig, rows: dict[str, Any], seed: int) -> dict[str, Any]:
    """Trains, saves, loads and audits a run."""
    started = time.process_time()
    with contextlib.redirect_stdout(io.StringIO()):
        folder, data = train(config, rows)
    trained_seconds = time.process_time() - started
    predictor = ft.load_predictor(folder)
    found = audit(predictor, data.splits.test or [], None, AuditOptions(seed=seed))
    cpu = {"train": round(trained_seconds, 1), "all": round(time.process_time() - started, 1)}
    return found | {"cpu_seconds": cpu}


def one_run(name: str, seed: int, *, planted: bool, options: Arguments) -> dict[str, Any]:
    """A run, with or without a planted bias."""
    rows = splits_of(name, seed, planted=planted, options=options)
    with tempfile.TemporaryDirectory() as folder:
        config = ft.RunConfig(
            task="classification",
            model_id=lowest_layers(options.layers, f"{folder}/base"),
            output_dir=f"{folder}/run",
            num_train_epochs=6,
            early_stopping_patience=0,
            seed=seed,
            num_threads=1,
        )
        found = audited(config, rows, seed)
    comparisons = [
        {"attribute": attribute} | {key: one[key] for key in (*_KEPT, "found")}
        for attribute, told in found["attributes"].items()
        for one in told["comparisons"]
        if one["p"] is not None
    ]
    own = next(
        one
        for one in comparisons
        if one["attribute"] == name and PLANTED[name] in (one["group"], one["against"])
    )
    return {
        "attribute": name,
        "planted": planted,
        "layers": options.layers,
        "seed": seed,
        "accuracy": round(found["score"], 4),
        "comparisons": len(comparisons),
        "found": [one for one in comparisons if one["found"]],
        "of_planted_group": own,
        "flips": found["attributes"][name]["flips"],
        "cpu_seconds": found["cpu_seconds"],
    }


_KEPT = ("group", "against", "value", "difference", "ci95", "p_texts", "p_words", "p_corrected")


def example(folder: Path | None) -> dict[str, Any]:
    """The sample's tagger, audited on its test split."""
    with tempfile.TemporaryDirectory() as made:
        if folder is None:
            folder = Path(made) / "run"
            with contextlib.redirect_stdout(io.StringIO()):
                train(ft.RunConfig(task="ner", output_dir=str(folder), num_threads=1), {})
        test = Path(made) / "test.jsonl"
        lines = [json.dumps(row) + "\n" for row in sample_entity_messages()["test"]]
        test.write_text("".join(lines), "utf-8")
        predictor = ft.load_predictor(folder)
        examples = read_labelled_file(predictor.run, str(test), notices=[])
        shown = [ATTRIBUTES[EXAMPLE]]
        found = audit(predictor, examples, shown, AuditOptions(most_texts=EXAMPLE_TEXTS))
    for examples in found["examples"].values():
        for one in examples:
            one["source"] = one["source"].replace(str(test), test.name)
    return found


def main(options: Arguments) -> None:
    """Runs what is missing."""
    told: dict[str, Any] = {"versions": versions(), "runs": []}
    if options.file.exists():
        told = json.loads(options.file.read_text("utf-8"))
    if "example" not in told:
        told["example"] = example(options.example_run)
        write_json(options.file, told)
    names = list(PLANTED)
    wanted = [(name, seed, True) for seed in range(options.planted_seeds) for name in names]
    wanted += [(names[seed % len(names)], seed, False) for seed in range(options.null_seeds)]
    done = {(run["attribute"], run["seed"], run["planted"]) for run in told["runs"]}
    for name, seed, planted in wanted:
        if (name, seed, planted) in done:
            continue
        run = one_run(name, seed, planted=planted, options=options)
        told["runs"].append(run)
        write_json(options.file, told)
        print(name, seed, planted, len(run["found"]), run["of_planted_group"], flush=True)
        print(run["accuracy"], run["cpu_seconds"], flush=True)


if __name__ == "__main__":
    main(tyro.cli(Arguments, description=__doc__))
