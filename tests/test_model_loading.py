"""Building, saving and reloading models of every family: equations on tiny models."""

import json
import logging
import re
from itertools import product
from pathlib import Path

import pytest
import torch
from huggingface_hub import HfApi
from peft import AutoPeftModelForSequenceClassification, AutoPeftModelForTokenClassification
from peft.tuners.lora import LoraLayer
from peft.utils import ModulesToSaveWrapper
from safetensors.torch import load_file, save_file
from tiny import DECODERS, FAMILY_NAMES, TOKEN_FAMILIES, make_tiny
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoModelForTokenClassification,
    AutoTokenizer,
    pipeline,
)
from transformers.activations import NewGELUActivation
from transformers.pytorch_utils import Conv1D

from lowcost_ft.errors import UserError
from lowcost_ft.models.loading import (
    build_model,
    forward_module,
    load_config,
    load_tokenizer,
    load_trained,
    save_model,
)
from lowcost_ft.models.offline import SMOLLM2
from lowcost_ft.training.optimizer import default_head_learning_rate, parameter_groups

CASES = [(name, "sequence") for name in FAMILY_NAMES] + [(name, "token") for name in TOKEN_FAMILIES]
LABELS = ["red", "green", "blue"]
AUTO_PEFT = {
    "token": AutoPeftModelForTokenClassification,
    "sequence": AutoPeftModelForSequenceClassification,
}
EXACT = {"rtol": 0, "atol": 0}
TEXTS = ["Anna Berg ordered two lamps.", "Where is my parcel from Oslo? I want my money back."]


@pytest.fixture(scope="module")
def tiny_models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return {name: make_tiny(name, folder / name) for name in FAMILY_NAMES}


def build(folder, head="sequence", **options):
    tokenizer = load_tokenizer(folder)
    options = {"labels": LABELS, "pad_token_id": tokenizer.pad_token_id} | options
    return build_model(folder, head=head, **options), tokenizer


def batch(tokenizer):
    encoded = tokenizer(TEXTS, padding=True, return_tensors="pt")
    return {name: encoded[name] for name in ("input_ids", "attention_mask")}


def trainable(model):
    return {name for name, parameter in model.named_parameters() if parameter.requires_grad}


