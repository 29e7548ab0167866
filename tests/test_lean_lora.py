"""The lean LoRA layer gives peft's outputs and gradients, and steps aside where it must."""

import copy

import pytest
import torch
from peft import LoraConfig, get_peft_model
from peft.tuners.lora.layer import Linear
from tiny import FAMILY_NAMES
from torch import nn

from lowcost_ft.models.lean_lora import make_lora_lean
from lowcost_ft.models.loading import build_model


class Small(nn.Module):
    def __init__(self, bias=True):
        super().__init__()
        self.lin = nn.Linear(12, 7, bias=bias)

    def forward(self, x):
        return self.lin(x)


def adapted(*, bias=True, **options):
    torch.manual_seed(0)
    config = LoraConfig(r=3, lora_alpha=5, target_modules=["lin"], **options)
    model = get_peft_model(Small(bias), config)
    for name, parameter in model.named_parameters():
        if "lora_" in name and "magnitude" not in name:
            nn.init.normal_(parameter)
    return model.train()


def lean_copy(model):
    lean = copy.deepcopy(model)
    make_lora_lean(lean)
    return lean


def results(model, x, *, needs_input=True):
    """Output, and gradients of the input and of all that trains."""
    x = x.clone().requires_grad_(needs_input)
    y = model(x)
    (y**2).sum().backward()
    gradients = [p.grad for p in model.parameters() if p.requires_grad]
    return [y.detach(), *([x.grad] if needs_input else []), *gradients]


@pytest.mark.parametrize("shape", [(12,), (5, 12), (4, 6, 12), (0, 12)])
@pytest.mark.parametrize("bias", [True, False])
def test_outputs_and_gradients_are_those_of_peft(shape, bias):
    model = adapted(bias=bias).double()
    x = torch.randn(shape, dtype=torch.float64)
    for needs_input in (True, False):
        model.zero_grad()
        expected = results(model, x, needs_input=needs_input)
        found = results(lean_copy(model), x, needs_input=needs_input)
        assert len(found) == len(expected) == 3 + needs_input
        for one, other in zip(found, expected, strict=True):
            torch.testing.assert_close(one, other)


def test_a_model_may_change_an_output_in_place():
    model = adapted().double()
    model.lin.register_forward_hook(lambda module, inputs, output: output.div_(3))
    x = torch.randn((4, 6, 12), dtype=torch.float64)
    expected, found = results(model, x), results(lean_copy(model), x)
    for one, other in zip(found, expected, strict=True):
        torch.testing.assert_close(one, other)


def test_the_gradient_is_the_derivative():
    model = lean_copy(adapted().double())
    x = torch.randn(4, 12, dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(model, (x,))


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_a_whole_model_has_the_same_gradients(tiny_model, family):
    built = build_model(
        tiny_model(family), head="sequence", labels=["a", "b"], pad_token_id=1, dropout=0.0
    )
    plain = built.model.train()
    for name, parameter in plain.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.05)
    lean = lean_copy(plain)
    ids = torch.randint(5, 200, (3, 12), generator=torch.Generator().manual_seed(0))
    for model in (plain, lean):
        model(input_ids=ids).logits.square().sum().backward()
    gradients = dict(lean.named_parameters())
    compared = 0
    for name, parameter in plain.named_parameters():
        if parameter.requires_grad:
            torch.testing.assert_close(gradients[name].grad, parameter.grad, rtol=1e-4, atol=1e-5)
            compared += parameter.grad.abs().sum() > 0
    assert compared > 10


@pytest.mark.parametrize(
    "options", [{"lora_dropout": 0.5}, {"use_dora": True}, {"lora_bias": True}], ids=str
)
def test_what_is_more_than_one_update_is_left_to_peft(options):
    model = adapted(**options)
    lean = lean_copy(model)
    x = torch.randn(5, 12)
    torch.manual_seed(1)
    expected = results(model, x)
    torch.manual_seed(1)
    for one, other in zip(results(lean, x), expected, strict=True):
        assert torch.equal(one, other)


def test_peft_can_do_with_it_what_it_could(tmp_path):
    model = adapted()
    lean = lean_copy(model)
    x = torch.randn(5, 12)
    expected = model(x)
    with lean.disable_adapter(), model.disable_adapter():
        assert torch.equal(lean(x), model(x))
    lean.merge_adapter()
    torch.testing.assert_close(lean(x), expected)
    lean.unmerge_adapter()
    lean.add_adapter("other", LoraConfig(r=2, target_modules=["lin"], init_lora_weights=False))
    lean.base_model.set_adapter(["default", "other"])
    assert not torch.allclose(lean(x), expected)
    lean.set_adapter("default")
    torch.testing.assert_close(lean(x), expected)
    with torch.autocast("cpu", torch.bfloat16):
        assert lean(x).dtype == model(x).dtype == torch.bfloat16
    for folder, kept in (("plain", model), ("lean", lean)):
        kept.save_pretrained(tmp_path / folder, selected_adapters=["default"])
    for name in ("adapter_model.safetensors", "adapter_config.json"):
        assert (tmp_path / "lean" / name).read_bytes() == (tmp_path / "plain" / name).read_bytes()
    merged = lean.merge_and_unload()
    torch.testing.assert_close(merged(x), expected)
    assert isinstance(merged.lin, nn.Linear) and not isinstance(merged.lin, Linear)
