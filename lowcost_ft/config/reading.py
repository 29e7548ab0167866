"""How the user's files are read: the flags that recipes and `lowcost-ft` share.

Plain settings without PyTorch, so that `--help` does not wait for it. `data/` reads by them.
"""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any, Literal, get_args

from lowcost_ft.config.setting import setting

__all__ = [
    "ANNOTATIONS",
    "DISCONTINUOUS",
    "ENTITY_OFFSETS",
    "PROBLEM_TYPES",
    "WORD_SPLITTINGS",
    "InputOptions",
    "LabelOptions",
    "ReadingOptions",
]
__all__ += ["PairWindow", "label_conflicts", "reading_of"]

ProblemType = Literal["single_label_classification", "multi_label_classification", "regression"]
PROBLEM_TYPES: tuple[str, ...] = get_args(ProblemType)
"""As transformers names them."""


Annotations = Literal["agreed", "majority", "first"]
ANNOTATIONS: tuple[str, ...] = get_args(Annotations)
PairWindow = int | Literal["sentence", "text"]

Discontinuous = Literal["join", "split", "drop"]
DISCONTINUOUS: tuple[str, ...] = get_args(Discontinuous)

EntityOffsets = Literal["characters", "utf16", "bytes", "inclusive", "text"]
ENTITY_OFFSETS: tuple[str, ...] = get_args(EntityOffsets)

WordSplitting = Literal["unicode-v1", "unicode-v2"]
WORD_SPLITTINGS: tuple[str, ...] = get_args(WordSplitting)


@dataclass(frozen=True, kw_only=True)
class InputOptions:
    """Where a row's input stands, labelled or not."""

    text_column: str | None = setting(None, decides=False)
    """Column with the text. Guessed when not given. For files without column names, give this and
    the other columns as numbers, from 1."""
    text_pair_column: str | None = setting(None, decides=False)
    """Column with the second text of a pair."""
    tokens_column: str | None = setting(None, decides=False)
    """Column with the list of words, or with a word in files of one word a line or row."""
    question_column: str | None = setting(None, decides=False)
    """Column with the question. Guessed when not given, as are the next two."""
    context_column: str | None = setting(None, decides=False)
    """Column with the text that the question is about."""
    source_column: str | None = setting(None, decides=False)
    """Column with the text to translate or to summarize."""
    messages_column: str | None = setting(None, decides=False)
    """Column with the turns of a dialogue."""
    source_language: str | None = setting(None, decides=False)
    """Language of the texts to translate, as the data or the model name it, such as en or
    eng_Latn."""
    target_language: str | None = setting(None, decides=False)
    """Language to translate into."""
    format: Literal[
        "auto",
        "jsonl",
        "json",
        "csv",
        "tsv",
        "conll",
        "fasttext",
        "text",
        "parquet",
        "tmx",
        "semeval",
        "label_studio",
        "doccano",
        "prodigy",
        "spacy",
        "gliner",
        "brat",
    ] = setting("auto", decides=False)
    """Format of the files; text: one text a line. auto looks at the content first and at the
    extension second."""
    csv_quotes: bool = setting(True, decides=False)
    """Quotes in CSV and TSV enclose a field. Off: a quote is an ordinary character."""


