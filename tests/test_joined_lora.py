"""Layers computed together give the outputs and gradients that each gives alone."""

import copy

import pytest
import torch
from torch import nn

from lowcost_ft.models.attention_masks import known_padding, masks_as_numbers
from lowcost_ft.models.frozen_precision import hold_frozen_weights
from lowcost_ft.models.joined_lora import JoinableLinear, JoinedLora
from lowcost_ft.models.joined_products import JoinedFunction
from lowcost_ft.models.loading import build_model, forward_module

HALF = torch.bfloat16


def built(model_id, **options):
    options = {"dropout": 0.0, "pad_token_id": 1} | options
    made = build_model(model_id, head="sequence", labels=["a", "b"], **options)
    for name, parameter in made.model.named_parameters():  # Zeros would hide what LoRA adds.
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.05)
    return forward_module(made.model.train()), made


def outcome(model, *, enabled=True, padding=0):
    ids = torch.randint(5, 200, (3, 12), generator=torch.Generator().manual_seed(0))
    ids = ids.to(model.device)
    mask = torch.ones_like(ids)
    mask[0, 12 - padding :] = 0
    model.zero_grad()
    with torch.autocast(model.device.type, HALF, enabled=enabled):
        logits = model(input_ids=ids, attention_mask=mask).logits
    (logits.float() ** 2).sum().backward()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.requires_grad}


def off(found, exact):
    assert found.keys() == exact.keys()
    errors = [float((found[n] - exact[n]).norm() / exact[n].norm()) for n in exact]
    return sum(errors) / len(errors)


@pytest.mark.parametrize("widths", [[7], [7, 7, 7], [8, 4, 4]], ids=str)
@pytest.mark.parametrize("bias", [True, False])
def test_the_function_is_the_formula_and_its_derivative(widths, bias):
    torch.manual_seed(0)
    new = lambda *shape: torch.randn(*shape, dtype=torch.float64)  # noqa: E731
    x, a = new(2, 5, 6).requires_grad_(), new(3 * len(widths), 6).requires_grad_()
    weight, shift = new(sum(widths), 6), new(sum(widths)) if bias else None
    b = [new(1, width, 3) for width in widths]
    if len(set(widths)) == 1:
        b = [torch.cat(b)]
    b = [part.requires_grad_() for part in b]

    def joined(x, a, *b):
        return JoinedFunction.apply(x, weight, shift, 0.7, a, *b)

    each = [matrix for part in b for matrix in part]
    place = 0
    for number, (y, matrix) in enumerate(zip(joined(x, a, *b), each, strict=True)):
        rows = slice(place, place + len(matrix))
        expected = nn.functional.linear(x, weight[rows], shift[rows] if bias else None)
        expected = expected + 0.7 * (x @ a[3 * number : 3 * number + 3].t()) @ matrix.t()
        torch.testing.assert_close(y, expected)
        place += len(matrix)
    assert torch.autograd.gradcheck(joined, (x, a, *b))


def test_outputs_may_be_changed_in_place():
    """Longformer divides its queries so."""
    x, weight, a, b = (torch.randn(s) for s in ((2, 5, 6), (14, 6), (6, 6), (2, 7, 3)))
    gradients = []
    for in_place in (False, True):
        b = b.detach().requires_grad_()
        query, key = JoinedFunction.apply(x, weight, None, 0.7, a, b)
        query = query.div_(2) if in_place else query / 2
        gradients.append(torch.autograd.grad((query * key).sum(), b)[0])
    assert torch.equal(*gradients)


@pytest.mark.parametrize(
    ("family", "options"),
    [
        ("bert", {}),
        ("bert", {"target_modules": ("query", "value")}),
        ("bert", {"gradient_checkpointing": True}),
        ("bert", {"trainable_layers": 1}),
        ("llama", {}),
        ("gpt2", {}),
    ],
    ids=str,
)
def test_joined_layers_are_as_close_to_full_precision_as_each_alone(tiny_model, family, options):
    errors = [0.0, 0.0]  # One draw says little: rounding is luck.
    for seed in range(3):
        torch.manual_seed(seed)
        model, made = built(tiny_model(family), **options)
        exact = outcome(model, enabled=False)
        hold_frozen_weights(made.model, HALF)
        alone = outcome(model)
        joined = JoinedLora(model)
        with joined.cast():
            together = outcome(model)
        assert {n for n, g in together.items() if g.any()} == set(exact)
        assert all(g.dtype == torch.float32 for g in together.values())
        errors[0] += off(alone, exact)
        errors[1] += off(together, exact)
    assert 0 < errors[1] < 1.4 * errors[0]
    sizes = {len(group.layers) for group in joined.groups}
    expected = {"llama": {3, 2, 1}, "gpt2": {1}}.get(family, {3, 1})
    assert sizes == ({2} if "target_modules" in options else expected)


@pytest.mark.gpu
@pytest.mark.parametrize("family", ["bert", "llama", "gpt2"])
def test_joined_layers_on_a_gpu(tiny_model, family):
    model, made = built(tiny_model(family))
    exact = outcome(model.cuda(), enabled=False)
    hold_frozen_weights(made.model, HALF)
    alone = outcome(model)
    with JoinedLora(model).cast():
        assert off(outcome(model), exact) < 1.4 * off(alone, exact)


def test_weights_stay_what_they_were_and_lie_in_one_tensor(tiny_model):
    model, made = built(tiny_model("bert"))
    hold_frozen_weights(made.model, HALF)
    before = copy.deepcopy(model.state_dict())
    JoinedLora(model)
    assert all(torch.equal(tensor, before[name]) for name, tensor in model.state_dict().items())
    layer = model.bert.encoder.layer[0].attention.self
    storages = {m.base_layer.weight.untyped_storage()._cdata for m in layer.children()
                if isinstance(m, JoinableLinear)}  # fmt: skip
    assert len(storages) == 1


def test_an_input_of_its_own_and_a_second_call_are_computed_as_such(tiny_model):
    model, made = built(tiny_model("bert"))
    hold_frozen_weights(made.model, HALF)
    joined = JoinedLora(model)
    layer = model.bert.encoder.layer[0].attention.self
    width = model.config.hidden_size
    x, other = torch.randn(2, 4, width), torch.randn(2, 4, width)
    with torch.autocast("cpu", HALF):
        alone = [layer.query(x), layer.key(other), layer.value(x), layer.query(other)]
        with joined.cast():
            found = [layer.query(x), layer.key(other), layer.value(x), layer.query(other)]
    for one, two in zip(found, alone, strict=True):
        torch.testing.assert_close(one, two, rtol=0.02, atol=0.02)


@pytest.mark.parametrize("options", [{"lora_dropout": 0.1}, {"method": "dora"}, {}], ids=str)
def test_what_has_nothing_to_cast_or_is_more_than_an_update_is_left_alone(tiny_model, options):
    model, made = built(tiny_model("bert"), **options)
    if options:
        hold_frozen_weights(made.model, HALF)
    assert JoinedLora(model).groups == []


def test_a_mask_becomes_numbers_once_and_nothing_changes(tiny_model):
    model, _ = built(tiny_model("bert"))
    model.config._attn_implementation = "sdpa"
    expected = outcome(model, enabled=False, padding=5)
    with known_padding(True), masks_as_numbers():
        found = outcome(model, enabled=False, padding=5)
    for name, gradient in expected.items():
        torch.testing.assert_close(found[name], gradient)
