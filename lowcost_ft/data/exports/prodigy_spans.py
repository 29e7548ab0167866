"""Spans and relations of a row of Prodigy's, by characters or by tokens."""

from collections.abc import Mapping
from typing import Any

from lowcost_ft.data.exports.annotated import ExportError, is_offset, objects, text_of
from lowcost_ft.data.rows import shown

__all__ = ["UNMARKED", "read_relations", "read_spans"]

UNMARKED = "token"
"""The type of words that only a relation names."""


def read_spans(values: Mapping[str, Any]) -> list[dict[str, Any]]:
    """Entities of a row; offsets of characters are compared with those of its tokens.

    Raises:
        ExportError: A span has no place or label, or its two places differ.
    """
    tokens = objects(values.get("tokens"), "tokens")
    found: list[dict[str, Any]] = []
    for span in objects(values.get("spans"), "spans"):
        start, end = _place(span, tokens)
        label = text_of(span.get("label"))
        if label is None:
            raise ExportError(f"the span {start}..{end} has no label; give it one or delete it")
        entity = {"id": f"T{len(found) + 1}", "start": start, "end": end, "label": label}
        if text_of(span.get("text")):
            entity["text"] = span["text"]
        found.append(entity)
    return found


def _place(span: Mapping[str, Any], tokens: list[Mapping[str, Any]]) -> tuple[int, int]:
    start: Any = span.get("start")
    end: Any = span.get("end")
    by_tokens = None
    if tokens and span.get("token_start") is not None and span.get("token_end") is not None:
        by_tokens = _token_start(tokens, span["token_start"]), _token_end(tokens, span["token_end"])
    if start is None and end is None and by_tokens is not None:
        return by_tokens
    if not is_offset(start) or not is_offset(end):
        raise ExportError(
            f"the span {shown(span)} needs start and end, or token_start and token_end with tokens"
        )
    if by_tokens is not None and by_tokens != (start, end):
        raise ExportError(
            f"the span {start}..{end} is shifted: its tokens {span['token_start']} to "
            f"{span['token_end']} (inclusive) are the characters {by_tokens[0]}..{by_tokens[1]}; "
            f"correct one of the two, or delete token_start and token_end"
        )
    return start, end


def _token_start(tokens: list[Mapping[str, Any]], number: Any) -> int:
    return _token(tokens, number, "start")


def _token_end(tokens: list[Mapping[str, Any]], number: Any) -> int:
    return _token(tokens, number, "end")


def _token(tokens: list[Mapping[str, Any]], number: Any, edge: str) -> int:
    if not is_offset(number) or not 0 <= number < len(tokens):
        raise ExportError(
            f"token {shown(number)} is not one of the row's {len(tokens)} tokens, counted from 0"
        )
    offset = tokens[number].get(edge)
    if not is_offset(offset):
        raise ExportError(f'token {number} has no "{edge}" ({shown(tokens[number])})')
    assert isinstance(offset, int)
    return offset


def read_relations(
    values: Mapping[str, Any], entities: list[dict[str, Any]]
) -> list[dict[str, Any]]:
    """Relations of a row; spans that only a relation names are added to `entities`.

    Prodigy counts tokens: `head` and `child` are the last token of a span, which `head_span` and
    `child_span` hold in full; rows made by hand may name another token of it. The child is the tail
    of the relation.

    Raises:
        ExportError: An end is no token, or the relation has no label.
    """
    tokens = objects(values.get("tokens"), "tokens")
    found = []
    for relation in objects(values.get("relations"), "relations"):
        label = text_of(relation.get("label"))
        if label is None:
            raise ExportError(f"the relation {shown(relation)} has no label; give it one")
        ends = [_end(relation, side, tokens, entities) for side in ("head", "child")]
        found.append({"head": ends[0], "tail": ends[1], "label": label})
    return found


def _end(
    relation: Mapping[str, Any],
    side: str,
    tokens: list[Mapping[str, Any]],
    entities: list[dict[str, Any]],
) -> str:
    span, label = relation.get(f"{side}_span"), None
    if isinstance(span, Mapping):
        start, end = _place(span, tokens)
        label = text_of(span.get("label"))
    else:
        if not tokens:
            raise ExportError(
                f'a relation names token {shown(relation.get(side))}, but the row has no "tokens"; '
                f"export it from Prodigy's database (db-out)"
            )
        start = _token_start(tokens, relation.get(side))
        end = _token_end(tokens, relation.get(side))
        holding = [one for one in entities if one["start"] <= start and end <= one["end"]]
        ended = [one for one in holding if one["end"] == end]  # Prodigy names a span by its end.
        if ended or len(holding) == 1:
            return str((ended or holding)[-1]["id"])
    for entity in entities:
        if (entity["start"], entity["end"]) == (start, end) and label in (None, entity["label"]):
            return str(entity["id"])
    # Of words without a span there is only their place.
    added = {"id": f"T{len(entities) + 1}", "start": start, "end": end, "label": label or UNMARKED}
    entities.append(added)
    return str(added["id"])
