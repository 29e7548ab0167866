"""One messy export, from the doctor to a score: the story of docs/messy-export.md.

    python benchmarks/messy_export.py

600 messages of the sample become an export of Label Studio, into which every kind of mess is put
that `PUT_IN` lists; what was put in is known. `lowcost-ft doctor` looks at it and mends it. Then a
linear head on frozen embeddings (all-MiniLM-L6-v2) learns from the export as it is, from the mended
one and from the right labels, and is scored on the sample's test messages. It needs no data, and
leaves `messy_export.json` beside it (about 2 minutes on one core).
"""

import argparse
import contextlib
import csv
import io
import json
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np

from lowcost_ft.commands.main import main as lowcost_ft
from lowcost_ft.config.settings import DEFAULT_MODEL_ID
from lowcost_ft.data.sample import sample_intents
from lowcost_ft.frozen.embedding import load_embedder
from lowcost_ft.record.environment import git_state, versions

RESULTS = Path(__file__).parent / "messy_export.json"
MESSAGES = 600
PUT_IN = {
    "wrong_label": 60,
    "label_spelling": 40,
    "exact_duplicate": 30,
    "contradiction": 15,
    "leak": 20,
    "damaged_text": 12,
    "empty_text": 5,
}
"""Tasks with each kind of mess, by the kind of the finding that should name them."""
ANNOTATED_THRICE, NOT_ANNOTATED, CANCELLED = 40, 20, 5


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    sample = sample_intents()
    rows, test = sample["train"][:MESSAGES], sample["test"]
    tasks, put_in, leaked = messy_tasks(rows, test, np.random.default_rng(options.seed))
    with tempfile.TemporaryDirectory() as folder, contextlib.chdir(folder):
        Path("export.json").write_text(json.dumps(tasks, ensure_ascii=False, indent=1), "utf-8")
        with open("test.csv", "w", newline="", encoding="utf-8") as file:
            table = csv.DictWriter(file, ["text", "label"])
            table.writeheader()
            table.writerows(test)
        command = ["doctor", "export.json", "--test-file", "test.csv"]
        _, refused = run(*command, "--no-model")
        command += ["--annotations", "majority"]
        found, _ = run(*command, "--json", "--fix", "mended.jsonl")
        # What reading refuses must go in any case.
        kinds = "empty_text,unreadable_row"
        run(*command, "--no-model", "--kinds", kinds, "--fix", "as-it-is.jsonl")
        arms = {
            "as it is": read_lines("as-it-is.jsonl"),
            "mended": read_lines("mended.jsonl"),
            "right labels": rows,
        }
        changes = Counter(line["change"] for line in read_lines("mended.jsonl.changes.jsonl"))
    labelled = [task for task in tasks if counts(task)]
    findings = []
    for finding in json.loads(found)["findings"]:
        named = {labelled[r["row"] - 1]["id"] for r in finding["rows"] if r["file"] != "test.csv"}
        findings.append(
            {"kind": finding["kind"], "severity": finding["severity"], "rows": len(named)}
            | {"put_in": len(put_in.get(finding["kind"], ()))}
            | {"found": len(named & put_in.get(finding["kind"], set()))}
        )
    result = {
        "seed": options.seed,
        "tasks": len(tasks),
        "labelled": len(labelled),
        "put_in": {kind: len(ids) for kind, ids in put_in.items()},
        "refused": " ".join(refused.split()),
        "findings": findings,
        "changes": dict(changes),
        "arms": scores(arms, test, leaked),
        "git": git_state(),
        "versions": versions(),
    }
    RESULTS.write_text(json.dumps(result, ensure_ascii=False, indent=1) + "\n", "utf-8")
    print(json.dumps({k: result[k] for k in ("findings", "changes", "arms")}, indent=1))