def train_a_little(model, inputs, steps=3):
    """A few steps of SGD on a loss that no output ignores; returns the last step's gradients."""
    model.train()
    parameters = [p for p in model.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(parameters, lr=1e-2)
    for _ in range(steps):
        optimizer.zero_grad()
        logits = model(**inputs).logits.flatten(0, -2)
        target = torch.arange(len(logits)) % logits.shape[-1]
        torch.nn.functional.cross_entropy(logits, target).backward()
        optimizer.step()
    model.eval()
    return {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}


@pytest.mark.parametrize(("name", "head"), CASES)
def test_lora_trains_matrices_and_heads_only_and_reloads(tiny_models, name, head, tmp_path):
    built, tokenizer = build(tiny_models[name], head, lora_r=4)
    model, inputs = built.model, batch(tokenizer)

    # Only LoRA matrices and heads train, and both do.
    names = trainable(model)
    assert all(".lora_" in n or ".modules_to_save.default." in n for n in names)
    for head_name in built.head_names:
        assert any(n.startswith(f"base_model.model.{head_name}.modules_to_save") for n in names)
    # Heads are wrapped once; no update inside them; every layer has all of the family's targets.
    wrappers = [n for n, m in model.named_modules() if isinstance(m, ModulesToSaveWrapper)]
    assert wrappers == [f"base_model.model.{n}" for n in built.head_names]
    adapted = [n for n, m in model.named_modules() if isinstance(m, LoraLayer)]
    assert not any(n.startswith(w) for n in adapted for w in wrappers)
    layers = 1 if built.family.shared_layers else built.num_layers
    optional = 2 if name == "deberta-v2" else 0  # Its positions share attention's projections.
    assert len(adapted) == layers * (len(built.family.lora_targets) - optional)
    assert all(m.scaling["default"] == 32 / 4 for m in model.modules() if isinstance(m, LoraLayer))

    before = {n: p.detach().clone() for n, p in model.named_parameters()}
    gradients = train_a_little(model, inputs)
    assert set(gradients) == names
    assert all(gradient.abs().max() > 0 for gradient in gradients.values())
    for n, parameter in model.named_parameters():
        assert torch.equal(before[n], parameter) != (n in names), n
    with torch.no_grad():
        logits = model(**inputs).logits
        found = forward_module(model)(**inputs).logits
        same_bits = name not in ("gpt2", "albert")  # Whose GELU is then one kernel.
        torch.testing.assert_close(found, logits, **(EXACT if same_bits else {}))

    save_model(model, tokenizer, tmp_path / "run")
    files = {path.name for path in (tmp_path / "run").iterdir()}
    assert {"adapter_model.safetensors", "adapter_config.json", "tokenizer.json"} <= files
    assert not files & {"config.json", "model.safetensors"}
    saved_config = json.loads((tmp_path / "run" / "adapter_config.json").read_text())
    assert saved_config["modules_to_save"] == list(built.head_names)
    assert Path(saved_config["base_model_name_or_path"]).is_absolute()

    plain = (
        AUTO_PEFT[head]
        .from_pretrained(
            str(tmp_path / "run"),
            num_labels=3,
            id2label=dict(enumerate(LABELS)),
            label2id={label: number for number, label in enumerate(LABELS)},
            **({"pad_token_id": tokenizer.pad_token_id} if name in DECODERS else {}),
        )
        .eval()
    )
    run = {
        "task": "ner" if head == "token" else "classification",
        "model_id": tiny_models[name],
        "labels": LABELS,
        "config": {"revision": None},
        "pad_token_id": tokenizer.pad_token_id,
    }
    ours = load_trained(tmp_path / "run", run)
    assert not ours.training
    assert ours.get_base_model().config.id2label == dict(enumerate(LABELS))
    with torch.no_grad():
        assert torch.equal(plain(**inputs).logits, logits)
        assert torch.equal(ours(**inputs).logits, logits)


@pytest.mark.parametrize(("name", "head"), CASES)
def test_gradient_checkpointing_gives_the_same_gradients(tiny_models, name, head):
    gradients = []
    for checkpointing in (False, True):
        options = {"lora_r": 4, "dropout": 0.0, "gradient_checkpointing": checkpointing}
        if name == "albert" and checkpointing:
            with pytest.raises(UserError, match="gradient_checkpointing: ALBERT"):
                build(tiny_models[name], head, **options)
            return
        built, tokenizer = build(tiny_models[name], head, **options)
        embedding_outputs = []
        built.model.get_input_embeddings().register_forward_hook(
            lambda *call, seen=embedding_outputs: seen.append(call[-1].requires_grad)
        )
        gradients.append(train_a_little(built.model, batch(tokenizer), steps=2))
        assert not any(embedding_outputs)
    assert gradients[0].keys() == gradients[1].keys()
    for parameter_name, gradient in gradients[0].items():
        assert gradient.abs().max() > 0, parameter_name
        torch.testing.assert_close(gradient, gradients[1][parameter_name])


@pytest.mark.parametrize(
    "name", ["bert", "distilbert", "deberta-v2", "modernbert", "gpt2", "llama"]
)
@pytest.mark.parametrize("method", ["lora", "full"])
def test_trainable_layers_are_the_top_ones(tiny_models, name, method):
    built, tokenizer = build(tiny_models[name], method=method, trainable_layers=2, lora_r=4)
    gradients = train_a_little(built.model, batch(tokenizer), steps=2)
    assert set(gradients) == trainable(built.model)
    layers = re.escape(f"{built.family.layers}.") + r"(\d+)\."
    found = [re.search(layers, parameter_name) for parameter_name in gradients]
    assert {match.group(1) for match in found if match} == {"1", "2"}
    rest = [n for n, match in zip(gradients, found, strict=True) if not match]
    assert all(any(head in n for head in built.head_names) for n in rest)


@pytest.mark.parametrize(("name", "head"), [("bert", "token"), ("gpt2", "sequence")])
def test_full_fine_tuning_trains_everything_and_reloads(tiny_models, name, head, tmp_path):
    built, tokenizer = build(tiny_models[name], head, method="full")
    assert trainable(built.model) == {n for n, _ in built.model.named_parameters()}
    inputs = batch(tokenizer)
    train_a_little(built.model, inputs)
    save_model(built.model, tokenizer, tmp_path / "run")
    assert (tmp_path / "run" / "model.safetensors").is_file()
    assert not (tmp_path / "run" / "adapter_config.json").exists()
    auto = {
        "token": AutoModelForTokenClassification,
        "sequence": AutoModelForSequenceClassification,
    }[head]
    plain = auto.from_pretrained(tmp_path / "run")
    assert plain.config.id2label == dict(enumerate(LABELS))
    run = {"task": "ner" if head == "token" else "classification", "labels": LABELS}
    ours = load_trained(tmp_path / "run", run | {"model_id": "never/read", "method": "full"})
    with torch.no_grad():
        logits = built.model(**inputs).logits
        assert torch.equal(plain(**inputs).logits, logits)
        assert torch.equal(ours(**inputs).logits, logits)


@pytest.mark.parametrize(("name", "task"), [("bert", "ner"), ("gpt2", "text-classification")])
def test_saved_adapter_serves_a_plain_pipeline(tiny_models, name, task, tmp_path):
    built, tokenizer = build(tiny_models[name], "token" if task == "ner" else "sequence", lora_r=4)
    train_a_little(built.model, batch(tokenizer))
    save_model(built.model, tokenizer, tmp_path)
    label_maps = {
        "num_labels": 3,
        "id2label": dict(enumerate(LABELS)),
        "label2id": {label: number for number, label in enumerate(LABELS)},
        "pad_token_id": tokenizer.pad_token_id,
    }
    answers = pipeline(task, str(tmp_path), model_kwargs=label_maps)(TEXTS[0])
    with torch.no_grad():
        inputs = tokenizer(TEXTS[0], return_tensors="pt")
        probabilities = built.model(**inputs).logits.softmax(-1)
    if task == "ner":
        index = answers[0]["index"]
        expected, found = probabilities[0, index].max().item(), answers[0]
        assert found["entity"] == LABELS[int(probabilities[0, index].argmax())]
    else:
        expected, found = probabilities[0].max().item(), answers[0]
        assert found["label"] == LABELS[int(probabilities[0].argmax())]
    assert found["score"] == pytest.approx(expected, abs=1e-5)


def test_same_seed_same_model_and_global_random_state_untouched(tiny_models):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    states = [build(tiny_models["bert"], seed=seed)[0].model.state_dict() for seed in (1, 1, 2)]
    assert torch.equal(torch.rand(3), expected)
    assert all(torch.equal(states[0][name], states[1][name]) for name in states[0])
    different = {name for name in states[0] if not torch.equal(states[0][name], states[2][name])}
    assert any("classifier.modules_to_save" in name for name in different)
    assert any("lora_A" in name for name in different)


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_frozen_weights_are_those_of_the_checkpoint(tiny_models, name):
    built, _ = build(tiny_models[name])
    checkpoint = load_file(Path(tiny_models[name], "model.safetensors"))
    state = {
        n.removeprefix("base_model.model.").replace(".base_layer.", "."): p
        for n, p in built.model.named_parameters()
        if not p.requires_grad and ".original_module." not in n
    }
    prefix = built.model.get_base_model().base_model_prefix
    for parameter_name, parameter in state.items():
        short = parameter_name.removeprefix(f"{prefix}.")
        saved = checkpoint.get(parameter_name, checkpoint.get(short))
        assert torch.equal(saved, parameter), parameter_name
        assert parameter.dtype == torch.float32


@pytest.mark.parametrize("name", ["gpt2", "albert"])
def test_the_gelu_of_one_kernel_is_the_function_of_the_checkpoint(tiny_models, name):
    built, tokenizer = build(tiny_models[name], method="full", dropout=0.0)
    model, inputs = built.model, batch(tokenizer)

    forward_module(model)

    def logits_and_gradients():
        model.zero_grad()
        logits = model(**inputs).logits
        logits.square().sum().backward()
        return logits.detach(), {n: p.grad for n, p in model.named_parameters()}

    logits, gradients = logits_and_gradients()
    fused = [m for m in model.modules() if isinstance(m, NewGELUActivation)]
    assert fused
    for module in fused:
        module.__class__ = NewGELUActivation
    expected, slow = logits_and_gradients()
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-6)
    for key, gradient in gradients.items():
        torch.testing.assert_close(gradient, slow[key], rtol=1e-4, atol=1e-5, msg=key)


