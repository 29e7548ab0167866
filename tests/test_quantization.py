"""8- and 4-bit layers: what is quantized, the real kernels, and checkpoints quantized before."""

import json
import logging

import pytest
import torch
from bitsandbytes.nn import Linear4bit, Linear8bitLt
from tiny import make_tiny
from transformers import AutoModel, BitsAndBytesConfig

from lowcost_ft.commands.main import main
from lowcost_ft.config.run import RunConfig
from lowcost_ft.errors import UserError
from lowcost_ft.models.int8_linear import Int8Linear
from lowcost_ft.models.loading import build_model, load_tokenizer
from lowcost_ft.models.quantization import count_parameters, weight_bytes
from lowcost_ft.models.quantized_layers import settle_kernels
from lowcost_ft.pipeline.load_predictor import load_predictor
from lowcost_ft.record.reload_code import reload_code

QUANTIZED = (Linear4bit, Linear8bitLt, Int8Linear)
LABELS = ["red", "green", "blue"]


def build(folder, quantization, **options):
    options = {"head": "sequence", "labels": LABELS, "lora_r": 4} | options
    return build_model(folder, quantization=quantization, **options)


def inputs(folder, *texts):
    encoded = load_tokenizer(folder)(list(texts), padding=True, return_tensors="pt")
    return {name: encoded[name] for name in ("input_ids", "attention_mask")}


def padding(folder):
    return load_tokenizer(folder).pad_token_id


def quantized_names(model):
    return {name for name, module in model.named_modules() if isinstance(module, QUANTIZED)}


@pytest.mark.parametrize("quantization", ["int8", "8bit", "nf4"])
@pytest.mark.parametrize("family", ["bert", "electra", "albert", "deberta-v2", "gpt2"])
def test_only_linear_layers_inside_the_layers_are_quantized(tiny_model, family, quantization):
    built = build(tiny_model(family), quantization)
    model = built.model.get_base_model()
    names = {name.removesuffix(".base_layer") for name in quantized_names(model)}
    layers = f"{model.base_model_prefix}.{built.family.layers}."
    assert names and all(name.startswith(layers) for name in names)
    whole = {
        name: parameter.dtype
        for name, parameter in model.named_parameters()
        if not name.removesuffix(".weight").endswith(".base_layer")
    }
    assert set(whole.values()) == {torch.float32}
    assert any("norm" in name.lower() or "ln_" in name for name in whole)
    assert any(name.startswith(built.head_names[-1]) for name in whole)
    assert built.quantization == quantization


@pytest.mark.parametrize(("quantization", "limit"), [("8bit", 0.55), ("nf4", 0.30)])
def test_weights_need_the_memory_that_they_should(tmp_path, quantization, limit):
    folder = make_tiny("bert", tmp_path, hidden_size=384, intermediate_size=1536)
    built = build(folder, quantization)
    stored, in_float32 = weight_bytes(built.model)
    assert in_float32 == 4 * 3 * 12 * 384**2
    assert stored < limit * in_float32 / 2
    # The notice tells it, since it is little.
    (notice,) = built.notices
    assert f"saves {(in_float32 - stored) / 1e6:,.0f} of " in notice
    whole = build(folder, "none").model
    assert count_parameters(built.model) == count_parameters(whole)
    assert f" of {4 * count_parameters(whole.unload())[0] / 1e6:,.0f} MB" in notice
    assert "on a CPU 1.05 to 1.2 times as long" in notice


@pytest.mark.parametrize("quantization", ["8bit", "nf4"])
def test_training_and_evaluation_compute_the_same_function(tiny_model, quantization):
    folder = tiny_model("llama")
    model = build(folder, quantization, dropout=0.0, pad_token_id=padding(folder)).model
    batch = inputs(folder, "Where is my parcel?", "Is the green sofa in stock? I need it by May.")
    one = inputs(folder, "Where is my parcel?")
    evaluated = model.eval()(**batch).logits
    with torch.no_grad():
        assert torch.equal(model(**batch).logits, evaluated)
    torch.testing.assert_close(model(**one).logits, evaluated[:1], rtol=1e-5, atol=1e-5)
    trained = model.train()(**batch).logits
    assert torch.equal(trained, evaluated)
    # An evaluation before does not cut the way of the gradients to the lower layers.
    trained.sum().backward()
    lower = [p for name, p in model.named_parameters() if ".0." in name and "lora_B" in name]
    assert lower and all(p.grad.abs().max() > 0 for p in lower)


