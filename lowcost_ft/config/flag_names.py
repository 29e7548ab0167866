"""The names that other trainers give to settings, so that a user who types one is told ours.

transformers (`TrainingArguments` and its example scripts), peft, trl, axolotl, unsloth,
LLaMA-Factory, litgpt, Lightning.
"""

from collections.abc import Collection, Sequence

__all__ = ["foreign_flag_problems", "repeated_flag_problems"]

_NAMES = {
    "model_id": (
        "model model-name model-name-or-path base-model base-model-name pretrained-model "
        "pretrained-model-name-or-path pretrained checkpoint checkpoint-dir model-path model-dir "
        "hf-model bert-model"
    ),
    "revision": "model-revision",
    "train_file": (
        "train train-data train-data-file train-data-path train-path train-dataset training-file "
        "training-data data data-path data-file data-files datasets dataset-path input input-file"
    ),
    "validation_file": (
        "validation validation-data val val-file val-data valid valid-file valid-data dev dev-file "
        "dev-data eval-file eval-data eval-path eval-dataset"
    ),
    "test_file": "test test-data test-path predict-file eval-file eval-data data data-path file",
    "dataset": "dataset-name dataset-id dataset-name-or-path hf-dataset",
    "dataset_config_name": "dataset-config dataset-subset subset",
    "validation_share": (
        "validation-split validation-split-percentage val-split val-set-size val-size val-ratio "
        "validation-ratio eval-ratio eval-split-ratio validation-size"
    ),
    "max_length": (
        "max-seq-length max-seq-len max-sequence-length max-len seq-len seq-length sequence-len "
        "sequence-length cutoff-len max-source-length model-max-length block-size max-tokens"
    ),
    "window_overlap": "stride doc-stride overlap",
    "text_column": "text-column-name text-field dataset-text-field text-key input-column",
    "text_pair_column": "text-pair-column-name sentence2-key second-text-column",
    "tokens_column": "tokens-column-name token-column words-column word-column",
    "label_column": (
        "label-column-name label-field label-key labels-column target-column label-col"
    ),
    "tags_column": "tags-column-name tag-column ner-tags-column",
    "learning_rate": "lr learning-rate-init peak-lr max-lr",
    "num_train_epochs": (
        "epochs epoch num-epochs n-epochs max-epochs train-epochs nb-epochs num-epoch"
    ),
    "max_steps": (
        "steps num-steps max-train-steps num-train-steps total-steps iters max-iters num-iterations"
    ),
    "batch_size": (
        "per-device-train-batch-size per-gpu-train-batch-size train-batch-size bs bsz batch "
        "global-batch-size mini-batch-size micro-batch-size total-batch-size"
    ),
    "gradient_accumulation_steps": (
        "gradient-accumulation gradient-accumulation-iters grad-accum grad-accum-steps "
        "grad-accumulation-steps accumulate-grad-batches accumulation-steps"
    ),
    "group_by_length": "packing sample-packing length-grouping bucketing",
    "optimizer": "optim opt optimizer-type optimizer-name",
    "weight_decay": "wd l2 decay",
    "max_grad_norm": (
        "grad-clip gradient-clip gradient-clipping gradient-clip-val clip-grad clip-grad-norm "
        "max-norm grad-norm-clip"
    ),
    "lr_scheduler_type": (
        "lr-scheduler lr-schedule scheduler scheduler-type lr-decay-style learning-rate-schedule"
    ),
    "early_stopping_patience": "patience early-stopping early-stop early-stopping-rounds",
    "gradient_checkpointing": (
        "grad-checkpoint grad-checkpointing gradient-checkpoint activation-checkpointing "
        "use-gradient-checkpointing"
    ),
    "torch_compile": "compile",
    "attn_implementation": "attn-impl attention attention-implementation flash-attn",
    "mixed_precision": "precision dtype torch-dtype amp compute-dtype",
    "quantization": "quantize quantization-bit bits quant",
    "method": "adapter peft-type peft-method peft finetuning-type tuner fine-tuning-method",
    "lora_r": "lora-rank rank r lora-dim lora-attn-dim lora-size",
    "lora_alpha": "alpha lora-scale lora-scaling",
    "target_modules": "lora-target-modules lora-target lora-modules lora-targets",
    "num_virtual_tokens": "prompt-length prefix-length num-prefix-tokens pre-seq-len",
    "trainable_layers": "unfreeze-layers num-trainable-layers freeze-trainable-layers lora-layers",
    "label_smoothing": "label-smoothing-factor label-smooth smoothing",
    "focal_gamma": "focal-loss focal gamma",
    "ema": "ema-decay use-ema weight-average swa",
    "consistency": "r-drop rdrop",
    "adversarial": "fgm pgd freelb adversarial-training",
    "augment": "augmentation data-augmentation eda",
    "seed": "random-seed random-state data-seed",
    "num_threads": "threads num-workers cpu-threads jobs n-jobs",
    "output_dir": "output out out-dir output-path output-folder save-dir save-path run-dir",
    "output": "out output-file output-path out-file",
    "overwrite": "overwrite-output-dir force",
    "resume": "resume-from-checkpoint resume-from auto-resume-from-checkpoints continue restore",
    "checkpoint_every_steps": "save-steps save-interval checkpoint-interval save-every",
    "keep_checkpoints": "save-total-limit",
    "report_to": "log-with logger tracker trackers",
    "memory_budget": "memory max-memory gpu-memory vram",
    "file": "input input-file data data-file data-path texts text-file",
    "text": "sentence prompt query input-text",
    "gpus": "gpu",
}
"""Field: other names of it. The first that the command has is meant."""

