"""Every recipe, run as its users run it: files, record, exit codes, and mistakes of all kinds."""

import json
import math
import runpy
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from small_runs import (
    RECIPES,
    call_recipe,
    flags,
    forget_precision,
    ner_rows,
    text_rows,
    write_jsonl,
)

import lowcost_ft.pipeline.save
import lowcost_ft.pipeline.start
from lowcost_ft.commands.program import exit_code
from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.tasks import task_settings
from lowcost_ft.errors import UserError
from lowcost_ft.training.setup import build_accelerator

NAMES = sorted(path.stem for path in RECIPES.glob("*.py"))
ADAPTER = {"adapter_model.safetensors", "adapter_config.json"}
FULL = {"model.safetensors", "config.json"}
COMMON = {"run.json", "README.md", "predictions.jsonl", "tokenizer.json", "tokenizer_config.json"}
OF_TASK = {
    "ner": ("f1", "tokens", {"tags", "true_tags"}),
    "classification": ("accuracy", "text", {"label", "score", "true_label"}),
    "relation": ("micro_f1", "text", {"head", "tail", "label", "score", "true_label"}),
    "question_answering": (
        "answer_f1",
        "question",
        {"id", "answer", "start", "end", "score", "true_answer", "true_answers"},
    ),
    "translation": ("chrf", "source", {"id", "written", "true_text", "true_texts"}),
    "summarization": ("rouge1", "document", {"id", "written", "true_text", "true_texts"}),
    "dialogue": ("perplexity", "messages", {"id", "written", "true_text", "true_texts"}),
}
"""The main metric, the input in predictions.jsonl, and what else stands there."""
WRITTEN = ("translation", "summarization", "dialogue")
TRAIN_KEYS = {
    *("seconds", "epochs", "optimizer_steps", "examples", "real_tokens", "padded_tokens"),
    *("padding_share", "real_tokens_per_second", "effective_batch_size", "micro_batch_tokens"),
    *("recoveries", "cache_seconds", "cache_bytes", "peak_memory_bytes", "peak_memory_source"),
    *("predicted_peak_memory_bytes", "final_loss"),
}


@pytest.fixture(scope="module")
def short(tiny_model, small_files):
    """Flags of a run of 3 steps with a tiny model, for any recipe."""

    def options(name, **changes):
        writes = dict(zip(WRITTEN, ("pairs", "pairs", "dialogues"), strict=True))
        family = (
            "gpt2"
            if "gpt" in name or "prompt" in name
            else "llama"
            if task_of(name) in writes
            else "bert"
        )
        kind = {"classification": "single", "question_answering": "question", **writes}.get(
            task_of(name), task_of(name)
        )
        values = {"model_id": tiny_model(family), "max_steps": 3, "batch_size": 8}
        if task_of(name) == "question_answering":  # The tiny model has few positions.
            values["max_length"] = 64
        if name == "few_shot_classification":  # Of 80 texts there are 10 groups.
            values["batch_size"] = 3
        if task_of(name) in writes:  # It has no chat template either.
            values |= {"max_length": 96, "max_target_length": 8, "chat_template": "plain"}
            values |= {"generated_validation_rows": 2}
        if name.startswith("cached"):  # The tiny model has as many layers as the recipe trains.
            values["trainable_layers"] = 1
        values |= small_files[kind] | changes
        return flags(**{key: value for key, value in values.items() if value is not None})

    return options


def task_of(name):
    """The task of a recipe, which is in its name."""
    return next(task for task in OF_TASK if task in name.replace("qa", "question_answering"))


def read_jsonl(path):
    return [json.loads(line) for line in Path(path).read_text("utf-8").splitlines()]


