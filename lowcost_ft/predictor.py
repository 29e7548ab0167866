"""A finished run, loaded to predict and to be scored on other data."""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from transformers import PreTrainedTokenizerBase

from lowcost_ft.data.loading import read_examples_file, read_text_lines
from lowcost_ft.data.rows import text_fault
from lowcost_ft.data.word_notices import word_notice
from lowcost_ft.errors import UserError
from lowcost_ft.evaluation import predict
from lowcost_ft.models.held_precision import hold_frozen_weights
from lowcost_ft.models.loading import forward_module, load_tokenizer, load_trained
from lowcost_ft.models.merging import is_mergeable, merge_adapter
from lowcost_ft.models.quantization import compute_dtype, weight_bytes
from lowcost_ft.reading import ReadingOptions, reading_of
from lowcost_ft.runs import load_run
from lowcost_ft.tasks.base import Task
from lowcost_ft.tasks.classification import ClassificationTask, TextExample
from lowcost_ft.tasks.ner import NerTask, text_example
from lowcost_ft.training.setup import build_accelerator, set_num_threads

__all__ = ["Predictor", "load_predictor"]


@dataclass(frozen=True, kw_only=True)
class Predictor:
    """A trained model with all that it takes to use it.

    Attributes:
        run: The content of `run.json`.
        task: The run's task, with its labels.
        model: In evaluation mode, on the accelerator's device.
        tokenizer: As it was in training.
        accelerator: Device and precision.
        concurrent: Whether each thread of a CPU may run a copy of the modules: see `predict`.
        notices: What the user should know of the files and texts so far.
    """

    run: dict[str, Any]
    task: Task
    model: torch.nn.Module
    tokenizer: PreTrainedTokenizerBase
    accelerator: Accelerator
    concurrent: bool = False
    notices: list[str] = field(default_factory=list)

    def __call__(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> list[dict]:
        """Predicts texts.

        Args:
            texts: The texts.
            pairs: The second text of each, for a model of pairs.

        Returns:
            For each text a dictionary; see `Task.answer`.

        Raises:
            UserError: A text is empty or broken, or it should be a pair, or should not.
        """
        for what, given in (("text", texts), ("second text", pairs or ())):
            faults = [(number, text_fault(text)) for number, text in enumerate(given, 1)]
            if problems := [f"{what} {number} {fault}" for number, fault in faults if fault]:
                raise UserError(problems[:5])
        if isinstance(self.task, NerTask):
            if pairs is not None:
                raise UserError("NER takes one text, not a pair")
            return self.predict([text_example(text) for text in texts])
        seconds = pairs if pairs is not None else [None] * len(texts)
        return self.predict(
            [
                TextExample(text=text, text_pair=pair, label=None, source="text")
                for text, pair in zip(texts, seconds, strict=True)
            ]
        )

    def predict(self, examples: Sequence[Any]) -> list[dict[str, Any]]:
        """Predicts examples of the task; one answer each, in their order.

        An answer begins with the `id` of its row, where the input has one.

        Raises:
            UserError: They should be pairs of texts, or should not.
        """
        answers = self.task.answer(examples, self._predictions(examples)) if examples else []
        return [
            ({} if example.row_id is None else {"id": example.row_id}) | answer
            for example, answer in zip(examples, answers, strict=True)
        ]

    def evaluate(self, path: str, *, reading: ReadingOptions | None = None) -> dict[str, Any]:
        """Scores a labelled file.

        Args:
            path: A file of any kind that training reads.
            reading: How it is read; else as the run's data was, where that fits.

        Raises:
            UserError: The file is malformed, or has labels that the model does not know.
        """
        examples = read_examples_file(
            self.task.name,
            path,
            reading=self._reading(reading),
            usual=reading_of(self.run["config"]),
            labelled=True,
            labels=self.task.labels,
            notices=self.notices,
        )
        return self.task.score(examples, self._predictions(examples), seed=self.run["seed"])

    def _reading(self, given: ReadingOptions | None) -> ReadingOptions:
        decided: Any = self.task.problem_type
        return replace(given or ReadingOptions(), problem_type=decided)

    def read(self, path: str, *, reading: ReadingOptions | None = None) -> list[Any]:
        """Reads a file of examples, labelled or not, to predict them."""
        return read_examples_file(
            self.task.name,
            path,
            reading=reading,
            usual=reading_of(self.run["config"]),
            labelled=False,
            notices=self.notices,
        )

    def read_lines(self, data: bytes, *, name: str) -> list[Any]:
        """Reads texts that come one a line; `name` is what messages call their source."""
        return read_text_lines(self.task.name, name, data)

    def _predictions(self, examples: Sequence[Any]) -> Any:
        pairs = bool(self.run.get("data", {}).get("pairs"))
        if pairs != (getattr(examples[0], "text_pair", None) is not None):
            fix = (
                "pairs of texts: give the second one too (--text-pair, --text-pair-column)"
                if pairs
                else "single texts: leave out the second one (--text-pair, --text-pair-column)"
            )
            raise UserError(f"{examples[0].source}: the model was trained on {fix}")
        if isinstance(self.task, NerTask):
            notice = word_notice(self.run, examples)
            if notice is not None and notice not in self.notices:
                self.notices.append(notice)
        config = self.run["config"]
        features = self.task.featurize(examples, self.tokenizer, max_length=config["max_length"])
        if features.truncated:
            self.notices.append(
                f"{features.truncated:,} of {len(examples):,} texts are longer than the run's "
                f"--max-length {config['max_length']} and lost their end"
            )
        return predict(
            self.accelerator,
            self.model,
            self.task,
            features,
            pad_token_id=self.tokenizer.pad_token_id,
            micro_batch_tokens=config["micro_batch_tokens"],
            concurrent=self.concurrent,
        )


def load_predictor(
    folder: str | Path,
    *,
    trust_remote_code: bool = False,
    num_threads: int | None = None,
    keep_adapter: bool = False,
) -> Predictor:
    """Loads a run folder.

    In float32 on a CPU an adapter that can be merged is added to the weights, in memory: about a
    tenth less work, for logits that differ by rounding.

    Args:
        folder: The `--output-dir` of a completed run.
        trust_remote_code: Whether the base model's own Python code may run.
        num_threads: CPU threads; see `set_num_threads`.
        keep_adapter: Leave the adapter beside the weights, as it was in training.

    Raises:
        UserError: The folder is not a completed run, or its model cannot be loaded.
    """
    run = load_run(folder)
    if not (Path(folder) / "tokenizer.json").is_file():
        # transformers would make up a tokenizer that knows no word, and predict with it.
        raise UserError(f"{folder} lacks tokenizer.json: restore the run folder, or train again")
    set_num_threads(num_threads, local_processes=1)
    accelerator = build_accelerator()
    model = load_trained(
        folder,
        run,
        trust_remote_code=trust_remote_code,
        dtype=compute_dtype(accelerator.mixed_precision),
    )
    # In half precision the sum would lose digits of the adapter.
    exact = accelerator.device.type == "cpu" and accelerator.mixed_precision == "no"
    if exact and not keep_adapter and is_mergeable(model):
        model = merge_adapter(model)
    hold_frozen_weights(model, compute_dtype(accelerator.mixed_precision))
    config = run["config"]
    tokenizer = load_tokenizer(
        str(folder), words=run["task"] == "ner", trust_remote_code=trust_remote_code
    )
    task: Task
    if run["task"] == "ner":
        causal = run.get("pad_token_id") is not None
        task = NerTask(
            run["labels"],
            causal=causal,
            window_overlap=config["window_overlap"],
            file_words=run.get("file_words") or "as_given",
        )
    else:
        task = ClassificationTask(run["labels"], problem_type=run["problem_type"])
    return Predictor(
        run=run,
        task=task,
        model=forward_module(model).to(accelerator.device).eval(),
        tokenizer=tokenizer,
        accelerator=accelerator,
        # A quantized layer keeps notes beside its weights, and foreign code may keep anything.
        concurrent=not weight_bytes(model)[0] and not trust_remote_code,
    )
