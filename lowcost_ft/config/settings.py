"""What a run is: frozen dataclasses, one per stage, whose fields are the command line's flags.

Every field has the same name as its flag (`lora_r`, `--lora-r`) and as its key in `run.json`. Its
docstring is the flag's help; `setting` says beside it which values it can have, and whether it
decides the result.
"""

from dataclasses import asdict, dataclass
from typing import Annotated, Any, Literal

import tyro

from lowcost_ft.config.extensions import ExtensionConfig
from lowcost_ft.config.generation import GenerationConfig
from lowcost_ft.config.methods import MethodName
from lowcost_ft.config.reading import ReadingOptions
from lowcost_ft.config.setting import setting

__all__ = ["DEFAULT_MODEL_ID", "DataConfig", "ModelConfig", "OutputConfig", "Settings"]
__all__ += ["USUAL_MICRO_BATCH_TOKENS", "TrainingConfig"]

DEFAULT_MODEL_ID = "sentence-transformers/all-MiniLM-L6-v2"
USUAL_MICRO_BATCH_TOKENS = 4096
"""Most padded tokens in a micro-batch where nothing is known of the hardware."""


@dataclass(frozen=True, kw_only=True)
class DataConfig(ReadingOptions):
    """Where the examples come from and how they are read. Nothing given: the embedded sample."""

    train_file: str | None = setting(None, decides=False)
    """Training file: JSON, CSV, TSV, Parquet, an export of a labelling tool, columns with one word
    a line (CoNLL), or lines of fastText or SemEval. The content says which."""
    validation_file: str | None = setting(None, decides=False)
    """Validation file. Without one, a part of the training rows is set aside."""
    test_file: str | None = setting(None, decides=False)
    """Test file."""
    dataset: str | None = setting(None, decides=False)
    """Name of a dataset on the Hub, or a folder written by `datasets.save_to_disk`."""
    dataset_config_name: str | None = setting(None, decides=False)
    """Configuration of the Hub dataset, if it has several."""
    validation_share: float = setting(0.1, at_least=0, below=1, decides=False)
    """Share of the training rows to use for validation if there is no validation split. 0: all of
    them train, and the weights of the last epoch are kept."""
    max_length: int = setting(128, at_least=8)
    """Longest input in tokens. NER and question answering cut longer texts into windows. In
    relation extraction a longer text loses what is farthest from its two entities, in dialogue the
    oldest turns, and in other tasks its end; the run says how many."""
    window_overlap: int | None = setting(None, at_least=0)
    """Tokens that neighbouring windows of a long text share. Default: a quarter of
    --max-length."""
    max_answer_tokens: int = setting(30, at_least=1)
    """Tokens of the longest answer that question answering gives."""


