"""How many labels `lowcost-ft suggest` saves: rounds of labelling, simulated on labelled data.

    python benchmarks/label_curve.py DATA [--parts banking77 wnut17] [--seeds 0 1 2]

DATA is a folder with `banking77/train.csv`, `banking77/test.csv`, `wnut17/train.conll` and
`wnut17/test.conll`. All training rows are the pool. In each round --step rows are labelled, chosen
at random or as `lowcost-ft suggest` chooses; then a linear head on frozen states of MiniLM is
trained on all labelled rows and scored on the test split, accuracy for texts and strict entity F1
for sentences. Asked is after how many labels a choice reaches what 2,000 random ones give, by
linear interpolation between rounds. Results are added to `benchmarks/label_curve.json`; a run that
is there is not repeated. Embeddings are kept in --states. About 15 minutes on 2 quiet cores.
"""

import argparse
import json
import sys
import tempfile
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from label_tables import REFERENCE, label_lines

from lowcost_ft.config.settings import DEFAULT_MODEL_ID
from lowcost_ft.doctor.word_states import word_states
from lowcost_ft.frozen.embedding import load_embedder
from lowcost_ft.record.environment import git_state, hardware, versions
from lowcost_ft.scores.iob2 import tags_to_spans
from lowcost_ft.suggest.selection import choose_rows, choose_typical
from lowcost_ft.tasks.classification.uncertainty import unsure_of_classes
from lowcost_ft.tasks.loading import load_splits
from lowcost_ft.tasks.ner.uncertainty import unsure_of_entities

RESULTS = Path(__file__).parent / "label_curve.json"


@dataclass(frozen=True)
class Learner:
    """What is labelled, and what learns from it.

    Attributes:
        states: Embeddings of the pool's rows, by which they differ.
        fit: Given labelled rows of the pool, the test score, and a function that says of other rows
            of the pool how unsure it is of them.
    """

    states: np.ndarray
    fit: Callable[[np.ndarray], tuple[float, Callable[[np.ndarray], np.ndarray]]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path)
    parser.add_argument("--parts", nargs="+", default=list(PARTS), choices=list(PARTS))
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--step", type=int, default=200, help="rows labelled in a round")
    parser.add_argument("--states", type=Path, default=Path(tempfile.gettempdir()))
    options = parser.parse_args()
    for part in options.parts:
        learner: Learner | None = None
        for seed in options.seeds:
            for choice in ("random", "suggest"):
                results = json.loads(RESULTS.read_text("utf-8")) if RESULTS.exists() else []
                key = {"data": part, "seed": seed, "choice": choice, "step": options.step}
                if any(key.items() <= run.items() for run in results):
                    continue
                learner = learner or PARTS[part](options.data, options.states)
                run = key | {"curve": curve(learner, choice, seed, options.step)}
                run |= {"versions": versions(), "hardware": hardware(), "git": git_state()}
                print(json.dumps(key), run["curve"][-1], file=sys.stderr, flush=True)
                RESULTS.write_text(json.dumps([*results, run], indent=1) + "\n", "utf-8")
    print("\n".join(label_lines(json.loads(RESULTS.read_text("utf-8")))))


def curve(learner: Learner, choice: str, seed: int, step: int) -> list[tuple[int, float]]:
    """Numbers of labels, and the score after each round."""
    random = np.random.default_rng(seed)
    labelled = np.empty(0, np.int64)
    points: list[tuple[int, float]] = []
    unsure: Callable[[np.ndarray], np.ndarray] | None = None
    while len(labelled) < REFERENCE:
        rest = np.setdiff1d(np.arange(len(learner.states)), labelled)
        number = min(step, REFERENCE - len(labelled))
        if choice == "random":
            new = random.choice(len(rest), number, replace=False)
        elif unsure is None:
            new = choose_typical(learner.states[rest], number, seed=seed)
        else:
            new = choose_rows(learner.states[rest], unsure(rest), number, seed=seed)
        labelled = np.concatenate([labelled, rest[new]])
        score, unsure = learner.fit(labelled)
        points.append((len(labelled), round(score, 4)))
    return points


