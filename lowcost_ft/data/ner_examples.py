"""Rows -> NER examples: word-level tags, in IOB2 whatever the files use."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lowcost_ft.data.rows import (
    Columns,
    Row,
    column_names,
    file_of,
    find_column,
    read_text,
    shown,
    text_fault,
)
from lowcost_ft.data.tagging import (
    Span,
    detect_scheme,
    entities_to_tags,
    is_tag,
    span_problems,
    split_words,
    tags_to_spans,
    to_iob2,
)

__all__ = ["NerExample", "classes", "finish", "read_examples", "text_example"]

_TOKENS = ("tokens", "words")
_TAGS = ("tags", "ner_tags", "ner", "labels")
_TEXTS = ("text", "sentence", "content", "message")
_ENTITIES = ("entities", "spans")
_ENTITY_FORM = '{"start": 0, "end": 4, "label": "person"}'


@dataclass(frozen=True, slots=True, kw_only=True)
class NerExample:
    """One sentence.

    Attributes:
        words: Its words.
        tags: One a word; None without labels. IOB2 once `finish` is through.
        source: File and line.
        text: The text that the words were cut from, where the input was one.
        offsets: Start and end of each word in `text`.
        first_line: Line of the first word, where each word has a line of its own.
    """

    words: tuple[str, ...]
    tags: tuple[str, ...] | None
    source: str
    text: str | None = None
    offsets: tuple[tuple[int, int], ...] | None = None
    first_line: int | None = None


def text_example(text: str, *, source: str = "text") -> NerExample:
    """An unlabelled example, cut into words by `split_words`."""
    offsets = tuple(split_words(text))
    words = tuple(text[start:end] for start, end in offsets)
    return NerExample(words=words, tags=None, source=source, text=text, offsets=offsets)


def read_examples(
    rows: Sequence[Row],
    columns: Columns,
    *,
    problems: list[str],
    notices: list[str],
    labelled: bool = True,
) -> list[NerExample]:
    """Reads one split's rows: tokens and tags, or a text and its entities.

    Args:
        rows: Rows of one file or split.
        columns: Names of the columns, where the user gave them.
        problems: Gets a line for each problem.
        notices: Gets a line for guessed columns and for spans widened to whole words.
        labelled: Whether to read tags; if not, `tags` is None.

    Returns:
        The examples without problems, their tags in the scheme of the input.
    """
    if not rows:
        return []
    tokenized = any(name in column_names(rows) for name in _TOKENS) and columns.text is None
    if columns.tokens is not None or tokenized:
        return _read_tokens(rows, columns, problems, notices, labelled)
    return _read_texts(rows, columns, problems, notices, labelled)


def _read_tokens(
    rows: Sequence[Row],
    columns: Columns,
    problems: list[str],
    notices: list[str],
    labelled: bool,
) -> list[NerExample]:
    found: dict[str, Any] = {"problems": problems, "notices": notices}
    tokens_column = find_column(rows, columns.tokens, _TOKENS, "tokens", **found)
    tags_column = find_column(rows, columns.tags, _TAGS, "tags", **found) if labelled else None
    if tokens_column is None or (labelled and tags_column is None):
        return []
    examples = []
    for row in rows:
        before = len(problems)
        words = _read_words(row, tokens_column, problems)
        tags = None if tags_column is None else _read_tags(row, tags_column, problems)
        if tags is not None and len(tags) != len(words) and len(problems) == before:
            problems.append(
                f"{row.source}: {len(words)} tokens but {len(tags)} tags; give each token one"
            )
        if len(problems) == before:
            examples.append(
                NerExample(words=words, tags=tags, source=row.source, first_line=row.first_line)
            )
    return examples


def _read_words(row: Row, column: str, problems: list[str]) -> tuple[str, ...]:
    value = row.values.get(column)
    where = f"{row.source}: {shown(column)}"
    if not isinstance(value, list | tuple):
        problems.append(
            f"{where} must be a list of words, not {shown(value)}; JSONL, Parquet and CoNLL files "
            f"can hold one (a text goes into a column that --text-column names)"
        )
        return ()
    if not value:
        problems.append(f"{where} is an empty text; fill it in or delete the row")
    for position, word in enumerate(value):
        if isinstance(word, str) and word.isspace():
            continue  # a no-break space, say: a word that no tokenizer sees, and so an O
        if fault := text_fault(word):
            place = _word_source(row.source, row.first_line, position)
            problems.append(f"{place}: a token {fault}")
    return tuple(value)


def _read_tags(row: Row, column: str, problems: list[str]) -> tuple[str, ...]:
    value = row.values.get(column)
    where = f"{row.source}: {shown(column)}"
    if value is None:
        problems.append(f"{where} is missing; give every row its tags")
        return ()
    if not isinstance(value, list | tuple):
        problems.append(f"{where} must be a list of tags, not {shown(value)}")
        return ()
    for position, tag in enumerate(value):
        if not isinstance(tag, str) or not is_tag(tag):
            kind = "missing" if tag is None else f"{shown(tag)}, neither O nor PREFIX-TYPE"
            problems.append(
                f"{_word_source(row.source, row.first_line, position)}: tag is {kind}; write it "
                f"as B-person, I-person, ... (prefixes: B I E S L U)"
            )
            break  # the others of the sentence are likely the same
    return tuple(value)


def _read_texts(
    rows: Sequence[Row],
    columns: Columns,
    problems: list[str],
    notices: list[str],
    labelled: bool,
) -> list[NerExample]:
    if columns.text is None and not any(name in column_names(rows) for name in _TEXTS):
        listed = ", ".join(map(shown, column_names(rows)))
        problems.append(
            f"{file_of(rows[0].source)}: no column of words or of a text; name it with "
            f"--tokens-column or --text-column; the columns are {listed}"
        )
        return []
    found: dict[str, Any] = {"problems": problems, "notices": notices}
    text_column = find_column(rows, columns.text, _TEXTS, "text", **found)
    tags_column = find_column(rows, columns.tags, _ENTITIES, "tags", **found) if labelled else None
    if text_column is None or (labelled and tags_column is None):
        return []
    examples = []
    widened_sources: list[str] = []
    for row in rows:
        before = len(problems)
        text = read_text(row, text_column, problems)
        spans = [] if tags_column is None else _read_spans(row, tags_column, problems)
        if text is None or len(problems) > before:
            continue
        if faults := span_problems(text, spans):
            problems += [f"{row.source}: {fault}; correct start and end" for fault in faults]
            continue
        if tags_column is None:
            examples.append(text_example(text, source=row.source))
            continue
        words, offsets, tags, widened = entities_to_tags(text, spans)
        widened_sources += [row.source] * widened
        examples.append(
            NerExample(words=words, tags=tags, source=row.source, text=text, offsets=offsets)
        )
    if widened_sources:
        notices.append(
            f"{file_of(rows[0].source)}: {len(widened_sources)} entities begin or end inside a "
            f"word and were widened to whole words, first at {widened_sources[0]}"
        )
    return examples


def _read_spans(row: Row, column: str, problems: list[str]) -> list[Span]:
    value = row.values.get(column)
    if not isinstance(value, list | tuple):
        kind = "is missing" if value is None else f"is {shown(value)}"
        problems.append(
            f"{row.source}: {shown(column)} {kind}; give a list of {_ENTITY_FORM}, empty if the "
            f"text has none"
        )
        return []
    spans = []
    for entity in value:
        start, end, label = (
            (entity.get("start"), entity.get("end"), entity.get("label"))
            if isinstance(entity, dict)
            else (None, None, None)
        )
        # `type`, because True is an int to isinstance.
        if type(start) is int and type(end) is int and isinstance(label, str) and label.strip():
            spans.append((start, end, label.strip()))
        else:
            problems.append(
                f"{row.source}: entity {shown(entity)} must be of the form {_ENTITY_FORM}"
            )
    return spans


def classes(example: NerExample) -> frozenset[str]:
    """Entity types that occur in a finished example."""
    return frozenset(tag[2:] for tag in example.tags or () if tag != "O")


def finish(
    splits: Mapping[str, list[NerExample]],
    *,
    labels: Sequence[str] | None = None,
    problems: list[str],
    notices: list[str],
) -> tuple[dict[str, list[NerExample]], list[str]]:
    """Converts the tags of all splits to IOB2 and checks the splits against each other.

    Args:
        splits: Labelled examples by split, "train" among them unless `labels` is given.
        labels: Labels of a trained model; None: those of the training split.
        problems: Gets a line for each problem.
        notices: Gets a line about a conversion, and about illegal sequences with the first few.

    Returns:
        The converted splits and the labels: "O", then "B-x" and "I-x" for each type x, sorted.
    """
    tagged = [example for examples in splits.values() for example in examples]
    scheme = detect_scheme(example.tags for example in tagged if example.tags is not None)
    converted: dict[str, list[NerExample]] = {}
    illegal: list[str] = []
    for split, examples in splits.items():
        converted[split] = []
        for example in examples:
            assert example.tags is not None, "finish takes labelled examples"
            tags, positions = to_iob2(example.tags, scheme)
            converted[split].append(replace(example, tags=tags))
            illegal += [
                f"{_word_source(example.source, example.first_line, position)} "
                f"({shown(example.tags[position])})"
                for position in positions
            ]
    if scheme != "IOB2":
        notices.append(f"the tags are {scheme}; they were converted to IOB2")
    if illegal:
        listed = ", ".join(illegal[:5]) + (", ..." if len(illegal) > 5 else "")
        notices.append(
            f"{len(illegal)} tag(s) not allowed where they stand in {scheme}, read as conlleval "
            f"reads them (what continues nothing begins an entity): {listed}"
        )
    if labels is None:
        train = converted["train"]
        types = sorted(frozenset[str]().union(*map(classes, train)))
        if not types and train:
            problems.append(
                f'{file_of(train[0].source)}: one class only: every tag is "O"; training needs '
                f"sentences with entities"
            )
            return converted, ["O"]
        labels = ["O", *(f"{prefix}-{label}" for label in types for prefix in "BI")]
        _check_types(converted, labels, "not in the training data; add examples", problems)
    else:
        _check_types(converted, labels, "not a label of the trained model; remove it", problems)
    return converted, list(labels)


def _check_types(
    splits: Mapping[str, list[NerExample]], labels: Sequence[str], fault: str, problems: list[str]
) -> None:
    known = {label[2:] for label in labels}
    for examples in splits.values():
        first: dict[str, str] = {}
        counts: Counter[str] = Counter()
        for example in examples:
            for start, _, label in tags_to_spans(example.tags or ()):
                if label not in known:
                    counts[label] += 1
                    first.setdefault(label, _word_source(example.source, example.first_line, start))
        problems += [
            f"{first[label]}: the entity type {shown(label)} ({count} in this split) is {fault} "
            f"or correct it"
            for label, count in counts.items()
        ]


def _word_source(source: str, first_line: int | None, position: int) -> str:
    """File and line of a word; the row and the word where it has no line of its own."""
    if first_line is None:
        return f"{source} word {position + 1}"
    return f"{file_of(source)}:{first_line + position}"