def test_gpt2_updates_are_transposed(tiny_models):
    model = build(tiny_models["gpt2"], lora_r=4)[0].model
    layer = model.get_base_model().transformer.h[0].attn.c_attn
    assert isinstance(layer.base_layer, Conv1D)
    assert layer.fan_in_fan_out
    assert layer.get_delta_weight("default").shape == layer.base_layer.weight.shape


def test_lora_alpha_is_constant_unless_given(tiny_models):
    for options, scaling in (({"lora_r": 8}, 4.0), ({"lora_r": 8, "lora_alpha": 8}, 1.0)):
        layers = build(tiny_models["bert"], **options)[0].model.modules()
        assert {m.scaling["default"] for m in layers if isinstance(m, LoraLayer)} == {scaling}


def test_new_pooler_is_trained_with_the_head(tiny_models, tmp_path):
    config = load_config(tiny_models["bert"])
    AutoModelForMaskedLM.from_config(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_models["bert"]).save_pretrained(tmp_path)
    built, tokenizer = build(str(tmp_path), lora_r=4)
    assert built.head_names == ("bert.pooler", "classifier")
    assert "bert.pooler is new" in built.notices[0]
    gradients = train_a_little(built.model, batch(tokenizer))
    assert any("pooler.modules_to_save" in name for name in gradients)


