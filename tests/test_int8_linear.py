"""int8 layers: exact sums, one function on every route, and what they leave to adapters."""

import subprocess
import sys

import pytest
import torch
from tiny import make_tiny
from torch import nn
from transformers.pytorch_utils import Conv1D

from lowcost_ft.config.run import RunConfig
from lowcost_ft.errors import UserError
from lowcost_ft.models import int8_linear, integer_products
from lowcost_ft.models.int8_kernel import load_kernel
from lowcost_ft.models.int8_linear import Int8Linear, int8_notices, round_linear_layers
from lowcost_ft.models.integer_products import checked_kernel, has_integer_units
from lowcost_ft.models.loading import build_model, forward_module, load_tokenizer
from lowcost_ft.models.quantization import weight_bytes

ROUTES = ("kernel", "operators", "no integer units")


@pytest.fixture
def take_route(monkeypatch):
    def take(route):
        if route == "kernel" and load_kernel() is None:
            pytest.skip("there is no C compiler")
        found = checked_kernel() if route == "kernel" else None
        monkeypatch.setattr(integer_products, "checked_kernel", lambda: found)
        units = route != "no integer units" and has_integer_units()
        monkeypatch.setattr(integer_products, "has_integer_units", lambda: units)

    return take


def layer(inner=24, width=40, *, bias=True):
    """A linear layer whose first output has large weights, so that scales differ."""
    torch.manual_seed(0)
    made = nn.Linear(inner, width, bias=bias)
    with torch.no_grad():
        made.weight[0] *= 100
    return made


def codes_of(x):
    """The rule, in the types that it is stated in: codes as integers, scales in float32."""
    largest = x.abs().amax(-1, keepdim=True).clamp(min=1e-30)
    codes = (x * ((1.0 / largest) * 127.0)).round()
    return codes.long(), largest * torch.tensor(1 / 127, dtype=torch.float32)


def tokens(*shape):
    torch.manual_seed(1)
    x = torch.randn(shape)
    x.view(-1, shape[-1])[0] = 0.0  # padding, say
    x.view(-1, shape[-1])[1] *= 1000.0
    return x


@pytest.mark.parametrize("route", ROUTES)
def test_both_products_are_sums_of_integers(take_route, route):
    take_route(route)
    whole = layer()
    rounded = Int8Linear(whole)
    codes, scales = codes_of(whole.weight.detach())
    assert torch.equal(rounded.weight.long(), codes)
    assert torch.equal(rounded.scales, scales.flatten())
    x = tokens(3, 5, 24).requires_grad_()
    y = rounded(x)
    of_x, scale_of_x = codes_of(x.detach())
    sums = of_x @ codes.t()
    expected = sums.float() * scale_of_x * scales.flatten() + whole.bias.detach()
    assert torch.equal(y, expected)
    dy = tokens(3, 5, 40)
    y.backward(dy)
    of_dy, scale_of_dy = codes_of(dy * scales.flatten())
    assert torch.equal(x.grad, (of_dy @ codes).float() * scale_of_dy)
    assert rounded.bias.grad.equal(dy.flatten(0, 1).sum(0))


def test_wide_layers_reach_the_ends_of_the_integers(take_route):
    results = []
    for route in ROUTES:
        take_route(route)
        whole = nn.Linear(5000, 8, bias=False)
        nn.init.constant_(whole.weight, -1.0)
        x = torch.ones(2, 5000)
        x[1, ::2] = -1.0
        results.append(Int8Linear(whole)(x))
    assert all(torch.equal(result, results[0]) for result in results)
    assert results[0][0] == pytest.approx([-5000.0] * 8)
    assert not results[0][1].any()


@pytest.mark.parametrize("route", ROUTES)
def test_layers_of_one_input_or_output(take_route, route):
    take_route(route)
    for inner, width in ((1, 5), (5, 1)):
        rounded, x = Int8Linear(layer(inner, width)), tokens(3, inner)
        codes, scale = codes_of(x)
        sums = (codes @ rounded.weight.long().t()).float()
        assert torch.equal(rounded(x), sums * scale * rounded.scales + rounded.bias)


@pytest.mark.parametrize("route", ROUTES)
def test_another_precision_leaves_the_scales_as_they_are(take_route, route):
    take_route(route)
    rounded, x = Int8Linear(layer(bias=False)), tokens(7, 24).bfloat16()
    expected = rounded(x.float()).bfloat16()
    for change in ("bfloat16", "half", "double"):
        assert torch.equal(getattr(rounded, change)()(x), expected)


def test_near_the_layer_that_it_stands_for():
    torch.manual_seed(0)
    whole, x = nn.Linear(256, 128), torch.randn(50, 256)
    rounded = Int8Linear(whole)
    gradients = []
    for module in (whole, rounded):
        taken = x.clone().requires_grad_()
        y = module(taken)
        gradients.append(torch.autograd.grad(y.square().sum(), taken)[0])
    error = (rounded(x) - whole(x)).norm() / whole(x).norm()
    assert 0 < error < 0.02
    assert (gradients[1] - gradients[0]).norm() / gradients[0].norm() < 0.03


@pytest.mark.parametrize("route", ROUTES)
def test_no_row_depends_on_its_neighbours(take_route, route):
    take_route(route)
    rounded, x = Int8Linear(layer()), tokens(40, 24)
    dy = tokens(40, 40)

    def both(rows):
        taken = x[rows].clone().requires_grad_()
        y = rounded(taken)
        return y.detach(), torch.autograd.grad(y, taken, dy[rows])[0]

    for whole, pieces in zip(
        both(slice(None)),
        zip(*(both(slice(i, i + 1)) for i in range(40)), strict=True),
        strict=True,
    ):
        assert torch.equal(whole, torch.cat(pieces))


