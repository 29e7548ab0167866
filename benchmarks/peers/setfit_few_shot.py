"""Trains `setfit` on a file of texts and labels, and scores it on another: for `few_shot.py`.

    python benchmarks/peers/setfit_few_shot.py TRAIN.csv TEST.csv --seed 0 [--num-iterations 20]

It runs in an environment of its own (`pip install "setfit==1.2.*"`) and prints one JSON object.
Settings are setfit's defaults; --num-iterations bounds the pairs where there are many classes.
"""

import argparse
import csv
import json
import time

from datasets import Dataset
from setfit import SetFitModel, Trainer, TrainingArguments, __version__


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("train")
    parser.add_argument("test")
    parser.add_argument("--model-id", default="sentence-transformers/all-MiniLM-L6-v2")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--num-iterations", type=int)
    parser.add_argument("--output-dir", default=None)
    options = parser.parse_args()
    train, test = (read(path) for path in (options.train, options.test))
    model = SetFitModel.from_pretrained(options.model_id)
    more = {} if options.num_iterations is None else {"num_iterations": options.num_iterations}
    if options.output_dir is not None:
        more["output_dir"] = options.output_dir
    trainer = Trainer(
        model=model,
        args=TrainingArguments(seed=options.seed, report_to="none", save_strategy="no", **more),
        train_dataset=Dataset.from_dict(train),
    )
    wall, cpu = time.perf_counter(), time.process_time()
    trainer.train()
    found = {"train_seconds": time.perf_counter() - wall, "cpu_seconds": time.process_time() - cpu}
    predicted = model.predict(test["text"])
    right = sum(str(one) == label for one, label in zip(predicted, test["label"], strict=True))
    print(json.dumps(found | {"accuracy": right / len(test["label"]), "version": __version__}))


def read(path: str) -> dict[str, list[str]]:
    """Texts and labels."""
    with open(path, newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    return {name: [row[name] for row in rows] for name in ("text", "label")}


if __name__ == "__main__":
    main()
