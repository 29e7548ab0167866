"""Two processes give what one gives: the steps are shared, not changed."""

import json
import textwrap

import pytest
import torch
from safetensors.torch import load_file
from small_runs import RECIPES, call_recipe, flags, ner_rows, text_rows, write_jsonl
from test_backbone_cache import Case
from two_processes import Program, launch

pytestmark = pytest.mark.skipif(
    not torch.distributed.is_available(), reason="PyTorch was built without torch.distributed"
)

FILL_CACHE = textwrap.dedent(
    """
    import sys
    from test_backbone_cache import Case
    case = Case(sys.argv[1], "bert", "ner")
    for reused in (False, True):
        with case.cached(sys.argv[2]) as report:
            assert report.reused is reused
            flat = report.states["train"].stored.flat
            print("sum", float(flat.abs().sum()), float(flat.abs().min()))
    """
)


def arguments_of(folder, rows, other, **options):
    """Flags of a run on these rows, whose files are written into the folder."""
    folder.mkdir()
    return flags(
        train_file=write_jsonl(folder / "train.jsonl", rows),
        validation_file=write_jsonl(folder / "validation.jsonl", other),
        test_file=write_jsonl(folder / "test.jsonl", other),
        batch_size=4,
        dropout="model",  # which draws the same for a text in every process
        **options,
    )


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("two")


@pytest.fixture(scope="module")
def cases(folder, tiny_model):
    """Name -> the recipe and its flags, but for the output folder."""
    # Steps of 4, 4 and 1 rows: in the last one the second process has none. Rows of several
    # windows, and of several micro-batches.
    rows, others, model = ner_rows(9), ner_rows(5, seed=1), {"model_id": tiny_model("bert")}
    long = [*rows[:3], {key: value * 8 for key, value in rows[3].items()}, *rows[4:]]
    pieces = {"max_length": 24, "micro_batch_tokens": 48, "learning_rate": 1e-3}
    weighted = {"max_length": 24, "gradient_accumulation_steps": 2, "class_weights": "balanced"}
    # AdamW would not notice a gradient that is twice as long.
    weighted |= {"optimizer": "sgd", "learning_rate": 0.05, "max_grad_norm": 0}
    weighted |= {"lora_start": "gradient", "head_start": "fitted"}
    split = {"micro_batch_tokens": 128, "optimizer": "sgd", "learning_rate": 0.05}
    split |= {"num_train_epochs": 3, "max_grad_norm": 1.0} | model
    shared = {"num_train_epochs": 2, "lora_dropout": 0.1} | model
    texts, other_texts = text_rows(9), text_rows(6, seed=1)
    return {
        "lora_ner": ("lora_ner", arguments_of(folder / "a", long, others, **shared, **pieces)),
        "lora_classification": (
            "lora_classification",
            arguments_of(folder / "b", texts, other_texts, **shared, **weighted),
        ),
        **{
            f"split-{method}": (
                "lora_ner",
                arguments_of(folder / method, rows, others, method=method, **split),
            )
            for method in ("lora", "full")
        },
    }


@pytest.fixture(scope="module")
def two(folder, cases, tiny_model):
    """Name -> what two processes made of a case, and of the cache that they fill together."""
    script = folder / "fill_cache.py"
    script.write_text(FILL_CACHE)
    cache = [tiny_model("bert"), str(folder / "two-cache")]
    programs = {
        name: Program(
            str(RECIPES / f"{recipe}.py"),
            [*arguments, *flags(output_dir=folder / f"two-{name}")],
            sharded=name.startswith("split"),
        )
        for name, (recipe, arguments) in cases.items()
    }
    few = arguments_of(folder / "seeds", text_rows(9), text_rows(6, seed=1), num_train_epochs=1)
    several = [*few, *flags(model_id=tiny_model("bert"), seeds="0,1", output_dir=folder / "series")]
    programs["seeds"] = Program(str(RECIPES / "lora_classification.py"), several)
    return launch({"cache": Program(str(script), cache), **programs}, folder)


