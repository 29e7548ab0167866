"""spaCy's JSON forms: spans as [start, end, label], documents, version 2's training data."""

from collections.abc import Mapping, Sequence
from typing import Any

from lowcost_ft.data.exports.annotated import (
    Annotated,
    Annotation,
    ExportError,
    are_triples,
    is_offset,
    objects,
    text_of,
)
from lowcost_ft.data.known_names import SPACY_TAG
from lowcost_ft.data.rows import Row, counted, file_of, shown
from lowcost_ft.scores.iob2 import tags_to_spans
from lowcost_ft.scores.tag_schemes import detect_scheme, illegal_tags, to_iob2

__all__ = ["is_spacy", "read_inputs", "read_spacy"]

_NOT_KEPT = ("entities", "ents", "cats", "spans", "tokens", "sents")


def is_spacy(values: Mapping[str, Any]) -> bool:
    """Whether a row is a document of spaCy's, or a text with spans as [start, end, label]."""
    if isinstance(values.get("paragraphs"), list):
        return True
    return isinstance(values.get("text"), str) and (
        isinstance(values.get("cats"), Mapping)
        or isinstance(values.get("ents"), list)
        # spaCy has no relations.
        or (are_triples(_entities_of(values)) and not isinstance(values.get("relations"), list))
    )


def read_inputs(rows: Sequence[Row]) -> list[Annotated]:
    """The inputs alone; a document of version 2 has one for each paragraph."""
    found = []
    for row in rows:
        for paragraph in _paragraphs(row, []):
            kept = {n: v for n, v in paragraph.values.items() if n not in _NOT_KEPT}
            found.append(Annotated(Row(kept, row.source)))
    return found


def read_spacy(rows: Sequence[Row], *, problems: list[str], notices: list[str]) -> list[Annotated]:
    """Reads documents: their entities, and as `label` the categories that apply.

    The entities are those of `ents`. Where these are empty in all documents of a file, they are the
    spans of `spans`: a pipeline without an entity recognizer leaves `ents` empty.

    Args:
        rows: The rows of one file.
        problems: Gets a line for each row that cannot be read.
        notices: Gets a line where there are both, of which one is not read, and for tags of
            version 2 that are not allowed where they stand.
    """
    paragraphs = []
    tagged: list[_Tagged] = []
    for row in rows:
        try:
            paragraphs += _paragraphs(row, tagged)
        except ExportError as error:
            problems.append(f"{row.source}: {error}")
    _tell_illegal(tagged, notices)
    names = {name for row in paragraphs for name in row.values}
    columns = _span_columns(paragraphs, notices)
    read = []
    for row in paragraphs:
        found: dict[str, Any] = {}
        try:
            if column := next((name for name in columns if name in row.values), None):
                found["entities"] = _entities(row.values, column)
            if "cats" in row.values or (found and "cats" in names):
                found["label"] = _categories(row.values.get("cats"))
        except ExportError as error:
            problems.append(f"{row.source}: {error}")
            continue
        kept = {name: v for name, v in row.values.items() if name not in _NOT_KEPT}
        annotations = (Annotation("", found),) if found else ()
        read.append(Annotated(Row(kept, row.source), annotations))
    return read


def _entities_of(values: Mapping[str, Any]) -> Any:
    given = values.get("entities")
    return given["entities"] if isinstance(given, Mapping) and "entities" in given else given


def _span_columns(rows: Sequence[Row], notices: list[str]) -> tuple[str, ...]:
    """The columns that hold spans, the first to be read first."""
    usual = ("entities", "ents")
    marked = [row for row in rows if _entities_of(row.values) or row.values.get("ents")]
    grouped = [row for row in rows if _has_spans(row.values.get("spans"))]
    if grouped and not marked:
        return ("spans", *usual)
    if grouped and marked:
        notices.append(
            f'{file_of(grouped[0].source)}: "spans" of {counted(len(grouped), "document")}, first '
            f"at {grouped[0].source}, not read, since the file has entities; delete these to read "
            "the spans"
        )
    return (*usual, "spans")


def _has_spans(value: Any) -> bool:
    return any(value.values()) if isinstance(value, Mapping) else bool(value)


def _entities(values: Mapping[str, Any], column: str) -> list[dict[str, Any]]:
    given = _entities_of(values) if column == "entities" else values.get(column)
    if column == "spans" and isinstance(given, Mapping):  # groups of spans by name
        if len(given) > 1:
            raise ExportError(f"has several groups of spans ({', '.join(given)}); keep one of them")
        given = next(iter(given.values()), [])
    if not isinstance(given, list | None):
        raise ExportError(f"{shown(column)} is {shown(given)}, not a list of spans")
    found: list[dict[str, Any]] = []
    for item in given or ():
        if isinstance(item, Mapping):
            start, end, label = (item.get(name) for name in ("start", "end", "label"))
        elif isinstance(item, list) and len(item) == 3:
            start, end, label = item
        else:
            start = end = label = None
        if not is_offset(start) or not is_offset(end) or text_of(label) is None:
            raise ExportError(
                f"the span {shown(item)} must be [start, end, label]; correct it or delete it"
            )
        own = (
            {"text": item["text"]}
            if isinstance(item, Mapping) and text_of(item.get("text"))
            else {}
        )
        entity = {"id": f"T{len(found) + 1}", "start": start, "end": end, "label": label}
        found.append(entity | own)
    return found


