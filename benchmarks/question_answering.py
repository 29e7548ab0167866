"""Question answering on XQuAD English: LoRA, full fine-tuning, and `Trainer` with peft.

    python benchmarks/question_answering.py ../shared/data/xquad_en
    python benchmarks/question_answering.py ../shared/data/xquad_en --arms lora,full --seeds 0

Training and test questions are about different articles. Each finished run leaves a file in
benchmarks/results/questions with the score of every test question. Runs that are there are not
repeated, and one that was stopped goes on where it was. At the end (or with `--arms ""`) the
summary, benchmarks/question_answering.json, is written from the files: means over the seeds, and
intervals of the differences over articles, paired by question.

Arms: `lora` and `full` are recipes/lora_qa.py with `--method`; `script` has the settings that
transformers' example script for SQuAD is documented with, through `Trainer` and peft, whose LoRA
adapts query and value; `trainer-peft` has the recipe's epochs, rank and rate there. Both keep their
last weights, and the tenth of the questions that our runs choose the epoch by is left out there,
too. `memorize` trains LoRA on 200 questions and asks the same ones; `sentence` answers with the
sentence of the text that is most similar to the question, by mean-pooled embeddings of the model
before training.
"""

import argparse
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import product
from pathlib import Path
from typing import Any

import torch
from datasets import Dataset
from peft import LoraConfig, TaskType, get_peft_model
from question_summary import summary
from transformers import (
    AutoModel,
    AutoModelForQuestionAnswering,
    AutoTokenizer,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
)

import lowcost_ft as ft
from lowcost_ft.config.settings import DEFAULT_MODEL_ID
from lowcost_ft.pipeline.predicting import predict_and_score
from lowcost_ft.record.environment import hardware, versions
from lowcost_ft.scores.answers import exact_match, token_f1
from lowcost_ft.training.training_length import num_epochs

ROOT = Path(__file__).resolve().parent.parent
RESULTS = ROOT / "benchmarks" / "results" / "questions"
SUMMARY = ROOT / "benchmarks" / "question_answering.json"
sys.path.insert(0, str(ROOT / "recipes"))
from lora_qa import CONFIG  # noqa: E402

ARMS = ("sentence", "lora", "script", "memorize", "full", "trainer-peft")
MEMORIZED = 200


