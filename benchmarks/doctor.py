"""What `lowcost-ft doctor` finds: mistakes put into Banking77, WNUT-17 and the sample, by seed.

    python benchmarks/doctor.py DATA [--parts banking77 as_it_is time entities] [--seeds 4 5 6]
    python benchmarks/doctor.py DATA --parts thorough thorough_entities --seeds 4

DATA is a folder with `banking77/train.csv`, `banking77/test.csv` and `wnut17/train.conll`. The
results go into `benchmarks/doctor.json`; a run that is there is not repeated. Embeddings are kept
in `--states`; the part `time` times the whole command without them. Settings of the doctor were
chosen on seeds 0 to 3, which are not scored here. cleanlab is compared with; install it first.
The parts `thorough` compare `--thorough` with its cheap sibling, on a part of the rows.
"""

import argparse
import csv
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from lowcost_ft.config.settings import DEFAULT_MODEL_ID
from lowcost_ft.doctor.adapters import AdapterSettings, adapter_probabilities
from lowcost_ft.doctor.checked_data import CheckedData
from lowcost_ft.doctor.examination import Examination, examine
from lowcost_ft.doctor.folds import deal_folds, held_out_probabilities
from lowcost_ft.doctor.mending import mend
from lowcost_ft.doctor.reading import read_data
from lowcost_ft.doctor.wrong_labels import judge_classes
from lowcost_ft.frozen.embedding import load_embedder

