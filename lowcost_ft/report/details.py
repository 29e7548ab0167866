"""What lies behind a row: its classes, its confusions and its worst mistakes."""

import heapq
import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lowcost_ft.report.collect import Result
from lowcost_ft.report.numbers import count_text
from lowcost_ft.report.rows import Comparison, Row
from lowcost_ft.report.tables import Cell, Table
from lowcost_ft.scores.confusion import NO_ENTITY, NO_ENTITY_BESIDE_O
from lowcost_ft.scores.iob2 import tags_to_spans

__all__ = ["Confusion", "Mistake", "class_table", "confusion_of", "worst_predictions"]

_MATRIX_CLASSES = 16
_LISTED_CONFUSIONS = 20
_SHOWN_WORDS = 80
_SHOWN_CHARACTERS = 600

Piece = tuple[str, str]
"""Text and its label; an empty label for text that is part of no entity."""


def class_table(comparison: Comparison) -> Table | None:
    """Scores by class or entity type: F1 of each row, or precision, recall and F1 of a single one.

    Returns:
        The table, means over the seeds, the best F1 of each class in bold; None without scores.
    """
    scored = [(row, table) for row in comparison.rows if (table := _class_scores(row))]
    if not scored:
        return None
    names = list(dict.fromkeys(name for _, table in scored for name in table))
    support = {
        name: max(table[name]["support"] for _, table in scored if name in table) for name in names
    }
    tables = [r.table("evaluation", "test") for row, _ in scored for r in row.completed]
    kind = "entity type" if any("per_entity" in table for table in tables) else "class"
    rows = []
    for name in names:
        cells = [Cell(text=name), Cell(text=count_text(support[name]))]
        if len(scored) == 1:
            scores = scored[0][1][name]
            cells += [Cell(text=f"{scores[key]:.3f}") for key in ("precision", "recall", "f1")]
        else:
            values = [table.get(name, {}).get("f1") for _, table in scored]
            top = max((value for value in values if value is not None), default=None)
            cells += [
                Cell(text="" if value is None else f"{value:.3f}", best=bool(top) and value == top)
                for value in values
            ]
        rows.append(cells)
    shown = (
        ["precision", "recall", "F1"]
        if len(scored) == 1
        else [f"F1, {row.label}" for row, _ in scored]
    )
    return Table(columns=[kind, "in the test split", *shown], rows=rows)


def _class_scores(row: Row) -> dict[str, dict[str, float]]:
    """Mean precision, recall, F1 and support by class, over the runs that have them."""
    keys = ("precision", "recall", "f1", "support")
    sums: dict[str, list[dict[str, float]]] = {}
    for result in row.completed:
        for kind in ("per_entity", "per_class"):
            for name, scores in result.table("evaluation", "test", kind).items():
                if isinstance(scores, dict) and all(
                    isinstance(scores.get(key), int | float) for key in keys
                ):
                    sums.setdefault(name, []).append(scores)
    return {
        name: {key: sum(scores[key] for scores in all_) / len(all_) for key in keys}
        for name, all_ in sums.items()
    }


@dataclass(frozen=True, kw_only=True)
class Confusion:
    """The confusions, summed over a row's runs.

    Attributes:
        classes: Names of the matrix's rows and columns; empty where there are too many.
        matrix: `matrix[true][predicted]`: the count, and its share of the true class (0 to 1).
        listed: The most frequent mistakes: true, predicted, count, share of the true class.
    """

    classes: list[str]
    matrix: list[list[tuple[int, float]]]
    listed: list[tuple[str, str, int, float]]


