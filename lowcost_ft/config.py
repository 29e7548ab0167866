"""What a run is: frozen dataclasses, one per stage, whose fields are the command line's flags.

A recipe holds one `RunConfig`; a variant of it is `dataclasses.replace(CONFIG, method="full")`.
Every field has the same name as its flag (`lora_r`, `--lora-r`) and as its key in `run.json`.
"""

import sys
import textwrap
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from typing import Annotated, Any, Literal

import tyro

from lowcost_ft.config_checks import (
    conflict_problems,
    parse_bytes,
    range_problems,
    settle_types,
    split_list,
)
from lowcost_ft.errors import UserError
from lowcost_ft.flag_names import foreign_flag_problems
from lowcost_ft.flags import explanations, parse_groups
from lowcost_ft.reading import ReadingOptions

__all__ = ["DEFAULT_MODEL_ID", "DataConfig", "ModelConfig", "OutputConfig", "RunConfig"]
__all__ += ["TrainingConfig", "flag_groups", "narrow", "parse_bytes", "parse_config"]
__all__ += ["split_list"]

DEFAULT_MODEL_ID = "sentence-transformers/all-MiniLM-L6-v2"


@dataclass(frozen=True, kw_only=True)
class DataConfig(ReadingOptions):
    """Where the examples come from and how they are read. Nothing given: the embedded sample."""

    train_file: str | None = None
    """Training file: JSON, CSV, TSV, Parquet, columns with one word a line (CoNLL), or fastText
    lines, told apart by their content."""
    validation_file: str | None = None
    """Validation file. Without one, a part of the training rows is cut off."""
    test_file: str | None = None
    """Test file."""
    dataset: str | None = None
    """Name of a dataset on the Hub, or a folder written by `datasets.save_to_disk`."""
    dataset_config_name: str | None = None
    """Configuration of the Hub dataset, if it has several."""
    validation_share: float = 0.1
    """Share of the training rows to use for validation if there is no validation split."""
    max_length: int = 128
    """Longest input in tokens. NER cuts longer sentences into windows; classification cuts off
    the end and says how many texts it cut."""
    window_overlap: int | None = None
    """Tokens that neighbouring NER windows share. Default: a quarter of --max-length."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The pretrained model, and which part of it is trained."""

    model_id: str = DEFAULT_MODEL_ID
    """Name of the pretrained model on the Hub, or its folder."""
    revision: str | None = None
    """Branch, tag or commit of the model on the Hub."""
    trust_remote_code: bool = False
    """Run model code that comes with the checkpoint. Off unless you trust its author."""
    method: Literal[
        "full",
        "head",
        "bias",
        "layernorm",
        "lora",
        "rslora",
        "dora",
        "pissa",
        "olora",
        "loftq",
        "adalora",
        "ia3",
        "oft",
        "prefix",
        "prompt",
    ] = "lora"
    """What is trained besides the head: all weights (full), nothing (head), or an adapter."""
    adapter_config: str | None = None
    """An adapter_config.json of peft, used instead of --method and its flags. Its settings for the
    head and the base model are replaced."""
    quantization: Literal["none", "8bit", "nf4"] = "none"
    """Hold the frozen linear layers in 8 or 4 bits (bitsandbytes): less memory for big models;
    everything else stays in full precision. none leaves a checkpoint as it is."""
    lora_r: int = 16
    """Rank of the LoRA update."""
    lora_alpha: int | None = None
    """LoRA scaling: the update is alpha / r * B A. Default: 32 at every rank, so that one
    learning rate fits them all (rslora: 8, and the square root of r)."""
    lora_dropout: float = 0.0
    """Dropout on the input of the LoRA matrices."""
    target_modules: str | None = None
    """Comma-separated names of the layers to adapt, such as query,value. Default: all
    linear layers of attention and feed-forward (ia3: keys, values, feed-forward output)."""
    num_virtual_tokens: int = 20
    """Trained vectors in front of each text, for prefix and prompt."""
    trainable_layers: int | None = None
    """Train only the top K layers and the head; the layers below stay frozen. Default: all."""
    dropout: float | Literal["auto", "model"] = "auto"
    """Dropout in the backbone and the head: a probability, model (as in the model's own
    configuration) or auto (model for NER, 0 for text classification)."""
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2"] | None = None
    """Attention kernel. Default: the fastest one that transformers supports for the model."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """The optimization, and how each of its steps is cut up."""

    num_train_epochs: int = 5
    """Passes over the training data."""
    max_steps: int | None = None
    """Stop after this many optimizer steps, instead of --num-train-epochs."""
    batch_size: int = 16
    """Examples per optimizer step, over all micro-batches and processes."""
    micro_batch_tokens: int = 4096
    """Most padded tokens in a micro-batch. It affects memory, not the result."""
    gradient_accumulation_steps: int | None = None
    """Cut each optimizer step into exactly N micro-batches, instead of by --micro-batch-tokens."""
    group_by_length: bool = True
    """Put examples of similar length into the same optimizer step (seeded; less padding)."""
    optimizer: Literal["auto", "adamw", "sgd", "adafactor", "adamw8bit", "paged_adamw8bit"] = (
        "adamw"
    )
    """Optimizer. The last two keep their state in 8 bits; paged moves it to the host's memory when
    the GPU is full. auto: paged_adamw8bit for quantized weights on a GPU, else adamw."""
    learning_rate: float | None = None
    """Peak learning rate. Default: by method and size of the model; 1e-3 for LoRA at width 384."""
    head_learning_rate: float | None = None
    """Peak learning rate of the new head. Default: the same."""
    weight_decay: float = 0.01
    """Weight decay."""
    max_grad_norm: float = 1.0
    """Clip gradients to this norm; 0 turns clipping off."""
    max_bad_steps: int = 3
    """Stop after this many optimizer steps whose loss or gradient was not finite. Until then such
    steps are skipped, and run.json names the examples that caused them."""
    lr_scheduler_type: Literal["linear", "cosine", "constant"] = "linear"
    """Shape of the learning rate after the warm-up."""
    warmup_ratio: float = 0.1
    """Share of the optimizer steps in which the learning rate rises from zero."""
    early_stopping_patience: int = 3
    """Stop after this many evaluations in a row that were not better than the best one; 0 never
    stops early. Better is a higher validation score, or the same score with a lower loss there:
    such a tie starts the count anew, any other tie counts."""
    class_weights: Literal["balanced"] | None = None
    """Give rare classes more weight in the classification loss."""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass: less memory, more time."""
    torch_compile: bool = False
    """Compile the trained layers (torch.compile): for long runs on a GPU. The first steps take up
    to a minute. On a CPU it does not make training faster."""
    cache_frozen_layers: bool = False
    """Run the layers below the top --trainable-layers once and keep their output on disk; each
    epoch starts from it. A second run on the same data reuses it."""
    stream_frozen_layers: bool = False
    """With --cache-frozen-layers: never hold the frozen layers together. Each is read from the
    checkpoint, run on all examples and forgotten, for a model that is larger than the memory."""
    cache_dir: str | None = None
    """Folder for that output. Default: lowcost_ft/frozen_layers in the user's cache folder."""
    cache_dtype: Literal["auto", "fp32", "bf16", "fp16"] = "auto"
    """Precision of that output on disk. auto: that of the computation (fp32 on a CPU)."""
    memory_budget: str | None = None
    """Memory that a training step may use, such as 8GiB or 900MB: on a GPU everything the program
    allocates (a hard limit), on a CPU the tensors. The step is cut into smaller
    micro-batches, then checkpointed, then its frozen layers cached, as needed."""
    allow_model_change: bool = False
    """If that is not enough for --memory-budget, use 8-bit weights, then NF4, then fewer trainable
    layers. This trains a different model."""
    mixed_precision: Literal["auto", "no", "bf16", "fp16"] = "auto"
    """Precision of the computation. auto: bf16 or fp16 on a GPU, whichever it has; no on a CPU."""
    seed: int = 0
    """Seed of the new weights, the order of the data, dropout, and the validation cut."""
    num_threads: int | None = None
    """CPU threads of a process. Default: OMP_NUM_THREADS if you set it, else the physical cores
    divided by the local processes."""


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """What is written, and where."""

    output_dir: str | None = None
    """Run folder. Default: runs/TASK-METHOD, with -2, -3, ... when taken."""
    overwrite: bool = False
    """Replace a finished run in --output-dir."""
    checkpoint_every_steps: int | None = None
    """Save a checkpoint every N optimizer steps."""
    checkpoint_every_minutes: float = 10.0
    """Save a checkpoint every N minutes; 0 saves by steps only. One is also saved at the end of
    training and when the run is stopped."""
    keep_checkpoints: int = 2
    """Number of checkpoints to keep. They are removed when the run is complete."""
    resume: bool = False
    """Continue from the newest checkpoint in --output-dir (default: the newest unfinished run of
    this recipe in runs/). Without a checkpoint the run starts over."""
    report_to: str | None = None
    """Comma-separated trackers: tensorboard, wandb, mlflow, trackio."""
    debug: bool = False
    """Show a traceback with each error."""


