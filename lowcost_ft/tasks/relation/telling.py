"""What a model for relation extraction is and does, in words and in code."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from lowcost_ft.scores.relations import relation_of
from lowcost_ft.tasks.base import Predictions, Task
from lowcost_ft.tasks.card import PipelineCode, RunRecord, TaskCard
from lowcost_ft.tasks.markdown import code
from lowcost_ft.tasks.relation.markers import plain_type
from lowcost_ft.tasks.relation.negatives import negative_label

__all__ = ["RelationTelling", "types_notice"]

_TEXT = "Ada Lovelace works for Acme in Berlin."
_TAGGED = "<e1>Ada Lovelace</e1> works for <e2>Acme</e2> in Berlin."
_MARKED = "@ Ada Lovelace @ works for # Acme # in Berlin."

_TYPED = (
    "<e1:{head}>Ada Lovelace</e1> works for <e2:{tail}>Acme</e2> in Berlin.",
    "@ * {head} * Ada Lovelace @ works for # ^ {tail} ^ Acme # in Berlin.",
)
"""The same with types: as people mark it, and as the model sees it."""
_SHOWN_TYPES = 3


def _types(run: RunRecord) -> dict[str, str] | None:
    """A type for the head and one for the tail, as training had them; None without types."""
    found = run.get("entity_types") or {}
    if not found.get("head") or not found.get("tail"):
        return None
    return {name: str(found[name][0]) for name in ("head", "tail")}


def _tagged(run: RunRecord) -> str:
    types = _types(run)
    return _TAGGED if types is None else _TYPED[0].format(**types)


def _marked(run: RunRecord) -> str:
    types = _types(run)
    if types is None:
        return _MARKED
    return _TYPED[1].format(**{name: plain_type(kind) for name, kind in types.items()})


def types_notice(run: RunRecord, examples: Sequence[Any]) -> str | None:
    """A message where a model that learned with types gets entities without, or others; else None.

    Args:
        run: The run's record, with the types that training had.
        examples: What is asked.
    """
    if (types := _types(run)) is None:
        return None
    of_both = {*run["entity_types"]["head"], *run["entity_types"]["tail"]}
    # An entity may be part of several pairs, and is counted once.
    asked = {(n, one) for n, example in enumerate(examples) for p in example.pairs for one in p}
    plain = {plain_type(kind) for kind in of_both}
    kinds = Counter(one.type for _, one in asked if plain_type(one.type) not in plain)
    if not kinds:
        return None
    known = sorted(kind for kind in of_both if kind)
    without = kinds.pop(None, 0) + kinds.pop("", 0)
    found = [f"{without:,} without a type"] if without else []
    found += [f"{count:,} of the type {kind}" for kind, count in kinds.most_common(_SHOWN_TYPES)]
    if len(kinds) > _SHOWN_TYPES:
        found.append(f"others of {len(kinds) - _SHOWN_TYPES:,} more types")
    return (
        f"the model learned with the types {', '.join(known)}, and its answers are worse "
        f"about other entities, of which there are some here ({', '.join(found)}): mark them as in "
        f"<e1:{types['head']}>...</e1>"
    )


def _negative(run: RunRecord) -> str | None:
    return negative_label(run["labels"], run["config"].get("negative_label"))


class RelationTelling(Task):
    """The part of the task that speaks to people."""

    @classmethod
    def card(cls, run: RunRecord, max_length: int) -> TaskCard:
        """Its words in a model card."""
        negative = _negative(run)
        relations = {relation_of(label) for label in run["labels"] if label != negative}
        count = f"{len(relations)} relation{'s' if len(relations) != 1 else ''}"
        limits = [
            "It knows the relations above and no others, and gives a pair of entities one of them.",
            "It looks at one pair at a time, and needs to be told where the two entities are "
            "(`lowcost-ft predict --ner RUN` finds them with an NER run).",
            "The marks `@ * type * ... @` and `# ^ type ^ ... #` around the two entities are part "
            "of the input. Give the types if it was trained with types.",
            f"An input has {max_length} tokens at most. `lowcost-ft predict` keeps the two "
            "entities and what is nearest to them; the Python code above cuts off the end.",
        ]
        if negative is None:
            limits.insert(1, "It has no label for entities that are not related.")
        return TaskCard(
            goal=f"tells how two entities of a text are related: {count}",
            known=frozenset(relations),
            unit="pairs of entities",
            class_title="relation",
            class_unit="pairs",
            score_note=(
                f"F1 leaves out {code(negative)}, the label of pairs without a relation. "
                if negative is not None
                else ""
            )
            + "A relation counts when its direction is right, too.",
            example=_tagged(run),
            limits=limits,
        )

    @classmethod
    def answer_code(cls, run: RunRecord, max_length: int) -> str:
        """Code that marks a pair of entities and predicts it with `model` and `tokenizer`."""
        types: Mapping[str, str | None] = _types(run) or {"head": None, "tail": None}
        return f'''def marked(text, head, tail):
    """Marks two entities, each given as (start, end, type); the type may be None."""
    pieces, done = [], 0
    for (start, end, kind), outer, inner in sorted([(head, "@", "*"), (tail, "#", "^")]):
        kind = " ".join((kind or "").lower().replace("_", " ").split())
        name = f"{{inner}} {{kind}} {{inner}} " if kind else ""
        pieces += [text[done:start], f"{{outer}} {{name}}{{text[start:end]}} {{outer}}"]
        done = end
    found = ""
    for piece in filter(None, [*pieces, text[done:]]):
        apart = not found or found[-1].isspace() or piece[0].isspace()
        found += piece if apart else f" {{piece}}"
    return found


text = marked("{_TEXT}", head=(0, 12, {types["head"]!r}), tail=(23, 27, {types["tail"]!r}))
inputs = tokenizer(text, truncation=True, max_length={max_length}, return_tensors="pt")
with torch.inference_mode():
    scores = model(**inputs).logits[0].softmax(-1)
print({{model.config.id2label[i]: score for i, score in enumerate(scores.tolist())}})'''

    @classmethod
    def settings_code(cls, run: RunRecord) -> list[str]:
        """Settings that the model's configuration needs beside its labels."""
        return []

    @classmethod
    def script_example(cls, run: RunRecord) -> str | None:
        """A text with its marks."""
        return json.dumps(_marked(run))

    @classmethod
    def pipeline_code(cls, run: RunRecord) -> PipelineCode | None:
        """How a pipeline is called."""
        return PipelineCode(
            comment="# The same as a pipeline, on a text with its marks:",
            arguments=[],
            example=repr(_marked(run)),
        )

    @classmethod
    def example_flags(cls, run: RunRecord) -> list[str]:
        """Flags of `predict` with a text that shows what a new run does."""
        return ["--text", _tagged(run)]

    @staticmethod
    def answer_text(answer: Mapping[str, Any]) -> str:
        """An answer for the terminal: the relation of the pair, or all of the text's."""
        text = answer["text"]
        if "id" in answer:
            text = f"[{answer['id']}] {text}"
        if "label" in answer:
            head, tail = answer["head"]["text"], answer["tail"]["text"]
            label = answer["label"] or "(no label)"
            return f"{label} {answer['score']:.2f}  {head} -> {tail}  {text}"
        lines = [text]
        entities = {entity["id"]: entity for entity in answer["entities"]}
        for entity in answer["entities"]:
            place = f"{entity['start']}-{entity['end']}"
            sure = f"{entity['score']:.2f}" if "score" in entity else "    "
            lines.append(f"  {place:>9}  {entity['label']:<14}{sure}  {entity['text']}")
        for relation in answer["relations"]:
            head, tail = (entities[relation[end]]["text"] for end in ("head", "tail"))
            lines.append(
                f"  {'->':>9}  {relation['label']:<14}{relation['score']:.2f}  {head} -> {tail}"
            )
        if not answer["relations"]:
            lines.append("  (no relation)" if answer["entities"] else "  (no entity)")
        return "\n".join(lines)

    @staticmethod
    def lost_when_cut(end: str) -> str:
        """The pair itself is never lost."""
        return "what is farthest from their two entities"

    def doubts(
        self,
        split: str,
        examples: Sequence[Any],
        scores: Mapping[str, Any],
        predictions: Predictions,
    ) -> tuple[list[str], str | None]:
        """See `Task.doubts`."""
        negative = getattr(self, "negative", None)
        counts = Counter(example.label for example in examples)
        if set(counts) == {negative}:
            return [
                f"the {split} split contains no relations, so its scores say nothing about the "
                "model: give a file that contains some"
            ], None
        if scores["micro_f1"] == 0:
            return [], f"the model found none of the relations in the {split} split"
        label, count = counts.most_common(1)[0]
        if negative is None and len(counts) > 1 and scores["accuracy"] <= count / len(examples):
            return [], (
                f"on the {split} split the model is no better than always predicting {label!r} "
                f"({count / len(examples):.3f} accuracy)"
            )
        return [], None
