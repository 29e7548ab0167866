"""The data of a run: examples read and checked, the task they pose, and their tokens."""

from dataclasses import dataclass
from functools import partial
from typing import Any

from accelerate import Accelerator
from transformers import PreTrainedTokenizerBase

from lowcost_ft.config.reading import reading_of
from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.feature_cache import cached_features, feature_cache_dir, feature_key
from lowcost_ft.data.features import Features
from lowcost_ft.data.python_rows import Rows
from lowcost_ft.models.families import is_causal
from lowcost_ft.models.hub import load_config
from lowcost_ft.models.positions import text_limits
from lowcost_ft.models.refusals import (
    check_length,
    check_token_ids,
    tokens_notice,
    unknown_notice,
)
from lowcost_ft.models.tokenizers import cut_end, load_tokenizer
from lowcost_ft.pipeline.run_splits import load_run_splits
from lowcost_ft.pipeline.self_training import PseudoLabelled, label_texts
from lowcost_ft.pipeline.start import Run
from lowcost_ft.pipeline.teaching import teach
from lowcost_ft.tasks import task_class
from lowcost_ft.tasks.base import Task
from lowcost_ft.tasks.heads import find_head
from lowcost_ft.tasks.loading import Splits
from lowcost_ft.training.extensions.base import TrainingContext
from lowcost_ft.training.extensions.teaching import Teaching
from lowcost_ft.training.sharding import is_sharded

__all__ = ["Data", "load_data"]


@dataclass(frozen=True, kw_only=True)
class Data:
    """The data that a run learns from and is scored on.

    Attributes:
        splits: The examples of each split.
        task: The task that they pose.
        tokenizer: The tokenizer of the model.
        features: The tokens of each split, by its name; absent splits are left out.
        teaching: The answers of a distillation's teachers to the training examples; None without
            teachers.
        pseudo: Texts that a first run has labelled, which are among the training examples; None
            without such texts.
    """

    splits: Splits
    task: Task
    tokenizer: PreTrainedTokenizerBase
    features: dict[str, Features]
    teaching: Teaching | None = None
    pseudo: PseudoLabelled | None = None

    @property
    def pad_token_id(self) -> int:
        """The number of the token that fills up a micro-batch."""
        return int(self.tokenizer.pad_token_id)

    def context(
        self, settings: RunConfig, model: Any, accelerator: Accelerator | None = None
    ) -> TrainingContext:
        """Collects what training extensions are made from.

        Args:
            settings: The settings of the run.
            model: The model as it was built.
            accelerator: Where it trains.
        """
        return TrainingContext(
            settings=settings,
            model=model,
            task=self.task,
            features=self.features["train"],
            pad_token_id=self.pad_token_id,
            examples=self.splits.train,
            tokenizer=self.tokenizer,
            teaching=self.teaching,
            device="" if accelerator is None else accelerator.device.type,
            sharded=accelerator is not None and is_sharded(accelerator),
        )

    def source_of(self, number: int) -> str:
        """The place (file and line) of a training example, also of one without a label."""
        examples = self.splits.train if self.teaching is None else self.teaching.examples
        return str(examples[number].source)


