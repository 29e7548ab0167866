"""brat: a folder of texts, each with its annotations in a file beside it -> rows."""

import codecs
import os
import re
from collections import Counter
from collections.abc import Sequence
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.decoding import binary_fault, decode
from lowcost_ft.data.exports.annotated import ExportError
from lowcost_ft.data.rows import Row, counted, plain_text, shown

__all__ = ["is_brat", "read_brat"]

_SPAN = re.compile(r"(\S+) (\d+ \d+(?:;\d+ \d+)*)", re.ASCII)
_ARGUMENT = re.compile(r"[^\s:]+:(\S+)")
_UNUSED = {
    **dict.fromkeys("AM", "attribute"),
    **{"N": "normalization", "*": "equivalence", "#": "note", "E": "event"},
}


def _documents(folder: str) -> list[str]:
    """Paths of the texts in a folder and those below it, without their extension."""
    found = []
    for place, _, names in os.walk(folder):
        found += [os.path.join(place, n[:-4]) for n in names if n.endswith((".txt", ".ann"))]
    return sorted(set(found))


def is_brat(folder: str, *, labelled: bool = True) -> bool:
    """Whether a folder holds texts with annotations; without labels, whether it holds texts."""
    ends = (".ann",) if labelled else (".ann", ".txt")
    return any(os.path.exists(document + end) for document in _documents(folder) for end in ends)


def read_brat(
    folder: str,
    reading: ReadingOptions,
    *,
    labelled: bool,
    problems: list[str],
    notices: list[str],
) -> list[Row]:
    """Reads a folder and those below it: a row for each text, whose `id` is the file's name.

    Fragments of a span between which there are only blanks are one span, as brat cuts spans at
    line ends. What lies apart is a problem unless --discontinuous says what to do.

    Args:
        folder: The folder.
        reading: How it is read.
        labelled: Whether annotations are wanted; a text without a file of them is then left out.
            If not, a text with nothing in it is a row, too, for which callers answer or tell.
        problems: Gets a line for each problem, with the file and line.
        notices: Gets lines for what is left out.
    """
    rows: list[Row] = []
    missing: list[str] = []
    unused: Counter[str] = Counter()
    changed: list[str] = []
    lost: list[str] = []
    for document in _documents(folder):
        name = os.path.relpath(document, folder)
        if not os.path.exists(f"{document}.txt"):
            problems.append(
                f"{document}.ann: has no text beside it; put {name}.txt there, or delete the file"
            )
            continue
        if labelled and not os.path.exists(f"{document}.ann"):
            missing.append(f"{document}.txt")
            continue
        text = _text(f"{document}.txt", problems)
        if text is None:
            continue
        values: dict[str, Any] = {"id": name, "text": text}
        if labelled:
            annotations = _text(f"{document}.ann", problems)
            if annotations is None:
                continue
            lines = [(f"{document}.ann:{n}", line) for n, line in _lines(annotations)]
            values |= _read(lines, text, reading, problems, changed, unused, lost)
        rows.append(Row(values, f"{folder}:{name}.txt"))
    notices.append(
        f"{folder}: read as a folder of brat's, by its content: {counted(len(rows), 'text')}"
    )
    if missing:
        notices.append(
            f"{folder}: {counted(len(missing), 'text')} without a file of annotations (.ann) left "
            f"out, first {missing[0]}"
        )
    if changed:
        what = {"join": "taken with what lies between their parts", "drop": "left out"}
        notices.append(
            f"{folder}: {counted(len(changed), 'discontinuous span')} "
            f"{what.get(str(reading.discontinuous), 'cut into their parts')} (--discontinuous "
            f"{reading.discontinuous}), first {changed[0]}"
        )
    if lost:
        are = (
            "relation of a left-out span is"
            if len(lost) == 1
            else "relations of left-out spans are"
        )
        notices.append(f"{folder}: {len(lost):,} {are} left out, too, first {lost[0]}")
    if unused:
        told = ", ".join(counted(count, kind) for kind, count in unused.most_common())
        triggers = " (their triggers are read as entities)" if unused["event"] else ""
        notices.append(f"{folder}: what is not used: {told}{triggers}")
    return rows


def _text(path: str, problems: list[str]) -> str | None:
    try:
        with open(path, "rb") as file:
            data = file.read()
    except OSError as error:
        problems.append(f"{path}: cannot be read ({error.strerror}); check its permissions")
        return None
    if data and (fault := binary_fault(data)):
        problems.append(f"{path}: {fault}")
        return None
    if not data.removeprefix(codecs.BOM_UTF8).strip():
        return ""
    return decode(path, data, problems)


def _lines(text: str) -> list[tuple[int, str]]:
    lines = (line.removesuffix("\r") for line in text.split("\n"))
    return [(number, line) for number, line in enumerate(lines, 1) if line.strip()]


