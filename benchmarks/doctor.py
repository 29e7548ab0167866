"""What `lowcost-ft doctor` finds: mistakes put into Banking77, WNUT-17 and the sample, by seed.

    python benchmarks/doctor.py DATA [--parts banking77 as_it_is entities] [--seeds 4 5 6]

DATA is a folder with `banking77/train.csv`, `banking77/test.csv` and `wnut17/train.conll`. The
results go into `benchmarks/doctor.json`. Settings of the doctor were chosen on seeds 0 to 3, which
are not scored here. cleanlab is compared with, and must be installed.
"""

import argparse
import csv
import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

from lowcost_ft.config.settings import DEFAULT_MODEL_ID
from lowcost_ft.doctor.checked_data import CheckedData, read_data
from lowcost_ft.doctor.examination import Examination, examine
from lowcost_ft.doctor.folds import deal_folds, held_out_probabilities
from lowcost_ft.doctor.mending import mend
from lowcost_ft.doctor.wrong_labels import judge_classes
from lowcost_ft.frozen.embedding import Embedder, load_embedder

RESULTS = Path(__file__).parent / "doctor.json"
NOISE = (("uniform", 0.1), ("uniform", 0.2), ("similar", 0.1))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--parts", nargs="+", default=["banking77", "as_it_is", "entities"])
    parser.add_argument("--seeds", nargs="+", type=int, default=[4, 5, 6])
    options = parser.parse_args()
    results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else {}
    for part in options.parts:
        if part == "entities":
            from doctor_entities import entity_results

            results[part] = entity_results(options.data, options.seeds)
        else:
            run = {"banking77": noisy_banking77, "as_it_is": banking77_as_it_is}[part]
            results[part] = run(options.data / "banking77", options.seeds)
        results["versions"] = {"python": platform.python_version()}
        RESULTS.write_text(json.dumps(results, ensure_ascii=False, indent=1) + "\n", "utf-8")


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


def noisy_banking77(folder: Path, seeds: list[int]) -> dict[str, Any]:
    """Labels replaced at random, or by the most similar class, by seed."""
    texts, labels = read_csv(folder / "train.csv")
    test_texts, test_labels = read_csv(folder / "test.csv")
    embedder = load_embedder(DEFAULT_MODEL_ID)
    states, test_states = embedder.texts(texts), embedder.texts(test_texts)
    clean = head_accuracy(states, labels, test_states, test_labels)
    runs = []
    for seed in seeds:
        for kind, share in NOISE:
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
            runs.append(run)
            print(json.dumps(run), file=sys.stderr, flush=True)
    return {"head": "logistic regression on frozen embeddings, C=10", "runs": runs}


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


def banking77_as_it_is(folder: Path, seeds: list[int]) -> dict[str, Any]:
    """The whole doctor on the data as published: its time, what it flags, what `--fix` costs."""
    begin = time.perf_counter()
    cpu = time.process_time()
    files = {"train": str(folder / "train.csv"), "test": str(folder / "test.csv")}
    found = examine(files, model_id=DEFAULT_MODEL_ID, max_length=128)
    seconds, cpu_seconds = time.perf_counter() - begin, time.process_time() - cpu
    rows = found.data.train.rows
    doubted = [one for one in found.findings if one.kind == "wrong_label"]
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
    embedder = load_embedder(DEFAULT_MODEL_ID)
    test_texts, test_labels = read_csv(folder / "test.csv")
    test_states = embedder.texts(test_texts)
    texts, labels = read_csv(folder / "train.csv")
    mended, changes = mend(found)
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "findings": {f"{one.kind} ({one.severity})": len(one.rows) for one in found.findings},
        "flagged": sum(len(finding.rows) for finding in doubted),
        "changed": sum(change["change"] == "replace" for change in changes),
        "left_out": sum(change["change"] == "drop" for change in changes),
        "accuracy": {
            "as_it_is": accuracy_of(embedder, texts, labels, test_states, test_labels),
            "fixed": accuracy_of(
                embedder,
                [row["text"] for row in mended],
                [row["category"] for row in mended],
                test_states,
                test_labels,
            ),
        },
        "top": top,
    }


def accuracy_of(
    embedder: Embedder, texts: list[str], labels: list[str], test: np.ndarray, truth: list[str]
) -> float:
    return head_accuracy(embedder.texts(texts), labels, test, truth)


if __name__ == "__main__":
    main()
