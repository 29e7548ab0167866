"""The texts of `--unlabelled-file`, as a run reads them."""

from collections.abc import Sequence
from typing import Any

from lowcost_ft.data.rows import without_blank_notices
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.run_input import read_unlabelled_file
from lowcost_ft.pipeline.start import Run
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.base import Task
from lowcost_ft.tasks.loading import Splits

__all__ = ["new_texts", "unlabelled_examples"]


def new_texts(kind: type[Task], given: Sequence[Any], splits: Splits, *, file: str) -> list[Any]:
    """The texts that occur in no split, each once.

    Args:
        kind: The class of the task.
        given: Examples without labels.
        splits: The labelled ones.
        file: Where the texts come from.

    Raises:
        UserError: There are none.
    """
    known = {
        _plain(kind, example)
        for name in ("train", "validation", "test")
        for example in getattr(splits, name) or ()
    }
    texts: dict[Any, Any] = {}
    for example in given:
        if (content := _plain(kind, example)) not in known:
            texts.setdefault(content, example)
    if not texts:
        raise UserError(
            f"--unlabelled-file {file}: all of its texts occur in the training, validation or test "
            "rows; give others"
        )
    return list(texts.values())


def _plain(kind: type[Task], example: Any) -> tuple[str, ...]:
    """The texts of an example without blanks, which words of a file and a text do not share."""
    return tuple("".join(text.split()) for text in kind.texts_of(example))


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
    for notice in without_blank_notices(notices):
        run.say(f"note: {notice}")
    blank = len(found) - len(present)
    left_out = f" ({blank:,} blank ones left out)" if blank else ""
    run.say(f"data: {len(present):,} texts without labels{left_out}")
    return present
