"""A base model that has moved, and an adapter given as a model."""

import json
import shutil
from pathlib import Path

import pytest
from small_runs import call_recipe, flags, text_rows, write_jsonl
from tiny import make_tiny

from lowcost_ft.commands.main import main
from lowcost_ft.errors import UserError
from lowcost_ft.pipeline.load_predictor import load_predictor


@pytest.fixture
def moved(trained_run, tmp_path):
    """A run that names a folder that is gone, and where the model lies now."""
    run = Path(shutil.copytree(trained_run("single", "bert"), tmp_path / "run"))
    record = json.loads((run / "run.json").read_text())
    new = Path(shutil.copytree(record["model_id"], tmp_path / "elsewhere"))
    old = str(tmp_path / "gone")
    for name, key in (("run.json", "model_id"), ("adapter_config.json", "base_model_name_or_path")):
        content = json.loads((run / name).read_text()) | {key: old}
        (run / name).write_text(json.dumps(content))
    return run, new


def test_the_flag_and_both_files_are_named(moved, tmp_path, capfd):
    run, _ = moved
    commands = (("predict", "--text", "hello"), ("merge", "--output-dir", str(tmp_path / "out")))
    for name, *arguments in commands:
        assert main([name, str(run), *arguments]) == 2
        error = capfd.readouterr().err.replace("\n", " ")
        for part in ("--base-model", "run.json", "adapter_config.json", "gone"):
            assert part in error


@pytest.mark.parametrize("relative", [True, False])
def test_a_moved_base_model_is_used_by_every_command(
    moved, small_files, tmp_path, capfd, monkeypatch, relative
):
    run, new = moved
    monkeypatch.chdir(tmp_path)
    place = new.name if relative else str(new)
    assert load_predictor(run, base_model=place)(["please refund my card"])[0]["label"] == "refund"
    file = small_files["single"]["test_file"]
    assert main(["predict", str(run), "--base-model", place, "--text", "hello"]) == 0
    assert main(["evaluate", str(run), "--base-model", place, "--test-file", file]) == 0
    assert main(["merge", str(run), "--base-model", place, "--output-dir", "whole"]) == 0
    assert load_predictor("whole")(["please refund my card"])[0]["label"] == "refund"
    capfd.readouterr()
    assert main(["predict", "whole", "--base-model", place, "--text", "hello"]) == 2
    assert "holds the whole model" in capfd.readouterr().err


@pytest.mark.parametrize(
    ("changes", "message"),
    [({"seed": 5}, "its weights are others"), ({"num_hidden_layers": 2}, "num_hidden_layers is 2")],
)
def test_another_model_is_not_taken_for_it(moved, tmp_path, changes, message):
    run, _ = moved
    other = make_tiny("bert", tmp_path / "other", **changes)
    record = json.loads((run / "run.json").read_text())
    assert record["base_model"]["checksum"]
    if "seed" in changes:  # Biases and norms of a new model are all 0 and 1.
        from safetensors.torch import load_file, save_file

        weights = load_file(Path(other) / "model.safetensors")
        name = next(n for n in weights if n.endswith("LayerNorm.bias"))
        weights[name] += 1
        save_file(weights, Path(other) / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=message):
        load_predictor(run, base_model=other)
    record.pop("base_model")  # A run of before: what is not known is not compared.
    (run / "run.json").write_text(json.dumps(record))
    if "seed" in changes:
        load_predictor(run, base_model=other)


@pytest.mark.parametrize(("method", "fix"), [("lora", "lowcost-ft merge"), ("prefix", "cannot")])
def test_an_adapter_as_model_names_the_command(trained_run, tmp_path, capfd, method, fix):
    run = trained_run("single", "bert", method=method)
    file = write_jsonl(tmp_path / "train.jsonl", text_rows(60))
    values = {"model_id": run, "train_file": file, "output_dir": tmp_path / "out"}
    assert call_recipe("lora_classification", *flags(**values)) == 2
    error = capfd.readouterr().err.replace("\n", " ")
    assert "holds an adapter" in error
    assert fix in error
    if method == "lora":
        assert f"merge {run} --output-dir {run}-merged" in error
        assert main(["plan", "--model-id", str(run)]) == 2
        assert "lowcost-ft merge" in capfd.readouterr().err.replace("\n", " ")


@pytest.mark.parametrize(("side", "end"), [("left", "beginning"), ("right", "end")])
def test_the_end_that_is_cut_off_is_told(tiny_model, tmp_path, capfd, side, end):
    model = Path(shutil.copytree(tiny_model("bert"), tmp_path / "model"))
    config = json.loads((model / "tokenizer_config.json").read_text())
    (model / "tokenizer_config.json").write_text(json.dumps(config | {"truncation_side": side}))
    rows = text_rows(60)
    rows[0]["text"] = "please " * 40
    file = write_jsonl(tmp_path / "train.jsonl", rows)
    values = {"model_id": model, "train_file": file, "output_dir": tmp_path / "run"}
    values |= {"max_length": 16, "max_steps": 1, "validation_file": file}
    assert call_recipe("lora_classification", *flags(**values)) == 0
    assert f"their {end} is cut off" in capfd.readouterr().out.replace("\n", " ")
    predictor = load_predictor(tmp_path / "run")
    predictor(["please " * 40])
    assert f"lost their {end}" in predictor.notices[0]
