"""The texts of `--unlabelled-file`, as a run reads them."""

from typing import Any

from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.run_input import read_unlabelled_file
from lowcost_ft.pipeline.start import Run
from lowcost_ft.tasks import task_class

__all__ = ["unlabelled_examples"]


def unlabelled_examples(run: Run) -> list[Any]:
    """Reads examples without labels; blank ones are left out, and a notice counts them.

    Raises:
        UserError: The file cannot be read, or holds no text.
    """
    file = run.config.unlabelled_file
    if file is None:
        return []
    notices: list[str] = []
    found = read_unlabelled_file(run.record, file, notices=notices)
    kind = task_class(run.config.task)
    present = [example for example in found if not kind.is_blank(example)]
    if not present:
        raise UserError(f"--unlabelled-file {file}: holds no text")
    for notice in notices:
        run.say(f"note: {notice}")
    blank = len(found) - len(present)
    left_out = f" ({blank:,} blank ones left out)" if blank else ""
    run.say(f"data: {len(present):,} texts without labels{left_out}")
    return present
