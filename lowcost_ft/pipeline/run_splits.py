"""Reads the data of a run by its settings."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Any

from lowcost_ft.config.reading import reading_of
from lowcost_ft.data.python_rows import Rows
from lowcost_ft.tasks.loading import Splits, load_splits

__all__ = ["load_run_splits", "without_test_rows"]

_READS_TEST: ContextVar[bool] = ContextVar("reads_test", default=True)


@contextmanager
def without_test_rows() -> Iterator[None]:
    """Inside the block no test rows are read, be they of a file, a dataset or the sample."""
    before = _READS_TEST.set(False)
    try:
        yield
    finally:
        _READS_TEST.reset(before)


def load_run_splits(
    config: Mapping[str, Any],
    rows: Mapping[str, Rows] | None = None,
    *,
    with_test: bool = True,
) -> Splits:
    """Reads and checks the data of a run.

    Args:
        config: The settings of the run, as `run.json` holds them.
        rows: Rows by split, instead of the files.
        with_test: Whether the test rows are read.

    Raises:
        UserError: The data have problems, all of which it names.
    """
    with_test = with_test and _READS_TEST.get()
    return load_splits(
        config["task"],
        train_file=config["train_file"],
        validation_file=config["validation_file"],
        test_file=config["test_file"] if with_test else None,
        dataset=config["dataset"],
        dataset_config_name=config["dataset_config_name"],
        rows=rows,
        reading=reading_of(config),
        validation_share=config["validation_share"],
        seed=config["seed"],
        with_test=with_test,
    )
