"""A finished run, loaded to predict and to be scored on other data."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import Accelerator
from transformers import PreTrainedTokenizerBase

from lowcost_ft.config.arguments import to_list, to_path
from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.data.features import Features
from lowcost_ft.errors import UserError
from lowcost_ft.models.families import find_family, longest_input
from lowcost_ft.models.frozen_precision import hold_frozen_weights
from lowcost_ft.models.loading import forward_module, load_tokenizer, load_trained
from lowcost_ft.models.merging import is_mergeable, merge_adapter
from lowcost_ft.models.onnx_model import load_exported
from lowcost_ft.models.pooled_states import PooledTexts, keep_states
from lowcost_ft.models.positions import position_limit
from lowcost_ft.models.quantization import compute_dtype, weight_bytes
from lowcost_ft.models.refusals import check_token_ids
from lowcost_ft.models.shared_weights import share_weights
from lowcost_ft.models.tokenizers import cut_end
from lowcost_ft.pipeline.confidence import NOVELTY_FILE, against, load_novelty
from lowcost_ft.pipeline.predicting import predict
from lowcost_ft.pipeline.run_input import (
    check_pairs,
    read_labelled_file,
    read_lines,
    read_unlabelled_file,
    text_examples,
)
from lowcost_ft.record.environment import int8_instructions
from lowcost_ft.record.run_file import load_run
from lowcost_ft.scores.calibration import ScoreMap
from lowcost_ft.scores.novelty import Novelty
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.base import Task
from lowcost_ft.tasks.flags import own_flags
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
        flags: The task's own flags of `predict`.
        notices: What the user should know of the files and texts so far.
        longest: Tokens that the model has positions for; None where any number will do.
        novelty: What tells texts that are unlike the training data; None where nothing does.
    """

    run: dict[str, Any]
    task: Task
    model: torch.nn.Module
    tokenizer: PreTrainedTokenizerBase
    accelerator: Accelerator
    concurrent: bool = False
    flags: Any = None
    notices: list[str] = field(default_factory=list)
    longest: int | None = None
    novelty: Novelty | None = None

    def __call__(self, texts: Iterable[str], pairs: Iterable[str] | None = None) -> list[dict]:
        """Predicts texts.

        Args:
            texts: The texts: a list, a tuple, an iterator, an array or a column. A single string
                is refused: write `predictor([text])`.
            pairs: The second text of each, for a model of pairs.

        Returns:
            For each text a dictionary; see `Task.answer`. That of a blank text is empty: no
            entities, and None (several labels: an empty list) as `label` and `score`.

        Raises:
            UserError: A text is missing, broken or half of a pair; it should be a pair, or should
                not; there are more texts than pairs, or fewer.
        """
        return self.predict(text_examples(self.run, texts, pairs))

    def predict(self, examples: Iterable[Any]) -> list[dict[str, Any]]:
        """Predicts examples of the task; one answer each, in their order.

        An answer begins with the `id` of its row, where the input has one. It says `calibrated`
        where its scores are probabilities of being right, and `unlike_training` where the text is
        unlike the training data. An example without text gets an empty answer: see `__call__`.

        Raises:
            UserError: They should be pairs of texts, or should not.
        """
        examples = to_list(examples, "examples", of="examples, as `read` returns them")
        if wrong := next((e for e in examples if not hasattr(e, "source")), None):
            raise UserError(
                f"examples holds {type(wrong).__name__}, not examples, as `read` returns them: for "
                "texts call the predictor itself, predictor([text, ...])"
            )
        present = [example for example in examples if not self.task.is_blank(example)]
        predictions, states = self._predictions(present) if present else ({}, None)
        answered = iter(self.answers_of(present, predictions, states) if present else [])
        return [
            ({} if example.row_id is None else {"id": example.row_id})
            | (self.task.blank_answer(example) if self.task.is_blank(example) else next(answered))
            for example in examples
        ]

    def answers_of(
        self, examples: Sequence[Any], predictions: Any, states: np.ndarray | None
    ) -> list[dict[str, Any]]:
        """What is told of examples that were predicted, none of them blank; see `predict`.

        Args:
            examples: The examples.
            predictions: The task's arrays.
            states: The mean state of each text, `(examples, width)`; None where it is not known.
        """
        answers = self.task.answer(examples, predictions)
        if self.task.score_map is not None:
            answers = [answer | {"calibrated": True} for answer in answers]
        if self.novelty is not None and states is not None:
            far = self.novelty.distances(states) > self.novelty.threshold
            answers = [
                answer | ({"unlike_training": True} if unlike else {})
                for answer, unlike in zip(answers, far, strict=True)
            ]
        return answers

    def predict_with_uncertainty(
        self, examples: Sequence[Any]
    ) -> tuple[list[dict[str, Any]], np.ndarray | None]:
        """Predicts examples, none of them blank, and says how unsure the model is of each.

        Returns:
            The answers, and `(examples,)`: see `Task.uncertainty`; None without probabilities.
        """
        predictions, _ = self._predictions(examples)
        answers = self.task.answer(examples, predictions)
        return answers, self.task.uncertainty(examples, predictions)

    def evaluate(self, path: str, *, reading: ReadingOptions | None = None) -> dict[str, Any]:
        """Scores a labelled file.

        Args:
            path: A file of any kind that training reads.
            reading: How it is read; else as the run's data was, where that fits.

        Raises:
            UserError: The file is malformed, or shares no label with the model. Single labels that
                the model does not know count as mistakes.
        """
        return self.score(read_labelled_file(self.run, path, reading=reading, notices=self.notices))

    def score(self, examples: Sequence[Any]) -> dict[str, Any]:
        """Scores labelled examples, as `read_labelled_file` returns them."""
        predictions, _ = self._predictions(examples)
        return self.task.score(examples, predictions, seed=self.run["seed"])

    def out_of_scope(self, inside: Sequence[Any], outside: Sequence[Any]) -> dict[str, Any]:
        """How well texts that the model is not for are told from others.

        Args:
            inside: Examples like the training data.
            outside: Examples that the model is not for.

        Returns:
            `texts` (from outside), the shares of both that are `flagged` and `flagged_of_test`,
            and the `auroc` of their distances with its interval; see `scores/novelty.py`.

        Raises:
            UserError: The run kept nothing to compare with.
        """
        if self.novelty is None:
            told = (self.run.get("novelty") or {}).get("reason") or "it is of an older version"
            raise UserError(f"the run cannot tell texts unlike its training data: {told}")
        near, far = (self._distances(examples) for examples in (inside, outside))
        share = float((near > self.novelty.threshold).mean())
        return against(self.novelty, near, far) | {"flagged_of_test": share}

    def _distances(self, examples: Sequence[Any]) -> np.ndarray:
        present = [example for example in examples if not self.task.is_blank(example)]
        _, states = self._predictions(present)
        assert self.novelty is not None
        assert states is not None
        return self.novelty.distances(states)

    def read(self, path: str, *, reading: ReadingOptions | None = None) -> list[Any]:
        """Reads a file of examples, labelled or not, to predict them."""
        return read_unlabelled_file(self.run, path, reading=reading, notices=self.notices)

    def read_lines(self, data: bytes, *, name: str) -> list[Any]:
        """Reads texts that come one a line; `name` is what messages call their source."""
        return read_lines(self.run, data, name=name)

    def share_weights(self, other: "Predictor") -> int:
        """Lets another predictor use this one's weights where they are equal, bit for bit.

        Two adapters on one base model then hold it once; load both with `keep_adapter=True`.

        Args:
            other: Another predictor, which gives up its copies.

        Returns:
            Bytes that are held once instead of twice.
        """
        return share_weights(self.model, other.model)

    @property
    def max_length(self) -> int:
        """Most tokens of a row: those of training, unless the model has fewer positions."""
        asked: int = self.run["config"]["max_length"]
        return min(asked, self.longest or asked)

    def features(self, examples: Sequence[Any]) -> Features:
        """Tokenizes examples.

        Raises:
            UserError: The model has no embedding for a token of its tokenizer.
        """
        features = self.task.featurize(examples, self.tokenizer, max_length=self.max_length)
        check_token_ids(
            features.input_ids, self.model.config, self.tokenizer, str(self.run["model_id"])
        )
        return features

    def _predictions(self, examples: Sequence[Any]) -> tuple[Any, np.ndarray | None]:
        check_pairs(self.run, examples)
        notice = self.task.use_notice(self.run, examples)
        if notice is not None and notice not in self.notices:
            self.notices.append(notice)
        config, limit = self.run["config"], self.max_length
        features = self.features(examples)
        if features.truncated:
            given = limit == config["max_length"]
            what = f"the run's --max-length {limit}" if given else f"the model's {limit} positions"
            self.notices.append(
                f"{features.truncated:,} of {len(examples):,} texts are longer than {what} "
                f"and lost {self.task.lost_when_cut(cut_end(self.tokenizer))}"
            )
        pooled = None if self.novelty is None else PooledTexts(features.num_examples)
        predictions = predict(
            self.accelerator,
            self.model,
            self.task,
            features,
            pad_token_id=self.tokenizer.pad_token_id,
            micro_batch_tokens=config["micro_batch_tokens"],
            concurrent=self.concurrent,
            pooled=pooled,
        )
        return predictions, None if pooled is None else pooled.states()


