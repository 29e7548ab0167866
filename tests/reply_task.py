"""A task of the tests alone: it generates, with the head that the language model has.

It uses nothing of the package but the contract of a task.
"""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import torch
from torch.nn import functional

from lowcost_ft.config.tasks import TaskSettings, register_task
from lowcost_ft.data.features import Array, Features, flatten
from lowcost_ft.data.rows import read_text
from lowcost_ft.tasks.base import Task

register_task(TaskSettings(name="reply", title="replying", module="reply_task"))

_DRAWN = ("lamp", "chair", "desk", "sofa", "box", "phone")


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
    def blank(row):
        raise AssertionError("no files of lines here")

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


TASK = ReplyTask
