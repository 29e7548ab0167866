"""Tags of NER: IOB2 whatever the files use, and whether the splits agree."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.known_labels import Occurrences, tell_unknown
from lowcost_ft.data.rows import file_of, shown
from lowcost_ft.scores.tag_schemes import illegal_tags
from lowcost_ft.tasks.ner.examples import NerExample, word_source
from lowcost_ft.tasks.ner.tagging import detect_scheme, tags_to_spans, to_iob2

__all__ = ["classes", "finish"]


def classes(example: NerExample) -> frozenset[str]:
    """Entity types that occur in a finished example."""
    return frozenset(tag[2:] for tag in example.tags or () if tag != "O")


def finish(
    splits: Mapping[str, list[NerExample]],
    *,
    reading: ReadingOptions,
    labels: Sequence[str] | None = None,
    problems: list[str],
    notices: list[str],
) -> tuple[dict[str, list[NerExample]], list[str], None]:
    """Converts the tags of all splits to IOB2 and checks the splits against each other.

    Args:
        splits: Labelled examples by split, "train" among them unless `labels` is given.
        reading: How they were read; tags are told apart without it.
        labels: Labels of a trained model; None: those of the training split.
        problems: Gets a line for each problem.
        notices: Gets a line about a conversion, and about illegal sequences with the first few.

    Returns:
        The converted splits; the labels ("O", then "B-x" and "I-x" for each type x, sorted); and
        no problem type.
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
                f"{word_source(example.source, example.first_line, position)} "
                f"({shown(example.tags[position])})"
                for position in positions
            ]
    if scheme != "IOB2":
        notices.append(f"the tags are {scheme}; they were converted to IOB2")
    if illegal:
        notices.append(illegal_tags(scheme, illegal))
    trained = labels is not None
    if labels is None:
        train = converted["train"]
        types = sorted(frozenset[str]().union(*map(classes, train)))
        if not types and train:
            problems.append(
                f'{file_of(train[0].source)}: one class only: every tag is "O"; training needs '
                f"sentences with entities"
            )
            return converted, ["O"], None
        labels = ["O", *(f"{prefix}-{label}" for label in types for prefix in "BI")]
    _check_types(converted, labels, trained=trained, problems=problems, notices=notices)
    return converted, list(labels), None


def _check_types(
    splits: Mapping[str, list[NerExample]],
    labels: Sequence[str],
    *,
    trained: bool,
    problems: list[str],
    notices: list[str],
) -> None:
    """Says which entity types of each split the model does not know."""
    known = {label[2:] for label in labels if label != "O"}
    for examples in splits.values():
        found = Occurrences()
        for example in examples:
            for start, _, label in tags_to_spans(example.tags or ()):
                found.add(label, word_source(example.source, example.first_line, start))
        tell_unknown(
            found,
            known,
            what="entity type",
            trained=trained,
            problems=problems,
            notices=notices,
        )