def _categories(value: Any) -> list[str] | None:
    if value is None:
        return None
    if isinstance(value, list):  # version 2
        value = _by_label(objects(value, "cats"))
    if not isinstance(value, Mapping):
        raise ExportError(f'"cats" is {shown(value)}, not an object of classes with 0 or 1')
    for name, applies in value.items():
        if not isinstance(name, str) or applies not in (0, 1):
            raise ExportError(
                f'"cats" gives {shown(name)} the value {shown(applies)}; a label has 1 or 0, and '
                f"scores are a model's"
            )
    return [name for name, applies in value.items() if applies]


def _by_label(categories: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """The categories of version 2: label -> whether it applies."""
    found: dict[str, Any] = {}
    for one in categories:
        label, applies = one.get("label"), one.get("value")
        if not isinstance(label, str):
            raise ExportError(f'"cats" has the label {shown(label)}; it must be a text')
        if found.setdefault(label, applies) != applies:
            raise ExportError(
                f'"cats" gives {shown(label)} the values {shown(found[label])} and '
                f"{shown(applies)}; keep one of them"
            )
    return found


# --- Version 2 ----------------------------------------------------------------------------------


_Tagged = tuple[str, list[str], list[str]]
"""Where a paragraph stands, its words and their tags."""


def _paragraphs(row: Row, tagged: list[_Tagged]) -> list[Row]:
    """The paragraphs of a document; `tagged` gets those that have tags."""
    if not isinstance(row.values.get("paragraphs"), list):
        return [row]
    found = []
    paragraphs = objects(row.values["paragraphs"], "paragraphs")
    for number, paragraph in enumerate(paragraphs, 1):
        tokens = [
            token
            for sentence in objects(paragraph.get("sentences"), "sentences")
            for token in objects(sentence.get("tokens"), "tokens")
        ]
        words = [token.get("orth") for token in tokens]
        if not all(isinstance(word, str) for word in words):
            raise ExportError('a token has no "orth"; export the document anew')
        text = paragraph.get("raw")
        text = text if isinstance(text, str) else " ".join(map(str, words))
        source = f"{row.source}, paragraph {number}" if len(paragraphs) > 1 else row.source
        values: dict[str, Any] = {} if row.values.get("id") is None else {"id": row.values["id"]}
        values |= {"text": text}
        if any(SPACY_TAG in token for token in tokens):
            tags = [_tag(token) for token in tokens]
            values["entities"] = _spans_of(text, tokens, tags)
            tagged.append((source, list(map(str, words)), tags))
        if "cats" in paragraph:
            values["cats"] = paragraph["cats"]
        found.append(Row(values, source))
    return found


def _tag(token: Mapping[str, Any]) -> str:
    tag = token.get(SPACY_TAG, "-")
    if not isinstance(tag, str) or (tag != "O" and tag[:2] not in ("B-", "I-", "L-", "U-")):
        raise ExportError(
            f"the token {shown(token['orth'])} has the tag {shown(tag)}, so that it is not "
            f"known whether it is an entity; give it O or a tag"
        )
    return tag


def _spans_of(
    text: str, tokens: Sequence[Mapping[str, Any]], tags: Sequence[str]
) -> list[list[Any]]:
    """Spans of tags, where the tokens stand in the text."""
    places = []
    end = 0
    for token in tokens:
        start = text.find(token["orth"], end)
        if start < 0:
            raise ExportError(f"the token {shown(token['orth'])} does not stand in its raw text")
        end = start + len(token["orth"])
        places.append((start, end))
    converted, _ = to_iob2(tags, "BILOU")  # The scheme only tells what is illegal.
    return [
        [places[first][0], places[end - 1][1], label]
        for first, end, label in tags_to_spans(converted)
    ]


def _tell_illegal(tagged: Sequence[_Tagged], notices: list[str]) -> None:
    """A notice about tags that continue nothing, or do not end: spaCy would refuse them."""
    scheme = detect_scheme(tags for _, _, tags in tagged)
    illegal = [
        f"{source}, token {position + 1} {shown(words[position])} ({shown(tags[position])})"
        for source, words, tags in tagged
        for position in to_iob2(tags, scheme)[1]
    ]
    if illegal:
        notices.append(f"{file_of(tagged[0][0])}: {illegal_tags(scheme, illegal)}")
