"""The benchmarks that compare ours with Trainer and peft, with a tiny model."""

import json
import sys
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from small_runs import call_recipe, flags, forget_precision, ner_rows, write_jsonl

from lowcost_ft import load_predictor

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import compare_inference
import compare_speed
import profile_step
import speed_tables
import trainer_peft
import trainer_peft_tuned


def test_speed_is_compared_arm_by_arm_and_rounds_add_up(tmp_path, tiny_model, capsys):
    file = tmp_path / "speed.json"
    data = write_jsonl(tmp_path / "train.jsonl", ner_rows(40))
    options = compare_speed.Options(
        train_file=data, model_id=tiny_model("bert"), steps=2, rounds=1, max_length=32, output=file
    )
    for rounds in (1, 2):
        assert compare_speed.main(options) == 0
        result = json.loads(file.read_text("utf-8"))
        assert len(result["rounds"]) == rounds
    assert len(result["arms"]) == 11
    steps = {name: arm["steps"] for name, arm in result["rounds"][1]["arms"].items()}
    assert set(steps.values()) == {2}
    assert result["arms"]["trainer-peft"]["over_trainer_peft"] == 1.0
    tuned = result["arms"]["trainer-peft-tuned"]
    assert tuned["over_tuned_trainer_peft"] == 1.0
    assert tuned["options"] == {"train_sampling_strategy": "group_by_length"}
    # The tuned peer is told first, and a file without it has no column of it.
    lines = speed_tables._training_table(result).splitlines()
    assert "| range | x tuned Trainer + peft | x Trainer + peft |" in lines[2]
    for arm in result["arms"].values():
        del arm["over_tuned_trainer_peft"]
    assert "tuned Trainer" not in speed_tables._training_table(result).splitlines()[2]
    assert result["arms"]["textbook-full"]["padding_share"] > 0.5
    assert result["arms"]["ours-lora"]["padding_share"] < 0.2
    assert 0 < result["arms"]["ours-lora"]["share_of_matmul_rate"] < 1
    assert result["arms"]["ours-lora-top-cached"]["cache_bytes"] > 0
    capsys.readouterr()
    assert compare_speed.main(replace(options, batch_size=8)) == 2
    assert "another config" in capsys.readouterr().err
    assert compare_speed.main(replace(options, only="ours-lora,nope")) == 2
    assert "unknown nope" in capsys.readouterr().err


@pytest.mark.parametrize("family", ["bert", "gpt2"])
@pytest.mark.parametrize("dropout", [0.0, "model"])
def test_all_arms_have_the_same_dropout(tmp_path, tiny_model, dropout, family):
    data = write_jsonl(tmp_path / "train.jsonl", ner_rows(20))
    options = compare_speed.Options(
        train_file=data,
        model_id=tiny_model(family),
        max_length=32,
        dropout=dropout,
        query_value={"bert": "query,value", "gpt2": "c_attn"}[family],
    )
    setting = compare_speed.load_setting(options, str(tmp_path / "run"))
    arms = compare_speed.arms_of(setting, options, str(tmp_path / "cache"))
    expected = [0.0] if dropout == 0.0 else [0.1]
    tuned = compare_speed.TUNED
    for name in ("textbook-full", "trainer-peft", tuned, "ours-full", "ours-lora-query-value"):
        arm = arms[name]()
        drops = {m.p for m in arm.model.modules() if isinstance(m, torch.nn.Dropout)}
        assert sorted(drops) == expected, name
        field = {"bert": "attention_probs_dropout_prob", "gpt2": "attn_pdrop"}[family]
        assert getattr(arm.model.config, field) == expected[0], name