def test_integers_are_multiplied_as_the_weights_that_they_stand_for():
    """Whatever else is in the batch: an outlier in one token must not change another."""
    torch.manual_seed(0)
    layer = Linear8bitLt(12, 7, has_fp16_weights=False, threshold=6.0).to("cpu")
    settle_kernels(layer, torch.float32)
    x = torch.randn(5, 12)
    layer(x)  # Takes codes and scales from the weight.
    weights = layer.state.CB.float() * layer.state.SCB[:, None] / 127
    bias = layer.bias.detach().clone().requires_grad_()
    layer.bias = torch.nn.Parameter(bias.detach().clone())
    inputs = [x.clone().requires_grad_() for _ in range(2)]
    for y in (layer(inputs[0]), torch.nn.functional.linear(inputs[1], weights, bias)):
        (y**2).sum().backward()
    torch.testing.assert_close(inputs[0].grad, inputs[1].grad)
    torch.testing.assert_close(layer.bias.grad, bias.grad)
    loud = torch.cat([x, 100 * x[:1]])
    for mode in (True, False):
        layer.train(mode)
        torch.testing.assert_close(layer(loud)[:5], layer(x))


@pytest.mark.parametrize("quantization", ["int8", "8bit", "nf4"])
@pytest.mark.parametrize("family", ["bert", "deberta-v2"])
def test_mixed_precision_reaches_the_quantized_layers(tiny_model, family, quantization):
    folder = tiny_model(family)
    model = build(folder, quantization, dtype=torch.bfloat16, dropout=0.0).model
    seen = []
    for module in model.modules():
        if isinstance(module, QUANTIZED):
            module.register_forward_hook(lambda layer, given, out: seen.append(out.dtype))
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(**inputs(folder, "Where is my parcel?")).logits
    logits.float().sum().backward()
    assert set(seen) == {torch.bfloat16}
    biases = [m.bias for m in model.modules() if isinstance(m, QUANTIZED) and m.bias is not None]
    assert biases and {bias.dtype for bias in biases} == {torch.float32}
    assert all(p.grad is not None for p in model.parameters() if p.requires_grad)


@pytest.mark.parametrize("quantization", ["8bit", "nf4"])
def test_a_quantized_checkpoint_is_recognised(tiny_model, tmp_path, quantization):
    wanted = BitsAndBytesConfig(load_in_8bit=True)
    if quantization == "nf4":
        wanted = BitsAndBytesConfig(
            load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True
        )
    # As others make it: the pooler is quantized, too.
    model = AutoModel.from_pretrained(tiny_model("bert"), quantization_config=wanted)
    model.save_pretrained(tmp_path)
    load_tokenizer(tiny_model("bert")).save_pretrained(tmp_path)
    built = build(str(tmp_path), "none")
    assert built.quantization == quantization
    assert "bert.pooler.dense" in quantized_names(built.model.get_base_model())
    assert built.unquantized_modules == ("classifier",)
    assert built.head_names == ("classifier",)
    assert any("bert.pooler is quantized in the checkpoint" in text for text in built.notices)
    fresh = build(tiny_model("bert"), quantization)
    for name in ("encoder.layer.0.attention.self.query", "encoder.layer.2.output.dense"):
        layers = [b.model.base_model.model.bert.get_submodule(name) for b in (built, fresh)]
        assert torch.equal(layers[0].base_layer.weight, layers[1].base_layer.weight)
    batch = inputs(tiny_model("bert"), "Where is my parcel?")
    assert built.model(**batch).logits.isfinite().all()
    other = "8bit" if quantization == "nf4" else "nf4"
    with pytest.raises(UserError, match=f"are {quantization} already and cannot become {other}"):
        build(str(tmp_path), other)
    with pytest.raises(UserError, match=f"full cannot train {quantization} weights"):
        build(str(tmp_path), "none", method="full")


