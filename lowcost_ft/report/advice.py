"""The answer to "which method should I use for my budget?", computed from the rows.

A difference counts as clear when a row's mean score lies outside the 95% interval of the better
row, or when it is more than other seeds explain: all rows have the same test set, so that only the
seeds' part of the interval stands between them there. Everything else is said to be no clear
difference, whatever the means are.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from lowcost_ft.report.labels import metric_name
from lowcost_ft.report.numbers import memory_text, score_text, seconds_text, speed_text
from lowcost_ft.report.rows import Comparison, Row

__all__ = ["Advice", "Budget", "advise", "not_clearly_worse"]


@dataclass(frozen=True, kw_only=True)
class Budget:
    """What to use from some amount of memory on.

    Attributes:
        at_least: Peak memory of the row, in bytes.
        below: Where the next better row begins, or None.
        row: What to use: of the rows that fit, the cheapest that is not clearly below the best.
    """

    at_least: float
    below: float | None
    row: Row

    @property
    def text(self) -> str:
        """The range of budgets, in words."""
        if self.below is None:
            return f"{memory_text(self.at_least)} or more"
        return f"{memory_text(self.at_least)} to {memory_text(self.below)}"


@dataclass(frozen=True, kw_only=True)
class Advice:
    """An answer.

    Attributes:
        headline: The answer in one sentence.
        reasons: What it rests on, a sentence each.
        budgets: What to use within each budget, the smallest first.
    """

    headline: str
    reasons: list[str]
    budgets: list[Budget]


def not_clearly_worse(row: Row, best: Row) -> bool:
    """Whether the best row's interval holds a row's mean score, and seeds explain the difference.

    `seed_error` is t times the standard deviation s of a seed; the difference of means over n and m
    seeds has the standard deviation s (1/n + 1/m)^(1/2).
    """
    if row is best or row.score is None or best.score is None:
        return row is best and row.score is not None
    if row.score < (best.interval[0] if best.interval else best.score):
        return False
    if best.seed_error is None:
        return True
    seeds = 1 / len(row.scores()) + 1 / len(best.scores())
    return best.score - row.score <= best.seed_error * math.sqrt(seeds)


def advise(comparison: Comparison, memory_budget: float | None = None) -> Advice:
    """Chooses among the rows that completed.

    Args:
        comparison: The rows.
        memory_budget: Bytes that there are; None for an answer by budget.
    """
    rows = [row for row in comparison.rows if row.completed]
    if memory_budget is not None:
        rows = [row for row in rows if row.memory is not None and row.memory <= memory_budget]
        if not rows:
            needed = [row.memory for row in comparison.rows if row.completed and row.memory]
            least = ""
            if needed:
                least = f"The smallest of them needs {memory_text(min(needed))}"
                # Both may be the same once they are rounded.
                least += f" ({min(needed):,.0f} bytes)."
            return Advice(
                headline=f"Nothing that was run fits {memory_text(memory_budget)}.",
                reasons=[least] if least else [],
                budgets=[],
            )
    if not rows:
        return Advice(headline="No run completed, so there is no answer.", reasons=[], budgets=[])
    scored = [row for row in rows if row.score is not None]
    if not scored:
        return _advise_by_speed(rows)
    others = sum(bool(row.completed) for row in comparison.rows) > len(scored)
    among = f" of what fits {memory_text(memory_budget)}" if memory_budget else ""
    return _advise_by_score(scored, metric_name(comparison.metric), others=others, among=among)


def _advise_by_score(rows: list[Row], metric: str, *, others: bool, among: str) -> Advice:
    best = max(rows, key=_score)
    if _score(best) <= 0:
        return Advice(
            headline="None of these methods has learned anything yet.",
            reasons=[
                f"The best {metric} on the test split is {_score(best):.3f}: train longer, and "
                "read the warnings that the runs printed."
            ],
            budgets=[],
        )
    equals = [row for row in rows if not_clearly_worse(row, best)]
    least, fastest = _cheapest_good_row(rows), _fastest(equals)

    def facts(row: Row) -> str:
        score = score_text(row.score, row.interval)
        return f"{metric} {score}, {memory_text(row.memory)}, {_speed(row)}"

    if len(rows) == 1:
        alone = f"Only {best.label} was run, so there is nothing to choose from."
        return Advice(
            headline=f"Use {best.label}: nothing else that was run fits." if others else alone,
            reasons=[f"{best.label}: {facts(best)}."],
            budgets=[],
        )
    reasons = []
    if least is best:
        reasons.append(f"{_capital(best.label)} scored highest{among}: {facts(best)}.")
    else:
        reasons.append(
            f"{_capital(least.label)} needs the least memory of all that are not clearly below the "
            f"best: {facts(least)}."
        )
        reasons.append(
            f"{_capital(best.label)} scored highest{among}: {facts(best)}. The difference from "
            f"{least.label}, {_score(best) - _score(least):.3f}, lies within the interval."
        )
    if len(devices := sorted({row.device for row in equals})) > 1:
        reasons.append(
            f"Which of these is fastest is unknown, because they ran on different CPUs "
            f"({' and '.join(devices)})."
        )
    elif fastest is not least and fastest is not best:
        reasons.append(f"{_capital(fastest.label)} is the fastest of these: {facts(fastest)}.")
    elif fastest is not least:
        reasons.append(f"{_capital(fastest.label)} is also the fastest of these.")
    elif len(equals) > 1:
        reasons.append(f"{_capital(least.label)} is also the fastest of these.")
    named = (least, best) if len(devices) > 1 else (least, best, fastest)
    alike = [row.label for row in equals if row not in named]
    if alike:
        reasons.append(f"Not clearly below the best either: {', '.join(alike)}.")
    if len(lengths := sorted({row.length for row in rows})) > 1:
        reasons.append(
            f"These did not train for the same time ({' and '.join(lengths)}): this explains "
            "part of the differences in score and in time."
        )
    if best.interval is None:
        reasons.append("No intervals were recorded: small differences may be chance.")
    elif best.seed_error is None:
        reasons.append(
            "There are too few seeds to know how much the seed changes a score: the intervals "
            "cover the test set only."
        )
    return Advice(
        headline=f"Use {least.label}.",
        reasons=reasons,
        budgets=_budgets(rows, _cheapest_good_row),
    )


def _advise_by_speed(rows: list[Row]) -> Advice:
    least, fastest = min(rows, key=_memory), _fastest(rows)
    reasons = [f"Least memory: {least.label}, {memory_text(least.memory)}, {_speed(least)}."]
    comparable = len({row.device for row in rows}) == 1
    if fastest is not least and comparable:
        reasons.append(
            f"Fastest: {fastest.label}, {memory_text(fastest.memory)}, {_speed(fastest)}."
        )
    return Advice(
        headline="These runs measured memory and speed, not quality: fit one to your device.",
        reasons=reasons,
        budgets=_budgets(rows, _fastest) if comparable else [],
    )


def _budgets(rows: Sequence[Row], choose: Callable[[Sequence[Row]], Row]) -> list[Budget]:
    """What to use from each amount of memory on at which the choice changes."""
    known = sorted((row for row in rows if row.memory is not None), key=_memory)
    choices = [(_memory(row), choose(known[: index + 1])) for index, row in enumerate(known)]
    steps = [
        (memory, row)
        for index, (memory, row) in enumerate(choices)
        if not index or row is not choices[index - 1][1]
    ]
    return [
        Budget(
            at_least=memory, below=steps[index + 1][0] if index + 1 < len(steps) else None, row=row
        )
        for index, (memory, row) in enumerate(steps)
    ]


def _cheapest_good_row(rows: Sequence[Row]) -> Row:
    best = max(rows, key=_score)
    return min((row for row in rows if not_clearly_worse(row, best)), key=_memory)


def _fastest(rows: Sequence[Row]) -> Row:
    return max(rows, key=lambda row: row.speed or 0.0)


def _speed(row: Row) -> str:
    """Tokens a second in the steps, and what had to be done before the first of them."""
    built = f" once its cache was built in {seconds_text(row.cache_seconds)}" * bool(
        row.cache_seconds
    )
    return speed_text(row.speed) + built


def _memory(row: Row) -> float:
    return row.memory if row.memory is not None else float("inf")


def _score(row: Row) -> float:
    return row.score if row.score is not None else -1.0


def _capital(text: str) -> str:
    return text[:1].upper() + text[1:]
