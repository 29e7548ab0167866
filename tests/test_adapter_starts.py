"""LoftQ: the adapter starts with what the rounding of the frozen weights took away."""

import json

import pytest
import torch
from peft.tuners.lora import LoraLayer
from peft.utils.integrations import dequantize_module_weight
from transformers.pytorch_utils import Conv1D

from lowcost_ft.errors import UserError
from lowcost_ft.models.loading import build_model, forward_module, load_tokenizer

RANK = 4


def build(folder, method, quantization, **changes):
    options = {"head": "sequence", "labels": ["a", "b"], "lora_r": RANK, "dropout": 0.0} | changes
    options["pad_token_id"] = load_tokenizer(folder).pad_token_id
    return build_model(folder, method=method, quantization=quantization, **options).model


def whole_weight(model, name):
    """A layer's weight in full precision, `(out, in)`."""
    layer = model.get_base_model().get_submodule(name).get_base_layer()
    return layer.weight.T if isinstance(layer, Conv1D) else layer.weight


@pytest.mark.parametrize("quantization", ["8bit", "nf4"])
@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_loftq_takes_the_best_part_of_the_rounding_back(tiny_model, family, quantization):
    folder = tiny_model(family)
    model, whole = build(folder, "loftq", quantization), build(folder, "lora", "none")
    layers = [
        (name, module)
        for name, module in model.get_base_model().named_modules()
        if isinstance(module, LoraLayer)
    ]
    assert layers
    for name, layer in layers:
        full = whole_weight(whole, name)
        rounded = dequantize_module_weight(layer.get_base_layer()).float()
        lost = full - rounded
        left = lost - layer.get_delta_weight("default")
        # No other update of this rank leaves less (Eckart and Young 1936).
        best = torch.linalg.svdvals(lost)[RANK:].norm()
        torch.testing.assert_close(left.norm(), best, rtol=1e-3, atol=1e-6)
        assert left.norm() < 0.9 * lost.norm()


@pytest.mark.parametrize("family", ["bert", "gpt2", "llama"])
def test_loftq_starts_nearer_to_the_unquantized_model(tiny_model, family):
    folder = tiny_model(family)
    texts = ["Where is my parcel?", "Is the green sofa in stock? I need it by May."]
    inputs = load_tokenizer(folder)(texts, padding=True, return_tensors="pt")
    inputs = {name: inputs[name] for name in ("input_ids", "attention_mask")}
    states = {}
    for method, quantization in (("lora", "none"), ("lora", "nf4"), ("loftq", "nf4")):
        # At rank 4 the share is 0.9 itself, above or below with the kernels of the CPU.
        model = forward_module(build(folder, method, quantization, lora_r=2 * RANK)).eval()
        with torch.no_grad():
            output = model(**inputs, output_hidden_states=True)
        kept = inputs["attention_mask"].bool()
        states[method, quantization] = output.hidden_states[-1][kept]
    exact = states["lora", "none"]
    without, start = ((states[m, "nf4"] - exact).norm() for m in ("lora", "loftq"))
    assert start < 0.9 * without


@pytest.mark.parametrize(
    ("method", "quantization"), [("pissa", "none"), ("olora", "none"), ("loftq", "nf4")]
)
@pytest.mark.parametrize("on_meta", [False, True])
def test_a_layer_with_fewer_singular_vectors_than_the_rank_is_refused(
    tiny_model, method, quantization, on_meta
):
    """Such an adapter trained, and could not be loaded again."""
    with pytest.raises(UserError, match=r"--lora-r 999: .* has only \d+ of them"):
        build(tiny_model("bert"), method, quantization, lora_r=999, on_meta=on_meta)


def test_a_rank_of_an_adapter_file_is_refused_by_its_name_there(tiny_model, tmp_path):
    file = tmp_path / "adapter_config.json"
    values = {"peft_type": "LORA", "r": 999, "init_lora_weights": "pissa"}
    file.write_text(json.dumps(values))
    with pytest.raises(UserError, match=r"adapter_config.json: r 999: .* has only \d+ of them"):
        build(tiny_model("bert"), "lora", "none", adapter_config=str(file))