_VALUES = {
    "fp16": "--mixed-precision fp16",
    "bf16": "--mixed-precision bf16",
    "fp32": "--mixed-precision no",
    "load-in-4bit": "--quantization nf4",
    "load-in-8bit": "--quantization 8bit",
    "use-4bit": "--quantization nf4",
    "use-8bit": "--quantization 8bit",
    "bnb-4bit-quant-type": "--quantization nf4",
    "qlora": "--quantization nf4",
    "use-lora": "--method lora",
    "lora": "--method lora",
    "use-peft": "--method lora",
    "use-dora": "--method dora",
    "use-rslora": "--method rslora",
    "full-finetuning": "--method full",
    "full": "--method full",
    "flash-attention": "--attn-implementation flash_attention_2",
    "use-flash-attn": "--attn-implementation flash_attention_2",
    "use-flash-attention-2": "--attn-implementation flash_attention_2",
    "wandb": "--report-to wandb",
    "use-wandb": "--report-to wandb",
    "wandb-project": "--report-to wandb",
    "warmup": "--warmup-ratio, a share of the optimizer steps",
    "warmup-steps": "--warmup-ratio, a share of the optimizer steps",
    "num-warmup-steps": "--warmup-ratio, a share of the optimizer steps",
    "warmup-proportion": "--warmup-ratio",
    "warmup-fraction": "--warmup-ratio",
}
"""Other name: the flag here with the value that it stands for."""

_LEFT_OUT = {
    **dict.fromkeys(
        ("do-train", "do-eval", "do-predict"), "a recipe trains, evaluates and predicts"
    ),
    **dict.fromkeys(
        ("device", "gpu", "cuda", "no-cuda", "use-cpu"),
        "the GPU is used where there is one (CUDA_VISIBLE_DEVICES chooses which)",
    ),
    **dict.fromkeys(
        ("eval-strategy", "evaluation-strategy", "eval-steps", "save-strategy"),
        "each epoch is scored, and checkpoints are taken by time (--checkpoint-every-minutes)",
    ),
    **dict.fromkeys(
        ("per-device-eval-batch-size", "eval-batch-size"),
        "evaluation forms its own batches, by --micro-batch-tokens",
    ),
    "auto-find-batch-size": "micro-batches get smaller by themselves when memory runs out",
    "load-best-model-at-end": "the best epoch is always kept",
    "metric-for-best-model": "the main metric of the task chooses the epoch",
    "num-labels": "the labels are read from the data",
    "logging-steps": "losses are logged by themselves",
    "dataloader-num-workers": "the data is tokenized once, before training",
    "preprocessing-num-workers": "the data is tokenized once, before training",
    "deepspeed": "launch with `accelerate launch`, which also splits models (FSDP)",
    "fsdp": "launch with `accelerate launch`, which also splits models (FSDP)",
    "push-to-hub": "upload the run folder with `hf upload` when it is complete",
    "hub-model-id": "upload the run folder with `hf upload` when it is complete",
}
"""Other name: why training needs no such flag."""


def foreign_flag_problems(arguments: Sequence[str], fields: Collection[str]) -> list[str]:
    """What to type instead of the flags of other trainers.

    Args:
        arguments: A command line.
        fields: Names of the flags that the command has, with underscores.

    Returns:
        A line for each flag that the command does not have and that is known from elsewhere.
    """
    problems = {}
    for argument in arguments:
        name = argument.partition("=")[0].removeprefix("--").replace("_", "-")
        field = name.replace("-", "_")
        known = field in fields or field.removeprefix("no_") in fields
        if argument.startswith("--") and not known and (advice := _advice(name, fields)):
            problems[name] = f"--{name} is not a flag here; {advice}"
    return list(problems.values())


def repeated_flag_problems(arguments: Sequence[str]) -> list[str]:
    """A line for each flag that a command line gives twice, of which only the last would count."""
    given = [one.partition("=")[0] for one in arguments if one.startswith("--") and len(one) > 2]
    names = ["--" + one.removeprefix("--").replace("_", "-") for one in given]
    return [
        f"{name} is given {names.count(name)} times, and only one of them would count: "
        "give it once (values of a list stand behind it, one after the other)"
        for name in dict.fromkeys(names)
        if names.count(name) > 1
    ]


def _advice(name: str, fields: Collection[str]) -> str | None:
    for field, others in _NAMES.items():
        if field in fields and name in others.split():
            return f"use --{field.replace('_', '-')}"
    value = _VALUES.get(name)
    if value and value.split()[0].strip(",")[2:].replace("-", "_") in fields:
        return f"use {value}"
    if name in _LEFT_OUT and "num_train_epochs" in fields:
        return f"leave it out: {_LEFT_OUT[name]}"
    return None
