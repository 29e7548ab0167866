"""Flags: each is obeyed or refused, and all that is wrong is said at once."""

import json
import re
from dataclasses import fields, replace
from pathlib import Path

import numpy as np
import pytest

from lowcost_ft.commands.main import main
from lowcost_ft.commands.program import run_recipe
from lowcost_ft.config.run import RunConfig, flag_groups, parse_config
from lowcost_ft.config.settings import DEFAULT_MODEL_ID
from lowcost_ft.config.values import parse_bytes, split_list
from lowcost_ft.errors import UserError

NER = RunConfig(task="ner")
TEXT = RunConfig(task="classification")


@pytest.mark.parametrize(
    ("default", "changes", "message"),
    [
        (NER, {"max_length": 4}, "--max-length 4 is too small: it must be at least 8"),
        (NER, {"lora_r": 0}, "--lora-r 0 is too small: it must be at least 1"),
        (NER, {"batch_size": 0}, "--batch-size 0 is too small"),
        (NER, {"max_steps": -1}, "--max-steps -1 is too small"),
        (NER, {"num_train_epochs": 0}, "--num-train-epochs 0"),
        (NER, {"num_threads": 0}, "--num-threads 0"),
        (NER, {"seed": -1}, "--seed -1"),
        (NER, {"weight_decay": -0.1}, "--weight-decay -0.1"),
        (NER, {"max_grad_norm": -1.0}, "--max-grad-norm -1.0"),
        (NER, {"learning_rate": 0.0}, "--learning-rate 0.0 must be above 0"),
        (NER, {"head_learning_rate": -1e-3}, "--head-learning-rate -0.001 must be above 0"),
        (NER, {"learning_rate": float("nan")}, "--learning-rate nan is not a finite number"),
        (NER, {"lora_alpha": 0}, "--lora-alpha 0 must be above 0"),
        (NER, {"lora_dropout": 1.0}, "--lora-dropout 1.0 must be at least 0 and below 1"),
        (NER, {"dropout": -0.1}, "--dropout -0.1 must be at least 0"),
        (NER, {"warmup_ratio": 1.5}, "--warmup-ratio 1.5"),
        (NER, {"validation_share": -0.1}, "--validation-share -0.1 must be at least 0 and below 1"),
        (NER, {"validation_share": 1.5}, "--validation-share 1.5 must be at least 0 and below 1"),
        (NER, {"window_overlap": 65}, "more than half of --max-length: at most 64"),
        (NER, {"dataset": "x", "train_file": "y"}, "--dataset cannot be used with --train-file"),
        (NER, {"test_file": "y"}, "--validation-file and --test-file need --train-file"),
        (NER, {"dataset_config_name": "x"}, "--dataset-config-name needs --dataset"),
        (NER, {"gradient_accumulation_steps": 17}, "more than the 16 examples"),
        (
            NER,
            {"gradient_accumulation_steps": 2, "micro_batch_tokens": 512},
            "both decide how a step is cut up",
        ),
        (NER, {"micro_batch_tokens": 100}, "cannot hold one example of --max-length 128"),
        (NER, {"text_pair_column": "x"}, "--text-pair-column is for text classification"),
        (NER, {"class_weights": "balanced"}, "--class-weights is for text classification"),
        (NER, {"problem_type": "regression"}, "--problem-type is for text classification"),
        (TEXT, {"tokens_column": "x"}, "--tokens-column is for NER"),
        (TEXT, {"tags_column": "x"}, "--tags-column is for NER"),
        (TEXT, {"word_splitting": "unicode-v1"}, "--word-splitting is for NER"),
        (TEXT, {"window_overlap": 3}, "--window-overlap is for NER"),
        (
            TEXT,
            {"method": "full", "lora_r": 8},
            "full does not use these settings: remove --lora-r",
        ),
        (
            TEXT,
            {"method": "full", "target_modules": "query", "lora_dropout": 0.2, "lora_alpha": 8},
            "remove --lora-alpha, --lora-dropout, --target-modules",
        ),
        (TEXT, {"report_to": "tensorboard,wanbd"}, "unknown tracker 'wanbd' in --report-to; known"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(default, changes, message):
    with pytest.raises(UserError) as caught:
        replace(default, **changes)
    assert len(caught.value.problems) == 1
    assert message in str(caught.value)


def test_all_problems_are_said_at_once():
    with pytest.raises(UserError) as caught:
        RunConfig(task="ner", lora_r=0, batch_size=0, class_weights="balanced", report_to="x")
    assert len(caught.value.problems) == 4
    assert "4 problems:" in str(caught.value)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"lora_r": "16"}, "--lora-r must be a whole number, not the text '16'"),
        (
            {"num_train_epochs": 2.5},
            "--num-train-epochs must be a whole number or one of auto, not 2.5",
        ),
        ({"learning_rate": "1e-4"}, "--learning-rate must be a number, not the text '1e-4'"),
        ({"batch_size": None}, "--batch-size must be a whole number, not None"),
        ({"seed": True}, "--seed must be a whole number, not True"),
        ({"overwrite": "no"}, "--overwrite must be True or False, not the text 'no'"),
        ({"gradient_checkpointing": 1}, "--gradient-checkpointing must be True or False, not 1"),
        ({"method": "Lora"}, "--method must be one of full, head, bias,"),
        ({"method": ["lora"]}, "--method must be one of"),
        ({"dropout": "none"}, "--dropout must be a number or one of auto, model, not the text"),
        ({"memory_budget": 8}, "--memory-budget must be text, not 8"),
        ({"target_modules": ["query", "value"]}, "with commas between them, 'query,value'"),
        ({"model_id": None}, "--model-id must be text, not None"),
        ({"train_file": [{"text": "a"}]}, "--train-file is data in memory (list)"),
    ],
)
def test_values_of_another_type_are_told_at_once(values, message):
    with pytest.raises(UserError) as caught:
        RunConfig(task="classification", **values)
    assert [message in problem for problem in caught.value.problems] == [True]
    with pytest.raises(UserError) as caught:
        RunConfig(task="classification", **{"debug": "x", **values})
    assert len(caught.value.problems) == 2


