"""Flags of other trainers: each is told its name here, and none that exists is refused."""

from dataclasses import fields

import pytest

from lowcost_ft.commands.main import COMMANDS, main
from lowcost_ft.commands.program import run_recipe
from lowcost_ft.config.flag_names import _LEFT_OUT, _NAMES, _VALUES, foreign_flag_problems
from lowcost_ft.config.run import RunConfig, parse_config
from lowcost_ft.errors import UserError

RECIPE = {field.name for field in fields(RunConfig)}


@pytest.mark.parametrize(
    ("flag", "advice"),
    [
        ("--lr", "use --learning-rate"),
        ("--epochs", "use --num-train-epochs"),
        ("--per-device-train-batch-size", "use --batch-size"),
        ("--per_device_train_batch_size=8", "use --batch-size"),
        ("--model", "use --model-id"),
        ("--model_name_or_path", "use --model-id"),
        ("--base-model", "use --model-id"),
        ("--max-seq-length", "use --max-length"),
        ("--cutoff_len", "use --max-length"),
        ("--lora-rank", "use --lora-r"),
        ("--gradient-accumulation", "use --gradient-accumulation-steps"),
        ("--lr-scheduler", "use --lr-scheduler-type"),
        ("--warmup-steps", "use --warmup-ratio, a share"),
        ("--fp16", "use --mixed-precision fp16"),
        ("--bf16", "use --mixed-precision bf16"),
        ("--load-in-4bit", "use --quantization nf4"),
        ("--load_in_8bit", "use --quantization 8bit"),
        ("--output", "use --output-dir"),
        ("--eval-file", "use --validation-file"),
        ("--optim", "use --optimizer"),
        ("--resume_from_checkpoint", "use --resume"),
        ("--per-device-eval-batch-size", "leave it out: evaluation forms its own batches"),
        ("--do_train", "leave it out: a recipe trains"),
        ("--device", "leave it out: the GPU is used where there is one"),
    ],
)
def test_flags_of_other_trainers_are_told_their_name(flag, advice):
    (problem,) = foreign_flag_problems(["--seed", "1", flag, "2"], RECIPE)
    name = flag.partition("=")[0].replace("_", "-")
    assert problem.startswith(f"{name} is not a flag here; {advice}")
    with pytest.raises(UserError, match=name):
        parse_config(RunConfig(task="ner"), [flag, "2"])


def test_all_of_them_are_told_at_once(capsys):
    with pytest.raises(SystemExit) as stop:
        run_recipe(lambda _: None, RunConfig(task="ner"), arguments=["--lr", "1", "--epochs", "3"])
    assert stop.value.code == 2
    assert capsys.readouterr().err == (
        "error: 2 problems:\n"
        "  - --lr is not a flag here; use --learning-rate\n"
        "  - --epochs is not a flag here; use --num-train-epochs\n"
    )


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["plan", "--model", "x"], "use --model-id"),
        (["predict", "run", "--input", "x.csv"], "use --file"),
        (["evaluate", "run", "--eval-file", "x.csv"], "use --test-file"),
        (["merge", "run", "--out", "x"], "use --output-dir"),
        (["report", "runs", "--out", "x.html"], "use --output"),
    ],
)
def test_commands_know_their_own(arguments, advice, capsys):
    assert main(arguments) == 2
    assert capsys.readouterr().err.endswith(f"is not a flag here; {advice}\n")


def test_advice_names_flags_that_exist():
    commands = [RECIPE, *({field.name for field in fields(c)} for c, _ in COMMANDS.values())]
    everywhere = set().union(*commands)
    assert set(_NAMES) <= everywhere
    for names in commands:
        every = {f"--{field.replace('_', '-')}" for field in names}
        assert foreign_flag_problems(sorted(every), names) == []
    for value in _VALUES.values():
        assert value.split()[0].strip(",")[2:].replace("-", "_") in RECIPE
        if " " in value and "," not in value:
            parse_config(RunConfig(task="ner"), value.split())
    assert not {name.replace("-", "_") for name in _LEFT_OUT} & RECIPE
