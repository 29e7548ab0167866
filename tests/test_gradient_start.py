"""`--lora-start gradient`: A begins where the gradient of the frozen weights is largest."""

from itertools import islice

import pytest
import torch
from small_runs import call_recipe, flags, pair_rows, trained, write_jsonl

import lowcost_ft as ft
from lowcost_ft.training import loop
from lowcost_ft.training.gradient_start import GRADIENT_STEPS, start_from_gradient


@pytest.fixture
def start(tmp_path, tiny_model, small_files, monkeypatch):
    """`start(**flags)`: A and B as drawn and as they begin, and each frozen weight's gradient."""

    def run(recipe="lora_ner", kind="ner", family="bert", **changes):
        found = {}

        def watched(runner, optimizer, steps, total_steps):
            steps = list(islice(steps, GRADIENT_STEPS))
            named = dict(runner.model.named_parameters())
            lora = {name: one for name, one in named.items() if "lora_" in name}
            found["drawn"] = {name: one.detach().clone() for name, one in lora.items()}
            start_from_gradient(runner, optimizer, iter(steps), total_steps)
            found["begun"] = {name: one.detach().clone() for name, one in lora.items()}
            if changes.get("quantization"):
                return
            bases = {
                name: named[name.replace("lora_A.default", "base_layer")]
                for name in lora
                if "lora_A" in name
            }
            for base in bases.values():
                base.requires_grad_(True)
            sums = {name: torch.zeros_like(base) for name, base in bases.items()}
            for step in steps:
                runner.gradient(optimizer, step)
                for name, base in bases.items():
                    sums[name] += base.grad
                    base.grad = None
                optimizer.zero_grad(set_to_none=True)
            for base in bases.values():
                base.requires_grad_(False)
            found["gradients"] = sums

        monkeypatch.setattr(loop, "start_from_gradient", watched)
        values = {"model_id": tiny_model(family), "batch_size": 8, "max_steps": 10, "lora_r": 4}
        values |= {"dropout": 0.0, "output_dir": tmp_path / str(len(list(tmp_path.iterdir())))}
        values |= {"lora_start": "gradient", "max_length": 48}
        assert call_recipe(recipe, *flags(**values | changes, **small_files[kind])) == 0
        return found

    return run


@pytest.mark.parametrize(
    ("family", "recipe", "kind"),
    [("bert", "lora_ner", "ner"), ("llama", "lora_classification", "single")],
)
def test_a_holds_the_largest_part_of_the_gradient_and_b_is_zero(start, family, recipe, kind):
    found = start(recipe, kind, family)
    shares = []
    for name, gradient in found["gradients"].items():
        drawn, begun = found["drawn"][name], found["begun"][name]
        assert not found["begun"][name.replace("lora_A", "lora_B")].any()
        torch.testing.assert_close(begun.norm(dim=1).mean(), drawn.norm(dim=1).mean())
        rows = torch.linalg.qr(begun.T)[0]
        best = torch.linalg.svdvals(gradient)[: len(begun)].square().sum()
        shares.append(float((gradient @ rows).square().sum() / best))
    assert min(shares) > 0.6
    assert sum(shares) / len(shares) > 0.9


def test_it_does_not_depend_on_how_a_step_is_cut(start):
    whole, cut = start(), start(micro_batch_tokens=48)
    for name, one in whole["begun"].items():
        torch.testing.assert_close(cut["begun"][name], one, rtol=1e-3, atol=1e-4)


def test_cached_layers_give_the_same_start(start, tmp_path):
    plain = start(trainable_layers=1)
    cached = start(trainable_layers=1, cache_frozen_layers=True, cache_dir=tmp_path / "cache")
    for name, one in plain["begun"].items():
        torch.testing.assert_close(cached["begun"][name], one, rtol=1e-3, atol=1e-4)


def test_quantized_weights_need_no_gradient_of_their_own(start):
    found = start(quantization="int8")
    assert any((one != found["drawn"][name]).any() for name, one in found["begun"].items())


def test_ranks_above_the_width_keep_the_rows_that_are_left(start):
    found = start(lora_r=80)
    for name, one in found["begun"].items():
        if "lora_A" in name:
            left = found["drawn"][name][one.shape[1] :]
            torch.testing.assert_close(one[one.shape[1] :], left)


def test_its_time_counts_but_not_in_the_speed(tmp_path, tiny_model):
    file = write_jsonl(tmp_path / "train.jsonl", pair_rows(12))
    values = {"train_file": file, "max_steps": 3, "batch_size": 4, "generated_validation_rows": 0}
    values |= {"max_length": 64, "max_target_length": 12, "model_id": tiny_model("llama")}
    spent = {}
    for start in ("random", "gradient"):
        out = str(tmp_path / start)
        _, record = trained(
            ft.RunConfig(task="translation", lora_start=start, output_dir=out, **values)
        )
        train = record["train"]
        spent[start] = train["start_seconds"]
        later = train["seconds"] - train["first_step_seconds"] - train["start_seconds"]
        assert train["seconds_per_step"] == pytest.approx(later / 2, rel=1e-3)
    assert spent["random"] == 0 < spent["gradient"]


def test_directions_that_are_rounding_stay_as_they_were_drawn(start):
    """A few short rows have fewer directions than the rank; how a step is cut changes nothing."""
    values = {"batch_size": 4, "max_steps": 1, "lora_r": 32, "max_length": 12}
    whole, cut = start(**values), start(**values, gradient_accumulation_steps=4)
    kept = 0
    for name, one in whole["begun"].items():
        torch.testing.assert_close(cut["begun"][name], one, rtol=1e-3, atol=1e-4)
        if "lora_A" in name:
            kept += int((one == whole["drawn"][name]).all(dim=1).sum())
    assert kept


@pytest.mark.parametrize(
    ("method", "said"),
    [
        ("pissa", "--lora-start gradient is for lora and rslora, and --method pissa begins"),
        ("full", "--method full does not use these settings: remove --lora-start"),
    ],
)
def test_methods_that_start_otherwise_refuse_it(capsys, method, said):
    assert call_recipe("lora_ner", "--lora-start", "gradient", "--method", method) == 2
    assert said in " ".join(capsys.readouterr().err.split())