def test_checkpoints_quantized_otherwise_are_refused(tmp_path):
    folder = make_tiny("bert", tmp_path)
    config = json.loads((tmp_path / "config.json").read_text())
    for entry, name in (
        ({"quant_method": "gptq", "bits": 4}, "gptq"),
        ({"load_in_4bit": True, "bnb_4bit_quant_type": "fp4"}, "fp4"),
    ):
        text = json.dumps(config | {"quantization_config": entry})
        (tmp_path / "config.json").write_text(text)
        with pytest.raises(UserError, match=rf"(?s){name}.*use the unquantized checkpoint"):
            build(folder, "none")


def test_full_fine_tuning_of_quantized_weights_is_refused():
    with pytest.raises(UserError, match="full cannot train nf4 weights"):
        RunConfig(method="full", quantization="nf4")


@pytest.mark.parametrize("quantization", ["8bit", "nf4"])
def test_a_run_keeps_its_precision(trained_run, small_files, quantization, caplog):
    caplog.set_level(logging.WARNING)
    folder = trained_run("ner", "bert", quantization=quantization)
    run = json.loads((folder / "run.json").read_text())
    assert run["quantization"] == quantization
    predictor = load_predictor(folder)
    assert len(quantized_names(predictor.model)) == 18
    scores = predictor.evaluate(small_files["ner"]["test_file"])
    assert scores["f1"] == run["evaluation"]["test"]["f1"] > 0.5
    assert not [record for record in caplog.records if record.name.startswith("bitsandbytes")]
    card = (folder / "README.md").read_text()
    assert {"8bit": "in 8 bits", "nf4": "in 4 bits (NF4"}[quantization] in card
    # The code of the card, in training mode, runs the kernel that we always run.
    scope = {}
    before, _, _ = reload_code(run).partition("tokenizer =")
    exec(before.replace('RUN = "."', f"RUN = {str(folder)!r}"), scope)
    plain = scope["model"].train()
    for module in plain.modules():
        if isinstance(module, torch.nn.Dropout):
            module.p = 0.0
    batch = inputs(str(folder), "anna lives in oslo")
    assert torch.equal(plain(**batch).logits, predictor.model(**batch).logits)


def test_a_run_on_integers_says_how_it_answers_without_them(
    trained_run, small_files, tmp_path, capsys
):
    folder = trained_run("ner", "bert", quantization="int8")
    run = json.loads((folder / "run.json").read_text())
    predictor = load_predictor(folder)
    assert len(quantized_names(predictor.model)) == 18
    scores = predictor.evaluate(small_files["ner"]["test_file"])
    assert scores["f1"] == run["evaluation"]["test"]["f1"] > 0.5
    drift = run["float32_drift"]
    assert drift["examples"] == 21
    assert drift["score_before"] == scores["f1"]
    card = (folder / "README.md").read_text()
    assert "in 8 bits and multiplied as integers" in card
    assert f"{drift['changed']:,} of {drift['predictions']:,} predictions differ" in card
    assert "BitsAndBytesConfig" not in card
    # The code of the card runs the adapter on float32 weights.
    scope = {}
    before, _, _ = reload_code(run).partition("tokenizer =")
    exec(before.replace('RUN = "."', f"RUN = {str(folder)!r}"), scope)
    batch = inputs(str(folder), "anna lives in oslo")
    plain, rounded = scope["model"](**batch).logits, predictor.model(**batch).logits
    assert 0 < (plain - rounded).abs().max() < 0.1 * plain.abs().max()
    # So does a merged model, whose drift is reported.
    capsys.readouterr()
    target = str(tmp_path / "merged")
    assert main(["merge", str(folder), "--output-dir", target, "--max-drift", "1", "--json"]) == 0
    report = json.loads(capsys.readouterr().out.splitlines()[-1])
    assert report["parity_gap"] <= 1e-4
    merged = load_predictor(target).model(**batch).logits
    torch.testing.assert_close(merged, plain, rtol=1e-4, atol=1e-4)