def load_predictor(
    folder: str | Path,
    *,
    base_model: str | None = None,
    trust_remote_code: bool = False,
    num_threads: int | None = None,
    keep_adapter: bool = False,
    precision: str | None = None,
    **flags: Any,
) -> Predictor:
    """Loads a run folder, or what `lowcost-ft export` made of one.

    In float32 on a CPU an adapter that can be merged is added to the weights, in memory: about a
    tenth less work, for logits that differ by rounding. An exported folder is run by ONNX Runtime,
    on the CPU.

    Args:
        folder: The `--output-dir` of a completed run, of `lowcost-ft merge` or of
            `lowcost-ft export`.
        base_model: Where the run's base model lies now, if it has moved.
        trust_remote_code: Whether the base model's own Python code may run.
        num_threads: CPU threads; see `set_num_threads`.
        keep_adapter: Leave the adapter beside the weights, as it was in training.
        precision: Which file of an exported folder is run: "fp32", "fp16" or "int8". Default: the
            first of fp32, int8 and fp16 that is there.
        **flags: The task's own flags of `lowcost-ft predict`, such as `threshold` of text
            classification.

    Raises:
        UserError: The folder is not a completed run, or its model cannot be loaded; or its task
            has no such flag.
    """
    folder = to_path(folder, "folder")
    run = load_run(folder)
    task = task_class(run["task"]).from_record(run)
    own = own_flags(run["task"], flags)
    if problems := task.use(own):
        raise UserError(problems)
    task.score_map = ScoreMap.from_record(run.get("calibration"))
    novelty = load_novelty(Path(folder), run.get("novelty"))
    files = ("tokenizer.json", "source.spm")  # Marian's has two models of sentencepiece.
    if not any((Path(folder) / name).is_file() for name in files):
        # transformers would make up a tokenizer that knows no word, and predict with it.
        raise UserError(f"{folder} lacks tokenizer.json: restore the run folder, or train again")
    set_num_threads(num_threads, local_processes=1)
    accelerator = build_accelerator()
    tokenizer = load_tokenizer(
        str(folder), trust_remote_code=trust_remote_code, **task.tokenizer_options
    )
    loaded: dict[str, Any] = {"run": run, "task": task, "tokenizer": tokenizer, "flags": own}
    loaded["accelerator"] = accelerator
    if run.get("export"):
        if base_model is not None:
            raise UserError(
                f"--base-model {base_model}: {folder} holds the whole model, and needs no other; "
                "leave the flag out"
            )
        exported = load_exported(
            folder, run, precision=precision, trust_remote_code=trust_remote_code
        )
        notices = _other_cpu(run, exported.precision)
        longest = longest_input(exported.config)
        return Predictor(model=exported.eval(), longest=longest, notices=notices, **loaded)
    if precision is not None:
        raise UserError(
            f"--precision {precision}: {folder} is not an exported folder, and has one precision; "
            "leave the flag out, or run lowcost-ft export first"
        )
    dtype = compute_dtype(accelerator.mixed_precision)
    model = load_trained(
        folder, run, base_model=base_model, trust_remote_code=trust_remote_code, dtype=dtype
    )
    # In half precision the sum would lose digits of the adapter.
    exact = accelerator.device.type == "cpu" and accelerator.mixed_precision == "no"
    keep_adapter = keep_adapter or task.keeps_adapter(own)
    if exact and not keep_adapter and is_mergeable(model):
        model = merge_adapter(model)
    hold_frozen_weights(model, dtype)
    notices = []
    if novelty is None and (run.get("novelty") or {}).get("threshold") is not None:
        notices.append(
            f"{folder} lacks {NOVELTY_FILE}, so that texts unlike the training data are not flagged"
        )
    called = forward_module(model).to(accelerator.device).eval()
    if novelty is not None and keep_states(called) is None:
        novelty = None
    task.take_model(model.config, model_id=str(folder))
    task.take_tokenizer(tokenizer, model_id=str(folder))
    return Predictor(
        model=called,
        novelty=novelty,
        # A quantized layer keeps notes beside its weights, and foreign code may keep anything.
        concurrent=not weight_bytes(model)[0] and not trust_remote_code,
        longest=longest_input(model.config)
        or (position_limit(model) if find_family(model.config) is None else None),
        notices=notices,
        **loaded,
    )


def _other_cpu(run: dict[str, Any], precision: str) -> list[str]:
    """What to say where 8-bit products are computed otherwise than where they were measured."""
    there, here = run["export"].get("int8_instructions"), int8_instructions()
    if precision != "int8" or bool(there) == bool(here):
        return []
    return [
        f"the int8 model was measured on a CPU with {there or 'no'} instructions for 8-bit "
        f"products, and this one has {here or 'none'}: answers and speed may be others here. "
        "Export again on this machine, or take --precision fp32"
    ]
