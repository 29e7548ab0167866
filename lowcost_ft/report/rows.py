"""Runs that differ in nothing but the seed, taken together, and the rows that are compared."""

import math
import statistics
from dataclasses import dataclass
from typing import Any, TypeGuard

from lowcost_ft.report.collect import Result
from lowcost_ft.report.labels import device, short_model, training_length, unusual_dropout

__all__ = ["Comparison", "Row", "main_metric"]


@dataclass(frozen=True, kw_only=True)
class Row:
    """The runs of one setting, one a seed.

    Attributes:
        label: What tells the setting from the others of its comparison.
        results: All its runs.
        metric: Name of the main score, or None where no run was scored.
        seed_error: 95% half-width of the score of one seed, for the seeds alone; None: not known.
    """

    label: str
    results: list[Result]
    metric: str | None
    seed_error: float | None = None

    @property
    def completed(self) -> list[Result]:
        """Its runs that ended as they should."""
        return [result for result in self.results if result.get("status") == "completed"]

    @property
    def status(self) -> str:
        """How its runs ended, in words; empty when all completed."""
        endings = [str(result.get("status")).replace("_", " ") for result in self.results]
        others = sorted({ending for ending in endings if ending != "completed"})
        if not others:
            return ""
        named = ", ".join(others)
        done = len(self.completed)
        return named if not done else f"{named} ({done} of {len(endings)} completed)"

    @property
    def device(self) -> str:
        """What it ran on."""
        return device(self.results[0])

    @property
    def model(self) -> str:
        """The pretrained model, without the folders of a path."""
        return short_model(str(self.results[0].get("model_id")))

    def setting(self, name: str) -> Any:
        """A field of the configuration, of the first run."""
        return self.results[0].get("config", name)

    def scores(self) -> list[float]:
        """The main test score of each run that has one."""
        return [score for score, _, _ in self._scored()]

    @property
    def score(self) -> float | None:
        """Mean of the scores."""
        scores = self.scores()
        return statistics.mean(scores) if scores else None

    @property
    def interval(self) -> tuple[float, float] | None:
        """95% interval of the mean score.

        The test set's part is the mean of the runs' bootstrap intervals, which all resample the
        same examples. The seeds' part is `seed_error` over the root of their number. The two are
        independent, and so are added as squares. None where a run recorded no interval.
        """
        scored = self._scored()
        if not scored or any(low is None or high is None for _, low, high in scored):
            return None
        mean = statistics.mean(score for score, _, _ in scored)
        seeds = (self.seed_error or 0.0) / math.sqrt(len(scored))
        below = statistics.mean(score - (low or 0.0) for score, low, _ in scored)
        above = statistics.mean((high or 0.0) - score for score, _, high in scored)
        lowest = -1.0 if main_metric(self.results[0]) in _CORRELATIONS else 0.0
        return (
            max(lowest, mean - math.hypot(below, seeds)),
            min(1.0, mean + math.hypot(above, seeds)),
        )

    def median(self, *keys: str) -> float | None:
        """Median of a number over the completed runs; over all of them if none completed."""
        numbers = [result.number(*keys) for result in self.completed or self.results]
        known = [number for number in numbers if number is not None]
        return statistics.median(known) if known else None

    @property
    def memory(self) -> float | None:
        """Bytes at the peak of a training step, as measured."""
        return self.median("train", "peak_memory_bytes")

    @property
    def speed(self) -> float | None:
        """Real tokens a second."""
        return self.median("train", "real_tokens_per_second")

    @property
    def cpu_share(self) -> float | None:
        """Share of the CPU time of its threads that it got (0 to 1); None on a GPU."""
        if any(r.get("train", "peak_memory_source") != "cpu_allocator" for r in self.completed):
            return None
        return self.median("train", "cpu_share")

    @property
    def training_seconds(self) -> float | None:
        """Seconds of all training steps, and of building the cache of frozen layers before them."""
        seconds = self.median("train", "seconds")
        return None if seconds is None else seconds + self.cache_seconds

    @property
    def cache_seconds(self) -> float:
        """Seconds that building the cache took; 0 without one."""
        return self.median("train", "cache_seconds") or 0.0

    @property
    def length(self) -> str:
        """How long it trained."""
        return training_length(self.results[0])

    @property
    def trained_share(self) -> float | None:
        """Share of the parameters that train."""
        trainable = self.median("parameters", "trainable")
        total = self.median("parameters", "total")
        return trainable / total if trainable is not None and total else None

    def seconds_to(self, target: float) -> list[float | None]:
        """Training seconds, cache building included, to a validation score, of each run.

        Scores are known at the ends of epochs. None where a run did not get there; runs that did
        not record the times are left out.
        """
        times: list[float | None] = []
        for result in self.completed:
            building = result.number("train", "cache_seconds") or 0.0
            scored = [
                (epoch.get(str(self.metric)), epoch.get("seconds"))
                for epoch in result.rows("train", "validation_history")
            ]
            known = [(x, s) for x, s in scored if _is_number(x) and _is_number(s)]
            if known:
                times.append(next((building + s for x, s in known if x >= target), None))
        return times

    def _scored(self) -> list[tuple[float, float | None, float | None]]:
        scored = []
        for result in self.completed:
            score = result.number("evaluation", "test", str(self.metric))
            if score is not None:
                ends = result.get("evaluation", "test", f"{self.metric}_ci95")
                usable = isinstance(ends, list) and len(ends) == 2 and all(map(_is_number, ends))
                low, high = ends if usable else (None, None)
                scored.append((score, low, high))
        return scored


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Rows on the same data and the same kind of device.

    CPUs are one kind: scores and memory do not depend on which. Speeds do, and are compared between
    rows of one CPU alone.

    Attributes:
        title: The data, and the device.
        metric: Name of the main score, or None where nothing was scored.
        rows: The best score first; then those without a score, the least memory first.
        notices: What limits the comparison.
    """

    title: str
    metric: str | None
    rows: list[Row]
    notices: list[str]

    @property
    def devices(self) -> list[str]:
        """What the completed rows ran on."""
        return sorted({row.device for row in self.rows if row.completed})

    def full(self, row: Row) -> Row | None:
        """The full fine-tuning that a row's costs are compared with.

        Of the same model, length of texts, examples a step, and length of training; with the same
        dropout and on the same device, if there is one.
        """

        def differs(other: Row) -> tuple[bool, bool]:
            dropouts = {unusual_dropout(one.results[0]) for one in (row, other)}
            return len(dropouts) > 1, other.device != row.device

        for other in sorted(self.rows, key=differs):
            alike = ("model_id", "max_length", "batch_size")
            if (
                other.setting("method") == "full"
                and other.completed
                and other.setting("trainable_layers") is None
                and not other.setting("gradient_checkpointing")
                and all(row.setting(name) == other.setting(name) for name in alike)
                and row.length == other.length
            ):
                return other
        return None


_CORRELATIONS = ("pearson", "spearman")
"""Scores that may be below 0."""


def main_metric(result: Result) -> str | None:
    """The score that training followed; older records tell it by its interval."""
    if isinstance(metric := result.get("metric"), str):
        return metric
    for split in ("test", "validation"):
        for name in result.table("evaluation", split):
            if name.endswith("_ci95"):
                return name.removesuffix("_ci95")
    return None


def _is_number(value: Any) -> TypeGuard[float]:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)