def messy_tasks(
    rows: list[dict[str, Any]], test: list[dict[str, Any]], random: np.random.Generator
) -> tuple[list[dict[str, Any]], dict[str, set[int]], set[str]]:
    """An export, the ids of its tasks with each kind of mess, and the test texts that are in it."""
    names = sorted({row["label"] for row in rows})
    order = random.permutation(len(rows)).tolist()

    def take(number: int) -> list[int]:
        return [order.pop() for _ in range(number)]

    def another(label: str) -> str:
        return str(random.choice([name for name in names if name != label]))

    entries = [dict(row) for row in rows]
    put_in: dict[str, set[int]] = {}
    marked = [n for n in order if "'" in entries[n]["text"]][: PUT_IN["damaged_text"]]
    order = [n for n in order if n not in marked]
    for number in marked:
        curly = entries[number]["text"].replace("'", "\u2019")
        entries[number]["text"] = curly.encode().decode("cp1252")
    put_in["damaged_text"] = set(marked)
    put_in["wrong_label"] = set(take(PUT_IN["wrong_label"]))
    for number in put_in["wrong_label"]:
        entries[number]["label"] = another(entries[number]["label"])
    put_in["label_spelling"] = set(take(PUT_IN["label_spelling"]))
    for number in put_in["label_spelling"]:
        entries[number]["label"] = entries[number]["label"].replace("_", " ").capitalize()

    def add(kind: str, more: list[dict[str, Any]]) -> set[int]:
        first = len(entries)
        entries.extend(more)
        put_in[kind] = set(range(first, len(entries)))
        return put_in[kind]

    add("exact_duplicate", [dict(entries[n]) for n in take(PUT_IN["exact_duplicate"])])
    twice = take(PUT_IN["contradiction"])
    add(
        "contradiction",
        [{"text": entries[n]["text"], "label": another(entries[n]["label"])} for n in twice],
    )
    put_in["contradiction"] |= set(twice)
    leaks = [test[int(n)] for n in random.choice(len(test), PUT_IN["leak"], replace=False)]
    add("leak", leaks)
    add("empty_text", [{"text": " ", "label": names[0]} for _ in range(PUT_IN["empty_text"])])
    tasks = [task(number, entry["text"], [entry["label"]]) for number, entry in enumerate(entries)]
    for number in take(ANNOTATED_THRICE):
        right = entries[number]["label"]
        tasks[number] = task(number, entries[number]["text"], [right, another(right), right])
    for number in range(NOT_ANNOTATED + CANCELLED):
        given = [names[0]] if number < CANCELLED else []
        empty = task(len(tasks), f"Not labelled yet, message {number}.", given)
        for annotation in empty["annotations"]:
            annotation["was_cancelled"] = True
        tasks.append(empty)
    return tasks, put_in, {row["text"] for row in leaks}


def task(number: int, text: str, labels: list[str]) -> dict[str, Any]:
    """A task as Label Studio exports it, with an annotation by each of its annotators."""
    return {
        "id": number,
        "data": {"text": text},
        "annotations": [
            {"completed_by": annotator, "was_cancelled": False}
            | {"result": [choice(label)]}
            for annotator, label in enumerate(labels, 1)
        ],
    }  # fmt: skip


def choice(label: str) -> dict[str, Any]:
    names = {"from_name": "intent", "to_name": "text", "type": "choices"}
    return names | {"value": {"choices": [label]}}


def counts(one: dict[str, Any]) -> bool:
    """Whether somebody has labelled a task."""
    return any(not annotation["was_cancelled"] for annotation in one["annotations"])


def run(*words: str) -> tuple[str, str]:
    """What a command prints to standard output and to standard error."""
    out, error = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(error):
        lowcost_ft(words)
    return out.getvalue(), error.getvalue()


def read_lines(file: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in Path(file).read_text("utf-8").splitlines()]


def scores(
    arms: dict[str, list[dict[str, Any]]], test: list[dict[str, Any]], leaked: set[str]
) -> dict[str, dict[str, Any]]:
    """Rows of each arm, and the accuracy of a linear head on test rows that leaked and others."""
    from sklearn.linear_model import LogisticRegression

    texts = list(dict.fromkeys(row["text"] for rows in [*arms.values(), test] for row in rows))
    place = {text: number for number, text in enumerate(texts)}
    states = load_embedder(DEFAULT_MODEL_ID).texts(texts)
    new = np.array([row["text"] not in leaked for row in test])
    found = {}
    for name, rows in arms.items():
        labels = [r["label"][0] if isinstance(r["label"], list) else r["label"] for r in rows]
        head = LogisticRegression(C=10, max_iter=1000)
        head.fit(states[[place[row["text"]] for row in rows]], labels)
        answers = head.predict(states[[place[row["text"]] for row in test]])
        right = answers == np.array([row["label"] for row in test])
        found[name] = {
            "rows": len(rows),
            "classes": len(set(labels)),
            "new": round(float(right[new].mean()), 4),
            "leaked": round(float(right[~new].mean()), 4),
            "new_rows": int(new.sum()),
            "leaked_rows": int((~new).sum()),
        }
    return found


if __name__ == "__main__":
    main()