@dataclass(frozen=True, kw_only=True)
class ModelConfig:
    """The pretrained model, and which part of it is trained."""

    model_id: str = DEFAULT_MODEL_ID
    """Name of the pretrained model on the Hub, or its folder."""
    revision: str | None = None
    """Branch, tag or commit of the model on the Hub."""
    trust_remote_code: bool = setting(False, decides=False)
    """Run model code that comes with the checkpoint. Off unless you trust its author."""
    method: MethodName = "lora"
    """What is trained besides the head: all weights (full), nothing (head), or an adapter."""
    adapter_config: str | None = None
    """An adapter_config.json of peft, used instead of --method and its flags. Its settings for the
    head and the base model are replaced."""
    quantization: Literal["none", "int8", "8bit", "nf4"] = "none"
    """Hold the frozen linear layers in 8 or 4 bits; all else stays in full precision. int8: a
    quarter of their memory, and faster steps on a CPU with VNNI, since inputs and gradients are
    rounded to 8 bits and multiplied as integers. 8bit, nf4 (bitsandbytes): for models that do not
    fit otherwise, with slower steps. none leaves a checkpoint as it is."""
    lora_r: int = setting(32, at_least=1)
    """Rank of the LoRA update."""
    lora_alpha: int | None = setting(None, above=0)
    """LoRA scaling: the update is alpha / r * B A. Default: 32 at every rank, so that one
    learning rate fits them all (rslora: 8, and the square root of r)."""
    lora_dropout: float = setting(0.0, at_least=0, below=1)
    """Dropout on the input of the LoRA matrices."""
    target_modules: str | None = None
    """Comma-separated names of the layers to adapt, such as query,value. Default: all
    linear layers of attention and feed-forward (ia3: keys, values, feed-forward output)."""
    num_virtual_tokens: int = setting(20, at_least=1)
    """Trained vectors in front of each text, for prefix and prompt."""
    pooling: Literal["model", "mean"] = "model"
    """What the head of a classifier sees: model, what the architecture gives it (BERT: the first
    token), or mean, the mean over all tokens in the last layer, for which models of sentence
    embeddings are made."""
    label_words: str | None = None
    """With --prompt-template or --contrastive, the words of each label: LABEL=WORDS, separated by
    commas, or a file with a label, a tab and its words on each line. Default: the label itself,
    with blanks for _ and -. With --contrastive they count as texts of their classes when the head
    is fitted, unless a label says nothing (3, or class 1 beside class 2); none: without."""
    trainable_layers: int | None = setting(None, at_least=0)
    """Train only the top K layers and the head; the layers below stay frozen. Default: all."""
    dropout: float | Literal["auto", "model"] = setting("auto", at_least=0, below=1)
    """Dropout in the backbone and the head: a probability, model (as in the model's own
    configuration) or auto (model for NER, 0 for text classification)."""
    attn_implementation: Literal["eager", "sdpa", "flash_attention_2"] | None = setting(
        None, decides=False
    )
    """Attention kernel. Default: the fastest one that transformers supports for the model."""


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(ExtensionConfig):
    """The optimization, and how each of its steps is cut up."""

    num_train_epochs: int | Literal["auto"] = setting("auto", at_least=1)
    """Passes over the training data. auto: 6, and more for small data: as many as make 600
    optimizer steps, but at most 100."""
    max_steps: int | None = setting(None, at_least=0)
    """Stop after this many optimizer steps, instead of --num-train-epochs. 0 trains nothing: the
    pretrained model is scored as it is (zero-shot). It must write texts, have a trained head, or
    get one from words (--prompt-template)."""
    batch_size: int = setting(16, at_least=1)
    """Examples per optimizer step, over all micro-batches and processes."""
    micro_batch_tokens: int | Literal["auto"] = setting("auto", at_least=8, decides=False)
    """Most padded tokens in a micro-batch. It affects memory and speed, not the result. auto: on a
    GPU the whole step, or as much of it as fits the card or --memory-budget; on a CPU 2048, or 1024
    where its caches are small for the width of the model (4096 if they are not known). --resume
    keeps what a run began with."""
    gradient_accumulation_steps: int | None = setting(None, at_least=1, decides=False)
    """Cut each optimizer step into exactly N micro-batches, instead of by --micro-batch-tokens."""
    group_by_length: bool = True
    """Put examples of similar length into the same optimizer step (seeded; less padding)."""
    optimizer: Literal["auto", "adamw", "sgd", "adafactor", "adamw8bit", "paged_adamw8bit"] = (
        "adamw"
    )
    """Optimizer. The last two keep their state in 8 bits; paged moves it to the host's memory when
    the GPU is full. auto: paged_adamw8bit for quantized weights on a GPU, else adamw."""
    learning_rate: float | None = setting(None, above=0)
    """Peak learning rate. The default depends on the method, the task and the model: for LoRA at
    width 384 it is 5e-4 where a BERT-type encoder gives one answer a text, else 1e-3; a decoder 576
    wide learns to translate at 3.2e-3."""
    head_learning_rate: float | None = setting(None, above=0)
    """Peak learning rate of the head. Default: the same; but for a head with a hidden layer, such
    as BERT's pooler, 1e-3 in full fine-tuning, and otherwise at most 1e-3."""
    lora_start: Literal["random", "gradient"] = "random"
    """Where the matrix A of LoRA begins: at random, or (gradient) at the inputs on which the
    gradient of the first 8 steps depends most, which costs as much time as 16 steps."""
    head_start: Literal["bias", "fitted"] = "bias"
    """Where a new output layer begins: at random, with a bias that fits how frequent each class is;
    or (fitted) as a logistic regression on what the pretrained model says of at most 4,096 rows,
    which costs as much time as a third of an epoch of them."""
    weight_decay: float = setting(0.01, at_least=0)
    """Weight decay."""
    max_grad_norm: float = setting(1.0, at_least=0)
    """Clip gradients to this norm; 0 turns clipping off."""
    max_bad_steps: int = setting(3, at_least=1, decides=False)
    """Stop after this many optimizer steps whose loss or gradient was not finite. Until then such
    steps are skipped, and run.json names the examples that caused them."""
    lr_scheduler_type: Literal["linear", "cosine", "constant"] = "linear"
    """Shape of the learning rate after the warm-up."""
    warmup_ratio: float = setting(0.1, at_least=0, below=1)
    """Share of the optimizer steps in which the learning rate rises from zero."""
    validate_every_epochs: int | Literal["auto"] = setting("auto", at_least=1)
    """Score the validation split after this many epochs each, and after the last one. auto: 1, or,
    if --num-train-epochs is auto as well, as many as make 50 optimizer steps."""
    early_stopping_patience: int = setting(3, at_least=0)
    """Stop after this many evaluations in a row that were not better than the best one; 0 never
    stops early. Better means a higher validation score, or the same score with a lower validation
    loss."""
    class_weights: Literal["balanced"] | None = None
    """Give rare classes more weight in the classification loss."""
    gradient_checkpointing: bool = setting(False, decides=False)
    """Recompute activations in the backward pass: less memory, more time."""
    torch_compile: bool = setting(False, decides=False)
    """Compile the trained layers (torch.compile): for long runs on a GPU. The first steps take up
    to a minute. On a CPU it does not make training faster."""
    cache_frozen_layers: bool = setting(False, decides=False)
    """Run the layers below the top --trainable-layers once and keep their output on disk; each
    epoch starts from it. A second run on the same data reuses it. For an encoder-decoder, the
    encoder's output is kept."""
    stream_frozen_layers: bool = False
    """With --cache-frozen-layers, for a model that is larger than the memory: each frozen layer is
    read from the checkpoint, run on all examples and dropped, so that only one is in memory."""
    cache_dir: str | None = setting(None, decides=False)
    """Folder for that output. Default: lowcost_ft/frozen_layers in the user's cache folder."""
    cache_dtype: Literal["auto", "fp32", "bf16", "fp16"] = setting("auto", decides=False)
    """Precision of that output on disk. auto: that of the computation (fp32 on a CPU)."""
    memory_budget: str | None = setting(None, decides=False)
    """Memory that a training step may use, such as 8GiB or 900MB: on a GPU everything the program
    allocates (a hard limit), on a CPU the tensors. As needed, the step is cut into smaller
    micro-batches, then activations are recomputed, then frozen layers cached."""
    allow_model_change: bool = setting(False, decides=False)
    """If that is not enough for --memory-budget, use 8-bit weights, then NF4, then fewer trainable
    layers. This trains a different model."""
    mixed_precision: Literal["auto", "no", "bf16", "fp16"] = setting("auto", decides=False)
    """Precision of the computation. auto: bf16 or fp16 on a GPU, whichever it has; on a CPU
    bf16 if it has AMX tiles, else no. On a CPU, too, bf16 needs less memory."""
    seed: int = setting(0, at_least=0)
    """Seed of the new weights, the order of the data, dropout, and the validation cut."""
    seeds: str | None = setting(None, decides=False)
    """Comma-separated seeds, such as 0,1,2: one run for each, in --output-dir/seed-N (default:
    runs/TASK-METHOD-seeds), and then a report about them. --resume continues a series."""
    num_threads: int | None = setting(None, at_least=1, decides=False)
    """CPU threads of a process. Default: OMP_NUM_THREADS if you set it, else the physical cores
    divided by the local processes."""

    @property
    def settled_micro_batch_tokens(self) -> int:
        """`micro_batch_tokens` as a number: the usual one while it is still to be settled."""
        if self.micro_batch_tokens == "auto":
            return USUAL_MICRO_BATCH_TOKENS
        return self.micro_batch_tokens


