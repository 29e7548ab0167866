"""Sentences of words and tags -> texts with entities, and back: what CoNLL columns hold."""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.exports.writing import Canonical
from lowcost_ft.data.rows import Row, counted, file_of, listed, shown
from lowcost_ft.tasks.ner.examples import fields_beside_words, read_examples, rows_with_words
from lowcost_ft.tasks.ner.tagging import detect_scheme, split_words, tags_to_spans, to_iob2

__all__ = ["conll_columns", "joined_words"]


def joined_words(
    rows: Sequence[Row],
    reading: ReadingOptions,
    labelled: bool,
    *,
    problems: list[str],
    notices: list[str],
) -> tuple[list[dict[str, Any]], list[Row]]:
    """Sentences as texts, their words joined by blanks; illegal tags are read as conlleval does.

    Returns:
        The texts that are not blank with the other fields of their rows, and these rows.
    """
    rows = rows if labelled else rows_with_words(rows, reading)
    examples = read_examples(rows, reading, problems=problems, notices=notices, labelled=labelled)
    tagged = [example.tags for example in examples if example.tags is not None]
    scheme = detect_scheme(tagged)
    by_source = {row.source: row for row in rows}
    kept = [by_source[example.source] for example in examples if "".join(example.words).strip()]
    if labelled and (blank := len(examples) - len(kept)):
        file = file_of(rows[0].source)
        notices.append(f"{file}: {counted(blank, 'row')} that hold blanks alone left out")
    others, left_out = fields_beside_words(kept, reading, labelled=labelled)
    if left_out:
        notices.append(
            f"{file_of(kept[0].source)}: {listed(left_out)} left out, since a text with entities "
            f"beside it would be read as words and tags"
        )
    found: list[dict[str, Any]] = []
    for example in examples:
        starts = list(accumulate((len(word) + 1 for word in example.words), initial=0))
        values: dict[str, Any] = {} if example.row_id is None else {"id": example.row_id}
        text = values["text"] = " ".join(example.words)
        if example.tags is not None:
            spans = tags_to_spans(to_iob2(example.tags, scheme)[0])
            values["entities"] = [
                {"id": f"T{number}", "start": starts[first]}
                | {"end": starts[last - 1] + len(example.words[last - 1]), "label": label}
                for number, (first, last, label) in enumerate(spans, 1)
            ]
        if text.strip():
            beside = others[len(found)]
            found.append(values | {n: v for n, v in beside.items() if n not in values})
    return found, kept


def conll_columns(
    rows: Sequence[Canonical],
    sources: Sequence[str],
    *,
    problems: list[str],
    notices: list[str],
) -> str:
    """One word and its IOB2 tag a line, a blank line after each text.

    Blanks are lost, and so is what columns do not hold: relations, classes and other fields. A
    word in which a span begins or ends is cut there, so that every span keeps its characters.

    Args:
        rows: Texts with `entities`.
        sources: Where each row stands.
        problems: Gets a line for spans that overlap, and for labels that no line can hold.
        notices: Gets a line for words that are cut, and for what is lost.
    """
    lines: list[str] = []
    cut: list[str] = []
    lost: dict[str, int] = {}
    for row, source in zip(rows, sources, strict=True):
        entities = row.get("entities") or ()
        for name in row:
            if name not in ("text", "entities") and row[name] not in (None, "", []):
                lost[name] = lost.get(name, 0) + 1
        spans = sorted((e["start"], e["end"], e["label"]) for e in entities)
        for before, after in pairwise(spans):
            if after[0] < before[1]:
                problems.append(
                    f"{source}: entities {before[0]}..{before[1]} {shown(before[2])} and "
                    f"{after[0]}..{after[1]} {shown(after[2])} overlap, and a word has one tag; "
                    f"write JSONL, or keep one of the two"
                )
        for _, _, label in spans:
            if any(character in label for character in "\t\r\n"):
                problems.append(
                    f"{source}: the label {shown(label)} holds a tab or line end, which columns "
                    f"cannot; rename it"
                )
        text = row["text"]
        if "\0" in text:
            problems.append(
                f"{source}: the text holds a zero byte, which no file of columns can; delete it"
            )
        words, broken = _cut(text, spans)
        cut += [f"{source}: {shown(word)}" for word in broken]
        tags = ["O"] * len(words)
        starts, ends = [start for start, _ in words], [end for _, end in words]
        for start, end, label in spans:
            first, last = bisect_right(ends, start), bisect_left(starts, end)
            if first >= last:
                problems.append(
                    f"{source}: entity {start}..{end} {shown(label)} holds no word, but blanks "
                    f"alone; correct or delete it"
                )
            tags[first:last] = [f"B-{label}"] + [f"I-{label}"] * (last - first - 1)
        if problems:
            continue
        lines += [f"{text[s:e]}\t{tag}" for (s, e), tag in zip(words, tags, strict=True)] + [""]
    file = file_of(sources[0])
    if cut:
        notices.append(
            f"{file}: {counted(len(cut), 'word')} in which a span begins or ends cut there, first "
            f"{cut[0]}"
        )
    for name, count in lost.items():
        notices.append(
            f"{file}: {shown(name)} of {counted(count, 'row')} left out, for which columns of "
            f"words have no place"
        )
    return "\n".join(lines) + "\n"


def _cut(
    text: str, spans: Sequence[tuple[int, int, str]]
) -> tuple[list[tuple[int, int]], list[str]]:
    """Words of a text that end where spans end; and the words that were cut for it."""
    edges = sorted({edge for start, end, _ in spans for edge in (start, end)})
    words: list[tuple[int, int]] = []
    broken = []
    for start, end in split_words(text):
        inside = edges[bisect_right(edges, start) : bisect_left(edges, end)]
        broken += [text[start:end]] * bool(inside)
        words += pairwise([start, *inside, end])
    return words, broken