@pytest.mark.parametrize("method", ["lora", "head", "full"])
def test_a_pooler_of_the_checkpoint_is_trained_as_well(tiny_models, method):
    layers = {} if method == "head" else {"trainable_layers": 1}
    built, tokenizer = build(tiny_models["bert"], method=method, **layers)
    assert built.head_names == ("bert.pooler", "classifier")
    assert not built.notices
    gradients = train_a_little(built.model, batch(tokenizer))
    assert any(".pooler." in name for name in gradients)
    groups = parameter_groups(
        built.model.named_parameters(),
        head_names=built.head_names,
        learning_rate=1e-3,
        head_learning_rate=1e-2,
        weight_decay=0.0,
    )
    fast = {id(p) for group in groups if group["lr"] == 1e-2 for p in group["params"]}
    heads = [p for n, p in built.model.named_parameters() if ".pooler." in n or "classifier" in n]
    assert fast == {id(p) for p in heads if p.requires_grad}


def test_a_head_with_a_hidden_layer_has_a_default_rate_of_its_own(tiny_models):
    found = {}
    for head, method, rate in product(("sequence", "token"), ("full", "lora"), (1e-4, 1e-2)):
        built, _ = build(tiny_models["bert"], head, method=method)
        found[head, method, rate] = default_head_learning_rate(
            built.model, built.head_names, rate, method=method
        )
    assert {key: rate for key, rate in found.items() if key[0] == "sequence"} == {
        ("sequence", "full", 1e-4): 1e-3,
        ("sequence", "full", 1e-2): 1e-3,
        ("sequence", "lora", 1e-4): 1e-4,
        ("sequence", "lora", 1e-2): 1e-3,
    }
    assert all(rate == key[2] for key, rate in found.items() if key[0] == "token")