def files_of(folder):
    return {path.name for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize("name", NAMES)
def test_every_recipe_leaves_a_complete_run_folder(tmp_path, short, capsys, name):
    folder = tmp_path / "run"
    assert call_recipe(name, *short(name, output_dir=folder)) == 0
    run = json.loads((folder / "run.json").read_text())
    weights = FULL if run["method"] == "full" else ADAPTER
    assert COMMON | weights <= files_of(folder)
    assert not files_of(folder) & ((FULL | ADAPTER) - weights)

    assert (run["schema_version"], run["status"], run["seed"]) == (1, "completed", 0)
    assert run["task"] == task_of(name)
    metric, inputs, answer = OF_TASK[run["task"]]
    assert run["config"]["output_dir"] == str(folder)
    assert run["config"]["learning_rate"] > 0  # What the defaults came to.
    assert run["config"]["dropout"] == (
        0.0 if run["task"] in ("classification", "relation") else "model"
    )
    assert {"versions", "hardware", "git", "labels", "data"} <= set(run)
    assert "word_splitting" in run or run["task"] in ("question_answering", *WRITTEN)
    assert run["data"]["rows"] == {"train": 80, "validation": 21, "test": 21}
    parameters = run["parameters"]
    assert 0 < parameters["trainable"] <= parameters["total"]
    assert (parameters["trainable"] == parameters["total"]) == (run["method"] == "full")
    assert (run["train"]["cache_bytes"] > 0) == run["config"]["cache_frozen_layers"]
    train = run["train"]
    assert set(train) >= TRAIN_KEYS
    batch = 3 if name == "few_shot_classification" else 8
    assert (train["optimizer_steps"], train["examples"]) == (3, 3 * batch)
    assert (train["effective_batch_size"], train["recoveries"]) == (batch, [])
    assert train["peak_memory_bytes"] > 0
    assert set(run["evaluation"]) == {"validation", "test"}
    for scores in run["evaluation"].values():
        low, high = scores[f"{metric}_ci95"]
        assert 0 <= low <= scores[metric] <= high

    test_rows = read_jsonl(run["config"]["test_file"])
    predicted = read_jsonl(folder / "predictions.jsonl")
    given = [row.get(inputs, row.get("source")) for row in test_rows]
    if inputs == "messages":  # Without the reply.
        given = [messages[:-1] for messages in given]
    assert [row[inputs] for row in predicted] == given
    assert all(set(row) == {inputs, "loss", *answer} for row in predicted)
    assert run["saved_bytes"] == sum(file.stat().st_size for file in folder.glob("*.safetensors"))
    assert run["command"][-2:] == ["--output-dir", str(folder)]
    later = train["seconds"] - train["first_step_seconds"] - train["start_seconds"]
    assert train["seconds_per_step"] == pytest.approx(later / 2, rel=1e-3)
    history = train["validation_history"]
    if name == "few_shot_classification":  # Its head is made at the end.
        assert history == []
    else:
        assert history[-1]["seconds"] == pytest.approx(train["seconds"], abs=0.01)
    assert 0 < train["loss_history"][0]["seconds"] <= train["loss_history"][-1]["seconds"]

    printed = capsys.readouterr().out
    for text in (f"test {metric}", "peak memory", "throughput", str(folder), "lowcost-ft predict"):
        assert text in printed


def test_recipes_are_short_and_begin_with_their_command():
    assert len(NAMES) >= 4
    for name in NAMES:
        text = (RECIPES / f"{name}.py").read_text()
        assert len(text.splitlines()) < 120
        assert f"accelerate launch recipes/{name}.py" in text.split('"""')[1]


def test_a_plan_takes_the_lengths_of_the_recipes(monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPES))
    for name in NAMES:
        config = runpy.run_path(str(RECIPES / f"{name}.py"))["CONFIG"]
        usual = task_settings(config.task)
        assert config.max_length == usual.max_length, name
        if "max_target_length" in usual.fields:
            assert config.max_target_length == usual.max_target_length, name


def test_a_variant_shares_every_field_but_its_own(monkeypatch):
    monkeypatch.syspath_prepend(str(RECIPES))
    configs = {name: runpy.run_path(str(RECIPES / f"{name}.py"))["CONFIG"] for name in NAMES}
    assert all(isinstance(config, RunConfig) for config in configs.values())
    assert configs["full_ner"] == replace(configs["lora_ner"], method="full")


# What the flags reach.


def adapter(folder):
    return load_file(folder / "adapter_model.safetensors")


@pytest.mark.parametrize("name", ["lora_ner", "lora_gpt_classification"])
def test_the_same_seed_gives_the_same_bits(tmp_path, short, name):
    for folder, seed in (("a", 1), ("b", 1), ("c", 2)):
        arguments = short(name, output_dir=tmp_path / folder, seed=seed)
        assert call_recipe(name, *arguments) == 0
    first, again, other = (adapter(tmp_path / folder) for folder in "abc")
    assert first.keys() == again.keys()
    assert all(torch.equal(first[key], again[key]) for key in first)
    assert not any(torch.equal(first[key], other[key]) for key in first if "lora_A" in key)


