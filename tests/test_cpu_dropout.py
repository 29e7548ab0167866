"""Dropout drawn 8 bits at a time is dropout, and attention with it is attention."""

import numpy as np
import pytest
import torch
from tiny import FAMILY_NAMES
from torch import nn
from torch.nn import functional as F  # noqa: N812
from transformers.integrations.sdpa_attention import sdpa_attention_forward

from lowcost_ft.models import cpu_dropout
from lowcost_ft.models.cpu_dropout import (
    lean_dropout,
    lean_functions,
    make_dropout_lean,
)
from lowcost_ft.models.loading import build_model, forward_module
from lowcost_ft.models.mask_bits import masks_by_row


@pytest.mark.parametrize("probability", [0.005, 0.03, 0.1, 0.5, 0.9, 0.97])
def test_the_probability_is_met_everywhere_and_the_mean_kept(probability):
    torch.manual_seed(0)
    draws = torch.stack([lean_dropout(torch.ones(64, 31), probability) for _ in range(400)])
    shares = (draws == 0).double().mean(0)  # of each element, whatever its place in a draw
    assert (shares - probability).abs().max() < 0.13
    assert (shares.mean() - probability).abs() < 1e-3
    assert draws.mean().item() == pytest.approx(1, abs=0.02)
    assert all(len(one.unique()) == 2 for one in draws)


def test_between_two_probabilities_each_call_draws_one_and_scales_by_it():
    """A tenth is no multiple of 1/256: 6 calls of 10 drop 26 of 256, and 4 drop 25."""
    torch.manual_seed(0)
    scales = torch.stack([lean_dropout(torch.ones(1000), 0.1).max() for _ in range(2000)])
    fewer, more = 256 / (256 - 25), 256 / (256 - 26)
    assert torch.allclose(scales.unique(), torch.tensor([fewer, more]))
    assert (scales > (fewer + more) / 2).double().mean().item() == pytest.approx(0.6, abs=0.03)
    quarter = torch.stack([lean_dropout(torch.ones(99), 0.25).max() for _ in range(50)])
    assert len(quarter.unique()) == 1


