"""All checks of a data set in their order, and what they found, worst first."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.config.settings import DEFAULT_MODEL_ID
from lowcost_ft.data.findings import SEVERITIES, Finding
from lowcost_ft.doctor.checked_data import CheckedData
from lowcost_ft.doctor.classes import check_classes, check_shares
from lowcost_ft.doctor.duplicates import (
    check_contradictions,
    check_duplicates,
    check_near_duplicates,
)
from lowcost_ft.doctor.label_names import check_label_names
from lowcost_ft.doctor.leaks import check_leaks
from lowcost_ft.doctor.libraries import check_libraries
from lowcost_ft.doctor.reading import read_data
from lowcost_ft.doctor.spans import check_spans
from lowcost_ft.doctor.texts import check_languages, check_lengths, check_too_long, check_writing
from lowcost_ft.doctor.wrong_entities import judge_entities
from lowcost_ft.doctor.wrong_labels import RowScores, judge_classes

__all__ = ["KINDS", "Examination", "examine"]

KINDS = (
    *("not_trainable", "unreadable_line", "unreadable_row", "empty_text", "leak", "contradiction"),
    *("label_spelling", "unknown_class", "wrong_label", "wrong_type"),
    *("wrong_edge", "invented_entity", "missing_entity", "near_leak"),
    *("near_contradiction", "damaged_text", "label_typo", "odd_type", "unlabelled_twin"),
    *("cut_word", "illegal_tag", "exact_duplicate", "small_class", "shifted_split", "too_long"),
    *("span_edge", "near_duplicate", "imbalance", "unscored_class", "markup", "other_script"),
    *("other_language", "unusual_length"),
)
"""Kinds of findings; of one severity, those that come first here are worse."""


@dataclass(frozen=True)
class Examination:
    """What was found.

    Attributes:
        data: The data.
        findings: What would hurt, worst first.
        scores: The score of each training row that could be read; None where they were not judged.
        chosen: Whether the findings are of kinds that the user named, and others may be missing.
    """

    data: CheckedData
    findings: Sequence[Finding]
    scores: RowScores | None
    chosen: bool = False

    def nothing(self) -> str:
        """What to say where there are no findings."""
        if self.chosen:
            return "Nothing of the kinds asked for was found."
        return "Nothing was found that would hurt."


def examine(
    files: Mapping[str, str],
    *,
    task: str | None = None,
    reading: ReadingOptions | None = None,
    model_id: str | None,
    revision: str | None = None,
    trust_remote_code: bool = False,
    max_length: int,
    seed: int = 0,
    thorough: bool = False,
    max_steps: int | None = None,
) -> Examination:
    """Checks labelled files.

    Args:
        files: Path of each split, "train" among them.
        task: Name of the task; None: found by the training file.
        reading: How the files are read; None: all is guessed.
        model_id: The pretrained model that judges labels and counts tokens; None: without.
        revision: Branch, tag or commit of the model.
        trust_remote_code: Whether the model's own Python code may run.
        max_length: Tokens beyond which training would cut a text.
        seed: Deals the folds.
        thorough: Whether labels are judged by adapters that are trained on the other folds.
        max_steps: Most optimizer steps of each of these; None: as in the task's recipe.

    Raises:
        UserError: Files cannot be read at all, a library is missing, or the model.
    """
    check_libraries()
    data = read_data(files, task=task, reading=reading)
    findings = list(data.findings)
    for split in data.splits.values():
        findings += data.kind.check_rows(split.rows, data.reading, split=split.name)
    checks: list[Callable[[CheckedData], list[Finding]]] = [
        *(check_duplicates, check_leaks, check_near_duplicates, check_label_names),
        *(check_classes, check_shares, check_writing, check_lengths, check_languages, check_spans),
    ]
    for check in checks:
        findings += check(data)
    scores: RowScores | None = None
    if model_id is not None:
        options = {"revision": revision, "trust_remote_code": trust_remote_code}
        of_adapters = {"max_steps": max_steps} if thorough else None
        found, scores = _with_model(data, model_id, max_length, seed, options, of_adapters)
        findings += found
    doubts = {}
    if scores is not None:
        doubts = dict(zip(data.train.places, map(float, scores.scores), strict=True))
    findings += check_contradictions(data, doubts)
    order = {kind: place for place, kind in enumerate(KINDS)}
    findings.sort(key=lambda one: (SEVERITIES.index(one.severity), order[one.kind], -len(one.rows)))
    return Examination(data, findings, scores)


def _with_model(
    data: CheckedData,
    model_id: str,
    max_length: int,
    seed: int,
    options: dict[str, Any],
    of_adapters: dict[str, Any] | None,
) -> tuple[list[Finding], RowScores | None]:
    """What needs a pretrained model: lengths in tokens, and the judgement of labels."""
    if data.kind.writes:
        return _too_long_to_write(data, model_id, max_length, options), None
    from lowcost_ft.doctor.word_states import word_states
    from lowcost_ft.frozen.embedding import load_embedder

    spans = data.kind.spans_of(data.train.examples[0]) is not None
    findings: list[Finding] = []
    if not spans:
        embedder = load_embedder(model_id, **options)
        count = partial(_count_tokens, embedder.tokenizer)
        findings += check_too_long(data, count, max_length)
    if not spans and not (data.one_class() and data.kind.judged_by_texts):
        data.notices.append("labels are not judged: that takes one class a text, or entities")
        return findings, None
    if len(data.labels) < 2:
        data.notices.append("labels are not judged, since training would refuse the files")
        return findings, None
    train = None
    if of_adapters is not None:
        from lowcost_ft.doctor.adapters import AdapterSettings, adapter_probabilities

        settings = AdapterSettings(
            model_id=model_id, max_length=max_length, seed=seed, **options, **of_adapters
        )
        train = partial(adapter_probabilities, data, settings)
    if spans:
        states = None
        if train is None:
            embedder = load_embedder(model_id, words=True, **options)
            words = [data.kind.words_of(example) for example in data.train.examples]
            states = word_states(embedder, words)
        scores, found = judge_entities(data, states, seed=seed, train=train)
        return findings + found, scores
    texts = [data.kind.texts_of(example) for example in data.train.examples]
    first, *second = ([*column] for column in zip(*texts, strict=True))
    states = embedder.texts(first, *second)
    scores, found = judge_classes(data, states, seed=seed, train=train)
    return findings + found, scores


def _too_long_to_write(
    data: CheckedData, model_id: str, max_length: int, options: dict[str, Any]
) -> list[Finding]:
    """Inputs that are too long for a task that writes, whose model the user has to name."""
    from lowcost_ft.models.tokenizers import load_tokenizer

    data.notices.append("labels are not judged: that takes one class a text, or entities")
    if model_id == DEFAULT_MODEL_ID:
        data.notices.append(
            "lengths are not counted: each model that writes has tokens of its own; give "
            "--model-id and --max-length as in your training"
        )
        return []
    tokenizer = load_tokenizer(model_id, **data.kind.tokenizer_options, **options)
    count, what = partial(_count_tokens, tokenizer), "whose input alone is longer than"
    return check_too_long(data, count, max_length, what=what, most=None)


def _count_tokens(tokenizer: Any, texts: Sequence[tuple[str, ...]]) -> list[int]:
    columns = [list(column) for column in zip(*texts, strict=True)]
    encoded = tokenizer(*columns, truncation=False, verbose=False)
    return [len(ids) for ids in encoded["input_ids"]]