@pytest.mark.parametrize(
    ("kind", "changes", "scores"),
    [
        ("multi", {}, {"micro_f1", "micro_f1_ci95", "accuracy", "per_class"}),
        ("multi", {"class_weights": "balanced"}, {"micro_f1"}),
        ("number", {}, {"mse", "pearson", "spearman"}),
        ("single", {"class_weights": "balanced"}, {"accuracy", "macro_f1", "per_class"}),
    ],
)
def test_problem_types(tmp_path, short, small_files, kind, changes, scores):
    problem_type = {
        "multi": "multi_label_classification",
        "number": "regression",
        "single": "single_label_classification",
    }[kind]
    arguments = short("lora_classification", output_dir=tmp_path, **small_files[kind], **changes)
    assert call_recipe("lora_classification", *arguments) == 0
    run = json.loads((tmp_path / "run.json").read_text())
    assert run["problem_type"] == problem_type
    assert scores <= set(run["evaluation"]["test"])
    row = json.loads((tmp_path / "predictions.jsonl").read_text().splitlines()[0])
    expected = {"multi": list, "number": type(None), "single": str}[kind]
    assert isinstance(row.get("label"), expected)
    if kind == "single":
        assert "None" in run["labels"]  # A label, not a missing value.


@pytest.mark.parametrize("kind", ["ner", "single", "multi"])
def test_labels_that_only_validation_and_test_hold_are_mistakes(tmp_path, short, kind):
    """As ATIS and flair's fixtures have them; published protocols count such rows as mistakes."""
    rows = ner_rows(30) if kind == "ner" else text_rows(30, kind=kind)
    train = write_jsonl(tmp_path / "train.jsonl", rows)
    for row in rows[:2]:
        if kind == "ner":
            row["tags"][0] = "B-new"
        else:
            row["label"] = "new" if kind == "single" else ["new"]
    held_out = write_jsonl(tmp_path / "other.jsonl", rows)
    recipe = "lora_ner" if kind == "ner" else "lora_classification"
    files = {"train_file": train, "validation_file": held_out, "test_file": held_out}
    assert call_recipe(recipe, *short(recipe, output_dir=tmp_path / "run", **files)) == 0
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert not any("new" in label for label in run["labels"])
    for split in ("validation", "test"):
        scores = run["evaluation"][split]
        new = (scores.get("per_entity") or scores["per_class"])["new"]
        assert new == {"precision": 0, "recall": 0, "f1": 0, "support": 2}
    assert all(math.isfinite(epoch["loss"]) for epoch in run["train"]["validation_history"])
    assert sum("each time counts as a mistake" in notice for notice in run["data"]["notices"]) == 2
    written = (tmp_path / "run" / "predictions.jsonl").read_text().splitlines()
    assert (json.loads(written[0])["loss"] is None) == (kind == "single")
    card = (tmp_path / "run" / "README.md").read_text()
    assert "did not occur in training" in card


def test_pairs(tmp_path, short):
    rows = [
        {"question": row["text"], "answer": text, "same": "yes" if index % 2 else "no"}
        for index, (row, text) in enumerate(zip(text_rows(40), ["hi", "bye"] * 20, strict=True))
    ]
    path = write_jsonl(tmp_path / "pairs.jsonl", rows)
    arguments = short(
        "lora_classification",
        output_dir=tmp_path / "run",
        train_file=path,
        validation_file=None,
        test_file=None,
        text_column="question",
        text_pair_column="answer",
        label_column="same",
    )
    assert call_recipe("lora_classification", *arguments) == 0
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["labels"] == ["no", "yes"]
    # Without a test split there are no predictions to write; validation was cut from training.
    assert set(run["evaluation"]) == {"validation"}
    assert not (tmp_path / "run" / "predictions.jsonl").exists()
    assert run["data"]["rows"]["validation"] == 4


