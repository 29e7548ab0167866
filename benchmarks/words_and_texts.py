"""The same weights scored as words, as texts and through the card's pipeline.

    python benchmarks/words_and_texts.py --before RUN... --after RUN... --data wnut17/test.conll

The runs are trained by `recipes/lora_ner.py`, one a seed; those of `--before` by an older version,
in the same order of seeds. A text is a sentence's words, joined by blanks. An entity counts when
its characters and its type are right, which for words is what strict IOB2 counts. The interval is a
bootstrap over the sentences: each draw takes the same sentences for every run, and the difference
is the mean over the seeds. The table goes to the screen, and all of it into a JSON file.
"""

import argparse
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from lowcost_ft.config.reading import reading_of
from lowcost_ft.pipeline.load_predictor import load_predictor
from lowcost_ft.pipeline.predictor import Predictor
from lowcost_ft.record.environment import git_state, hardware, versions
from lowcost_ft.record.reload_code import reload_code
from lowcost_ft.tasks.inputs import read_examples_file
from lowcost_ft.tasks.ner.tagging import tags_to_spans

Spans = set[tuple[int, int, str]]
"""Start, end and type, in characters of the text."""

WAYS = ("words", "text", "pipeline")
DRAWS = 2000
OUTPUT = Path(__file__).parent / "results" / "words" / "wnut17-test.json"


def true_spans(examples: Sequence[Any]) -> list[Spans]:
    found = []
    for example in examples:
        starts = np.cumsum([0, *(len(word) + 1 for word in example.words)])
        found.append(
            {
                (int(starts[start]), int(starts[end]) - 1, label)
                for start, end, label in tags_to_spans(example.tags)
            }
        )
    return found


def answered(answers: Sequence[dict[str, Any]]) -> list[Spans]:
    return [{(e["start"], e["end"], e["label"]) for e in a["entities"]} for a in answers]


def piped(folder: Path, run: dict[str, Any], texts: Sequence[str]) -> list[Spans]:
    """What the Python code of the model card answers."""
    # The folder is named where the code says "."; its example sentence is not asked for.
    code = re.sub(r"^print\(predict\(.*$", "", reload_code(run), flags=re.MULTILINE)
    namespace: dict[str, Any] = {}
    exec(code.replace('RUN = "."', f"RUN = {str(folder)!r}"), namespace)
    predict = namespace["predict"]
    return [{(e["start"], e["end"], e["entity_group"]) for e in predict(text)} for text in texts]


def counts(found: Sequence[Spans], true: Sequence[Spans]) -> np.ndarray:
    """Right, predicted and true entities of each sentence, `(sentences, 3)`."""
    pairs = zip(found, true, strict=True)
    return np.array([(len(f & t), len(f), len(t)) for f, t in pairs], np.float64)


def f1(sums: np.ndarray) -> np.ndarray:
    """F1 of sums of `counts`, over the last axis."""
    whole = sums[..., 1] + sums[..., 2]
    return np.where(whole > 0, 2 * sums[..., 0] / np.maximum(whole, 1), 0.0)


def interval(before: np.ndarray, after: np.ndarray, *, seed: int = 0) -> list[float]:
    """95% interval of the mean difference of F1; `(runs, sentences, 3)` each."""
    draw = np.random.default_rng(seed)
    size = before.shape[1]
    differences = []
    for _ in range(DRAWS):
        times = np.bincount(draw.integers(size, size=size), minlength=size).astype(np.float64)
        scores = [f1(np.einsum("rsc,s->rc", part, times)).mean() for part in (before, after)]
        differences.append(scores[1] - scores[0])
    return [round(float(q), 4) for q in np.quantile(differences, (0.025, 0.975))]


def measure(folder: Path, data: str, ways: Sequence[str]) -> tuple[dict[str, Any], dict[str, Any]]:
    """One run: what it scores in each way, and the counts behind it."""
    predictor: Predictor = load_predictor(folder, num_threads=1, keep_adapter=True)
    examples = labelled(predictor, data)
    texts = [" ".join(example.words) for example in examples]
    true = true_spans(examples)
    ask = {
        "words": lambda: answered(predictor.predict(examples)),
        "text": lambda: answered(predictor(texts)),
        "pipeline": lambda: piped(folder, predictor.run, texts),
    }
    found = {way: counts(ask[way](), true) for way in ways}
    scores = {way: round(float(f1(part.sum(0))), 4) for way, part in found.items()}
    run = predictor.run
    facts = {name: run.get(name) for name in ("seed", "file_words", "word_splitting", "git")}
    return facts | {"f1": scores}, found


def labelled(predictor: Predictor, path: str) -> list[Any]:
    return read_examples_file(
        "ner",
        path,
        reading=None,
        usual=reading_of(predictor.run["config"]),
        labelled=True,
        labels=predictor.task.labels,
        notices=[],
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--before", nargs="*", type=Path, default=[], help="runs of older code")
    parser.add_argument("--after", nargs="+", type=Path, required=True, help="runs of this code")
    parser.add_argument("--data", required=True, help="labelled file that the runs are scored on")
    parser.add_argument("--ways", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--output", type=Path, default=OUTPUT, help="JSON file to write")
    options = parser.parse_args()
    runs, found = {}, {}
    for kind in ("before", "after"):
        measured = [measure(run, options.data, options.ways) for run in getattr(options, kind)]
        runs[kind] = [facts for facts, _ in measured]
        for way in options.ways:
            found[kind, way] = np.array([parts[way] for _, parts in measured])
    if runs["before"] and [r["seed"] for r in runs["before"]] != [r["seed"] for r in runs["after"]]:
        parser.error("--before and --after must be runs of the same seeds, in the same order")
    differences = {}
    if runs["before"]:
        for way in options.ways:
            differences[f"{way}: after less before"] = (found["before", way], found["after", way])
    for way in options.ways[1:]:
        differences[f"after: {way} less {options.ways[0]}"] = (
            found["after", options.ways[0]],
            found["after", way],
        )
    compared: dict[str, Any] = {
        name: {
            "difference": round(float((f1(b.sum(1)) - f1(a.sum(1))).mean()), 4),
            "ci95": interval(a, b),
        }
        for name, (a, b) in differences.items()
    }
    print("| run | seed | " + " | ".join(options.ways) + " |")
    print("|" + "---|" * (len(options.ways) + 2))
    for kind, entries in runs.items():
        for entry in entries:
            shown = " | ".join(f"{entry['f1'][way]:.4f}" for way in options.ways)
            print(f"| {kind} | {entry['seed']} | {shown} |")
    for name, entry in compared.items():
        low, high = entry["ci95"]
        print(f"{name}: {entry['difference']:+.4f} ({low:+.4f} to {high:+.4f})")
    result = {
        "data": "/".join(Path(options.data).parts[-2:]),
        "draws": DRAWS,
        "versions": versions(),
        "hardware": hardware(),
        "git": git_state(),
        "runs": runs,
        "compared": compared,
    }
    options.output.write_text(json.dumps(result, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