def test_values_that_mean_the_same_are_taken():
    given = {"train_file": Path("a") / "b.csv", "output_dir": Path("runs"), "lora_r": 8.0}
    given |= {"learning_rate": 1, "seed": np.int64(3), "weight_decay": np.float32(0.5)}
    config = RunConfig(task="ner", **given, batch_size=np.int32(4), overwrite=np.True_)
    assert (config.train_file, config.output_dir) == (str(Path("a/b.csv")), "runs")
    found = (config.lora_r, config.seed, config.batch_size, config.overwrite, config.weight_decay)
    assert found == (8, 3, 4, True, 0.5)
    assert [type(value) for value in found] == [int, int, int, bool, float]
    assert json.loads(json.dumps(config.to_dict()))["seed"] == 3


def test_settings_that_may_look_wrong_are_obeyed():
    replace(NER, early_stopping_patience=0, max_grad_norm=0.0, warmup_ratio=0.0, dropout=0.0)
    replace(NER, window_overlap=0, weight_decay=0.0, gradient_accumulation_steps=16)
    # An exact number of micro-batches does not ask how many tokens each holds.
    replace(NER, gradient_accumulation_steps=1, max_length=8192)
    replace(NER, dataset="conll", test_file="mine.conll")


@pytest.mark.parametrize(
    ("changes", "expected"),
    [
        ({"task": "ner"}, None),
        ({"task": "ner", "method": "full"}, None),
        ({"task": "ner", "dropout": 0.0}, 0.0),
        ({"task": "classification"}, 0.0),
        ({"task": "classification", "method": "full"}, 0.0),
        ({"task": "classification", "dropout": "model"}, None),
        ({"task": "classification", "dropout": 0.1}, 0.1),
    ],
)
def test_dropout_is_by_task_unless_told(changes, expected):
    assert RunConfig(**changes).model_dropout == expected


def test_dropout_is_a_number_or_a_name():
    assert parse_config(NER, ["--dropout", "model"]).dropout == "model"
    assert parse_config(NER, ["--dropout", "0.1"]).dropout == 0.1
    with pytest.raises(UserError):
        parse_config(NER, ["--dropout", "none"])


def test_a_flag_that_is_there_twice_is_refused():
    with pytest.raises(UserError, match="--lora-r is given 2 times"):
        parse_config(NER, ["--lora-r", "4", "--seed", "1", "--lora_r=8"])


def test_flags_change_the_recipes_configuration():
    config = parse_config(
        replace(NER, num_train_epochs=8),
        ["--lora-r", "4", "--train-file", "a.conll", "--no-group-by-length", "--overwrite"],
    )
    assert config == replace(
        NER,
        num_train_epochs=8,
        lora_r=4,
        train_file="a.conll",
        group_by_length=False,
        overwrite=True,
    )
    assert config.task == "ner"
    assert parse_config(NER, []) == NER


@pytest.mark.parametrize(
    ("arguments", "messages"),
    [
        (["--learning-rat", "1"], ["--learning-rat", "--learning-rate"]),
        (["--method", "magic"], ["--method", "lora", "full"]),
        (["--task", "classification"], ["--task"]),  # The recipe's own, no flag.
    ],
)
def test_wrong_flags_end_with_code_2_and_one_message(capsys, arguments, messages):
    with pytest.raises(SystemExit) as stop:
        parse_config(NER, arguments)
    assert stop.value.code == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert "Traceback" not in printed.err
    assert all(message in printed.err for message in messages)