@dataclass(frozen=True, kw_only=True)
class OutputConfig:
    """What is written, and where."""

    output_dir: str | None = setting(None, decides=False)
    """Run folder. Default: runs/TASK-METHOD, with -2, -3, ... when taken."""
    overwrite: bool = setting(False, decides=False)
    """Replace a finished run in --output-dir."""
    checkpoint_every_steps: int | None = setting(None, at_least=1, decides=False)
    """Save a checkpoint every N optimizer steps."""
    checkpoint_every_minutes: float = setting(10.0, at_least=0, decides=False)
    """Save a checkpoint every N minutes; 0 saves by steps only. One is also saved at the end of
    training and when the run is stopped."""
    keep_checkpoints: int = setting(2, at_least=1, decides=False)
    """Number of checkpoints to keep. They are removed when the run is complete."""
    resume: bool = setting(False, decides=False)
    """Continue from the newest checkpoint in --output-dir (default: the newest unfinished run of
    this recipe in runs/). Without a checkpoint the run starts over."""
    report_to: str | None = setting(None, decides=False)
    """Comma-separated trackers: tensorboard, wandb, mlflow, trackio."""
    debug: bool = setting(False, decides=False)
    """Show a traceback with each error."""


@dataclass(frozen=True, kw_only=True)
class Settings(DataConfig, ModelConfig, TrainingConfig, GenerationConfig, OutputConfig):
    """All settings of a run, as they were given."""

    task: Annotated[str, tyro.conf.Suppress] = ""
    """What the model learns: the recipe sets it."""

    def to_dict(self) -> dict[str, Any]:
        """All fields as plain values, as `run.json` records them."""
        return asdict(self)