def test_head_of_the_checkpoint_goes_on_and_one_of_another_size_is_replaced(tiny_models, tmp_path):
    built, tokenizer = build(tiny_models["bert"], method="full")
    save_model(built.model, tokenizer, tmp_path)
    again, _ = build(str(tmp_path))
    assert "already has a head (classifier)" in again.notices[0]
    assert torch.equal(
        again.model.get_base_model().classifier.original_module.weight,
        built.model.classifier.weight,
    )
    other, _ = build(str(tmp_path), labels=["x", "y"])
    assert other.head_names == ("bert.pooler", "classifier")
    assert "and the data x, y: a new one is made" in other.notices[0]


def test_regression_has_one_output(tiny_models):
    built, _ = build(tiny_models["bert"], labels=[], problem_type="regression")
    config = built.model.get_base_model().config
    assert config.num_labels == 1
    assert config.problem_type == "regression"


@pytest.mark.parametrize(("name", "head"), [("bert", "token"), ("gpt2", "sequence")])
def test_model_on_meta_has_the_same_parameters(tiny_models, name, head):
    real, _ = build(tiny_models[name], head)
    empty, _ = build(tiny_models[name], head, on_meta=True)
    shapes = [
        {n: (p.shape, p.requires_grad, p.dtype) for n, p in built.model.named_parameters()}
        for built in (real, empty)
    ]
    assert shapes[0] == shapes[1]
    assert all(p.is_meta for p in empty.model.parameters())
    assert empty.head_names == real.head_names


def test_target_modules_are_obeyed(tiny_models):
    built, _ = build(tiny_models["bert"], target_modules=("query", "output.dense"))
    adapted = {n for n, m in built.model.named_modules() if isinstance(m, LoraLayer)}
    assert {re.sub(r"^.*\.\d+\.", "", n) for n in adapted} == {
        "attention.self.query",
        "attention.output.dense",
        "output.dense",
    }
    everything, _ = build(tiny_models["bert"], target_modules=("all-linear",))
    default, _ = build(tiny_models["bert"])
    assert trainable(everything.model) == trainable(default.model)


def test_unknown_family_needs_and_takes_target_modules(tmp_path, tiny_models):
    config = AutoConfig.for_model(
        "mpnet",
        vocab_size=320,
        hidden_size=32,
        num_hidden_layers=2,
        num_attention_heads=4,
        intermediate_size=64,
        max_position_embeddings=130,
    )
    AutoModel.from_config(config).save_pretrained(tmp_path)
    AutoTokenizer.from_pretrained(tiny_models["bert"]).save_pretrained(tmp_path)
    with pytest.raises(UserError, match=r"--target-modules with some of attention\.attn\.q"):
        build(str(tmp_path))
    built, tokenizer = build(str(tmp_path), target_modules=("attn.q", "attn.v"))
    assert built.family is None
    assert built.head_names == ("classifier",)
    assert all(
        gradient.abs().max() > 0
        for gradient in train_a_little(built.model, batch(tokenizer)).values()
    )
    assert not [n for n in trainable(built.model) if "lora" in n and "classifier" in n]
    with pytest.raises(UserError, match="trainable_layers"):
        build(str(tmp_path), target_modules=("attn.q",), trainable_layers=1)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"target_modules": ("c_attn",)}, r"target_modules: 'c_attn' fits no linear.*query"),
        ({"target_modules": ("classifier",)}, "target_modules: 'classifier' fits no linear"),
        ({"target_modules": ()}, "target_modules: is empty"),
        ({"target_modules": ("query",), "method": "full"}, "target_modules: has no effect"),
        ({"method": "magic"}, "method: unknown value 'magic'; known: full, head, bias"),
        ({"lora_r": 0}, "lora_r: 0"),
        ({"dropout": 1.0}, "dropout: 1.0"),
        ({"lora_dropout": -0.1}, "lora_dropout: -0.1"),
        ({"trainable_layers": 4}, "trainable_layers: 4 is not between 1 and 3"),
        ({"trainable_layers": 0}, "trainable_layers: 0 is not between 1 and 3"),
        ({"pad_token_id": 5000}, "pad_token_id: 5000 has no embedding"),
        ({"attn_implementation": "no_such_kernel"}, "attn_implementation: 'no_such_kernel'"),
    ],
)
def test_settings_that_cannot_be_obeyed_are_refused(tiny_models, options, message):
    with pytest.raises(UserError, match=message):
        build(tiny_models["bert"], **options)


