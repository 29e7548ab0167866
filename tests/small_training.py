"""A tiny model, data that it can learn, and the training loop on them."""

from small_runs import ner_rows, text_rows

from lowcost_ft.config.run import RunConfig
from lowcost_ft.models.loading import build_model, forward_module, load_tokenizer
from lowcost_ft.tasks.classification import ClassificationTask, TextExample
from lowcost_ft.tasks.ner import NerExample, NerTask
from lowcost_ft.training.checkpoint import Checkpoints
from lowcost_ft.training.loop import train
from lowcost_ft.training.setup import build_accelerator

__all__ = ["Trainer", "poison"]

TAGS = ["O", "B-person", "I-person", "B-place", "I-place"]


class Trainer:
    """A tiny model and data, to be trained with any settings; `scores` scripts the validation.

    Each is a score, or a score and a loss.
    """

    def __init__(self, tiny_model, folder, name, family, **options):
        causal = family in ("llama", "gpt2")
        tokenizer = load_tokenizer(tiny_model(family), words=name == "ner")
        if name == "ner":
            self.task = NerTask(TAGS, causal=causal)
            examples = [
                NerExample(words=tuple(row["tokens"]), tags=tuple(row["tags"]), source="test")
                for row in ner_rows(20)
            ]
        else:
            self.task = ClassificationTask(["None", "delivery", "refund"])
            examples = [
                TextExample(text=row["text"], label=row["label"], source="test")
                for row in text_rows(20)
            ]
        self.examples, self.tokenizer = examples, tokenizer
        self.features = self.task.featurize(examples, tokenizer, max_length=32)
        self.built = build_model(
            tiny_model(family),
            head=self.task.head,
            labels=self.task.labels,
            pad_token_id=tokenizer.pad_token_id,
            **options,
        )
        self.model = forward_module(self.built.model)
        self.pad_token_id = tokenizer.pad_token_id
        self.folder = folder / "checkpoints"
        self.seen = []

    def ids(self, row):
        """Token ids of a row."""
        start, end = self.features.starts[row : row + 2]
        return self.features.input_ids[start:end].tolist()

    def weights(self):
        return {name: p.detach().clone() for name, p in self.model.named_parameters()}

    def __call__(
        self,
        scores=None,
        *,
        learning_rate=1e-2,
        result=None,
        resume=None,
        every=None,
        extensions=None,
        **settings,
    ):
        script = iter(scores or ())

        def validate(model):
            assert model is not None
            self.seen.append(self.weights())
            model.eval()  # As the real one does.
            found = next(script, 0.0)
            score, loss = found if isinstance(found, tuple) else (found, None)
            return {self.task.metric: score, "loss": loss, "examples": 3, "per_class": {}}

        accelerator = build_accelerator()
        return train(
            accelerator,
            self.model,
            self.task,
            self.features,
            settings=RunConfig(task=self.task.name, **{"batch_size": 8, **settings}),
            learning_rate=learning_rate,
            head_names=self.built.head_names,
            pad_token_id=self.pad_token_id,
            validate=validate,
            checkpoints=Checkpoints(
                accelerator=accelerator, folder=self.folder, every_steps=every, resume=resume
            ),
            result=result,
            example_name=lambda number: f"row {number}",
            extensions=extensions,
        )


def poison(run, example, value=float("nan")):
    """Makes the loss of one example infinite or no number."""
    real = run.task.loss
    row_of = {tuple(run.ids(row)): row for row in range(len(run.features.lengths))}

    def loss(logits, batch):
        total = real(logits, batch)
        for ids, mask in zip(batch["input_ids"], batch["attention_mask"], strict=True):
            row = row_of[tuple(ids[mask.bool()].tolist())]
            if run.features.examples[row] == example:
                total = total * value
        return total

    run.task.loss = loss