@pytest.mark.parametrize(
    "changes",
    [
        {"optimizer": "sgd", "lr_scheduler_type": "cosine", "weight_decay": 0},
        {"gradient_checkpointing": True, "trainable_layers": 1},
        {"gradient_accumulation_steps": 4, "max_grad_norm": 0, "head_learning_rate": 1e-3},
        {"max_length": 8, "window_overlap": 2},
        {"optimizer": "adafactor", "method": "prompt", "max_length": 48},
        {"optimizer": "adamw8bit", "method": "pissa"},
        {"mixed_precision": "bf16", "dropout": 0.1, "lora_dropout": 0.1},
        {"method": "full", "dropout": 0.0},
    ],
)
def test_settings_run(tmp_path, short, changes):
    assert call_recipe("lora_ner", *short("lora_ner", output_dir=tmp_path, **changes)) == 0
    if "mixed_precision" in changes:  # Not for the tests that follow.
        forget_precision()
        build_accelerator()
    run = json.loads((tmp_path / "run.json").read_text())
    assert all(run["config"][key] == value for key, value in changes.items())


def test_tensorboard_lies_in_the_run_folder(tmp_path, short, monkeypatch):
    monkeypatch.chdir(tmp_path)  # Also without --output-dir.
    assert call_recipe("lora_ner", *short("lora_ner", report_to="tensorboard")) == 0
    folder = tmp_path / "runs" / "ner-lora"
    assert list(folder.rglob("events.out.tfevents.*"))
    assert {path.name for path in tmp_path.iterdir()} == {"runs"}


# Mistakes of the user.


@pytest.fixture
def mistake(tmp_path, short, capfd):
    """Runs a recipe with a mistake; returns what it printed on standard error."""

    def run(name, **changes):
        folder = changes.pop("output_dir", tmp_path / "out")
        code = call_recipe(name, *short(name, output_dir=folder, **changes))
        printed = capfd.readouterr().err
        assert code == 2
        assert "Traceback" not in printed
        assert "error" in printed.lower() or "unrecognized" in printed.lower()
        return printed

    return run


def rows_with(rows, **last):
    return [*rows, {**rows[0], **last}]


MALFORMED = {
    "broken.jsonl": b'{"tokens": ["a"], "tags": ["O"]}\n{"tokens": \n',
    "list.jsonl": b'["tokens"]\n',
    "empty.jsonl": b"",
    "latin.jsonl": '{"tokens": ["caf\xe9"], "tags": ["O"]}\n'.encode("latin-1"),
    "binary.csv": b"\x00\x01\x02\xff" * 100,
    "ragged.conll": b"anna B-person\noslo\n",
    "unequal.jsonl": b'{"tokens": ["a", "b"], "tags": ["O"]}\n',
    "outside.jsonl": b'{"text": "anna", "entities": [{"start": 2, "end": 9, "label": "x"}]}\n',
    "overlap.jsonl": b'{"text": "anna b", "entities": [{"start": 0, "end": 4, "label": "x"},'
    b' {"start": 2, "end": 6, "label": "y"}]}\n',
    "quote.csv": b'text,entities\n"anna,1\n',
    "broken.parquet": b"PAR1 and nothing else",
    "only_o.conll": b"anna O\n\noslo O\n",
}


@pytest.mark.parametrize("file", MALFORMED)
def test_a_malformed_file_is_named_and_nothing_is_left(tmp_path, mistake, file):
    path = tmp_path / file
    path.write_bytes(MALFORMED[file])
    printed = mistake("lora_ner", train_file=path, validation_file=None, test_file=None)
    assert str(path) in printed
    assert not (tmp_path / "out").exists()


def test_a_few_sentences_without_other_entities_train_as_they_are_if_told(tmp_path, mistake, short):
    rows = [{"tokens": ["anna", "oslo"], "tags": ["B-person", "B-place"]}]
    data = {"train_file": write_jsonl(tmp_path / "train.jsonl", rows)}
    data |= {"validation_file": None, "test_file": None}
    printed = " ".join(mistake("few_shot_ner", **data).split())
    assert "one entity of each type" in printed
    assert "--augment None" in printed
    arguments = short("few_shot_ner", output_dir=tmp_path / "run", augment="None", **data)
    assert call_recipe("few_shot_ner", *arguments) == 0


@pytest.mark.parametrize("name", ["lora_ner", "lora_classification"])
def test_a_missing_file_and_a_folder_are_named(tmp_path, mistake, name):
    missing = tmp_path / "missing.jsonl"
    printed = mistake(name, train_file=missing, validation_file=tmp_path)
    assert str(missing) in printed
    assert f"{tmp_path}" in printed


