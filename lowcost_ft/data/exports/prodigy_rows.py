"""Rows of Prodigy: who answered them, what their input is, and which are left out."""

from collections.abc import Mapping, Sequence
from typing import Any

from lowcost_ft.data.rows import Row, counted, file_of

__all__ = ["ANSWERS", "annotator", "input_of", "tell_left_out"]

ANSWERS = ("accept", "reject", "ignore")
_NOT_KEPT = {"answer", "tokens", "spans", "relations", "options", "accept", "label", "config"}


def annotator(values: Mapping[str, Any]) -> str | None:
    """Who answered a row, if it says."""
    who = values.get("_annotator_id") or values.get("_session_id")
    return None if who is None else str(who)


def input_of(row: Row) -> Row:
    """A row without its annotations and without what Prodigy adds."""
    kept = {name: v for name, v in row.values.items() if name not in _NOT_KEPT}
    return Row({name: v for name, v in kept.items() if not name.startswith("_")}, row.source)


def tell_left_out(out: Sequence[Row], notices: list[str]) -> None:
    """A notice about rows whose answer leaves them out; there is at least one."""
    counts = {name: sum(row.values.get("answer") == name for row in out) for name in ANSWERS}
    told = " and ".join(f'{count:,} "{name}"' for name, count in counts.items() if count)
    notices.append(
        f"{file_of(out[0].source)}: {counted(len(out), 'row')} left out, since the annotator's "
        f'"answer" is not "accept" ({told}), first {out[0].source}'
    )
