"""`lowcost-ft plan`: answers from config.json alone."""

import json
import sys
from contextlib import nullcontext
from pathlib import Path

import pytest
from small_runs import pair_rows, write_jsonl

import lowcost_ft as ft
from lowcost_ft.commands.main import main
from lowcost_ft.errors import UserError
from lowcost_ft.models.shipped_configs import HUB_NAMES, shipped_name
from lowcost_ft.planning.gpu_table import CARDS, cells, load_table

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "benchmarks"))

import what_fits


@pytest.fixture(scope="module")
def config_file(tmp_path_factory, tiny_model):
    """A folder with nothing but a config.json."""
    folder = tmp_path_factory.mktemp("shape")
    (folder / "config.json").write_text((Path(tiny_model("bert")) / "config.json").read_text())
    return str(folder / "config.json")


def planned(capsys, *flags):
    assert main(["plan", "--json", *flags]) == 0
    return json.loads(capsys.readouterr().out)


def test_help_fits_the_screen_and_begins_with_what_only_a_plan_has(capsys, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    with pytest.raises(SystemExit):
        main(["plan", "--help"])
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    text = "\n".join(lines)
    assert text.index("--config-file") < text.index("--trainable-layers") < text.index("--seed")


def test_a_plan_needs_no_weights_and_fits_the_screen(capsys, config_file):
    flags = ["--config-file", config_file, "--max-length", "64", "--batch-size", "8"]
    assert main(["plan", *flags]) == 0
    text = capsys.readouterr().out
    for part in ("weights", "adapter", "head", "optimizer", "activations", "CUDA context"):
        assert part in text
    assert "TFLOP a step" in text
    assert "to save memory, change first:" in text
    assert all(len(line) <= 80 for line in text.splitlines()[1:])


def test_the_same_as_json_from_a_folder(capsys, config_file):
    plan = planned(capsys, "--model-id", str(Path(config_file).parent), "--max-length", "64")
    assert sum(plan["parts"].values()) == plan["peak_bytes"] + plan["parts"]["cuda_context"]
    assert plan["needed_bytes"] == plan["reserved_bytes"] + plan["parts"]["cuda_context"]
    assert plan["mixed_precision"] == "bf16"
    assert plan["change_first"]
    turing = planned(capsys, "--config-file", config_file, "--compute-capability", "7.5")
    assert turing["mixed_precision"] == "fp16"


def test_a_budget_on_a_cpu_chooses_the_micro_batch(capsys, config_file):
    flags = ["--config-file", config_file, "--device", "cpu", "--max-length", "64"]
    whole = planned(capsys, *flags)
    half = planned(capsys, *flags, "--memory-budget", f"{whole['peak_bytes'] // 2}B")
    assert half["needed_bytes"] <= whole["peak_bytes"] // 2
    assert half["choices"][0]["setting"] == "micro_batch_tokens"
    assert half["micro_batch_tokens"] < whole["micro_batch_tokens"]
    # The arithmetic of a step stays, however it is cut.
    assert half["flops_per_step"] == pytest.approx(whole["flops_per_step"], rel=0.02)


def test_a_picture(tmp_path, capsys, config_file):
    pytest.importorskip("matplotlib")
    file = tmp_path / "plan.svg"
    flags = ["--config-file", config_file, "--plot", str(file), "--memory-budget", "1GiB"]
    assert main(["plan", *flags]) == 0
    assert "<svg" in file.read_text("utf-8")


STREAMED = ["--trainable-layers", "1", "--cache-frozen-layers", "--stream-frozen-layers"]


def test_a_plan_for_frozen_layers_that_are_read_one_at_a_time(capsys, config_file):
    flags = ["--config-file", config_file, "--max-length", "64", "--device", "cpu", *STREAMED]
    plan = planned(capsys, *flags, "--examples", "100", "--disk-rate", "1MB")
    cache, tokens = plan["frozen_layers"], 100 * 64
    assert plan["needed_bytes"] == max(plan["peak_bytes"], plan["building"]["needed_bytes"])
    assert sum(plan["building"]["parts"].values()) == plan["building"]["needed_bytes"]
    assert cache["kept_bytes"] == tokens * 32 * 4
    assert cache["disk_bytes"] == 2 * cache["kept_bytes"]
    moved = cache["weight_file_bytes"] + cache["state_bytes"]
    assert cache["disk_seconds"] == pytest.approx(moved / 1e6, abs=0.1)
    held = planned(capsys, *flags[:-1])
    assert held["building"] is None
    assert held["frozen_layers"]["weight_file_bytes"] == 0
    assert plan["peak_bytes"] < held["peak_bytes"]
    assert main(["plan", *flags]) == 0
    text = capsys.readouterr().out
    assert "frozen layers one at a time" in text
    assert "for the states of 1,000 examples (--examples)" in text
    assert "at 500MB a second (--disk-rate)" in text
    assert all(len(line) <= 80 for line in text.splitlines()[1:])
    half = planned(capsys, *flags, "--memory-budget", f"{int(plan['needed_bytes'] * 0.8)}B")
    assert half["needed_bytes"] <= 0.8 * plan["needed_bytes"]


@pytest.mark.parametrize(
    ("flags", "message"),
    [
        (["--config-file", "nowhere.json"], "--config-file nowhere.json does not exist"),
        (["--config-file", "."], "is a folder: give the config.json in it, or --model-id"),
        (["--config-file", __file__], "is not a model's config.json: it is not valid JSON"),
        (["--model-id", "some/model"], "both name the model: give one of them"),
        (["--gpus", "--lora-r", "64", "--plot", "x.png"], "remove --config-file, --lora-r, --plot"),
        (["--examples", "10"], "--examples needs --cache-frozen-layers"),
        (["--memory-budget", "8"], "is 8 bytes, too few for any model"),
        (["--num-labels", "0"], "--num-labels 0 is too small"),
        (["--plot", "plan.txt"], "name a .png, .svg or .pdf file"),
        (["--examples", "0"], "--examples 0 is too small"),
        (["--disk-rate", "fast"], "--disk-rate 'fast' is not a size: write it like 8GiB or 900MB"),
        ([*STREAMED, "--memory-budget", "200MB"], "reading the frozen layers one at a time needs"),
        (["--memory-budget", "lots"], "write it like 8GiB"),
        (["--max-length", "200"], "200 tokens are more than"),
        (["--compute-capability", "-3"], "--compute-capability -3 is too low: give the GPU's"),
        (
            ["--compute-capability", "7.5", "--mixed-precision", "bf16"],
            "does not support bfloat16: use fp16",
        ),
        (["--memory-budget", "200MB"], "--memory-budget 200MB: one step needs at least"),
    ],
)
def test_what_is_wrong_is_said(capsys, config_file, flags, message):
    if "--config-file" not in flags:
        flags = ["--config-file", config_file, *flags]
    assert main(["plan", *flags]) == 2
    assert message in capsys.readouterr().err


def test_the_table_of_cards_fits_the_screen(capsys):
    assert main(["plan", "--gpus"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert all(len(line) <= 80 for line in lines)
    assert any(line.startswith("BERT-base") for line in lines)
    assert main(["plan", "--gpus", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == load_table()


@pytest.mark.parametrize("number", range(4))
def test_the_table_says_what_is_predicted_today(tmp_path, number):
    """The rows of its first model; all would take minutes."""
    row = load_table()["rows"][number]
    shapes = Path(what_fits.FOLDER / "model_shapes.json").read_text("utf-8")
    (tmp_path / "config.json").write_text(json.dumps(json.loads(shapes)[row["model"]]), "utf-8")
    needed = what_fits.needed(tmp_path, 1, **what_fits.METHODS[row["method"]])
    assert needed == pytest.approx(row["needed_bytes"]["plain"]["1"], rel=1e-3)


def test_more_memory_never_holds_less():
    for row in load_table()["rows"]:
        held = [row["fits"][str(card)] for card in CARDS]
        tokens = [fit["micro_batch_tokens"] if fit else 0 for fit in held]
        assert tokens == sorted(tokens)
        shown = [cell.rstrip("c").replace(",", "") for cell in cells(row)]
        assert [0 if cell == "-" else int(cell) for cell in shown] == tokens
        plain = [f["micro_batch_tokens"] for f in held if f and not f["gradient_checkpointing"]]
        assert plain == sorted(plain)
        first = next((i for i, fit in enumerate(held) if fit), len(held))
        assert all(held[first:])


@pytest.mark.parametrize(
    "name", ["meta-llama/Llama-3.1-8B", "Llama-3.1-8B", "openai-community/gpt2"]
)
def test_a_model_of_the_table_needs_no_hub(capsys, monkeypatch, name):
    def asked(*_, **__):
        raise AssertionError("the Hub was asked")

    monkeypatch.setattr("lowcost_ft.models.hub.HfApi.model_info", asked)
    monkeypatch.setattr("lowcost_ft.models.hub._cached_path", lambda *_: None)
    assert main(["plan", "--model-id", name, "--json", "--micro-batch-tokens", "256"]) == 0
    printed = capsys.readouterr()
    assert json.loads(printed.out)["model_id"] == name
    assert f"{name} is not on this machine" in printed.err
    assert "comes with lowcost_ft" in printed.err


def test_every_shape_has_its_name_on_the_hub():
    shapes = json.loads((what_fits.FOLDER / "model_shapes.json").read_text("utf-8"))
    assert set(HUB_NAMES.values()) == set(shapes) == {r["model"] for r in load_table()["rows"]}
    assert shipped_name("some/model") is None


@pytest.mark.parametrize("family", ["llama", "t5"])
def test_the_length_of_targets_changes_the_plan_of_a_task_that_writes(capsys, tiny_model, family):
    flags = ["--model-id", tiny_model(family), "--task", "translation", "--max-length", "64"]
    flags += ["--device", "cpu", "--batch-size", "4", "--max-target-length"]
    short, long = (planned(capsys, *flags, length)["peak_bytes"] for length in ("8", "56"))
    assert short < long


def test_a_plan_takes_the_lengths_of_the_tasks_recipe(capsys, tiny_model):
    flags = ["--model-id", tiny_model("llama"), "--task", "summarization", "--device", "cpu"]
    usual = planned(capsys, *flags)
    assert usual == planned(capsys, *flags, "--max-length", "384", "--max-target-length", "64")
    assert usual["peak_bytes"] > planned(capsys, *flags, "--max-length", "128")["peak_bytes"]


def test_a_plan_for_an_encoder_decoder_has_room_for_source_and_target(capsys, tiny_model):
    flags = ["--model-id", tiny_model("t5"), "--task", "translation", "--max-length", "64"]
    flags += ["--max-target-length", "16", "--trainable-layers", "1", "--cache-frozen-layers"]
    plan = planned(capsys, *flags, "--device", "cpu", "--batch-size", "4", "--examples", "10")
    assert plan["frozen_layers"]["tokens"] == 10 * 64  # Targets are not kept.
    assert main(["plan", "--task", "ner", "--max-target-length", "16"]) == 2
    assert "--max-target-length is for" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("family", "told"),
    [
        ("llama", "--max-target-length 131 leaves no room for the input: a decoder holds both"),
        ("bart", "--max-target-length 131 is more than the 130 tokens that "),
        ("t5", None),
    ],
)
def test_a_plan_refuses_the_targets_that_training_refuses(
    capsys, tmp_path, tiny_model, family, told
):
    lengths = {"max_length": 64, "max_target_length": 131, "batch_size": 2}
    names = [f"--{name.replace('_', '-')}={value}" for name, value in lengths.items()]
    model = ["--model-id", tiny_model(family), "--task", "translation", "--device", "cpu"]
    assert main(["plan", *model, *names]) == (2 if told else 0)
    said = capsys.readouterr().err
    file = write_jsonl(tmp_path / "train.jsonl", pair_rows(12))
    lengths["output_dir"] = str(tmp_path / "run")
    config = ft.RunConfig(task="translation", model_id=model[1], train_file=file, **lengths)
    refused = pytest.raises(UserError, match=told) if told else nullcontext()
    with ft.start_run(config) as run, refused as raised:
        ft.load_data(run)
    assert told is None or str(raised.value) in said


@pytest.mark.parametrize("device", ["cuda", "cpu"])
@pytest.mark.parametrize("family", ["roberta", "modernbert", "gpt2"])
def test_any_family_on_any_device(capsys, tiny_model, family, device):
    flags = ["--model-id", tiny_model(family), "--max-length", "64", "--device", device, *STREAMED]
    plan = planned(capsys, *flags, "--task", "classification", "--batch-size", "4")
    assert plan["needed_bytes"] >= plan["building"]["needed_bytes"] > 0
