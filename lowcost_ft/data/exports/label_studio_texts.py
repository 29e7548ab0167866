"""Which field of a task of Label Studio's is the text, and which results belong to it."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lowcost_ft.data.exports.annotated import is_offset, text_of
from lowcost_ft.data.exports.label_studio_results import is_relation, is_span
from lowcost_ft.data.known_names import TEXT_NAMES

__all__ = ["find_texts", "results_of_text"]

Result = Mapping[str, Any]


def find_texts(
    tasks: Sequence[tuple[Mapping[str, Any], Sequence[Result]]],
) -> tuple[str | None, dict[str, str]]:
    """The field of the data that is the text: the interface knows, but it is not in the export.

    Args:
        tasks: The data of each task, and the results of all of its annotations.

    Returns:
        The field that the spans' own texts stand in, else one with a usual name, if there is one;
        and for each name of a text in the interface that spans have, the field it shows.
    """
    names = [
        name
        for name in dict.fromkeys(name for data, _ in tasks for name in data)
        if all(isinstance(data.get(name), str | None) for data, _ in tasks)
        and any(text_of(data.get(name)) for data, _ in tasks)
    ]
    if len(names) < 2:
        return (names[0] if names else None), {}
    agreeing: dict[str, Counter[str]] = {}
    for data, results in tasks:
        for result in filter(is_span, results):
            counts = agreeing.setdefault(str(result.get("to_name", "")), Counter())
            value = result["value"]
            own, start, end = value.get("text"), value.get("start"), value.get("end")
            for name in names:
                text = data.get(name) or ""
                if isinstance(own, str) and is_offset(start) and is_offset(end) and own:
                    counts[name] += 1 + (text[start:end] == own) if own in text else 0
    shown = {to: counts.most_common(1)[0] for to, counts in agreeing.items() if counts}
    texts = {to: name for to, (name, number) in shown.items() if number}
    total = sum(agreeing.values(), Counter())
    if total and (most := total.most_common(1)[0])[1]:
        return most[0], texts
    return next((name for name in TEXT_NAMES if name in names), None), texts


def results_of_text(
    results: Sequence[Result],
    texts: Mapping[str, str],
    text: str | None,
    unused: Counter[str],
) -> list[Result]:
    """Results without spans of other texts, and without relations of these.

    Args:
        results: The results of one annotation.
        texts: What `find_texts` says of the names of texts.
        text: The field that is read.
        unused: Counts what is left out.
    """
    if set(texts.values()) <= {text}:
        return list(results)
    other = [
        result
        for result in results
        if is_span(result) and texts.get(str(result.get("to_name", "")), text) != text
    ]
    ids = {str(result.get("id")) for result in other}
    lost = [
        result
        for result in filter(is_relation, results)
        if ids & {str(result.get("from_id")), str(result.get("to_id"))}
    ]
    unused["spans of another text"] += len(other)
    unused["relations of another text"] += len(lost)
    left_out = {id(result) for result in [*other, *lost]}
    return [result for result in results if id(result) not in left_out]