def kept(file: Path, make: Callable[[], np.ndarray]) -> np.ndarray:
    """An array that is kept in a file."""
    if not file.exists():
        np.save(file, make())
    found: np.ndarray = np.load(file)
    return found


def fitted(states: np.ndarray, classes: np.ndarray, iterations: int) -> Any:
    """A logistic regression, not always to the end."""
    from sklearn.linear_model import LogisticRegression

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return LogisticRegression(C=10, max_iter=iterations, tol=1e-4).fit(states, classes)


def banking77(data: Path, folder: Path) -> Learner:
    """Intents: a head on the embedding of each text."""
    splits = load_splits(
        "classification",
        train_file=str(data / "banking77/train.csv"),
        validation_file=str(data / "banking77/test.csv"),
    )
    embedder = load_embedder(DEFAULT_MODEL_ID)
    states, test = (
        kept(
            folder / f"label-curve-banking77-{name}.npy",
            partial(embedder.texts, [example.text for example in found]),
        )
        for name, found in (("train", splits.train), ("test", splits.validation))
    )
    classes, truth = (
        np.array([e.label for e in found]) for found in (splits.train, splits.validation)
    )

    def fit(rows: np.ndarray) -> tuple[float, Callable[[np.ndarray], np.ndarray]]:
        head = fitted(states[rows], classes[rows], 100)
        score = float((head.predict(test) == truth).mean())
        return score, lambda rest: unsure_of_classes(head.predict_proba(states[rest]))

    return Learner(states, fit)


def wnut17(data: Path, folder: Path) -> Learner:
    """Entities: a head on the states of each word, which gives its type."""
    splits = load_splits(
        "ner",
        train_file=str(data / "wnut17/train.conll"),
        validation_file=str(data / "wnut17/test.conll"),
    )
    texts = load_embedder(DEFAULT_MODEL_ID)
    states = kept(
        folder / "label-curve-wnut17-sentences.npy",
        lambda: texts.texts([" ".join(e.words) for e in splits.train]),
    )
    words = load_embedder(DEFAULT_MODEL_ID, words=True)
    of_words, of_test = (
        kept(
            folder / f"label-curve-wnut17-words-{name}.npy",
            partial(word_states, words, [example.words for example in found]),
        )
        for name, found in (("train", splits.train), ("test", splits.validation))
    )
    first = np.cumsum([0, *(len(e.words) for e in splits.train)])
    first_test = np.cumsum([0, *(len(e.words) for e in splits.validation)])
    types = np.array([tag.partition("-")[2] or "O" for e in splits.train for tag in e.tags or ()])
    truth = [
        {(n, *span) for span in tags_to_spans(e.tags or ())}
        for n, e in enumerate(splits.validation)
    ]

    def fit(rows: np.ndarray) -> tuple[float, Callable[[np.ndarray], np.ndarray]]:
        places = np.concatenate([np.arange(first[row], first[row + 1]) for row in rows])
        head = fitted(of_words[places], types[places], 50)
        found = [
            {(n, *span) for span in tags_to_spans(begun(head.predict(of_test[part])))}
            for n, part in enumerate(map(slice, first_test[:-1], first_test[1:]))
        ]
        right = sum(len(a & b) for a, b in zip(found, truth, strict=True))
        score = 2 * right / max(sum(map(len, found)) + sum(map(len, truth)), 1)

        def unsure(rest: np.ndarray) -> np.ndarray:
            doubts = []
            for row in rest:
                shares = head.predict_proba(of_words[first[row] : first[row + 1]])
                names = head.classes_[shares.argmax(1)]
                doubts.append(unsure_of_entities(begun(names), shares.max(1)))
            return np.array(doubts)

        return score, unsure

    return Learner(states, fit)


def begun(types: Sequence[str]) -> list[str]:
    """IOB2 tags of types: neighbours of one type are one entity."""
    tags, before = [], "O"
    for name in types:
        tags.append("O" if name == "O" else f"{'I' if name == before else 'B'}-{name}")
        before = name
    return tags


PARTS: dict[str, Callable[[Path, Path], Learner]] = {"banking77": banking77, "wnut17": wnut17}

if __name__ == "__main__":
    main()