def test_wrong_values_are_said_like_every_other_mistake(capsys):
    with pytest.raises(SystemExit) as stop:
        run_recipe(lambda _: None, NER, arguments=["--lora-r", "0", "--batch-size", "0"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "error: 2 problems:\n"
        "  - --batch-size 0 is too small: it must be at least 1\n"
        "  - --lora-r 0 is too small: it must be at least 1\n"
    )


def test_what_is_no_number_is_told_in_plain_words(capsys):
    wrong = ["--dropout", "abc", "--max-steps=x", "--learning-rate", "fast"]
    with pytest.raises(SystemExit) as stop:
        run_recipe(lambda _: None, NER, arguments=wrong)
    told = capsys.readouterr().err
    assert stop.value.code == 2 and "None" not in told
    for text in (
        "--dropout 'abc': give a number, auto or model",
        "--max-steps 'x': give a whole number",
        "--learning-rate 'fast': give a number",
    ):
        assert text in told
    assert main(["merge", "run", "--output-dir", "out", "--num-threads", "two"]) == 2
    assert "--num-threads 'two': give a whole number" in capsys.readouterr().err


def test_messages_name_flags_and_not_fields(capsys):
    def main(_):
        raise UserError(["model_id: cannot be loaded", "a.csv: model_id: is a file", "x: y"])

    with pytest.raises(SystemExit) as stop:
        run_recipe(main, NER, arguments=[])
    assert stop.value.code == 2
    printed = capsys.readouterr().err
    assert "  - --model-id: cannot be loaded\n  - a.csv: model_id: is a file\n  - x: y" in printed


def test_help_explains_every_flag(capsys):
    with pytest.raises(SystemExit) as stop:
        parse_config(NER, ["--help"], description="What this recipe does.")
    assert stop.value.code == 0
    text = " ".join(capsys.readouterr().out.replace("│", " ").split())
    assert "What this recipe does." in text
    for field in fields(RunConfig):
        if field.name != "task":
            assert f"--{field.name.replace('_', '-')}" in text
    for sentence in ("Rank of the LoRA update.", "Folder", "Examples per optimizer step"):
        assert sentence.lower() in text.lower()


def test_help_shows_every_flag_in_one_group_the_data_first(capsys):
    names = [name for group in flag_groups().values() for name in group]
    assert sorted(names) == sorted(f.name for f in fields(RunConfig) if f.name != "task")
    with pytest.raises(SystemExit):
        parse_config(NER, ["--help"])
    printed = capsys.readouterr().out
    assert re.findall(r"^[^\w\n]* ([\w ]*options)\b", printed, re.MULTILINE) == [
        *("options", "data options", "model options", "training options"),
        *("extensions options", "text generation options", "memory and time options"),
        "output options",
    ]
    assert printed.index("--train-file") < printed.index("--text-column")


def test_help_does_not_speak_of_none(capsys):
    with pytest.raises(SystemExit):
        parse_config(NER, ["--help"])
    shown = capsys.readouterr().out
    assert "None" not in shown
    assert "--train-file STR" in shown
    assert "--class-weights {balanced}" in shown


def test_help_breaks_lines_for_the_terminal_and_nowhere_else(capsys):
    with pytest.raises(SystemExit):
        parse_config(NER, ["--help"])
    lines = [line.strip("│| ") for line in capsys.readouterr().out.splitlines()]
    (first,) = [i for i, line in enumerate(lines) if line.startswith("Hold the frozen linear")]
    assert all(len(line) > 50 for line in lines[first : first + 2])


def test_a_configuration_is_plain_json():
    values = RunConfig(task="ner").to_dict()
    assert json.loads(json.dumps(values)) == values
    assert values["model_id"] == DEFAULT_MODEL_ID
    assert set(values) == {field.name for field in fields(RunConfig)}


def test_lists_are_comma_separated():
    assert split_list("query, value,") == ("query", "value")
    assert split_list(None) is None
    assert split_list("") == ()


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("8GiB", 2**33),
        ("8G", 2**33),
        ("8gb", 8 * 10**9),
        ("0.5 GiB", 2**29),
        ("900MB", 900 * 10**6),
        ("1024", 1024),
        ("10B", 10),
        ("64KiB", 2**16),
    ],
)
def test_sizes_are_read(text, size):
    assert parse_bytes(text) == size


@pytest.mark.parametrize("text", ["", "8 GiBs", "GiB", "-1GB", "8iB", "8GBGB", "nan"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="is not a size"):
        parse_bytes(text)


def test_a_memory_budget_decides_alone_how_a_step_is_cut():
    with pytest.raises(UserError, match="remove --gradient-accumulation-steps"):
        RunConfig(task="ner", memory_budget="8GiB", gradient_accumulation_steps=2)
    with pytest.raises(UserError, match="--allow-model-change needs --memory-budget"):
        RunConfig(task="ner", allow_model_change=True)
    with pytest.raises(UserError, match="write it like 8GiB"):
        RunConfig(task="ner", memory_budget="much")
