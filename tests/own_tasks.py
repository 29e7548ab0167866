"""Two tasks that live in the tests alone: one with two outputs and windows, one that generates.

They use nothing of the package but the contract of a task.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional

from lowcost_ft.config.tasks import TaskSettings, register_task
from lowcost_ft.data.features import Array, Features, cut_windows, flatten
from lowcost_ft.data.rows import find_column, read_id, read_text
from lowcost_ft.tasks.base import Task

register_task(TaskSettings(name="find", title="finding", module="own_tasks_find"))
register_task(TaskSettings(name="reply", title="replying", module="own_tasks_reply"))

_DRAWN = ("lamp", "chair", "desk", "sofa", "box", "phone")


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
    def read_texts(texts, pairs):
        return [
            FindExample(wanted=pair, passage=text, place=None, source="text")
            for text, pair in zip(texts, pairs, strict=True)
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
        return {"first": outputs.start_logits.float(), "last": outputs.end_logits.float()}

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


@dataclass(frozen=True, kw_only=True)
class ReplyExample:
    """A message, and what to reply."""

    message: str
    reply: str | None
    source: str
    row_id: Any = None


class ReplyTask(Task):
    """Writes a few tokens with the language model's own head, which stays as it is."""

    name = "reply"
    head = "causal_lm"
    generates = True
    schema: ClassVar[dict[str, Array]] = {
        "targets": Array("token", fill=-100),
        "prompt_tokens": Array("row"),
    }
    problem_type = None
    metric = "same_tokens"
    new_tokens = 4

    def __init__(self) -> None:
        self.labels: list[str] = []

    @classmethod
    def read(cls, rows, reading, *, problems, notices, labelled=True):
        examples = []
        for row in rows:
            message = read_text(row, "message", problems)
            reply = read_text(row, "reply", problems) if labelled else None
            if message is not None:
                examples.append(ReplyExample(message=message, reply=reply, source=row.source))
        return examples

    @classmethod
    def finish(cls, splits, *, reading, labels=None, problems, notices):
        return dict(splits), [], None

    @staticmethod
    def sample_rows():
        return {name: reply_rows(12, seed) for seed, name in enumerate(("train", "test"))}

    @staticmethod
    def read_texts(texts, pairs):
        return [ReplyExample(message=text, reply=None, source="text") for text in texts]

    @staticmethod
    def input_of(example):
        return example.message

    @staticmethod
    def truth_of(example):
        return example.reply

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
        rows, targets, prompts = [], [], []
        for example in examples:
            prompt = tokenizer(example.message, add_special_tokens=False)["input_ids"]
            reply = tokenizer(" " + (example.reply or "-"), add_special_tokens=False)["input_ids"]
            reply = reply[: self.new_tokens]
            prompt = prompt[: max_length - len(reply)]
            rows.append([*prompt, *reply])
            # Each token is what the one before it should bring forth.
            targets.append([-100] * (len(prompt) - 1) + reply + [-100])
            prompts.append(len(prompt))
        input_ids, starts = flatten(rows)
        return Features(
            input_ids=input_ids,
            starts=starts,
            examples=np.arange(len(rows), dtype=np.int64),
            num_examples=len(rows),
            weights=np.array([sum(t >= 0 for t in row) for row in targets], np.float64),
            arrays={
                "targets": flatten(targets)[0],
                "prompt_tokens": np.array(prompts, np.int64),
            },
            schema=self.schema,
        )

    @staticmethod
    def blank_arrays(rows, tokens):
        return {"targets": np.zeros(tokens, np.int32), "prompt_tokens": np.ones(rows, np.int64)}

    def loss(self, outputs, batch):
        return functional.cross_entropy(
            outputs.flatten(0, 1), batch["targets"].flatten(), reduction="sum"
        )

    def decode(self, outputs):
        raise AssertionError("this task predicts by generating")

    def predict(self, model, inputs, batch):
        """The most probable next tokens, one row after the other."""
        found = torch.zeros((len(batch["prompt_tokens"]), self.new_tokens), dtype=torch.long)
        for row, length in enumerate(batch["prompt_tokens"].tolist()):
            ids = inputs["input_ids"][row : row + 1, :length]
            for step in range(self.new_tokens):
                logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
                best = logits[:, -1].argmax(-1, keepdim=True)
                found[row, step] = best.item()
                ids = torch.cat([ids, best], dim=1)
        return {"tokens": found}

    def new_predictions(self, features):
        return {"tokens": np.zeros((features.num_examples, self.new_tokens), np.int64)}

    def store(self, predictions, decoded, batch, examples):
        predictions["tokens"][examples] = decoded["tokens"]

    def present(self, examples, predictions):
        return [
            {"message": example.message, "tokens": tokens.tolist()}
            for example, tokens in zip(examples, predictions["tokens"], strict=True)
        ]

    @staticmethod
    def truth_row(example):
        return {} if example.reply is None else {"true_reply": example.reply}

    def losses(self, examples, predictions):
        return np.zeros(len(examples))

    def changed(self, examples, before, after):
        return (before["tokens"] != after["tokens"]).any(axis=1)

    def score(self, examples, predictions, *, seed=0):
        share = float((predictions["tokens"] > 0).mean())
        return {"same_tokens": share, "examples": len(examples)}


def reply_rows(count: int, seed: int = 0) -> list[dict[str, Any]]:
    """Messages that a tiny model can learn to reply to."""
    draw = np.random.default_rng(seed)
    words = [str(word) for word in draw.choice(_DRAWN, count)]
    return [
        {"message": f"where is my {word} {i}?", "reply": f"the {word} arrived"}
        for i, word in enumerate(words)
    ]
