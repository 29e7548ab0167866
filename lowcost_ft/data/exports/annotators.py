"""Several annotators of one input -> one row: --annotations, and how far the annotators agree."""

from collections import Counter
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import replace
from typing import Any

from lowcost_ft.data.exports.annotated import Annotated, Annotation
from lowcost_ft.data.rows import Row, counted, shown
from lowcost_ft.scores.agreement import cohen_kappa, krippendorff_alpha, span_f1

__all__ = ["agreement", "join_annotations"]

_LISTS = ("entities", "relations")


def join_annotations(
    items: Sequence[Annotated],
    choice: str | None,
    *,
    file: str,
    column: str | None = None,
    problems: list[str],
    notices: list[str],
) -> list[Row]:
    """One row for each input that somebody has labelled.

    Args:
        items: The inputs of one file with their annotations.
        choice: The value of --annotations; None: annotators who differ are a problem.
        file: The file, for messages.
        column: The one column of classes that is wanted; None: all that there are.
        problems: Gets a line where annotators differ and nothing says what to do.
        notices: Gets a line for what is left out, and for the agreement.
    """
    labelled = [item for item in items if item.annotations]
    if len(labelled) < len(items):
        first = next(item for item in items if not item.annotations)
        told = f"{counted(len(items) - len(labelled), 'row')} without an annotation left out"
        if not labelled:
            none = (
                f"none of its {len(items):,} rows has" if len(items) > 1 else "its one row has no"
            )
            problems.append(
                f"{file}: {none} {'an ' * (len(items) > 1)}annotation; label some in the tool and "
                f"export them"
            )
            return []
        notices.append(f"{file}: {told}, first {first.row.source}")
    labelled = [_of_column(item, column) for item in labelled]
    several = [item for item in labelled if len(item.annotations) > 1]
    if choice is not None and not several:
        notices.append(
            f"{file}: --annotations {choice} changes nothing: each row has one annotator"
        )
    differing = [item for item in several if len({_key(a) for a in item.annotations}) > 1]
    if several:
        told = (
            f"{file}: {counted(len(several), 'row')} labelled by several annotators; they differ "
            f"in {len(differing):,}"
        )
        figures = "".join(f"; {figure}" for figure in agreement(several).values())
        if differing and choice is None and any(not _truth(item) for item in differing):
            place = next(item.row.source for item in differing if not _truth(item))
            problems.append(
                f"{told}, first {place}{figures}; say with --annotations which to take: agreed "
                f"(rows in which all agree), majority (what most of them say) or first"
            )
            return []
        told += f", first {differing[0].row.source}" if differing else ""
        notices.append(told + figures)
    return _joined(labelled, choice or "first", file, problems=problems, notices=notices)


def _of_column(item: Annotated, column: str | None) -> Annotated:
    """An input without the other classes that its annotators differ in: nobody asks for them."""
    values = [annotation.values for annotation in item.annotations]
    if column is None or not any(column in given for given in values):
        return item
    names = dict.fromkeys(name for given in values for name in given)
    kept = {
        name
        for name in names
        if name in (column, *_LISTS) or len({_class(given.get(name)) for given in values}) == 1
    }
    return replace(
        item,
        annotations=tuple(
            replace(one, values={n: v for n, v in one.values.items() if n in kept})
            for one in item.annotations
        ),
    )


def _joined(
    items: Sequence[Annotated],
    choice: str,
    file: str,
    *,
    problems: list[str],
    notices: list[str],
) -> list[Row]:
    rows: list[Row] = []
    left_out: list[str] = []
    by_truth: list[str] = []
    for item in items:
        taken: Annotation | None = item.annotations[0]
        same = len({_key(annotation) for annotation in item.annotations}) == 1
        if not same and (truth := _truth(item)) is not None:
            taken = truth
            by_truth.append(item.row.source)
        elif not same and choice == "agreed":
            taken = None
        elif not same and choice == "majority":
            taken = _majority(item.annotations)
        if taken is None:
            left_out.append(item.row.source)
        else:
            rows.append(with_values(item.row, taken.values))
    if by_truth:
        notices.append(
            f"{file}: in {counted(len(by_truth), 'row')} the annotation that the tool marks as "
            f"ground truth is taken, first {by_truth[0]}"
        )
    if left_out:
        why = "annotators differ" if choice == "agreed" else "no class has a majority"
        if not rows:
            problems.append(
                f"{file}: no row is left, since {why} in {counted(len(left_out), 'row')}, first "
                f"{left_out[0]} (--annotations {choice}); give another value of --annotations"
            )
        notices.append(
            f"{file}: {counted(len(left_out), 'row')} left out, since {why} (--annotations "
            f"{choice}), first {left_out[0]}"
        )
    return rows


def with_values(row: Row, values: Mapping[str, Any]) -> Row:
    """A row with an annotation in it; a field of the same name is kept as `data.NAME`."""
    own = {(f"data.{name}" if name in values else name): v for name, v in row.values.items()}
    return Row(own | dict(values), row.source)


def _truth(item: Annotated) -> Annotation | None:
    """The annotation that is marked as right; None where there is none, or several that differ."""
    marked = [annotation for annotation in item.annotations if annotation.is_truth]
    return marked[0] if len({_key(annotation) for annotation in marked}) == 1 else None


# --- What can be compared -----------------------------------------------------------------------