@dataclass(frozen=True, kw_only=True)
class LabelOptions:
    """Where a row's labels stand, and how they are written."""

    label_column: str | None = setting(None, decides=False)
    """Column with the label, the list of labels, or the number to predict."""
    tags_column: str | None = setting(None, decides=False)
    """Column with the list of tags, one for each word, or with a tag in files of one word a line or
    row."""
    target_column: str | None = setting(None, decides=False)
    """Column with the translation or the summary."""
    references_column: str | None = setting(None, decides=False)
    """Column with all the right texts, for scores."""
    answers_column: str | None = setting(None, decides=False)
    """Column with the answers: their texts, and the character where each starts."""
    label_columns: str | None = setting(None, decides=False)
    """Comma-separated columns of 0 and 1, one a label. Guessed when there is no column of labels
    but several such columns."""
    label_names: str | None = setting(None, decides=False)
    """Names of the labels (or tags) that the file gives as the numbers 0, 1, 2, ...: separated by
    commas, or a file with one name a line."""
    label_separator: str | None = setting(None, decides=False)
    """Separator between the labels of a text that has several, such as ";". The problem is then
    multi-label."""
    decimal_comma: bool = setting(False, decides=False)
    """Read labels such as 0,5 as numbers with a decimal comma."""
    exclude_label: str | None = setting(None, decides=False)
    """Leave out the rows with this label, such as -1 where it stands for an unknown one. An
    empty name leaves out the rows that have no label."""
    annotations: Annotations | None = setting(None, decides=False)
    """Which labels to take where several annotators labelled a row: agreed leaves out rows in
    which they differ, majority takes what most of them say, first the first one's. Needed where
    they differ."""
    discontinuous: Discontinuous | None = setting(None, decides=False)
    """How to read entities with several parts, as brat has them: join includes the words between,
    split makes an entity of each part, drop leaves them out. Needed where there are some."""
    entity_offsets: EntityOffsets = setting("characters", decides=False)
    """What start and end of entities count: characters, UTF-16 code units, UTF-8 bytes, or
    characters with the end inside the entity; "text" finds each entity's own text near them."""


@dataclass(frozen=True, kw_only=True)
class ReadingOptions(InputOptions, LabelOptions):
    """All settings that decide how a file becomes examples."""

    problem_type: ProblemType | None = None
    """What to predict in text classification. Chosen from the labels when not given."""
    word_splitting: WordSplitting = setting("unicode-v2", decides=False)
    """The rule that cuts texts into words for NER. unicode-v2 leaves web addresses and e-mail
    addresses whole; unicode-v1 cuts them like all else, for entities that lie inside them."""
    negative_label: str | None = setting(None, decides=False)
    """Label that means "no relation". Default: no_relation, or the label that looks like it."""
    negative_ratio: float | Literal["all"] = setting(3.0, above=0, decides=False)
    """For texts with entities and relations: how many pairs without a relation to train on for
    each pair that has one, drawn with a fixed seed; or all within --pair-window."""
    pair_window: PairWindow | None = setting(None, at_least=0, decides=False)
    """Which entities can be related: those in one sentence (sentence, the default), all of a text
    (text), or those with at most this many characters between them (a number)."""


def reading_of(settings: Any) -> ReadingOptions:
    """Picks the reading options out of other settings; a missing one keeps its default.

    Args:
        settings: A dataclass with fields of these names, or a mapping such as the `config` of a
            `run.json`, which an older version may have written.
    """
    found = settings if isinstance(settings, Mapping) else vars(settings)
    names = [field.name for field in fields(ReadingOptions)]
    return ReadingOptions(**{name: found[name] for name in names if name in found})


def label_conflicts(reading: ReadingOptions) -> list[str]:
    """Which of the flags about labels exclude one another."""
    given = {
        name: getattr(reading, name)
        for name in ("label_columns", "label_separator", "decimal_comma", "exclude_label")
        if getattr(reading, name) not in (None, False)
    }
    flags = {name: "--" + name.replace("_", "-") for name in given}
    problems = []
    kind = reading.problem_type
    for name, usable in (
        ("label_columns", ("single_label_classification", "multi_label_classification")),
        ("label_separator", ("multi_label_classification",)),
        ("decimal_comma", ("regression",)),
    ):
        if name in given and kind not in (None, *usable):
            problems.append(
                f"{flags[name]} does not go with --problem-type {kind}; leave one of them out"
            )
    if reading.label_names is not None and kind == "regression":
        problems.append("--label-names is for classes, not for --problem-type regression")
    if reading.label_separator is not None and not reading.label_separator.strip():
        problems.append(
            "--label-separator must be a visible text, such as ;, since labels may hold blanks"
        )
    for one, other in (
        ("label_columns", "label_column"),
        ("label_columns", "label_names"),
        ("label_columns", "label_separator"),
        ("label_columns", "decimal_comma"),
        ("label_separator", "decimal_comma"),
        ("label_names", "decimal_comma"),
    ):
        if getattr(reading, one) not in (None, False) and getattr(reading, other) not in (
            None,
            False,
        ):
            pair = [f"--{name.replace('_', '-')}" for name in (one, other)]
            problems.append(f"{pair[0]} and {pair[1]} exclude each other; leave one of them out")
    return problems