def main() -> None:
    """Runs what is missing, and writes the summary."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("data", type=Path, help="folder with train.jsonl and test.jsonl")
    parser.add_argument("--arms", default=",".join(ARMS))
    parser.add_argument("--seeds", default="0,1,2")
    parser.add_argument("--runs", type=Path, default=ROOT / "runs" / "questions")
    options = parser.parse_args()
    RESULTS.mkdir(parents=True, exist_ok=True)
    arms = [arm for arm in options.arms.split(",") if arm]
    for seed, arm in product(map(int, options.seeds.split(",")), arms):
        file = RESULTS / f"xquad-{arm}-seed{seed}.json"
        if file.exists() or (arm in ("sentence", "memorize") and seed):
            continue
        print(f"--- {arm}, seed {seed}", flush=True)
        record = run_arm(arm, seed, options.data, options.runs / f"{arm}-seed{seed}")
        record |= {"arm": arm, "seed": seed, "versions": versions(), "hardware": hardware()}
        file.write_text(json.dumps(record, indent=1) + "\n", "utf-8")
    SUMMARY.write_text(json.dumps(summary(RESULTS), indent=1) + "\n", "utf-8")
    print(json.dumps(summary(RESULTS), indent=1))


def run_arm(arm: str, seed: int, data: Path, folder: Path) -> dict[str, Any]:
    """Trains one arm, or asks the baseline; returns its record."""
    rows = read(data / "test.jsonl")
    if arm == "sentence":
        return {"questions": scored(rows, most_similar_sentences(rows))}
    train_file = data / "train.jsonl"
    if arm == "memorize":
        folder.mkdir(parents=True, exist_ok=True)
        train_file = folder.parent / "first-questions.jsonl"
        lines = (data / "train.jsonl").read_text("utf-8").splitlines(keepends=True)
        train_file.write_text("".join(lines[:MEMORIZED]), "utf-8")
        rows = read(train_file)
    config = replace(
        CONFIG,
        train_file=str(train_file),
        test_file=str(data / "test.jsonl"),
        output_dir=str(folder),
        seed=seed,
        resume=True,
        checkpoint_every_minutes=3.0,
    )
    if arm == "memorize":
        # What is asked is what was taught, so nothing is cut off for validation.
        config = replace(
            config,
            validation_file=str(train_file),
            test_file=str(train_file),
            early_stopping_patience=0,
        )
    if arm == "script":
        # https://github.com/huggingface/transformers/tree/main/examples/pytorch/question-answering
        config = replace(
            config,
            batch_size=12,
            learning_rate=3e-5,
            num_train_epochs=2,
            window_overlap=128,
            warmup_ratio=0.0,
            weight_decay=0.0,
        )
    train = train_with_trainer if arm in ("script", "trainer-peft") else train_with_ours
    answers, scores, cost = train(replace(config, method="full" if arm == "full" else "lora"))
    return {
        "settings": {
            name: getattr(config, name) for name in ("batch_size", "max_length", "learning_rate")
        },
        "scores": scores,
        "train": cost,
        "questions": scored(rows, answers),
    }


def train_with_ours(config: ft.RunConfig) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """The recipe."""
    with ft.start_run(config) as run:
        data = ft.load_data(run)
        built = ft.build(run, data)
        trained = ft.train(run, built, data)
        evaluated = ft.evaluate(run, built, data, trained)
        ft.save(run, built, data, trained, evaluated)
    test = data.task.present(data.splits.test or [], evaluated.predictions["test"])
    keys = (
        *("epochs", "best_epoch", "optimizer_steps", "seconds", "cpu_share"),
        *("real_tokens_per_second", "peak_memory_bytes", "predicted_peak_memory_bytes"),
        "learning_rate",
    )
    cost = {key: run.record["train"].get(key) for key in keys}
    return [row["answer"] for row in test], evaluated.scores, cost


def train_with_trainer(config: ft.RunConfig) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """`Trainer` with LoRA on query and value, and transformers' own loss of the model."""
    with ft.start_run(replace(config, resume=False, overwrite=True)) as run:
        data = ft.load_data(run)
        torch.manual_seed(config.seed)
        lora = LoraConfig(
            task_type=TaskType.QUESTION_ANS,
            r=config.lora_r,
            lora_alpha=32,
            target_modules=["query", "value"],
        )
        plain = AutoModelForQuestionAnswering.from_pretrained(config.model_id)
        model = get_peft_model(plain, lora)
        features = data.features["train"]
        rows = []
        for row, start in enumerate(features.starts[:-1]):
            own = slice(start, features.starts[row + 1])
            if features.weights[row]:  # A window that cuts its answer teaches nothing.
                types = features.token_type_ids
                rows.append(
                    {
                        "input_ids": features.input_ids[own].tolist(),
                        "start_positions": int(features["first"][row]),
                        "end_positions": int(features["last"][row]),
                    }
                    | ({} if types is None else {"token_type_ids": types[own].tolist()})
                )
        rate = config.learning_rate or 1e-3
        epochs = num_epochs(config, len(data.splits.train))
        steps = epochs * -(-len(rows) // config.batch_size)
        trainer = Trainer(
            model=model,
            args=TrainingArguments(
                output_dir=str(run.folder / "trainer"),
                num_train_epochs=epochs,
                per_device_train_batch_size=config.batch_size,
                learning_rate=rate,
                weight_decay=config.weight_decay,
                warmup_steps=round(config.warmup_ratio * steps),
                seed=config.seed,
                save_strategy="no",
                report_to="none",
                use_cpu=run.accelerator.device.type == "cpu",
            ),
            train_dataset=Dataset.from_list(rows),
            data_collator=DataCollatorWithPadding(data.tokenizer),
        )
        seconds = trainer.train().metrics["train_runtime"]
        scores, predictions = predict_and_score(
            run.accelerator,
            # Through peft's own model, which leaves token types out, as it did in training.
            model.eval(),
            data.task,
            data.splits.test or [],
            data.features["test"],
            pad_token_id=data.pad_token_id,
            micro_batch_tokens=config.settled_micro_batch_tokens,
            seed=config.seed,
        )
        run.record["evaluation"] = {"test": scores}
    answers = [row["answer"] for row in data.task.present(data.splits.test or [], predictions)]
    return answers, {"test": scores}, {"epochs": epochs, "seconds": seconds, "learning_rate": rate}


def most_similar_sentences(rows: Sequence[dict[str, Any]]) -> list[str]:
    """The sentence of each text whose embedding is nearest to that of the question."""
    tokenizer = AutoTokenizer.from_pretrained(DEFAULT_MODEL_ID)
    model = AutoModel.from_pretrained(DEFAULT_MODEL_ID).eval()

    def embedded(texts: list[str]) -> torch.Tensor:
        inputs = tokenizer(
            texts, padding=True, truncation=True, max_length=256, return_tensors="pt"
        )
        with torch.inference_mode():
            states = model(**inputs).last_hidden_state  # (B, T, H)
        mask = inputs["attention_mask"].unsqueeze(-1)
        return torch.nn.functional.normalize((states * mask).sum(1) / mask.sum(1))

    sentences = {
        context: re.split(r"(?<=[.!?])\s+", context) for context in {r["context"] for r in rows}
    }
    known = {context: embedded(parts) for context, parts in sentences.items()}
    answers = []
    for row in rows:
        similar = known[row["context"]] @ embedded([row["question"]])[0]
        answers.append(sentences[row["context"]][int(similar.argmax())])
    return answers


def read(file: Path) -> list[dict[str, Any]]:
    """Rows of a JSONL file."""
    return [json.loads(line) for line in file.read_text("utf-8").splitlines()]


def scored(rows: Sequence[dict[str, Any]], answers: Sequence[str]) -> list[dict[str, Any]]:
    """Exact match and F1 of each question, with its article."""
    return [
        {
            "id": row["id"],
            "title": row["title"],
            "exact_match": exact_match(answer, row["answers"]["text"]),
            "f1": round(token_f1(answer, row["answers"]["text"]), 6),
        }
        for row, answer in zip(rows, answers, strict=True)
    ]


if __name__ == "__main__":
    main()