def _spans(annotation: Annotation) -> frozenset[Hashable]:
    return frozenset(map(_span, annotation.values.get("entities") or ()))


def _span(entity: Mapping[str, Any]) -> Hashable:
    fragments = tuple(map(tuple, entity.get("fragments") or ()))
    return entity["start"], entity["end"], entity["label"], fragments


def _links(annotation: Annotation) -> frozenset[Hashable]:
    places = {e.get("id"): _span(e) for e in annotation.values.get("entities") or ()}
    return frozenset(
        (places.get(r["head"]), places.get(r["tail"]), r["label"])
        for r in annotation.values.get("relations") or ()
    )


def _class(value: Any) -> Hashable:
    return tuple(sorted(map(str, value))) if isinstance(value, list | tuple) else repr(value)


def _key(annotation: Annotation) -> Hashable:
    rest = {n: _class(v) for n, v in annotation.values.items() if n not in _LISTS}
    return _spans(annotation), _links(annotation), tuple(sorted(rest.items()))


def agreement(items: Sequence[Annotated]) -> dict[str, str]:
    """How far annotators agree, by column, in words.

    Classes are compared by Cohen's kappa where there are two annotators, and by Krippendorff's
    alpha else, without those of annotators who gave none; entities by F1 over exact spans.

    Args:
        items: Inputs with two annotations or more.
    """
    figures: dict[str, str] = {}
    names = dict.fromkeys(name for item in items for a in item.annotations for name in a.values)
    for name in names:
        if name == "entities":
            f1 = span_f1([list(map(_spans, item.annotations)) for item in items])
            if f1 is not None:
                figures[name] = f"entity F1 between annotators {f1:.3f}"
        elif name not in _LISTS:
            figures |= _class_agreement(items, name)
    return figures


def _class_agreement(items: Sequence[Annotated], name: str) -> dict[str, str]:
    # Who left it empty says nothing of it.
    given = [
        [
            (a.annotator, _class(v))
            for a in item.annotations
            if (v := a.values.get(name)) is not None
        ]
        for item in items
    ]
    people = sorted({annotator for one in given for annotator, _ in one})
    if len(people) == 2 and all(len(dict(one)) == len(one) for one in given):
        both = [dict(one) for one in given if len(one) == 2]
        figure = cohen_kappa([(one[people[0]], one[people[1]]) for one in both])
        told = "Cohen's kappa"
    else:
        figure = krippendorff_alpha([[value for _, value in one] for one in given])
        told = "Krippendorff's alpha"
    return {} if figure is None else {name: f"{told} of {shown(name)} {figure:.3f}"}


# --- Votes --------------------------------------------------------------------------------------


def _majority(annotations: Sequence[Annotation]) -> Annotation | None:
    """What more than half of the annotators say; None where a class has no majority."""
    values: dict[str, Any] = {}
    for name in dict.fromkeys(name for a in annotations for name in a.values):
        if name == "entities":
            values[name] = _voted_entities(annotations)
        elif name not in _LISTS:
            value = _voted_class([a.values.get(name) for a in annotations])
            if value is None:
                return None
            values[name] = value[0]
    if any("relations" in a.values for a in annotations):
        values["relations"] = _voted_relations(annotations, values.get("entities") or [])
    return Annotation("majority", values)


def _voted_entities(annotations: Sequence[Annotation]) -> list[dict[str, Any]]:
    votes = Counter(span for a in annotations for span in _spans(a))
    kept: dict[Hashable, dict[str, Any]] = {}
    for annotation in annotations:
        for entity in annotation.values.get("entities") or ():
            if 2 * votes[_span(entity)] > len(annotations):
                kept.setdefault(_span(entity), dict(entity))
    found = sorted(kept.values(), key=lambda entity: (entity["start"], entity["end"]))
    # Annotators number their entities each for themselves.
    return [entity | {"id": f"T{number}"} for number, entity in enumerate(found, 1)]


def _voted_relations(
    annotations: Sequence[Annotation], entities: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    ids = {_span(entity): entity["id"] for entity in entities}
    votes = Counter(link for a in annotations for link in _links(a))
    kept: dict[Hashable, dict[str, Any]] = {}
    for annotation in annotations:
        places = {e.get("id"): _span(e) for e in annotation.values.get("entities") or ()}
        for relation in annotation.values.get("relations") or ():
            head, tail = places.get(relation["head"]), places.get(relation["tail"])
            link = (head, tail, relation["label"])
            if 2 * votes[link] > len(annotations) and head in ids and tail in ids:
                kept[link] = dict(relation) | {"head": ids[head], "tail": ids[tail]}
    return list(kept.values())


def _voted_class(values: Sequence[Any]) -> tuple[Any] | None:
    """The value that most annotators gave, in a tuple; None where two have as many votes."""
    if any(isinstance(value, list | tuple) and len(value) > 1 for value in values):
        lists = [value if isinstance(value, list | tuple) else () for value in values]
        votes = Counter(label for value in lists for label in dict.fromkeys(value))
        return ([label for label, count in votes.items() if 2 * count > len(values)],)
    ranked = Counter(map(_class, values)).most_common(2)
    if len(ranked) > 1 and ranked[0][1] == ranked[1][1]:
        return None
    return (next(value for value in values if _class(value) == ranked[0][0]),)
