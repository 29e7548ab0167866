"""What an annotator decided about a row in Prodigy: rows that were not accepted are left out."""

from collections import Counter
from collections.abc import Sequence

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.exports.prodigy import partial_problem
from lowcost_ft.data.rows import Row, column_names, counted, file_of

__all__ = ["accepted_rows"]

_ANSWERS = ("accept", "reject", "ignore")
_PRODIGY = {
    *("_input_hash", "_task_hash", "_session_id", "_view_id", "_annotator_id", "_timestamp"),
    *("_is_binary", "spans", "accept", "options", "entities", "label", "labels", "tags", "cats"),
}
"""What a row of Prodigy's has beside the answer. Without any of it the answer may be the label."""


def accepted_rows(
    rows: Sequence[Row], reading: ReadingOptions, *, problems: list[str], notices: list[str]
) -> list[Row]:
    """The rows without those whose `answer` is "reject" or "ignore".

    `answer` is Prodigy's where every value of it is one of Prodigy's and the rows hold an
    annotation beside it; a column that the user names is always data.

    Args:
        rows: Labelled rows of one split.
        reading: How they are read.
        problems: Gets a line where nothing is left.
        notices: Gets a line that counts what is left out.
    """
    names = column_names(rows)
    chosen = {
        *(reading.label_column, reading.tags_column, reading.text_column),
        *(reading.text_pair_column, reading.tokens_column),
    }
    answers = [row.values.get("answer") for row in rows]
    if (
        "answer" in chosen
        or not any(answers)
        or not all(answer is None or answer in _ANSWERS for answer in answers if answer != "")
        or _PRODIGY.isdisjoint(names)
    ):
        return list(rows)
    kept = [row for row in rows if row.values.get("answer") not in ("reject", "ignore")]
    counts = Counter(answer for answer in answers if answer in ("reject", "ignore"))
    if counts:
        first = next(row for row in rows if row.values.get("answer") in ("reject", "ignore"))
        told = " and ".join(f'{counts[name]:,} "{name}"' for name in _ANSWERS if counts[name])
        notices.append(
            f"{file_of(first.source)}: {counted(sum(counts.values()), 'row')} left out, since the "
            f'annotator\'s "answer" is not "accept" ({told}), first {first.source}'
        )
        if not kept:
            problems.append(
                f"{file_of(first.source)}: no row has been accepted by the annotator "
                f'("answer"); a file needs rows with "accept"'
            )
    if problem := partial_problem(kept):
        problems.append(problem)
    return kept