def test_numbers_that_are_not_finite_stay_visible(take_route):
    for route in ROUTES:
        take_route(route)
        x = tokens(4, 24)
        x[2, 3], x[3, 3] = float("nan"), float("inf")
        finite = Int8Linear(layer())(x).isfinite().all(-1)
        assert finite.tolist() == [True, True, False, False]


def test_transposed_layers_and_no_rows():
    whole = layer(bias=False)
    conv = Conv1D(40, 24)
    with torch.no_grad():
        conv.weight.copy_(whole.weight.t())
        conv.bias.zero_()
    x = tokens(7, 24)
    assert torch.equal(Int8Linear(conv)(x), Int8Linear(whole)(x))
    assert Int8Linear(whole)(x[:0]).shape == (0, 40)
    strided = torch.stack([x, x], -1)[..., 0].t().contiguous().t()
    assert torch.equal(Int8Linear(whole)(strided), Int8Linear(whole)(x))


def test_automatic_mixed_precision_gives_its_own_type():
    rounded, x = Int8Linear(layer()), torch.randn(6, 24).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        y = rounded(x)
    assert y.dtype == torch.bfloat16
    y.float().sum().backward()
    assert x.grad.dtype == torch.float32
    # Of inputs in bfloat16, and with an output in it.
    assert torch.equal(y, rounded(x.bfloat16().float()).bfloat16())


def test_a_layer_whose_sums_would_overflow_is_refused():
    with torch.device("meta"):
        model = nn.Sequential(nn.Linear(140_000, 2, bias=False))
    with pytest.raises(UserError, match=r"0 is 140,000 wide.*133,144"):
        round_linear_layers(model, [])


def test_layers_that_are_one_stay_one():
    shared = nn.Linear(4, 4)
    model = nn.ModuleDict({"a": shared, "b": shared, "head": nn.Linear(4, 2)})
    round_linear_layers(model, ["head"])
    assert model["a"] is model["b"] and isinstance(model["a"], Int8Linear)
    assert type(model["head"]) is nn.Linear


def test_a_slow_machine_is_told_so(monkeypatch):
    assert int8_notices("cuda") == []
    monkeypatch.setattr(int8_linear, "has_integer_units", lambda: True)
    monkeypatch.setattr(int8_linear, "checked_kernel", lambda: None)
    assert "no C compiler works here" in int8_notices("cpu")[0]
    monkeypatch.setattr(int8_linear, "has_integer_units", lambda: False)
    assert "no instructions for products of 8-bit integers" in int8_notices("cpu")[0]


def test_without_room_or_a_compiler_there_is_no_kernel(monkeypatch):
    def full(*_):
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr("pathlib.Path.write_text", full)
        assert load_kernel.__wrapped__() is None
    for compiler in ("no-such-compiler", 'gcc "'):
        monkeypatch.setenv("CC", compiler)
        assert load_kernel.__wrapped__() is None


@pytest.mark.slow
def test_saturating_instructions_are_found():
    """Without VNNI, oneDNN adds two products in 16 bits. The library reads this once."""
    code = (
        "from lowcost_ft.models.integer_products import has_integer_units as f, checked_kernel\n"
        "print(f(), checked_kernel())"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        env={
            "ONEDNN_MAX_CPU_ISA": "AVX2",
            "CC": "no-such-compiler",
            "PYTHONPATH": ":".join(sys.path),
        },
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.split() == ["False", "None"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return make_tiny("bert", tmp_path_factory.mktemp("bert"), hidden_size=64)


def built(folder, **options):
    options = {"head": "token", "labels": ["a", "b"], "lora_r": 4, "dropout": 0.0} | options
    return build_model(folder, quantization="int8", **options)


def gradients(model, batch):
    logits = model(**batch).logits
    logits.square().sum().backward()
    found = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
    model.zero_grad()
    return logits.detach(), found


def test_lean_updates_equal_those_of_peft(folder):
    model = built(folder).model
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            nn.init.normal_(parameter, std=0.02)
    batch = dict(
        load_tokenizer(folder)(["Where is my parcel?", "hi"], return_tensors="pt", padding=True)
    )
    logits, expected = gradients(model.get_base_model(), batch)
    lean = forward_module(model)
    assert any(type(m).__name__ == "_LeanInt8Linear" for m in lean.modules())
    again, found = gradients(lean, batch)
    # The update is added in another order, and a code may fall on the other side of a half.
    torch.testing.assert_close(again, logits, rtol=1e-2, atol=1e-3)
    assert found.keys() == expected.keys()
    for name, gradient in found.items():
        assert (gradient - expected[name]).norm() <= 0.02 * expected[name].norm() + 1e-6


def test_weights_take_a_quarter(folder):
    stored, in_float32 = weight_bytes(built(folder).model)
    assert 0.25 < stored / in_float32 < 0.27


def test_what_reads_the_weights_finds_them(folder):
    """DoRA takes their norm, LoftQ what the rounding took from them."""
    query = "bert.encoder.layer.0.attention.self.query"
    rounded = built(folder, method="dora").model.get_base_model().get_submodule(query)
    weights = rounded.base_layer.dequantize()
    length = rounded.lora_magnitude_vector["default"].weight
    torch.testing.assert_close(length, weights.norm(dim=1))
    loftq = built(folder, method="loftq", lora_r=64).model.get_base_model().get_submodule(query)
    update = loftq.get_delta_weight("default")
    whole = build_model(folder, head="token", labels=["a", "b"], method="head").model
    expected = whole.get_base_model().get_submodule(query).weight
    torch.testing.assert_close(weights + update, expected, rtol=1e-4, atol=1e-6)


def test_full_fine_tuning_is_refused():
    with pytest.raises(UserError, match="full cannot train int8 weights"):
        RunConfig(method="full", quantization="int8")