def test_all_wrong_arguments_are_named_at_once(tiny_models):
    with pytest.raises(UserError) as caught:
        build(tiny_models["bert"], lora_r=0, dropout=2.0, method="none")
    assert len(caught.value.problems) == 3


def test_albert_cannot_choose_layers(tiny_models):
    for method in ("lora", "full"):
        with pytest.raises(UserError, match="ALBERT uses one shared layer"):
            build(tiny_models["albert"], trainable_layers=1, method=method)


def test_dropout_for_a_model_without_any_is_refused():
    from lowcost_ft.models.task_config import set_dropout

    with pytest.raises(UserError, match="dropout: model type 'mamba' has no dropout"):
        set_dropout(AutoConfig.for_model("mamba"), None, 0.1)
    set_dropout(AutoConfig.for_model("mamba"), None, 0.0)  # There is nothing to switch off.
    config = AutoConfig.for_model("m2m_100")
    before = set_dropout(config, None, 0.1)
    assert (config.encoder_layerdrop, config.decoder_layerdrop) == (0.0, 0.0)
    assert before["encoder_layerdrop"] == AutoConfig.for_model("m2m_100").encoder_layerdrop > 0


def test_family_without_the_head_is_refused(tiny_models):
    with pytest.raises(UserError, match=r"no token classification head .*gemma3_text"):
        build(tiny_models["gemma3_text"], "token")


def test_model_that_is_not_there(tmp_path, tiny_models):
    with pytest.raises(UserError, match="no such folder"):
        load_config(str(tmp_path / "missing"))
    with pytest.raises(UserError, match=r"no config\.json"):
        load_config(str(tmp_path))
    with pytest.raises(UserError, match="cannot load the tokenizer"):
        load_tokenizer(str(tmp_path))
    file = Path(tiny_models["bert"], "model.safetensors")
    with pytest.raises(UserError, match="it is a file"):
        load_config(str(file))


def test_a_model_that_is_nowhere_is_said_so_at_once(monkeypatch):
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(UserError, match="HF_HUB_OFFLINE is set: unset it") as caught:
        load_config("nobody/no-such-model")
    assert "lowcost_ft.models.offline" not in str(caught.value)
    with pytest.raises(UserError, match=r"python -m lowcost_ft\.models\.offline smollm2"):
        load_tokenizer(SMOLLM2.model_id, revision="another")
    # Nothing listens at this address: each file of the model would be asked for five times.
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    asked = []
    original = HfApi.model_info
    monkeypatch.setattr(
        HfApi,
        "model_info",
        lambda self, *a, **k: asked.append(a) or original(HfApi("http://127.0.0.1:9"), *a, **k),
    )
    with pytest.raises(UserError, match="check the name and the connection to the Hub"):
        load_tokenizer("nobody/no-such-model")
    assert len(asked) == 1
    with pytest.raises(UserError, match="Repo id must be"):
        load_config("no such/model/at all")


def test_pickled_weights_are_refused(tiny_models, tmp_path):
    source = Path(tiny_models["bert"])
    for path in source.iterdir():
        if path.suffix == ".json":
            (tmp_path / path.name).write_bytes(path.read_bytes())
    with pytest.raises(UserError, match="holds no weights"):
        build(str(tmp_path))
    torch.save(load_file(source / "model.safetensors"), tmp_path / "pytorch_model.bin")
    with pytest.raises(UserError, match=r"only pickled weights \(pytorch_model.bin\)"):
        build(str(tmp_path))


