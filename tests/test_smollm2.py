"""Both recipes on a real GPT-type model: SmolLM2-135M, laid out by `make test-slow`."""

import importlib.util
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from lowcost_ft.models.hub import is_cached

MODEL_ID = "HuggingFaceTB/SmolLM2-135M-Instruct"
RECIPES = Path(__file__).resolve().parent.parent / "recipes"

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not is_cached(MODEL_ID), reason=f"{MODEL_ID} is not in the Hub cache: make test-slow"
    ),
]


def load_recipe(name):
    sys.path.insert(0, str(RECIPES))
    try:
        spec = importlib.util.spec_from_file_location(name, RECIPES / f"{name}.py")
        module = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(module)
    finally:
        sys.path.remove(str(RECIPES))
    return module


def run(name, folder, **changes):
    recipe = load_recipe(name)
    config = replace(
        recipe.CONFIG, model_id=MODEL_ID, output_dir=str(folder), max_length=64, **changes
    )
    recipe.main(config)
    return json.loads((folder / "run.json").read_text("utf-8"))


def test_text_classification(tmp_path):
    record = run("lora_gpt_classification", tmp_path / "run", max_steps=60)
    assert record["status"] == "completed"
    assert record["pad_token_id"] is not None
    # The majority class has 0.12 of the test texts.
    assert record["evaluation"]["test"]["accuracy"] > 0.35


def test_reviews_are_told_apart_without_training(tmp_path):
    """By what the language model knows, in English and in French."""
    reviews = {
        "good": ("I love it, best purchase ever!", "Works great, very happy.", "C'est parfait."),
        "bad": ("It broke on the first day.", "Awful, I want my money back.", "C'est affreux."),
    }
    rows = [{"text": text, "label": label} for label, texts in reviews.items() for text in texts]
    file = tmp_path / "reviews.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), "utf-8")
    changes = {"train_file": str(file), "max_steps": 0}
    changes["prompt_template"] = "Review: {source}\nSentiment:"
    changes["label_words"] = "good=positive,bad=negative"
    record = run("prompt_classification", tmp_path / "run", **changes)
    assert record["evaluation"]["train"]["accuracy"] > 0.8


def test_ner(tmp_path):
    record = run("lora_ner", tmp_path / "run", max_steps=60)
    assert record["status"] == "completed"
    assert record["evaluation"]["test"]["f1"] > 0.35


def test_a_model_larger_than_the_memory_is_trained(tmp_path):
    """The kernel refuses what the whole model would need; read layer by layer, it is trained."""
    script = RECIPES.parent / "benchmarks" / "limited_memory.py"
    output = tmp_path / "limited.json"
    command = [sys.executable, str(script), "--rows", "60", "--max-steps", "4"]
    subprocess.run([*command, "--output", str(output)], check=True)
    result = json.loads(output.read_text("utf-8"))
    weights = 538_000_000  # in float32
    assert result["whole_limited"]["exit_code"] != 0
    streamed, whole = result["streamed_limited"], result["whole_unlimited"]
    assert streamed["status"] == whole["status"] == "completed"
    assert streamed["room_bytes"] < weights / 2
    assert streamed["peak_beside_runtime_bytes"] < weights / 2
    assert streamed["train"]["streaming"]["layers"] == 29
    assert result["same_adapter"] and result["same_predictions"]
    assert streamed["test"] == whole["test"]