RESULTS = Path(__file__).parent / "doctor.json"
NOISE = (("uniform", 0.1), ("uniform", 0.2), ("similar", 0.1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--parts", nargs="+", default=["banking77", "as_it_is", "time", "entities"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[4, 5, 6])
    parser.add_argument(
        "--states", type=Path, default=Path(tempfile.gettempdir()) / "doctor-states"
    )
    options = parser.parse_args()
    options.states.mkdir(parents=True, exist_ok=True)
    for part in options.parts:
        if part == "entities":
            from doctor_entities import entity_runs

            runs = entity_runs(options.data, options.seeds, done=known_runs(part))
        elif part == "thorough_entities":
            from doctor_entities import thorough_entity_runs

            runs = thorough_entity_runs(options.data, options.seeds, done=known_runs(part))
        elif part == "thorough":
            runs = thorough_banking77(options.data / "banking77", options.seeds, known_runs(part))
        elif part == "banking77":
            runs = noisy_banking77(options.data / "banking77", options, known_runs(part))
        elif part == "as_it_is":
            runs = iter([banking77_as_it_is(options.data / "banking77", options.states)])
        else:
            runs = iter([whole_command(options.data / "banking77")])
        for run in runs:
            print(json.dumps(run)[:300], file=sys.stderr, flush=True)
            keep(part, run)


def known_runs(part: str) -> list[dict[str, Any]]:
    """Runs of a part that were made already."""
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    found: list[dict[str, Any]] = results.get(part, [])
    return found


def keep(part: str, run: dict[str, Any]) -> None:
    """Adds a run to the results; of parts without seeds the last one is kept."""
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    results[part] = [*results.get(part, []), run] if "seed" in run else [run]
    RESULTS.write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n", "utf-8")


def embedded(texts: list[str], file: Path) -> np.ndarray:
    """Embeddings of texts, kept in a file."""
    if not file.exists():
        np.save(file, load_embedder(DEFAULT_MODEL_ID).texts(texts))
    states: np.ndarray = np.load(file)
    return states


def read_csv(path: Path) -> tuple[list[str], list[str]]:
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return [row["text"] for row in rows], [row["category"] for row in rows]


def head_accuracy(
    states: np.ndarray, labels: list[str], test_states: np.ndarray, test_labels: list[str]
) -> float:
    """Test accuracy of the linear head on frozen embeddings, C=10."""
    from sklearn.linear_model import LogisticRegression

    head = LogisticRegression(C=10, max_iter=300, tol=1e-3).fit(states, labels)
    return round(float(head.score(test_states, test_labels)), 4)


def ranking(scores: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    """AUROC, and precision at the number of mistakes that were put in."""
    from sklearn.metrics import roc_auc_score

    worst = np.argsort(-scores, kind="stable")[: wrong.sum()]
    return {
        "auroc": round(float(roc_auc_score(wrong, scores)), 4),
        "precision": round(float(wrong[worst].mean()), 4),
    }


def noisy_banking77(
    folder: Path, options: argparse.Namespace, done: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """Labels replaced at random, or by the most similar class, by seed.

    The accuracy is that of the linear head on frozen embeddings.
    """
    texts, labels = read_csv(folder / "train.csv")
    test_texts, test_labels = read_csv(folder / "test.csv")
    states = embedded(texts, options.states / "train.npy")
    test_states = embedded(test_texts, options.states / "test.npy")
    clean = head_accuracy(states, labels, test_states, test_labels)
    made = {(run["noise"], run["share"], run["seed"]) for run in done}
    for seed in options.seeds:
        for kind, share in NOISE:
            if (kind, share, seed) in made:
                continue
            noisy, wrong = with_mistakes(states, labels, kind, share, seed)
            run: dict[str, Any] = {"noise": kind, "share": share, "seed": seed}
            run["cleanlab_self_confidence"] = ranking(self_confidence(states, noisy, seed), wrong)
            data = as_data(texts, noisy)
            begin = time.perf_counter()
            scores, findings = judge_classes(data, states, seed=seed)
            run["seconds"] = round(time.perf_counter() - begin, 1)
            run["doctor"] = ranking(scores.scores, wrong)
            flagged = np.array([row.place for row in findings[0].rows])
            run["flagged"] = len(flagged)
            run["flagged_precision"] = round(float(wrong[flagged].mean()), 4)
            run["flagged_recall"] = round(float(wrong[flagged].sum() / wrong.sum()), 4)
            mended, _ = mend(Examination(data, findings, scores))
            run["accuracy"] = {
                "clean": clean,
                "noisy": head_accuracy(states, noisy, test_states, test_labels),
                "fixed": head_accuracy(
                    states, [row["label"] for row in mended], test_states, test_labels
                ),
            }
            yield run


def thorough_banking77(
    folder: Path, seeds: list[int], done: list[dict[str, Any]]
) -> Iterator[dict[str, Any]]:
    """A head on frozen states beside adapters: the most similar class, one row of four."""
    texts, labels = (column[::4] for column in read_csv(folder / "train.csv"))
    states = load_embedder(DEFAULT_MODEL_ID).texts(texts)
    for seed in seeds:
        if any(run["seed"] == seed for run in done):
            continue
        noisy, wrong = with_mistakes(states, labels, "similar", 0.1, seed)
        data = as_data(texts, noisy)
        run: dict[str, Any] = {"rows": len(texts), "seed": seed}
        settings = AdapterSettings(model_id=DEFAULT_MODEL_ID, seed=seed)
        adapters = partial(adapter_probabilities, data, settings)
        for name, train in (("head", None), ("adapters", adapters)):
            begin = time.process_time()
            scores, findings = judge_classes(data, states, seed=seed, train=train)
            flagged = [row.place for finding in findings for row in finding.rows]
            run[name] = ranking(scores.scores, wrong) | {
                "flagged": len(flagged),
                "flagged_wrong": int(wrong[flagged].sum()),
                "cpu_seconds": round(time.process_time() - begin, 1),
            }
        yield run


def with_mistakes(
    states: np.ndarray, labels: list[str], kind: str, share: float, seed: int
) -> tuple[list[str], np.ndarray]:
    """Labels of which a share is replaced, and which are."""
    names, classes = np.unique(labels, return_inverse=True)
    random = np.random.default_rng(seed)
    chosen = random.permutation(len(labels))[: int(share * len(labels))]
    new = classes.copy()
    if kind == "uniform":
        new[chosen] = (new[chosen] + random.integers(1, len(names), len(chosen))) % len(names)
    else:
        means = np.stack([states[classes == i].mean(0) for i in range(len(names))])
        means /= np.linalg.norm(means, axis=1, keepdims=True)
        likeness = means @ means.T
        np.fill_diagonal(likeness, -1)
        new[chosen] = likeness.argmax(1)[new[chosen]]
    return names[new].tolist(), new != classes


def self_confidence(states: np.ndarray, labels: list[str], seed: int) -> np.ndarray:
    """What is compared with: cleanlab's ranking of out-of-fold probabilities of one such head."""
    from cleanlab.rank import get_label_quality_scores

    names, classes = np.unique(labels, return_inverse=True)
    folds = deal_folds(range(len(labels)), labels, seed=seed)
    probabilities = held_out_probabilities(states, classes, folds, num_classes=len(names))
    return 1 - get_label_quality_scores(classes, probabilities, method="self_confidence")


def as_data(texts: list[str], labels: list[str]) -> CheckedData:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "train.csv"
        with open(path, "w", newline="", encoding="utf-8") as file:
            table = csv.writer(file)
            table.writerow(["text", "label"])
            table.writerows(zip(texts, labels, strict=True))
        return read_data({"train": str(path)}, task="classification")


def banking77_as_it_is(folder: Path, kept: Path) -> dict[str, Any]:
    """The data as published: what is found, the labels most doubted, and what `--fix` costs."""
    files = {"train": str(folder / "train.csv"), "test": str(folder / "test.csv")}
    texts, labels = read_csv(folder / "train.csv")
    test_texts, test_labels = read_csv(folder / "test.csv")
    states = embedded(texts, kept / "train.npy")
    test_states = embedded(test_texts, kept / "test.npy")
    bare = examine(files, model_id=None, max_length=128)
    scores, doubted = judge_classes(bare.data, states, seed=0)
    found = Examination(bare.data, [*doubted, *bare.findings], scores)
    rows = found.data.train.rows
    top = [
        {
            "row": row.place + 1,
            "text": rows[row.place].values["text"],
            "given": rows[row.place].values["category"],
            "suggested": row.suggested,
            "score": round(row.score, 4),
        }
        for finding in doubted
        for row in finding.rows[:50]
    ]
    accuracy = {"as_it_is": head_accuracy(states, labels, test_states, test_labels)}
    for name, chosen in (("fixed", found), ("labels_fixed", replace(found, findings=doubted))):
        mended, changes = mend(chosen)
        gone = {change["row"] - 1 for change in changes if change["change"] == "drop"}
        left = np.array([place for place in range(len(rows)) if place not in gone])
        accuracy[name] = head_accuracy(
            states[left], [row["category"] for row in mended], test_states, test_labels
        )
    _, changes = mend(found)
    return {
        "findings": {f"{one.kind} ({one.severity})": len(one.rows) for one in found.findings},
        "flagged": sum(len(finding.rows) for finding in doubted),
        "changed": sum(change["change"] == "replace" for change in changes),
        "left_out": sum(change["change"] == "drop" for change in changes),
        "accuracy": accuracy,
        "top": top,
    }


def whole_command(folder: Path) -> dict[str, Any]:
    """The time of all checks, loading and embedding included, of training and test rows."""
    begin, cpu = time.perf_counter(), time.process_time()
    files = {"train": str(folder / "train.csv"), "test": str(folder / "test.csv")}
    examine(files, model_id=DEFAULT_MODEL_ID, max_length=128)
    return {
        "seconds": round(time.perf_counter() - begin, 1),
        "cpu_seconds": round(time.process_time() - cpu, 1),
        "load_average": round(os.getloadavg()[0], 1),
        "threads": torch.get_num_threads(),
        "python": platform.python_version(),
    }


if __name__ == "__main__":
    main()