def test_damaged_checkpoints_are_refused(tiny_models, tmp_path):
    source = Path(tiny_models["bert"])
    for path in source.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    weights = load_file(source / "model.safetensors")
    lacking = {n: w for n, w in weights.items() if "layer.1.attention.self.query" not in n}
    save_file(lacking, tmp_path / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"lack 2 tensors of the backbone.*layer\.1\.attention"):
        build(str(tmp_path))
    (tmp_path / "model.safetensors").write_bytes(b"not safetensors")
    with pytest.raises(UserError, match="incomplete or damaged"):
        build(str(tmp_path))


def test_saved_runs_that_do_not_fit_are_refused(tiny_models, tmp_path):
    built, tokenizer = build(tiny_models["bert"], lora_r=4)
    save_model(built.model, tokenizer, tmp_path / "run")
    run = {"task": "classification", "model_id": tiny_models["bert"], "labels": LABELS}
    with pytest.raises(UserError, match="does not load into"):
        load_trained(tmp_path / "run", run | {"labels": ["x", "y"]})
    path = tmp_path / "run" / "adapter_model.safetensors"
    weights = load_file(path)
    save_file({n: w for n, w in weights.items() if "classifier.weight" not in n}, path)
    with pytest.raises(UserError, match=r"lacks base_model\.model\.classifier\.weight"):
        load_trained(tmp_path / "run", run)
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(UserError, match="damaged or cut off"):
        load_trained(tmp_path / "run", run)
    with pytest.raises(UserError, match=r"neither adapter_config\.json"):
        load_trained(tmp_path, run)


def test_loading_is_silent(tiny_models, capfd, recwarn):
    library = logging.getLogger("transformers")
    level = library.level
    build(tiny_models["roberta"], lora_r=4)
    build(tiny_models["gpt2"], lora_r=4)
    captured = capfd.readouterr()
    assert captured.out == ""
    assert captured.err == ""
    assert [str(w.message) for w in recwarn if w.category is UserWarning] == []
    assert library.level == level


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_words_get_the_pieces_that_they_have_in_a_text(tiny_models, name, tmp_path):
    words = ["my", "order", "from", "Oslo", "order"]
    tokenizer = load_tokenizer(tiny_models[name], words=True)
    assert tokenizer.pad_token_id is not None
    separate = tokenizer(words, is_split_into_words=True)
    # A leading word stands in for the start of a text, which has rules of its own.
    plain = AutoTokenizer.from_pretrained(tiny_models[name])
    joined = plain("my " + " ".join(words), add_special_tokens=False)["input_ids"]
    first = plain("my", add_special_tokens=False)["input_ids"]
    ids = [
        i for i, w in zip(separate["input_ids"], separate.word_ids(), strict=True) if w is not None
    ]
    assert ids == joined[len(first) :]
    assert set(separate.word_ids()) - {None} == set(range(5))
    # What a run saves cuts words the same way when it is loaded for prediction.
    tokenizer.save_pretrained(tmp_path)
    again = load_tokenizer(str(tmp_path), words=True)
    assert again(words, is_split_into_words=True)["input_ids"] == separate["input_ids"]


@pytest.mark.parametrize("name", ["gpt2", "llama"])
def test_tokenizers_without_padding_get_one_that_has_an_embedding(tiny_models, name):
    assert AutoTokenizer.from_pretrained(tiny_models[name]).pad_token is None
    tokenizer = load_tokenizer(tiny_models[name])
    assert tokenizer.pad_token == tokenizer.eos_token
    vocab_size = load_config(tiny_models[name]).vocab_size
    assert tokenizer.pad_token_id < vocab_size


@pytest.mark.parametrize("name", DECODERS)
def test_decoders_know_what_pads(tiny_models, name):
    built, tokenizer = build(tiny_models[name])
    tokenizer.padding_side = "right"
    model = built.model.eval()
    inputs = batch(tokenizer)
    assert inputs["attention_mask"].min() == 0
    with torch.no_grad():
        together = model(**inputs).logits
        alone = [model(**tokenizer(text, return_tensors="pt")).logits for text in TEXTS]
    torch.testing.assert_close(together, torch.cat(alone), atol=1e-4, rtol=1e-4)