def confusion_of(row: Row) -> Confusion | None:
    """The confusion of a row; None where its runs did not record any."""
    counts: Counter[tuple[str, str]] = Counter()
    for result in row.completed:
        for true, found in result.table("evaluation", "test", "confusion").items():
            if isinstance(found, dict):
                for predicted, count in found.items():
                    counts[true, predicted] += count if isinstance(count, int) else 0
    if not counts:
        return None
    spans = any(result.table("evaluation", "test", "per_entity") for result in row.results)
    none = NO_ENTITY_BESIDE_O if any(NO_ENTITY_BESIDE_O in pair for pair in counts) else NO_ENTITY
    shown = {none: "(none)"} if spans else {}
    totals: Counter[str] = Counter()
    for (true, _), count in counts.items():
        totals[true] += count
    listed = [
        (shown.get(true, true), shown.get(predicted, predicted), count, count / totals[true])
        for (true, predicted), count in counts.most_common()
        if true != predicted
    ][:_LISTED_CONFUSIONS]
    names = sorted({name for pair in counts for name in pair}, key=lambda n: (n in shown, n))
    if len(names) > _MATRIX_CLASSES:
        return Confusion(classes=[], matrix=[], listed=listed)
    matrix = [
        [(counts[true, found], counts[true, found] / max(totals[true], 1)) for found in names]
        for true in names
    ]
    return Confusion(
        classes=[shown.get(name, name) for name in names], matrix=matrix, listed=listed
    )


@dataclass(frozen=True, kw_only=True)
class Mistake:
    """A prediction that was wrong: the true and the predicted labels, in or beside the text."""

    loss: float
    true: list[Piece]
    predicted: list[Piece]
    text: str = ""


def worst_predictions(result: Result, count: int) -> list[Mistake] | None:
    """The wrong predictions with the highest loss.

    Returns:
        The worst first; None where there is no file of predictions, or it lacks truth and loss.
    """
    if result.predictions is None:
        return None
    rows = heapq.nlargest(count, _wrong(result.predictions), key=lambda row: float(row["loss"]))
    return [_mistake(row) for row in rows] or None


def _wrong(file: Path) -> Iterator[dict[str, Any]]:
    with open(file, encoding="utf-8", errors="replace") as lines:
        for line in lines:
            try:
                row = json.loads(line)
            except ValueError:
                continue
            if not isinstance(row, dict) or not isinstance(row.get("loss"), int | float):
                continue
            key = _truth_key(row)
            # A question may have several right answers, one of which costs nothing.
            if key and row["loss"] > 0 and row[f"true_{key}"] != row.get(key):
                yield row


def _truth_key(row: dict[str, Any]) -> str | None:
    """What a row predicts: it holds the truth under the same name with `true_` before it."""
    names = [name.removeprefix("true_") for name in row if name.startswith("true_")]
    known = (name for name in names if row[f"true_{name}"] is not None)
    # A number that is predicted stands under "score".
    return next((name for name in known if name in row or name == "label"), None)


def _mistake(row: dict[str, Any]) -> Mistake:
    if "tokens" in row:
        words = [str(word) for word in row["tokens"]]
        return Mistake(
            loss=row["loss"],
            true=_pieces(words, row["true_tags"]),
            predicted=_pieces(words, row["tags"]),
        )
    key = _truth_key(row)
    texts = [
        value
        for name, value in row.items()
        if isinstance(value, str) and name not in (key, "id") and not name.startswith("true_")
    ]
    return Mistake(
        loss=row["loss"],
        text=_short(" / ".join(texts), _SHOWN_CHARACTERS),
        true=[("", _label_text(row[f"true_{key}"]))],
        predicted=[("", _label_text(row.get(str(key), row.get("score"))))],
    )


def _label_text(label: Any) -> str:
    if isinstance(label, list):
        return ", ".join(map(str, label)) or "(none)"
    return f"{label:.4g}" if isinstance(label, float) else str(label)


def _pieces(words: list[str], tags: list[str]) -> list[Piece]:
    shown = words[:_SHOWN_WORDS]
    pieces: list[Piece] = []
    position = 0
    for start, end, label in tags_to_spans(tags[: len(shown)]):
        if start > position:
            pieces.append((" ".join(shown[position:start]), ""))
        pieces.append((" ".join(shown[start:end]), label))
        position = end
    rest = " ".join(shown[position:]) + " ..." * (len(words) > len(shown))
    return [
        (_short(text, _SHOWN_CHARACTERS), label) for text, label in [*pieces, (rest, "")] if text
    ]


def _short(text: str, length: int) -> str:
    return text if len(text) <= length else text[: length - 4] + " ..."
