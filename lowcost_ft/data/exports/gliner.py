"""GLiNER's JSON: words, and spans over them -> inputs with annotations."""

from collections.abc import Mapping, Sequence
from itertools import accumulate, pairwise
from typing import Any

from lowcost_ft.data.exports.annotated import Annotated, Annotation, ExportError, is_offset, text_of
from lowcost_ft.data.known_names import GLINER_SPANS
from lowcost_ft.data.rows import Row, shown

__all__ = ["is_gliner", "read_gliner", "read_inputs"]

_NOT_KEPT = ("tokenized_text", "relations", GLINER_SPANS)


def is_gliner(values: Mapping[str, Any]) -> bool:
    """Whether a row holds words as GLiNER names them."""
    return isinstance(values.get("tokenized_text"), list)


def read_inputs(rows: Sequence[Row]) -> list[Annotated]:
    """The words, joined by blanks as `text`, too, and the fields that are not GLiNER's.

    Raises:
        ExportError: A row has none.
    """
    read = [(row, _words(row.values)) for row in rows]
    return [
        Annotated(Row(_kept(row) | {"tokens": words, "text": " ".join(words)}, row.source))
        for row, words in read
    ]


def read_gliner(rows: Sequence[Row], *, problems: list[str]) -> list[Annotated]:
    """Reads rows: their words joined by blanks as `text`, with `entities` and `relations`.

    Where no two spans of the file share a word, the words with their tags stand beside them, so
    that no word is cut anew.

    Args:
        rows: The rows of one file.
        problems: Gets a line for each row that cannot be read.
    """
    read, tagged = [], True
    for row in rows:
        try:
            words = _words(row.values)
            spans = _spans(row.values.get(GLINER_SPANS), len(words))
            links = _links(row.values.get("relations"), len(spans))
        except ExportError as error:
            problems.append(f"{row.source}: {error}")
            continue
        ordered = sorted(spans)
        tagged &= all(before[1] < after[0] for before, after in pairwise(ordered))
        read.append((row, words, spans, links))
    related = any("relations" in row.values for row, *_ in read)
    found = []
    for row, words, spans, links in read:
        kept, text = _kept(row), " ".join(words)
        starts = list(accumulate((len(word) + 1 for word in words), initial=0))
        values: dict[str, Any] = {
            "entities": [
                {
                    "id": f"T{number}",
                    "start": starts[first],
                    "end": starts[last] + len(words[last]),
                    "label": label,
                }
                for number, (first, last, label) in enumerate(spans, 1)
            ]
        }
        if related:
            values["relations"] = [
                {"head": f"T{head + 1}", "tail": f"T{tail + 1}", "label": label}
                for head, tail, label in links
            ]
        kept |= {"text": text}
        if tagged:
            kept["tokens"] = words
            values["tags"] = _tags(len(words), spans)
        found.append(Annotated(Row(kept, row.source), (Annotation("", values),)))
    return found


def _kept(row: Row) -> dict[str, Any]:
    return {name: value for name, value in row.values.items() if name not in _NOT_KEPT}


def _words(values: Mapping[str, Any]) -> list[str]:
    words = values.get("tokenized_text")
    if not isinstance(words, list) or not words or not all(isinstance(w, str) for w in words):
        told = "holds no words" if words == [] else f"is {shown(words)}, not a list of words"
        raise ExportError(f'"tokenized_text" {told}; correct it, or delete the row')
    return words


def _spans(value: Any, number: int) -> list[tuple[int, int, str]]:
    if not isinstance(value, list | None):
        raise ExportError(f"the spans are {shown(value)}, not a list")
    found = []
    for item in value or ():
        first, last, label = _three(item)
        if not is_offset(first) or not is_offset(last) or text_of(label) is None:
            raise ExportError(f"the span {shown(item)} must be [first, last, label]; correct it")
        if not 0 <= first <= last < number:
            raise ExportError(
                f"the span {shown(item)} does not lie in the row's {number} words, which count "
                f"from 0 (the last one is inside the span); correct it"
            )
        found.append((first, last, label))
    return found


def _three(item: Any) -> tuple[Any, Any, Any]:
    return tuple(item) if isinstance(item, list) and len(item) == 3 else (None, None, None)


def _links(value: Any, number: int) -> list[tuple[int, int, str]]:
    if not isinstance(value, list | None):
        raise ExportError(f'"relations" is {shown(value)}, not a list')
    found = []
    for item in value or ():
        head, tail, label = _three(item)
        ends = [end for end in (head, tail) if is_offset(end) and 0 <= end < number]
        if len(ends) < 2 or text_of(label) is None:
            raise ExportError(
                f"the relation {shown(item)} must be [head, tail, label], with the numbers of two "
                f"of the row's {number} spans, which count from 0; correct it"
            )
        found.append((head, tail, label))
    return found


def _tags(number: int, spans: Sequence[tuple[int, int, str]]) -> list[str]:
    tags = ["O"] * number
    for first, last, label in spans:
        tags[first : last + 1] = [f"B-{label}"] + [f"I-{label}"] * (last - first)
    return tags