def test_a_wrong_column_can_be_mended_and_run_again(tmp_path, mistake, short):
    printed = mistake("lora_classification", label_column="intent")
    assert '"intent" (--label-column); the columns are "text", "label"' in printed
    arguments = short("lora_classification", output_dir=tmp_path / "out")
    assert call_recipe("lora_classification", *arguments) == 0


def test_an_unknown_label_is_named(tmp_path, mistake):
    """Where no label is known, the file is of another task; some unknown ones are mistakes."""
    path = write_jsonl(tmp_path / "test.jsonl", [row | {"label": "praise"} for row in text_rows(9)])
    printed = mistake("lora_classification", test_file=path)
    assert f"{path}:1" in printed
    assert "praise" in printed


def test_splits_of_pairs_and_of_single_texts(tmp_path, mistake):
    rows = [{"text1": row["text"], "text2": "hi", "label": row["label"]} for row in text_rows(9)]
    path = write_jsonl(tmp_path / "pairs.jsonl", rows)
    printed = mistake("lora_classification", train_file=path)
    assert "single-validation.jsonl: single texts, but the training data has pairs" in printed
    printed = mistake("lora_classification", test_file=path)
    assert f"{path}: pairs of texts, but the training data has single texts" in printed


def test_training_that_diverged(tmp_path, mistake):
    folder = tmp_path / "run"
    changes = {"optimizer": "sgd", "max_grad_norm": 0, "learning_rate": 1e12}
    printed = mistake("lora_classification", output_dir=folder, **changes)
    assert "training diverged" in printed
    assert "Lower --learning-rate (it was 1e+12)" in printed
    # That much was tried: it stays on record.
    run = json.loads((folder / "run.json").read_text())
    assert (run["status"], run["train"]["final_loss"]) == ("failed", None)


def test_a_model_that_is_nowhere(mistake):
    printed = mistake("lora_ner", model_id="nobody/no-such-model")
    assert "nobody/no-such-model" in printed


def test_a_model_without_the_head(mistake, tiny_model):
    printed = mistake("lora_ner", model_id=tiny_model("gemma3_text"))
    assert "no token classification head" in printed


def test_targets_that_match_nothing(mistake):
    printed = mistake("lora_ner", target_modules="q_proj")
    assert "q_proj" in printed
    assert "query" in printed  # What could be meant.


def test_a_finished_run_is_not_replaced_unless_told(tmp_path, mistake, short):
    folder = tmp_path / "run"
    assert call_recipe("lora_ner", *short("lora_ner", output_dir=folder)) == 0
    before = (folder / "run.json").read_bytes()
    printed = mistake("lora_ner", output_dir=folder, max_steps=1)
    assert str(folder) in printed
    assert "--overwrite" in printed
    assert (folder / "run.json").read_bytes() == before
    again = short("lora_ner", output_dir=folder, overwrite=True, max_steps=1)
    assert call_recipe("lora_ner", *again) == 0
    assert json.loads((folder / "run.json").read_text())["train"]["optimizer_steps"] == 1


def test_a_mistake_leaves_the_run_that_was_to_be_replaced(tmp_path, mistake, short):
    folder = tmp_path / "run"
    assert call_recipe("lora_ner", *short("lora_ner", output_dir=folder)) == 0
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    mistake("lora_ner", output_dir=folder, overwrite=True, tags_column="x")
    mistake("lora_ner", output_dir=folder, overwrite=True, model_id="nobody/no-such-model")
    after = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert after == before
    # Another method leaves nothing of it: a config.json would hide an adapter.
    again = short("full_ner", output_dir=folder, overwrite=True)
    assert call_recipe("full_ner", *again) == 0
    assert not files_of(folder) & ADAPTER


@pytest.mark.parametrize("name", NAMES)
def test_wrong_flags_do_not_wait_for_pytorch(name):
    code = (
        "import atexit, runpy, sys\n"
        "atexit.register(lambda: print('torch' in sys.modules))\n"
        "sys.path.insert(0, sys.argv[1].rpartition('/')[0])\n"
        "sys.argv = [sys.argv[1], '--max-lenght', '3']\n"
        "runpy.run_path(sys.argv[0], run_name='__main__')\n"
    )
    command = [sys.executable, "-c", code, str(RECIPES / f"{name}.py")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout) == (2, "False\n")
    assert "--max-length" in done.stderr


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"lora_rank": 4}, "--lora-rank"),
        ({"lora_r": 0}, "--lora-r 0"),
        ({"mixed_precision": "fp16"}, "--mixed-precision fp16 needs a CUDA GPU"),
        ({"report_to": "wandb"}, "pip install 'lowcost_ft[wandb]'"),
        ({"trainable_layers": 99}, "99 is not between 1 and 3"),
    ],
)
def test_a_flag_that_cannot_be_obeyed(tmp_path, mistake, monkeypatch, changes, message):
    if "report_to" in changes:  # Whether it is installed here or not.
        monkeypatch.setattr(
            lowcost_ft.pipeline.start.importlib.util, "find_spec", lambda name: None
        )
    printed = " ".join(mistake("lora_ner", **changes).replace("│", " ").split())
    assert message in printed
    assert not (tmp_path / "out").exists()