@pytest.mark.slow
def test_a_compiled_arm(tmp_path, tiny_model):
    data = write_jsonl(tmp_path / "train.jsonl", ner_rows(40))
    names = ("ours-lora-query-value", compare_speed.COMPILED)
    options = compare_speed.Options(
        train_file=data, model_id=tiny_model("bert"), steps=2, rounds=2, max_length=32
    )
    options = replace(options, only=",".join(names), output=tmp_path / "speed.json")
    assert compare_speed.main(options) == 0
    arms = json.loads(options.output.read_text("utf-8"))["arms"]
    assert all(arms[name]["real_tokens_per_second"] > 0 for name in names)


def test_a_step_is_taken_apart(tmp_path, tiny_model, capsys):
    data = write_jsonl(tmp_path / "train.jsonl", ner_rows(40))
    file = tmp_path / "profile.json"
    options = profile_step.Options(
        train_file=data, model_id=tiny_model("bert"), steps=2, output=file
    )
    assert profile_step.main(options) == 0
    result = json.loads(file.read_text("utf-8"))
    assert abs(sum(result["shares"].values()) - 1) < 0.01
    for kind in ("matrix products", "attention", "GELU", "random numbers", "optimizer"):
        assert result["shares"][kind] > 0, kind
    assert result["matmul_gflops_in_steps"] >= 0
    assert "matrix products" in capsys.readouterr().out
    assert profile_step.main(replace(options, arm="trainer-peft")) == 2
    assert "--arm trainer-peft: give one of ours-full" in capsys.readouterr().err


def test_prediction_is_compared_with_the_pipeline(tmp_path, tiny_model, small_files, capsys):
    for task, recipe, kind in (
        ("ner", "lora_ner", "ner"),
        ("classification", "lora_classification", "single"),
    ):
        values = {"model_id": tiny_model("bert"), "output_dir": tmp_path / task, "max_steps": 4}
        assert call_recipe(recipe, *flags(**values, **small_files[kind])) == 0
        forget_precision()
    options = compare_inference.Options(
        run=tmp_path / "ner",
        file=Path(small_files["ner"]["test_file"]),
        labelled=True,
        rounds=2,
        output=tmp_path / "speed.json",
    )
    capsys.readouterr()
    assert compare_inference.main(options) == 0
    result = json.loads(options.output.read_text("utf-8"))
    assert {name: len(of_way) for name, of_way in result["seconds"].items()} == {
        "pipeline": 2,
        "ours": 2,
        "ours-int8": 2,
    }
    assert result["others"]["ours-int8"]["same_entities_as_ours"] > 0.5
    scores = load_predictor(tmp_path / "ner").evaluate(str(options.file))
    assert result["f1"]["ours"] == round(scores["f1"], 5)
    assert result["ours_over_pipeline"] > 0
    # Words of letters alone are split alike, so both must find the same.
    assert result["same_entities"] == 1.0
    assert f"of {result['texts']} texts" in capsys.readouterr().out
    assert compare_inference.main(replace(options, run=tmp_path / "classification")) == 2
    assert "only NER is compared" in capsys.readouterr().err


@pytest.mark.parametrize("program", [trainer_peft, trainer_peft_tuned])
def test_trainer_with_peft_leaves_a_run_like_ours(tmp_path, tiny_model, small_files, program):
    config = replace(
        trainer_peft.CONFIG,
        model_id=tiny_model("bert"),
        max_steps=12,
        batch_size=8,
        output_dir=str(tmp_path / "run"),
        **small_files["ner"],
    )
    folder = program.main(config)
    run = json.loads((folder / "run.json").read_text("utf-8"))
    name = program.__name__.replace("_", "-")
    assert (run["status"], run["method"]) == ("completed", name)
    train = run["train"]
    assert (train["optimizer_steps"], train["examples"], train["epochs"]) == (12, 96, 1.2)
    assert 0 < train["real_tokens"] < train["padded_tokens"]
    assert train["peak_memory_bytes"] > 0 and train["seconds"] > 0
    assert train["loss_history"][-1]["seconds"] == round(train["seconds"], 3)
    assert 0 <= run["evaluation"]["test"]["f1"] <= 1
    assert 0 < run["saved_bytes"] < 1e6
