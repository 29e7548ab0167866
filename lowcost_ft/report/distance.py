"""How far each method is from full fine-tuning on the user's own data."""

from lowcost_ft.report.advice import not_clearly_worse
from lowcost_ft.report.labels import metric_name
from lowcost_ft.report.rows import Comparison, Row

__all__ = ["distances_from_full"]


def distances_from_full(comparison: Comparison) -> list[str]:
    """A sentence for each row that can be compared with full fine-tuning, the best score first.

    Only rows of the same model, batch size, text length and training length are compared.
    """
    told = []
    for row in comparison.rows:
        full = comparison.full(row)
        if full is None or full is row or row.setting("method") == "full":
            continue
        if row.score is not None and full.score is not None and full.score > 0:
            told.append(_distance(row, full, metric_name(comparison.metric)))
    return told


def _distance(row: Row, full: Row, metric: str) -> str:
    assert row.score is not None
    assert full.score is not None
    difference = row.score - full.score
    scores = f"{metric} {row.score:.3f} against {full.score:.3f}"
    label = row.label[:1].upper() + row.label[1:]
    if abs(difference) < 0.0005:
        return f"{label} scored the same as {full.label} here ({scores})."
    where = "above" if difference > 0 else "below"
    text = f"{label} is {abs(difference):.3f} {where} {full.label} here ({scores}): "
    worse, better = (row, full) if difference < 0 else (full, row)
    if not_clearly_worse(worse, better):
        return f"{text}no clear difference."
    if difference > 0:
        return f"{text}a clear difference."
    return f"{text}a clear difference, so full fine-tuning is worth its memory if you have it."
