"""LoRA by TRL's `SFTTrainer` on the pairs of a file: what `benchmarks/generation.py` compares with.

    python benchmarks/peers/trl_sft.py ROWS.jsonl --arm defaults --output OUT.json

It runs in an environment of its own (trl_requirements.txt). `defaults` is the trainer as its
documentation shows it, with peft's LoRA on all linear layers; `tuned` computes in float32, without
gradient checkpointing, with rows of like length together. Both take the recipe's rank, rate, batch
and prompt, and the loss of the completion alone.
"""

import argparse
import json
import resource
import time
from pathlib import Path
from typing import Any

from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import SFTConfig, SFTTrainer

MODEL = "HuggingFaceTB/SmolLM2-135M-Instruct"


class Clock(TrainerCallback):
    """When each step ended."""

    def __init__(self) -> None:
        self.ends = [0.0]

    def on_train_begin(self, *_: Any, **__: Any) -> None:
        self.ends = [time.perf_counter()]

    def on_step_end(self, *_: Any, **__: Any) -> None:
        self.ends.append(time.perf_counter())


def main() -> None:
    """Trains one pass over the rows, and writes what it cost."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").split("\n")[0])
    parser.add_argument("rows", type=Path)
    parser.add_argument("--arm", choices=("defaults", "tuned"), default="defaults")
    parser.add_argument("--model-id", default=MODEL)
    parser.add_argument("--batch-size", type=int, default=8)
    parser.add_argument("--learning-rate", type=float, required=True)
    parser.add_argument("--lora-r", type=int, required=True)
    parser.add_argument("--lora-alpha", type=float, required=True)
    parser.add_argument("--output", type=Path, required=True)
    options = parser.parse_args()
    rows = [
        json.loads(line)["translation"] for line in options.rows.read_text("utf-8").splitlines()
    ]
    data = Dataset.from_list(
        [
            {
                "prompt": [
                    {
                        "role": "user",
                        "content": f"Translate from English to French:\n{row['en']}",
                    }
                ],
                "completion": [{"role": "assistant", "content": row["fr"]}],
            }
            for row in rows
        ]
    )
    settings: dict[str, Any] = {
        "output_dir": str(options.output.with_suffix("")),
        "per_device_train_batch_size": options.batch_size,
        "learning_rate": options.learning_rate,
        "num_train_epochs": 1,
        "max_length": 256,
        "save_strategy": "no",
        "report_to": "none",
        "logging_steps": 1,
        "seed": 0,
        "use_cpu": True,
    }
    if options.arm == "tuned":
        settings |= {"gradient_checkpointing": False, "bf16": False}
        settings |= {"train_sampling_strategy": "group_by_length"}
    clock = Clock()
    trainer = SFTTrainer(
        model=options.model_id,
        args=SFTConfig(**settings),
        train_dataset=data,
        peft_config=LoraConfig(
            r=options.lora_r, lora_alpha=options.lora_alpha, target_modules="all-linear"
        ),
        callbacks=[clock],
    )
    tokens = sum(len(row["input_ids"]) for row in trainer.train_dataset)
    result = trainer.train()
    seconds = clock.ends[-1] - clock.ends[0]
    record = {
        "seconds": seconds,
        "real_tokens": tokens,
        "real_tokens_per_second": tokens / seconds,
        "optimizer_steps": len(clock.ends) - 1,
        "peak_resident_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "loss": result.training_loss,
    }
    options.output.write_text(json.dumps(record, indent=1) + "\n", "utf-8")


if __name__ == "__main__":
    main()