@dataclass(frozen=True, kw_only=True)
class RunConfig(DataConfig, ModelConfig, TrainingConfig, OutputConfig):
    """One run. Raises `UserError` listing every field that cannot be obeyed."""

    task: Annotated[Literal["ner", "classification"], tyro.conf.Suppress] = "classification"
    """What the model learns: the recipe sets it."""

    def __post_init__(self) -> None:
        if problems := settle_types(self):
            raise UserError(problems)  # Of other types, they cannot be compared.
        if problems := [*range_problems(self), *conflict_problems(self)]:
            raise UserError(problems)

    @property
    def settled_dropout(self) -> float | Literal["model"]:
        """What `--dropout` comes to, as records hold it."""
        if self.dropout == "auto":
            return "model" if self.task == "ner" else 0.0
        return "model" if self.dropout == "model" else float(self.dropout)

    @property
    def model_dropout(self) -> float | None:
        """The same for those who build a model: None keeps its own."""
        return None if self.settled_dropout == "model" else self.settled_dropout

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values, as `run.json` records them."""
        return asdict(self)


def parse_config(
    default: RunConfig, arguments: Sequence[str] | None = None, *, description: str | None = None
) -> RunConfig:
    """Reads the command line of a recipe.

    Args:
        default: The recipe's own configuration: what the flags change.
        arguments: The command line without the program's name; `sys.argv[1:]` by default.
        description: Text above the list of flags in `--help`.

    Raises:
        SystemExit: With code 2 and one message for an unknown flag or a value of another kind, 0
            for `--help`.
        UserError: Values that cannot be obeyed, and flags that other trainers have.
    """
    words = sys.argv[1:] if arguments is None else arguments
    if problems := foreign_flag_problems(words, {field.name for field in fields(RunConfig)}):
        raise UserError(problems)
    values = parse_groups(flag_groups(), default, arguments, description=narrow(description or ""))
    return RunConfig(**(default.to_dict() | values))


_MEMORY_AND_TIME = (
    *("memory_budget", "allow_model_change", "micro_batch_tokens", "gradient_accumulation_steps"),
    *("gradient_checkpointing", "cache_frozen_layers", "stream_frozen_layers", "cache_dir"),
    *("cache_dtype", "mixed_precision", "torch_compile", "num_threads"),
)
"""Fields of `TrainingConfig` that say how a step is cut up and computed, and not what it does."""


def flag_groups() -> dict[str, list[str]]:
    """The flags of a recipe as `--help` and the documentation group them: title -> fields."""
    training = [name for name in explanations(TrainingConfig) if name not in _MEMORY_AND_TIME]
    return {
        "data": list(explanations(DataConfig)),
        "model": list(explanations(ModelConfig)),
        "training": training,
        "memory and time": list(_MEMORY_AND_TIME),
        "output": list(explanations(OutputConfig)),
    }


def narrow(description: str) -> str:
    """Paragraphs as wide as a small terminal; what is indented keeps its lines.

    tyro makes one line of a paragraph, however wide, unless its lines begin with a space.
    """
    paragraphs = []
    for paragraph in description.strip().split("\n\n"):
        as_it_is = paragraph.startswith("    ")
        lines = (
            paragraph.split("\n")
            if as_it_is
            else textwrap.wrap(paragraph, 76, break_on_hyphens=False)
        )
        paragraphs.append("\n".join(f" {line}" for line in lines))
    return "\n\n".join(paragraphs)
