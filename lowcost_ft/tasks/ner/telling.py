"""What a model for named-entity recognition is and does, in words and in code."""

from collections.abc import Mapping, Sequence
from typing import Any

from lowcost_ft.data.rows import on_one_line
from lowcost_ft.tasks.base import Predictions, Task
from lowcost_ft.tasks.card import PipelineCode, RunRecord, TaskCard
from lowcost_ft.tasks.markdown import code
from lowcost_ft.tasks.ner.legal_tags import recorded_choice
from lowcost_ft.tasks.ner.word_notices import recorded_rule

__all__ = ["NerTelling"]


class NerTelling(Task):
    """The part of the task that speaks to people."""

    @classmethod
    def card(cls, run: RunRecord, max_length: int) -> TaskCard:
        """Its words in a model card."""
        types = sorted({label[2:] for label in run["labels"] if label != "O"})
        return TaskCard(
            goal=f"marks entities of {len(types)} types: {', '.join(map(code, types))}",
            known=frozenset(types),
            unit="sentences",
            class_title="entity type",
            class_unit="entities",
            score_note="An entity counts when its words and its type are right.",
            example="Ada Lovelace lives in London.",
            limits=[
                "It knows the entity types above and no others, and entities do not nest.",
                _words(run),
                f"The Python code above cuts a sentence off after {max_length} tokens. `lowcost-ft "
                "predict` reads longer ones in overlapping windows.",
                *[
                    "Code without lowcost_ft, such as that above, takes each word's best tag. "
                    "`lowcost-ft predict` takes the best tags that fit together, in which an `I-` "
                    "always goes on from a `B-`."
                ]
                * (recorded_choice(run) == "legal"),
            ],
        )

    @classmethod
    def answer_code(cls, run: RunRecord, max_length: int) -> str:
        """Code that predicts words with `model` and `tokenizer`."""
        # A decoder sees a word whole only at its last sub-word, and has a padding token set.
        last = run.get("pad_token_id") is not None
        where = "last" if last else "first"
        keep = "tags[word] = best[position]" if last else "tags.setdefault(word, best[position])"
        # Trained vectors that stand in front of the text come out, too.
        virtual = run.get("virtual_logits")
        tokens = f"0, {virtual}:" if virtual else "0"
        return f"""words = ["Ada", "Lovelace", "lives", "in", "London", "."]
inputs = tokenizer(
    words,
    is_split_into_words=True,
    truncation=True,
    max_length={max_length},
    return_tensors="pt",
)
word_ids = inputs.word_ids()
with torch.inference_mode():
    best = model(**inputs).logits[{tokens}].argmax(-1).tolist()
# A word has the tag of its {where} sub-word; one without sub-words is O.
tags = {{}}
for position, word in enumerate(word_ids):
    {keep}
for index, word in enumerate(words):
    print(word, model.config.id2label[tags[index]] if index in tags else "O")"""

    @classmethod
    def pipeline_code(cls, run: RunRecord) -> PipelineCode | None:
        """How a pipeline is called; None where none gives the same answers."""
        if run.get("pad_token_id") is not None or run.get("virtual_logits"):
            # Pipelines have no strategy that reads a word's last sub-word, or skips positions.
            return None
        if "B-O" in run["labels"]:
            return None  # A pipeline leaves out what is called O, even as the type of an entity.
        return PipelineCode(
            comment="# As a pipeline, which splits the text into words by rules of its own:",
            arguments=['aggregation_strategy="first"'],
            example='"Ada Lovelace lives in London."',
        )

    @classmethod
    def example_flags(cls, run: RunRecord) -> list[str]:
        """Flags of `predict` with a text that shows what a new run does."""
        return ["--text", "Send it to Jane Smith in Berlin by Friday"]

    @staticmethod
    def answer_text(answer: Mapping[str, Any]) -> str:
        """An answer for the terminal: the text, and a line for each entity."""
        text = answer["text"]
        if "id" in answer:
            text = f"[{answer['id']}] {text}"
        lines = [text]
        for entity in answer["entities"]:
            place = f"{entity['start']}-{entity['end']}"
            lines.append(
                f"  {place:>9}  {on_one_line(entity['label']):<14}{entity['score']:.2f}  "
                f"{entity['text']}"
            )
        return "\n".join(lines if answer["entities"] else [*lines, "  (no entity)"])

    def doubts(
        self,
        split: str,
        examples: Sequence[Any],
        scores: Mapping[str, Any],
        predictions: Predictions,
    ) -> tuple[list[str], str | None]:
        """See `Task.doubts`."""
        if not any(tag != "O" for example in examples for tag in example.tags or ()):
            return [
                f"the {split} split contains no entities, so its scores say nothing about the "
                "model: give a file that contains some"
            ], None
        if scores["f1"] == 0:
            return [], f"the model found none of the entities in the {split} split"
        return [], None


def _words(run: RunRecord) -> str:
    if run.get("file_words") == "split":
        whole = recorded_rule(run) != "unicode-v1"
        return (
            "It was trained on words as lowcost_ft cuts them, in files and in texts: a run of "
            "letters and digits is a word, and so is every other character; `5,453.87` is five "
            "words, `AT&T` is three. "
            + "A web address or e-mail address is one word. " * whole
            + "Give the Python code such words."
        )
    return (
        "It was trained on words as the training data has them. Where those are cut otherwise than "
        "lowcost_ft cuts a text (`5,453.87` as one word), it finds fewer entities in texts."
    )