@pytest.mark.parametrize("shape", [(0, 4), (1,), (3, 5, 7)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_any_shape_and_type(shape, dtype):
    x = torch.randn(shape, dtype=dtype, requires_grad=True)
    y = lean_dropout(x, 0.5)
    assert y.shape == x.shape and y.dtype == dtype
    y.sum().backward()
    assert torch.equal(x.grad * x, y)


@pytest.mark.parametrize("probability", [1e-6, 1.0])
def test_what_65536_levels_are_too_coarse_for_is_left_to_pytorch(probability):
    x = torch.randn(50)
    torch.manual_seed(0)
    ours = lean_dropout(x, probability)
    torch.manual_seed(0)
    assert torch.equal(ours, F.dropout(x, probability))


def test_the_seed_decides_and_neighbours_do_not_repeat():
    x = torch.ones(1000)
    torch.manual_seed(1)
    first, second = lean_dropout(x, 0.5), lean_dropout(x, 0.5)
    torch.manual_seed(1)
    assert torch.equal(lean_dropout(x, 0.5), first)
    assert not torch.equal(first, second)


def test_a_row_has_its_masks_whatever_stands_beside_it():
    """Neighbours, padding, and lines of one row: only (seed, step, row, place, call) count."""

    def draw(rows, shape, *, calls=1, seed=0, step=1):
        with masks_by_row(np.array(rows), seed=seed, step=step):
            return [lean_dropout(torch.ones(shape), 0.5) for _ in range(calls)][-1]

    among = draw([5, 0, 70_000], (3, 4, 9, 13))
    assert torch.equal(draw([70_000], (1, 4, 6, 10))[0], among[2, :, :6, :10])
    assert torch.equal(draw([0, 5], (2, 4, 9, 13))[1], among[0])
    # What is no row of the batch, such as a table of positions, is the same for all of them.
    assert torch.equal(draw([0, 1], (6, 30)), draw([7, 8, 9], (6, 30)))
    others = [draw([5], (1, 4, 9, 13), **one) for one in ({"calls": 2}, {"seed": 1}, {"step": 2})]
    for other in others:
        assert 0.4 < (other[0] == among[0]).double().mean() < 0.6


def test_masks_of_rows_are_independent():
    with masks_by_row(np.arange(40), seed=0, step=1):
        dropped = (lean_dropout(torch.ones(40, 50, 400), 0.25) == 0).double() - 0.25
    assert dropped.mean().abs() < 2e-3
    for axis in range(3):
        for distance in (1, 8):  # a word of 64 bits serves eight places
            first = dropped.narrow(axis, 0, dropped.shape[axis] - distance)
            second = dropped.narrow(axis, distance, first.shape[axis])
            assert ((first * second).mean() / 0.1875).abs() < 5e-3


def test_only_training_is_changed():
    model = nn.Sequential(nn.Dropout(0.5), nn.Dropout(0.0), nn.Dropout1d(0.5))
    make_dropout_lean(model)
    assert isinstance(model[0], nn.Dropout)
    assert type(model[2]) is nn.Dropout1d
    x = torch.ones(200)
    assert (model[0](x) == 0).any()
    assert torch.equal(model[1](x), x)
    assert torch.equal(model.eval()(x.view(2, 100)), x.view(2, 100))


class Layer(nn.Module):
    is_causal = False


def masks(batch, tokens):
    real = torch.arange(tokens) < torch.tensor([tokens, tokens - 3, 2])[:, None]
    causal = torch.ones(tokens, tokens, dtype=torch.bool).tril()
    return {
        "none": None,
        "padding": real[:, None, None, :].expand(batch, 1, tokens, tokens),
        "causal and padding": real[:, None, None, :] & causal,
        "bias": torch.randn(batch, 1, tokens, tokens),
    }


@pytest.mark.parametrize("kind", ["none", "padding", "causal and padding", "bias"])
@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("key_heads", [4, 2])
def test_attention_is_that_of_pytorch_where_nothing_falls_out(monkeypatch, kind, causal, key_heads):
    monkeypatch.setattr(cpu_dropout, "lean_dropout", lambda x, probability: x)
    torch.manual_seed(0)
    layer = Layer()
    layer.num_key_value_groups = 4 // key_heads
    heads = (4, key_heads, key_heads)
    # As models hand them over: a view of (batch, tokens, heads, width).
    inputs = [torch.randn(3, 7, h, 8, requires_grad=True) for h in heads]
    results = []
    for dropout in (0.0, 0.3):
        views = [t.transpose(1, 2) for t in inputs]
        with lean_functions():
            attend = cpu_dropout.ALL_ATTENTION_FUNCTIONS["sdpa"]
            out, _ = attend(layer, *views, masks(3, 7)[kind], dropout=dropout, is_causal=causal)
        if dropout == 0.0:
            expected, _ = sdpa_attention_forward(layer, *views, masks(3, 7)[kind], is_causal=causal)
            if kind != "bias":  # drawn anew at each call
                assert torch.equal(out, expected)
        torch.manual_seed(0)
        results.append([out, *torch.autograd.grad(out.square().sum(), inputs)])
    if kind != "bias":
        for one, other in zip(*results, strict=True):
            torch.testing.assert_close(one, other)


def test_attention_drops_probabilities_and_nothing_else():
    layer, x = Layer(), torch.randn(2, 3, 50, 8)
    identity = torch.eye(50).expand(2, 3, 50, 50)
    torch.manual_seed(0)
    with lean_functions():
        attend = cpu_dropout.ALL_ATTENTION_FUNCTIONS["sdpa"]
        seen = attend(layer, x, x, identity, None, dropout=0.25)[0].transpose(1, 2)
    expected = F.softmax(x @ x.transpose(2, 3) / 8**0.5, -1)
    kept = seen != 0
    assert kept.double().mean().item() == pytest.approx(0.75, abs=0.02)
    torch.testing.assert_close(seen[kept], (expected / 0.75)[kept])
    assert cpu_dropout.ALL_ATTENTION_FUNCTIONS["sdpa"] is sdpa_attention_forward


def test_each_layer_gets_what_its_own_mask_hides(monkeypatch):
    """Layers share a mask, or do not: windows beside full attention, for instance."""
    monkeypatch.setattr(cpu_dropout, "lean_dropout", lambda x, probability: x)
    x = torch.randn(3, 2, 7, 8)
    first, second = (masks(3, 7)[kind] for kind in ("padding", "causal and padding"))
    with lean_functions():
        attend = cpu_dropout.ALL_ATTENTION_FUNCTIONS["sdpa"]
        for mask in (first, second, second, first, None, first):
            ours, _ = attend(Layer(), x, x, x, mask, dropout=0.1)
            theirs, _ = sdpa_attention_forward(Layer(), x, x, x, mask)
            real = torch.ones(3, 7, dtype=torch.bool) if mask is None else mask[:, 0, -1]
            torch.testing.assert_close(ours[real], theirs[real])


@pytest.mark.parametrize(
    ("family", "checkpointing"),
    [
        (name, again)
        for name in FAMILY_NAMES
        for again in (False, True)
        if name != "albert" or not again
    ],
)
def test_every_family_trains_with_it(tiny_model, family, checkpointing):
    """With gradient checkpointing, what is run again drops what was dropped before."""
    built = build_model(
        tiny_model(family),
        head="sequence",
        labels=["a", "b"],
        pad_token_id=1,
        dropout=0.2,
        gradient_checkpointing=checkpointing,
        method="full",
    )
    model = forward_module(built.model).train()
    make_dropout_lean(model)
    ids = torch.randint(5, 200, (3, 12), generator=torch.Generator().manual_seed(0))
    mask = torch.ones_like(ids)
    mask[0, 6:] = 0
    torch.manual_seed(0)
    with lean_functions():
        loss = model(input_ids=ids, attention_mask=mask).logits.square().sum()
        loss.backward()
    gradients = torch.cat([p.grad.flatten() for p in model.parameters() if p.grad is not None])
    assert gradients.isfinite().all() and gradients.norm() > 0
    # A step along the gradient under the same draws changes the loss by what it says.
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.grad is not None:
                parameter -= 1e-4 * parameter.grad / gradients.norm()
    torch.manual_seed(0)
    with lean_functions():
        after = model(input_ids=ids, attention_mask=mask).logits.square().sum()
    assert (loss - after).item() == pytest.approx(1e-4 * gradients.norm().item(), rel=0.1)


def test_models_that_call_the_function_draw_by_row_too():
    """OPT and BART have no dropout layers."""
    plain, x = F.dropout, torch.ones(2, 9, 16)

    def draw(rows, x):
        with masks_by_row(np.array(rows), seed=0, step=1), lean_functions():
            assert F.dropout(x, 0.3, False) is x
            return nn.functional.dropout(x, p=0.3, training=True)

    assert torch.equal(draw([4, 7], x)[1], draw([7], x[1:])[0])
    assert F.dropout is plain