def both_runs(name, cases, two, folder):
    """The folders of a case's run by one process and by two."""
    recipe, arguments = cases[name]
    assert call_recipe(recipe, *arguments, *flags(output_dir=folder / f"one-{name}")) == 0
    assert two[name].code == 0, two[name].errors
    return folder / f"one-{name}", folder / f"two-{name}"


def weights(folder):
    adapter = folder / "adapter_model.safetensors"
    return load_file(adapter if adapter.exists() else folder / "model.safetensors")


@pytest.mark.parametrize("name", ["lora_ner", "lora_classification"])
def test_two_processes_train_what_one_trains(folder, cases, two, name):
    folders = both_runs(name, cases, two, folder)
    assert two[name].output.count("epoch 1:") == 1  # Said once.
    assert_same_runs(*folders)
    runs = [json.loads((folder / "run.json").read_text()) for folder in folders]
    assert [run["hardware"]["processes"] for run in runs] == [1, 2]
    for run in runs:
        predicted = run["train"]["predicted_peak_memory_bytes"]
        assert predicted == pytest.approx(run["train"]["peak_memory_bytes"], rel=1e-3, abs=6000)


def assert_same_runs(one, two):
    """The weights, losses, scores and predictions of two runs agree."""
    expected, found = weights(one), weights(two)
    assert expected.keys() == found.keys()
    # LoRA's B begins at zero: training has moved it far beyond what is allowed to differ.
    moved = [p.abs().max() for key, p in expected.items() if "lora_B" in key]
    assert min(moved, default=1) > 1e-3
    for key, weight in expected.items():
        torch.testing.assert_close(found[key], weight, rtol=0, atol=1e-4)
    runs = [json.loads((folder / "run.json").read_text()) for folder in (one, two)]
    for key in ("optimizer_steps", "examples", "real_tokens", "effective_batch_size"):
        assert runs[0]["train"][key] == runs[1]["train"][key]
    losses = [[entry["loss"] for entry in run["train"]["loss_history"]] for run in runs]
    assert losses[1] == pytest.approx(losses[0], abs=1e-4)
    assert runs[0]["evaluation"] == runs[1]["evaluation"]
    rows = [(folder / "predictions.jsonl").read_text().splitlines() for folder in (one, two)]
    for first, second in zip(*rows, strict=True):
        first, second = json.loads(first), json.loads(second)
        for number in ("score", "loss"):  # Rounded to four digits.
            assert first.pop(number, 0) == pytest.approx(second.pop(number, 0), abs=2e-4)
        assert first == second


@pytest.mark.parametrize("method", ["lora", "full"])
def test_a_model_split_over_two_processes_trains_what_a_whole_one_trains(
    folder, cases, two, method
):
    assert_same_runs(*both_runs(f"split-{method}", cases, two, folder))


def test_two_processes_train_a_series_of_seeds_together(folder, two):
    assert two["seeds"].code == 0, two["seeds"].errors
    for seed in (0, 1):
        run = json.loads((folder / "series" / f"seed-{seed}" / "run.json").read_text())
        assert (run["status"], run["seed"]) == ("completed", seed)
        assert run["hardware"]["processes"] == 2
    assert (folder / "series" / "report.html").exists()
    assert two["seeds"].output.count("2 seeds: test accuracy") == 1


def test_two_processes_fill_one_cache(folder, two, tiny_model):
    assert two["cache"].code == 0, two["cache"].errors[-3000:]
    case, other = (Case(tiny_model("bert"), "bert", "ner") for _ in range(2))
    with case.cached(folder / "two-cache") as both, other.cached(folder / "one-cache") as one:
        assert both.reused and not one.reused
        torch.testing.assert_close(
            both.states["train"].stored.flat, one.states["train"].stored.flat
        )