def _read(
    lines: Sequence[tuple[str, str]],
    text: str,
    reading: ReadingOptions,
    problems: list[str],
    changed: list[str],
    unused: Counter[str],
    dropped: list[str],
) -> dict[str, Any]:
    entities: dict[str, list[dict[str, Any]]] = {}
    triggers: dict[str, str] = {}
    links: list[tuple[str, str, list[str]]] = []
    for place, line in lines:
        given, _, rest = line.partition("\t")
        try:
            if given[:1] == "T":
                if given in entities:
                    raise ExportError(f"the span {given} occurs twice; delete one")
                entities[given] = []  # Relations to a broken span are no second problem.
                entities[given] = _entity(given, rest, text, reading, place, changed)
            elif given[:1] == "R":
                ends = _ARGUMENT.findall(rest)
                if len(ends) != 2:
                    raise ExportError(f"a relation must be {_RELATION_FORM}, not {shown(line)}")
                links.append((place, rest.split(" ", 1)[0], ends))
            elif given[:1] in _UNUSED:
                unused[_UNUSED[given[0]]] += 1
                if given[0] == "E" and (trigger := _ARGUMENT.match(rest)):
                    triggers[given] = trigger[1]
            else:
                raise ExportError(f"{shown(line)} is no annotation of brat's; correct the line")
        except ExportError as error:
            problems.append(f"{place}: {error}")
    known = {name: spans[0]["id"] for name, spans in entities.items() if spans}
    relations = []
    for place, label, ends in links:
        ends = [triggers.get(end, end) for end in ends]
        if lost := [end for end in ends if end not in entities]:
            problems.append(
                f"{place}: the relation names {shown(lost[0])}, which the file does not have; "
                f"correct or delete it"
            )
        elif all(end in known for end in ends):
            head, tail = (known[end] for end in ends)
            relations.append({"head": head, "tail": tail, "label": label})
        elif reading.discontinuous == "drop":
            dropped.append(place)
    found = [entity for spans in entities.values() for entity in spans]
    return {"entities": found, "relations": relations}


_SPAN_FORM = "T1<TAB>Label 0 5<TAB>text"
_RELATION_FORM = "R1<TAB>Type Arg1:T1 Arg2:T2"


def _entity(
    given: str, rest: str, text: str, reading: ReadingOptions, place: str, changed: list[str]
) -> list[dict[str, Any]]:
    head, _, own = rest.partition("\t")
    match = _SPAN.fullmatch(head)
    if match is None:
        raise ExportError(f"a span must be {_SPAN_FORM}, not {shown(f'{given} {rest}')}")
    label, offsets = match[1], match[2]
    parts = [(int(a), int(b)) for a, b in (part.split(" ") for part in offsets.split(";"))]
    for start, end in parts:
        if not start < end <= len(text):
            raise ExportError(
                f"the span {given} ({offsets}) does not lie in its text of {len(text)} "
                f"characters; correct it"
            )
    fragments = _joined(parts, text)
    if len(fragments) == 1:
        (start, end), told = fragments[0], {"text": own} if own.strip() else {}
        return [{"id": given, "start": start, "end": end, "label": label} | told]
    discontinuous = reading.discontinuous
    if discontinuous != "drop" and reading.entity_offsets == "characters":
        _check_parts(f"{given} ({offsets})", own, parts, text)
    if discontinuous is None:
        raise ExportError(
            f"the span {given} ({offsets}) lies in {len(fragments)} parts with other words "
            f"between; say with --discontinuous what to do: join (with what lies between), split "
            f"(a span for each part) or drop"
        )
    changed.append(place)
    if discontinuous == "drop":
        return []
    if discontinuous == "join":
        fragments = [(fragments[0][0], fragments[-1][1])]
    return [
        {"id": given if n == 0 else f"{given}#{n + 1}", "start": start, "end": end, "label": label}
        for n, (start, end) in enumerate(fragments)
    ]


def _check_parts(span: str, own: str, parts: Sequence[tuple[int, int]], text: str) -> None:
    """Compares a span's own text with its parts: brat writes them with a blank between.

    Raises:
        ExportError: They differ, as after a change of the text.
    """
    cut = " ".join(text[start:end] for start, end in parts)
    in_order = " ".join(text[start:end] for start, end in sorted(parts))
    if own.strip() and plain_text(own) not in (plain_text(cut), plain_text(in_order)):
        raise ExportError(
            f"the span {span} has the text {shown(own)}, but its parts cut out {shown(cut)}; "
            f"correct the offsets or the text, or leave spans in parts out (--discontinuous drop)"
        )


def _joined(parts: Sequence[tuple[int, int]], text: str) -> list[tuple[int, int]]:
    """Parts of a span in their order in the text, those joined that only blanks part.

    Args:
        parts: Start and end of each part, in characters.
        text: The text.
    """
    found: list[tuple[int, int]] = []
    for start, end in sorted(parts):
        if found and (start <= found[-1][1] or not text[found[-1][1] : start].strip()):
            found[-1] = (found[-1][0], max(end, found[-1][1]))
        else:
            found.append((start, end))
    return found
