"""A task of the tests alone: two outputs, several windows an example, a score of its own.

It uses nothing of the package but the contract of a task.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from torch.nn import functional

from lowcost_ft.config.tasks import TaskSettings, register_task
from lowcost_ft.data.features import Array, Features, cut_windows, flatten
from lowcost_ft.data.rows import find_column, read_id, read_text
from lowcost_ft.errors import UserError
from lowcost_ft.tasks.base import Task

register_task(TaskSettings(name="find", title="finding", module="find_task"))

_DRAWN = ("lamp", "chair", "desk", "sofa", "box", "phone")


@dataclass(frozen=True, kw_only=True)
class FindFlags:
    """What it brings to `lowcost-ft predict`."""

    wanted: str | None = None
    """The word to find in --text."""
    second: str | None = None
    """Folder of another run, which is asked too."""


@dataclass(frozen=True, kw_only=True)
class FindExample:
    """A wanted word and a passage that holds it."""

    wanted: str
    passage: str
    place: int | None
    source: str
    row_id: Any = None


class FindTask(Task):
    """Finds the first and the last token of a wanted word in a passage of any length."""

    name = "find"
    head = "question_answering"
    schema: ClassVar[dict[str, Array]] = {"first": Array("row"), "last": Array("row")}
    problem_type = None
    metric = "found"
    predict_flags = FindFlags

    def __init__(self) -> None:
        self.labels = ["first", "last"]

    @classmethod
    def read(cls, rows, reading, *, problems, notices, labelled=True):
        found = {"problems": problems, "notices": notices}
        if not rows:
            return []
        wanted = find_column(rows, None, ("wanted",), "wanted", **found)
        passage = find_column(rows, None, ("passage",), "passage", **found)
        if wanted is None or passage is None:
            return []
        examples = []
        for row in rows:
            before = len(problems)
            texts = [read_text(row, name, problems) for name in (wanted, passage)]
            place = row.values.get("place") if labelled else None
            if labelled and type(place) is not int:
                problems.append(f'{row.source}: "place" must be a number')
            if len(problems) == before:
                examples.append(
                    FindExample(
                        wanted=texts[0],
                        passage=texts[1],
                        place=place,
                        source=row.source,
                        row_id=read_id(row, [wanted, passage]),
                    )
                )
        return examples

    @classmethod
    def finish(cls, splits, *, reading, labels=None, problems, notices):
        return dict(splits), ["first", "last"], None

    @staticmethod
    def sample_rows():
        return {name: find_rows(12, seed) for seed, name in enumerate(("train", "test"))}

    @staticmethod
    def blank(row):
        raise AssertionError("no files of lines here")

    @staticmethod
    def read_texts(texts, pairs):
        return [
            FindExample(wanted=pair, passage=text, place=None, source="text")
            for text, pair in zip(texts, pairs, strict=True)
        ]

    @classmethod
    def flag_examples(cls, flags, *, text, json):
        if flags.wanted is None:
            return None
        if text is None:
            raise UserError("--wanted needs --text")
        return cls.read_texts([text], [flags.wanted])

    def predict_answers(self, predictor, examples, flags, *, open_run):
        answers = predictor.predict(examples)
        if flags.second is None:
            return answers
        others = open_run(flags.second).predict(examples)
        return [
            answer | {"second": other["first"]}
            for answer, other in zip(answers, others, strict=True)
        ]

    @staticmethod
    def input_of(example):
        return (example.wanted, example.passage)

    @staticmethod
    def truth_of(example):
        return example.place

    @classmethod
    def from_splits(cls, config, splits, *, causal):
        return cls()

    @classmethod
    def from_record(cls, run):
        return cls()

    @classmethod
    def for_planning(cls, labels):
        return cls()

    def featurize(self, examples, tokenizer, *, max_length):
        rows, owners, firsts, lasts = [], [], [], []
        for number, example in enumerate(examples):
            wanted = tokenizer(example.wanted)["input_ids"]
            encoded = tokenizer(
                example.passage, add_special_tokens=False, return_offsets_mapping=True
            )
            ids, offsets = encoded["input_ids"], encoded["offset_mapping"]
            size = max_length - len(wanted)
            for start, end in cut_windows(len(ids), size, size // 2):
                inside = [
                    position - start + len(wanted)
                    for position in range(start, end)
                    if example.place is not None
                    and offsets[position][0] < example.place + len(example.wanted)
                    and offsets[position][1] > example.place
                ]
                rows.append([*wanted, *ids[start:end]])
                owners.append(number)
                firsts.append(inside[0] if inside else 0)  # The first token: not here.
                lasts.append(inside[-1] if inside else 0)
        input_ids, starts = flatten(rows)
        return Features(
            input_ids=input_ids,
            starts=starts,
            examples=np.array(owners, np.int64),
            num_examples=len(examples),
            weights=np.ones(len(rows)),
            arrays={"first": np.array(firsts, np.int64), "last": np.array(lasts, np.int64)},
            schema=self.schema,
        )

    @staticmethod
    def blank_arrays(rows, tokens):
        return {"first": np.zeros(rows, np.int64), "last": np.zeros(rows, np.int64)}

    def forward(self, model, inputs):
        outputs = model(**inputs)
        # Padding is no place, and how much of it there is depends on how a step is cut.
        padding = inputs["attention_mask"] == 0
        both = {"first": outputs.start_logits, "last": outputs.end_logits}
        return {name: logits.float().masked_fill(padding, -1e4) for name, logits in both.items()}

    def loss(self, outputs, batch):
        losses = [
            functional.cross_entropy(outputs[name], batch[name], reduction="sum")
            for name in ("first", "last")
        ]
        return (losses[0] + losses[1]) / 2

    def decode(self, outputs):
        score, first = outputs["first"].softmax(-1)[:, 1:].max(-1)
        return {"first": first + 1, "score": score}

    def new_predictions(self, features):
        return {
            "first": np.zeros(features.num_examples, np.int64),
            "score": np.zeros(features.num_examples, np.float32),
        }

    def store(self, predictions, decoded, batch, examples):
        for row, example in enumerate(examples):
            if decoded["score"][row] > predictions["score"][example]:
                for name in ("first", "score"):
                    predictions[name][example] = decoded[name][row]

    def present(self, examples, predictions):
        return [
            {"wanted": e.wanted, "passage": e.passage, "first": int(p), "score": float(s)}
            for e, p, s in zip(examples, predictions["first"], predictions["score"], strict=True)
        ]

    @staticmethod
    def truth_row(example):
        return {} if example.place is None else {"true_place": example.place}

    def losses(self, examples, predictions):
        return 1.0 - predictions["score"].astype(np.float64)

    def changed(self, examples, before, after):
        return before["first"] != after["first"]

    def score(self, examples, predictions, *, seed=0):
        return {"found": float(predictions["score"].mean()), "examples": len(examples)}


def find_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Passages, of which some are longer than a window."""
    draw = np.random.default_rng(seed)
    rows = []
    for number in range(count):
        words = [str(word) for word in draw.choice(_DRAWN, 4 + 30 * (number % 3 == 0))]
        wanted = words[int(draw.integers(len(words)))]
        passage = " ".join(words)
        rows.append(
            {"id": number, "wanted": wanted, "passage": passage, "place": passage.index(wanted)}
        )
    return rows


TASK = FindTask
