"""The steps of a recipe's pipeline, each a call: what they did goes into the run's record."""

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerBase

from lowcost_ft.data.feature_cache import cached_features, feature_cache_dir, feature_key
from lowcost_ft.data.features import Features
from lowcost_ft.data.loading import Splits, load_splits
from lowcost_ft.data.tagging import WORD_SPLITTING
from lowcost_ft.evaluation import check_same, evaluate, predict
from lowcost_ft.health import run_warnings
from lowcost_ft.memory.measure import resident_peak_bytes
from lowcost_ft.model_card import write_model_card
from lowcost_ft.models.held_precision import hold_frozen_weights
from lowcost_ft.models.hub import load_config
from lowcost_ft.models.loading import (
    BuiltModel,
    build_model,
    forward_module,
    load_trained,
    save_model,
    saved_tensors,
)
from lowcost_ft.models.quantization import compute_dtype, count_parameters
from lowcost_ft.models.refusals import check_length, check_token_ids, tokens_notice
from lowcost_ft.models.tokenizers import cut_end
from lowcost_ft.models.virtual_tokens import virtual_logits
from lowcost_ft.reading import reading_of
from lowcost_ft.recipe_memory import model_options
from lowcost_ft.recipe_training import train_run
from lowcost_ft.runs import saved_bytes, write_predictions
from lowcost_ft.start import Run
from lowcost_ft.tasks.base import Predictions, Task
from lowcost_ft.training.checkpoint_files import sync_folder
from lowcost_ft.training.optimizer import choose_optimizer
from lowcost_ft.training.sharding import is_sharded, on_device, whole_tensors

__all__ = [
    "build_recipe_model",
    "evaluate_run",
    "featurize_splits",
    "load_recipe_splits",
    "save_run",
    "train_run",
]


def load_run_splits(config: Mapping[str, Any]) -> Splits:
    """Reads and checks the data of a run, given its settings as `run.json` holds them."""
    return load_splits(
        config["task"],
        train_file=config["train_file"],
        validation_file=config["validation_file"],
        test_file=config["test_file"],
        dataset=config["dataset"],
        dataset_config_name=config["dataset_config_name"],
        reading=reading_of(config),
        validation_share=config["validation_share"],
        seed=config["seed"],
    )


def load_recipe_splits(run: Run) -> Splits:
    """Reads and checks the data that the flags name, and says what it noticed."""
    config = run.config
    splits = load_run_splits(config.to_dict())
    rows = {
        name: len(examples)
        for name in ("train", "validation", "test")
        if (examples := getattr(splits, name)) is not None
    }
    run.record |= {
        "labels": splits.labels,
        "problem_type": splits.problem_type,
        "word_splitting": WORD_SPLITTING if config.task == "ner" else None,
        "data": {
            "rows": rows,
            "pairs": getattr(splits.train[0], "text_pair", None) is not None,
            "fingerprint": splits.fingerprint,
            "notices": splits.notices,
        },
    }
    run.say(f"data: {', '.join(f'{count:,} {name}' for name, count in rows.items())} rows")
    for notice in splits.notices:
        run.say(f"note: {notice}")
    return splits


def build_recipe_model(
    run: Run, splits: Splits, task: Task, tokenizer: PreTrainedTokenizerBase
) -> BuiltModel:
    """Loads the pretrained model and decides what of it trains."""
    config = run.config
    device = run.accelerator.device
    choose_optimizer(config.optimizer, device=device, quantized=True)  # Refused before loading.
    built = build_model(
        **model_options(
            config,
            task,
            labels=splits.labels,
            mixed_precision=run.accelerator.mixed_precision,
            pad_token_id=tokenizer.pad_token_id,
        )
    )
    total, trainable = count_parameters(built.model)
    total += built.streamed.num_parameters if built.streamed else 0
    run.record["parameters"] = {"total": total, "trainable": trainable}
    run.record["method"] = built.method
    run.record["base_model"] = built.base_model
    run.record["config"]["optimizer"] = choose_optimizer(
        config.optimizer, device=device, quantized=built.quantization != "none"
    )
    run.record["virtual_logits"] = virtual_logits(built.model, config.max_length)
    run.record["quantization"] = built.quantization
    run.record["unquantized_modules"] = built.unquantized_modules
    causal = built.family is not None and built.family.causal
    run.record["pad_token_id"] = tokenizer.pad_token_id if causal else None
    on = "" if built.quantization == "none" else f" on {built.quantization} weights"
    run.say(
        f"model: {config.model_id}, {built.method}{on}: {trainable:,} of {total:,} parameters "
        f"train ({trainable / total:.2%})"
    )
    for notice in built.notices:
        run.say(f"note: {notice}")
    return built


