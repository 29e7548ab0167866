"""Frozen weights that are rounded once give what rounding them each time gives, bit by bit."""

import copy
import json

import pytest
import torch
from tiny import FAMILY_NAMES
from torch import nn

from lowcost_ft.models.frozen_precision import hold_frozen_weights
from lowcost_ft.models.loading import build_model, forward_module

HALF = torch.bfloat16


def built(model_id, **options):
    options = {"dropout": 0.0, "pad_token_id": 1} | options
    made = build_model(model_id, head="sequence", labels=["a", "b"], **options)
    # Zeros would hide what LoRA adds.
    for name, parameter in made.model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.05)
    return made


def outcome(model, *, enabled=True):
    """Logits, and the gradients of all that trains, under automatic mixed precision or without."""
    ids = torch.randint(5, 200, (3, 12), generator=torch.Generator().manual_seed(0))
    model.zero_grad()
    with torch.autocast("cpu", HALF, enabled=enabled):
        logits = model(input_ids=ids, attention_mask=torch.ones_like(ids)).logits
    (logits.float() ** 2).sum().backward()
    trained = {n: p.grad for n, p in model.named_parameters() if p.requires_grad}
    assert all(g is not None and g.dtype == torch.float32 for g in trained.values())
    return {"logits": logits.detach(), **trained}


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_the_products_are_the_same_bits(tiny_model, family):
    model = built(tiny_model(family)).model.train()
    held = copy.deepcopy(model)
    hold_frozen_weights(held, HALF)
    sizes = [sum(p.nbytes for p in m.parameters() if not p.requires_grad) for m in (model, held)]
    assert sizes[1] < sizes[0]
    # Through peft's own layers, which know nothing of it.
    expected, found = outcome(model.get_base_model()), outcome(held.get_base_model())
    assert found.keys() == expected.keys()
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama", "modernbert"])
def test_the_lean_layer_is_as_close_to_full_precision_as_pefts(tiny_model, family):
    errors = [0.0, 0.0]  # One draw says little: rounding is luck.
    for seed in range(6):
        torch.manual_seed(seed)
        model = built(tiny_model(family)).model.train()
        exact = outcome(forward_module(copy.deepcopy(model)), enabled=False)
        hold_frozen_weights(model, HALF)
        lean = copy.deepcopy(model)
        usual, found = outcome(model.get_base_model()), outcome(forward_module(lean))
        assert any(type(m).__name__ == "_LeanLinear" for m in lean.modules())
        for index, got in enumerate((usual, found)):
            off = [float((got[n] - exact[n]).norm() / exact[n].norm()) for n in exact]
            errors[index] += sum(off) / len(off)
    assert 0 < errors[1] < 1.4 * errors[0] < 0.5


@pytest.mark.parametrize("method", ["adalora", "ia3", "bias", "layernorm", "head", "prefix"])
def test_the_products_of_other_methods_are_the_same_bits(tiny_model, method):
    model = built(tiny_model("bert"), method=method, num_virtual_tokens=5).model.train()
    held = copy.deepcopy(model)
    hold_frozen_weights(held, HALF)
    assert any(p.dtype == HALF for p in held.parameters())
    expected, found = outcome(forward_module(model)), outcome(forward_module(held))
    for name, tensor in expected.items():
        assert torch.equal(found[name], tensor), name


def test_kinds_of_adapters_that_are_not_known_are_left_alone(tiny_model, tmp_path):
    file = tmp_path / "adapter_config.json"
    file.write_text(json.dumps({"peft_type": "HIRA", "target_modules": ["query", "value"], "r": 4}))
    model = built(tiny_model("bert"), adapter_config=str(file)).model
    hold_frozen_weights(model, HALF)
    for name, parameter in model.named_parameters():
        adapted = ".query." in name or ".value." in name
        assert (parameter.dtype == HALF) == (".key." in name) or not (adapted or ".key." in name)


def test_what_trains_or_is_read_otherwise_stays(tiny_model):
    for options in ({"method": "dora"}, {"method": "oft"}, {"method": "full"}):
        model = built(tiny_model("bert"), **options).model
        before = {n: p.detach().clone() for n, p in model.named_parameters()}
        hold_frozen_weights(model, HALF)
        for name, parameter in model.named_parameters():
            adapted = "encoder.layer" in name or parameter.requires_grad
            if adapted or options["method"] == "full":
                assert parameter.dtype == torch.float32, name
                assert torch.equal(parameter, before[name])
    model = built(tiny_model("bert")).model
    hold_frozen_weights(model, torch.float32)
    assert {p.dtype for p in model.parameters()} == {torch.float32}


def test_only_the_layers_that_do_not_run_from_a_cache(tiny_model):
    made = built(tiny_model("bert"), trainable_layers=1)
    hold_frozen_weights(made.model, HALF, family=made.family, top_layers=1)
    numbers = {
        name.split("encoder.layer.")[1][0]
        for name, parameter in made.model.named_parameters()
        if parameter.dtype == HALF
    }
    assert numbers == {str(made.num_layers - 1)}