def test_debug_shows_where_a_mistake_was_found(short, tmp_path, capfd):
    arguments = short("lora_ner", output_dir=tmp_path / "out", tags_column="x", debug=True)
    assert call_recipe("lora_ner", *arguments) == 2
    assert "Traceback" in capfd.readouterr().err


# Failures that no file or flag explains.


@pytest.mark.parametrize(
    ("error", "status", "code"),
    [
        (RuntimeError("shapes differ"), "failed", 1),
        (torch.OutOfMemoryError("CUDA out of memory."), "out_of_memory", 2),
        (MemoryError(), "out_of_memory", 2),
        (KeyboardInterrupt(), "interrupted", 130),
    ],
)
def test_a_failure_in_training_is_recorded(
    tmp_path, short, monkeypatch, capfd, error, status, code
):
    def fail(*_, **__):
        raise error

    monkeypatch.setattr("lowcost_ft.training.steps.StepRunner.step", fail)
    folder = tmp_path / "run"
    assert call_recipe("lora_ner", *short("lora_ner", output_dir=folder)) == code
    run = json.loads((folder / "run.json").read_text())
    assert run["status"] == status
    assert type(error).__name__ in run["error"]
    assert run["labels"][0] == "O"
    printed = capfd.readouterr().err
    assert "Traceback" not in printed
    said = {
        1: "RuntimeError",
        2: f"out of memory ({str(error) or 'MemoryError'})",
        130: "interrupted",
    }
    assert said[code] in " ".join(printed.split())
    assert not files_of(folder) & (ADAPTER | FULL)


def test_a_reload_that_predicts_otherwise_is_an_error(tmp_path, short, monkeypatch, capfd):
    def other(folder, run, **options):
        model = load_trained(folder, run, **options)
        with torch.no_grad():
            model.get_base_model().classifier.modules_to_save.default.bias[0] += 0.1
        return model

    load_trained = lowcost_ft.pipeline.save.load_trained
    monkeypatch.setattr(lowcost_ft.pipeline.save, "load_trained", other)
    folder = tmp_path / "run"
    arguments = short("lora_classification", output_dir=folder)
    assert call_recipe("lora_classification", *arguments) == 1
    assert "does not predict what the trained one did" in capfd.readouterr().err
    assert json.loads((folder / "run.json").read_text())["status"] == "failed"


def test_exit_codes(capsys):
    def end(error):
        raise error

    assert exit_code(lambda: None, debug=False) == 0
    assert exit_code(lambda: end(UserError(["one", "two"])), debug=False) == 2
    assert "2 problems:\n  - one\n  - two" in capsys.readouterr().err
    assert exit_code(lambda: end(ValueError("x")), debug=False) == 1
    assert "failed: ValueError: x" in capsys.readouterr().err
    assert exit_code(lambda: end(KeyboardInterrupt()), debug=True) == 130


# As a program of its own.


def test_a_run_that_is_told_to_stop_says_so(tmp_path, short):
    """A scheduler's SIGTERM, in the middle of training."""
    folder = tmp_path / "run"
    arguments = short("lora_ner", output_dir=folder, max_steps=5_000)
    program = subprocess.Popen(
        [sys.executable, str(RECIPES / "lora_ner.py"), *arguments],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    try:
        for line in program.stdout:
            if line.startswith("epoch 1:"):
                break
        program.send_signal(signal.SIGTERM)
        _, errors = program.communicate(timeout=60)
    finally:
        program.kill()
    assert program.returncode == 143
    assert "Traceback" not in errors
    assert json.loads((folder / "run.json").read_text())["status"] == "interrupted"