def load_data(
    run: Run,
    *,
    train: Rows | None = None,
    validation: Rows | None = None,
    test: Rows | None = None,
    with_test: bool = True,
) -> Data:
    """Reads the data that the settings name, or takes the rows given; tells what it noticed.

    Args:
        run: The run; its record gets the labels and the size of each split.
        train: Training rows that are in Python already: dictionaries with the columns that a file
            would have, a `datasets.Dataset` or a pandas frame. None: the settings name the data.
        validation: Validation rows; without them a part of the training rows is cut off.
        test: Test rows.
        with_test: Whether test rows are read. Where settings are chosen they are not, so that no
            choice depends on them.

    Raises:
        UserError: The data have problems, all of which it names; the model's tokenizer cannot be
            used; or the model lacks positions for `--max-length` or embeddings for some tokens.
    """
    config = run.config
    given = {"train": train, "validation": validation, "test": test}
    rows = {name: split for name, split in given.items() if split is not None}
    splits = load_run_splits(config.to_dict(), rows, with_test=with_test)
    run.record |= _record(config, splits, in_python=bool(rows))
    counts = run.record["data"]["rows"]
    run.say(f"data: {', '.join(f'{count:,} {name}' for name, count in counts.items())} rows")
    for notice in splits.notices:
        run.say(f"note: {notice}")
    pseudo = None
    if config.unlabelled_file and not config.teacher:
        pseudo = label_texts(run, splits)
        splits = pseudo.splits
        run.record["pseudo_labels"] = pseudo.record
    source: dict[str, Any] = {
        "revision": config.revision,
        "trust_remote_code": config.trust_remote_code,
    }
    kind = task_class(config.task)
    tokenizer = load_tokenizer(config.model_id, **kind.tokenizer_options, **source)
    described = load_config(config.model_id, **source)
    task = kind.from_splits(config, splits, causal=is_causal(described))
    task.take_model(described, model_id=config.model_id)
    task.take_tokenizer(tokenizer, model_id=config.model_id)
    head = kind.head_for(vars(config))
    if config.teacher and _brings_head(described, head):
        task.head_tokens = None  # A student goes on with its head, and does not begin as words.
    run.record |= task.record()
    limits = text_limits(described, head=head, trust_remote_code=config.trust_remote_code)
    check_length(config.max_length, limits.read, config.model_id)
    task.check_written_length(limits.written, model_id=config.model_id, config=config)
    run.record["truncation_side"] = tokenizer.truncation_side
    features = {
        name: _featurize(run, task, tokenizer, name, getattr(splits, name)) for name in counts
    }
    for split in features.values():
        check_token_ids(split.input_ids, described, tokenizer, config.model_id)
    for unusual in (
        tokens_notice(described, tokenizer),
        unknown_notice(features["train"].input_ids, tokenizer, config.model_id),
        *task.input_notices(splits.train),
    ):
        if unusual:
            run.say(f"note: {unusual}")
    teaching = None
    if config.teacher:
        teaching = teach(run, task, tokenizer, splits.train, features["train"])
    return Data(
        splits=splits,
        task=task,
        tokenizer=tokenizer,
        features=features,
        teaching=teaching,
        pseudo=pseudo,
    )


def _brings_head(described: Any, head: str) -> bool:
    """Whether a checkpoint was saved with a head of this kind."""
    kind = find_head(head).auto_class.removeprefix("AutoModel")
    return any(str(name).endswith(kind) for name in described.architectures or ())


def _record(config: RunConfig, splits: Splits, *, in_python: bool) -> dict[str, Any]:
    rows = {
        name: len(examples)
        for name in ("train", "validation", "test")
        if (examples := getattr(splits, name))
    }
    return {
        "labels": splits.labels,
        "problem_type": splits.problem_type,
        **task_class(config.task).reading_record(reading_of(config), splits.train),
        "data": {
            "rows": rows,
            "in_python": in_python,
            "pairs": getattr(splits.train[0], "text_pair", None) is not None,
            "fingerprint": splits.fingerprint,
            "notices": splits.notices,
        },
    }


def _featurize(
    run: Run, task: Task, tokenizer: PreTrainedTokenizerBase, name: str, examples: list[Any]
) -> Features:
    """Tokenizes a split, or reads it from the cache, and tells how many texts were cut."""
    limit = run.config.max_length
    features = cached_features(
        partial(task.featurize, examples, tokenizer, max_length=limit),
        feature_key(task, examples, tokenizer, max_length=limit),
        folder=feature_cache_dir(),
        say=run.say,
    )
    if features.truncated:
        end = cut_end(tokenizer)
        told = task.cut_notice(name, len(examples), features, max_length=limit, end=end)
        run.say(f"note: {told}")
    for told in task.token_notices(name, examples, features):
        run.say(f"note: {told}")
    return features