def featurize_splits(
    run: Run, splits: Splits, task: Task, tokenizer: PreTrainedTokenizerBase
) -> dict[str, Features]:
    """Tokenizes every split once, or finds it tokenized; says how many texts were cut, and where.

    Raises:
        UserError: The model lacks positions for `--max-length`, or embeddings for some tokens.
    """
    config, limit = run.config, run.config.max_length
    described = load_config(
        config.model_id, revision=config.revision, trust_remote_code=config.trust_remote_code
    )
    check_length(
        limit,
        described,
        config.model_id,
        head=task.head,
        trust_remote_code=config.trust_remote_code,
    )
    end = cut_end(tokenizer)
    run.record["truncation_side"] = tokenizer.truncation_side
    run.record["file_words"] = getattr(task, "file_words", None)
    features = {}
    for name in ("train", "validation", "test"):
        examples = getattr(splits, name)
        if examples is None:
            continue
        features[name] = cached_features(
            partial(task.featurize, examples, tokenizer, max_length=limit),
            feature_key(task, examples, tokenizer, max_length=limit),
            folder=feature_cache_dir(),
            say=run.say,
        )
        if cut := features[name].truncated:
            run.say(
                f"note: {cut:,} of {len(examples):,} {name} texts are longer than --max-length "
                f"{limit}: their {end} is cut off"
            )
        check_token_ids(features[name].input_ids, described, tokenizer, config.model_id)
    if notice := tokens_notice(described, tokenizer):
        run.say(f"note: {notice}")
    return features


def evaluate_run(
    run: Run,
    built: BuiltModel,
    task: Task,
    splits: Splits,
    features: dict[str, Features],
    tokenizer: PreTrainedTokenizerBase,
) -> dict[str, Predictions]:
    """Scores validation and test split with the weights as they will be saved.

    What the task chooses by the validation split, such as thresholds, the test split does not
    change.
    """
    run.record["evaluation"] = {}
    predictions: dict[str, Predictions] = {}
    for name in [name for name in ("validation", "test") if name in features]:
        scores, predictions[name] = evaluate(
            run.accelerator,
            forward_module(built.model),
            task,
            getattr(splits, name),
            features[name],
            pad_token_id=tokenizer.pad_token_id,
            micro_batch_tokens=run.config.micro_batch_tokens,
            seed=run.config.seed,
            cached=run.streamed.get(name),
            recoveries=run.record["train"]["recoveries"],
            validation=name == "validation",
        )
        scores.pop("loss", None)  # The history of training holds that of each epoch.
        run.record["evaluation"][name] = scores
    run.record["thresholds"] = getattr(task, "thresholds", None)
    run.record["train"]["peak_resident_bytes"] = resident_peak_bytes()
    run.record["warnings"] = run_warnings(
        splits.problem_type,
        name,
        getattr(splits, name),
        run.record["evaluation"][name],
        unmoved=run.unmoved,
        bad_steps=len(run.record["train"]["bad_steps"]),
        warmup_ratio=run.config.warmup_ratio,
        label_scores=predictions[name].get("scores"),
        labels=task.labels,
    )
    return predictions


def save_run(
    run: Run,
    built: BuiltModel,
    task: Task,
    splits: Splits,
    features: dict[str, Features],
    predictions: dict[str, Predictions],
    tokenizer: PreTrainedTokenizerBase,
) -> Path:
    """Writes model, tokenizer, predictions and model card, then reloads the folder and compares.

    Raises:
        RuntimeError: The reloaded model predicts something else: what was saved is not what was
            trained.
    """
    main = run.accelerator.is_main_process
    sharded = is_sharded(run.accelerator)
    weights = whole_tensors(saved_tensors(built.model), keep=main) if sharded else None
    if main:
        save_model(
            built.model,
            tokenizer,
            run.folder,
            weights=weights,
            own_dropout=built.own_dropout,
        )
        run.record["saved_bytes"] = saved_bytes(run.folder)
        if "test" in predictions:
            write_predictions(
                run.folder / "predictions.jsonl",
                splits.test or [],
                task.present(splits.test or [], predictions["test"]),
                losses=task.losses(splits.test or [], predictions["test"]).tolist(),
            )
        write_model_card(run.folder, run.record)
    run.accelerator.wait_for_everyone()
    if not sharded:
        built.model.to("cpu")  # Two models need not fit on the device.
    reloaded = load_trained(
        run.folder,
        run.record,
        trust_remote_code=run.config.trust_remote_code,
        dtype=compute_dtype(run.accelerator.mixed_precision),
        stream_below=run.config.trainable_layers if built.streamed else None,
    )
    hold_frozen_weights(
        reloaded,
        compute_dtype(run.accelerator.mixed_precision),
        family=built.family,
        top_layers=run.config.trainable_layers if built.streamed else None,
    )
    split = "test" if "test" in predictions else "validation"
    cached = None
    if built.streamed:
        part = built.streamed.of(forward_module(reloaded))
        cached = replace(run.streamed[split], part=part)
    again = predict(
        run.accelerator,
        on_device(run.accelerator, forward_module(reloaded)),
        task,
        features[split],
        pad_token_id=tokenizer.pad_token_id,
        micro_batch_tokens=run.config.micro_batch_tokens,
        cached=cached,
    )
    exact = run.accelerator.mixed_precision == "no"
    check_same(predictions[split], again, tolerance=1e-4 if exact else 2e-2)
    if main:
        sync_folder(run.folder)  # Before run.json calls it complete.
    return run.folder
