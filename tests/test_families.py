"""Every line of the table of families against the installed transformers classes."""

import re

import pytest
import torch
from tiny import ENCODER_DECODERS, FAMILY_NAMES, TOKEN_FAMILIES, make_tiny
from torch import nn
from transformers import AutoConfig, AutoModel
from transformers.pytorch_utils import Conv1D

from lowcost_ft.models.families import FAMILIES, find_family, known_families, longest_input
from lowcost_ft.models.loading import build_model

CASES = [(name, "sequence") for name in FAMILY_NAMES] + [(name, "token") for name in TOKEN_FAMILIES]


@pytest.fixture(scope="module")
def tiny_models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tiny")
    return {name: make_tiny(name, folder / name) for name in FAMILY_NAMES}


def build_full(folder, head, **options):
    return build_model(folder, head=head, labels=["a", "b", "c"], method="full", **options)


def test_every_model_type_belongs_to_one_family():
    model_types = [model_type for family in FAMILIES for model_type in family.model_types]
    assert len(model_types) == len(set(model_types))
    assert set(model_types) == {*FAMILY_NAMES, *ENCODER_DECODERS}


def test_unknown_model_type_has_no_family():
    assert find_family(AutoConfig.for_model("mpnet")) is None
    assert "DeBERTa-v2/v3" in known_families()


@pytest.mark.parametrize(("name", "head"), CASES)
def test_targets_are_all_linear_layers_of_a_layer(tiny_models, name, head):
    built = build_full(tiny_models[name], head, on_meta=True)
    layers = built.model.base_model.get_submodule(built.family.layers)
    patterns = [re.escape(target).replace(r"\*", r"\d+") for target in built.family.lora_targets]
    for layer in layers:
        linear = [n for n, m in layer.named_modules() if isinstance(m, nn.Linear | Conv1D)]
        assert linear
        for module_name in linear:
            assert any(re.fullmatch(pattern, module_name) for pattern in patterns), module_name


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_every_target_exists_in_some_configuration(tiny_models, name, tmp_path):
    folder = tiny_models[name]
    if name == "deberta-v2":  # With projections of their own for positions.
        folder = make_tiny(name, tmp_path, share_att_key=False)
    built = build_full(folder, "sequence", on_meta=True)
    layers = built.model.base_model.get_submodule(built.family.layers)
    linear = [n for n, m in layers[0].named_modules() if isinstance(m, nn.Linear | Conv1D)]
    for target in built.family.lora_targets:
        pattern = re.escape(target).replace(r"\*", r"\d+")
        assert any(re.fullmatch(pattern, module_name) for module_name in linear), target


@pytest.mark.parametrize(("name", "head"), CASES)
def test_heads_are_what_the_checkpoint_lacks(tiny_models, name, head):
    built = build_full(tiny_models[name], head)
    assert built.notices == []
    poolers = {n for n in ("bert.pooler", "albert.pooler") if n.startswith(name)}
    assert set(built.head_names) <= {*built.family.head_names, *poolers}
    assert (poolers <= set(built.head_names)) == (head == "sequence" or not poolers)
    assert built.num_layers == 3
    if head == "sequence" and name == "distilbert":
        assert built.head_names == ("pre_classifier", "classifier")
    if head == "sequence" and name == "deberta-v2":
        assert built.head_names == ("pooler", "classifier")
    if name == "modernbert":
        assert built.head_names == ("head", "classifier")
    if name == "gpt2":
        assert built.head_names == (("classifier",) if head == "token" else ("score",))


@pytest.mark.parametrize(("name", "head"), CASES)
def test_dropout_fields_reach_every_dropout(tiny_models, name, head):
    built = build_full(tiny_models[name], head, dropout=0.25)
    probabilities = {
        module_name: module.p
        for module_name, module in built.model.named_modules()
        if isinstance(module, nn.Dropout)
    }
    assert all(p == 0.25 for p in probabilities.values()), probabilities
    # Attention that drops inside a fused kernel keeps its probability as a number.
    numbers = [
        getattr(module, field)
        for module in built.model.modules()
        for field in ("attention_dropout", "dropout_prob")
        if isinstance(getattr(module, field, None), float)
    ]
    assert all(number == 0.25 for number in numbers)
    assert probabilities or numbers


@pytest.mark.parametrize(("name", "head"), CASES)
def test_dropout_zero_makes_training_mode_deterministic(tiny_models, name, head):
    built = build_full(tiny_models[name], head, dropout=0.0)
    pad = built.model.config.pad_token_id
    built.model.config.pad_token_id = 0 if pad is None else pad
    built.model.train()
    inputs = torch.randint(5, 200, (2, 12), generator=torch.Generator().manual_seed(0))
    first = built.model(input_ids=inputs).logits
    assert torch.equal(first, built.model(input_ids=inputs).logits)
    built.model.eval()
    torch.testing.assert_close(first, built.model(input_ids=inputs).logits)


@pytest.mark.parametrize("name", FAMILY_NAMES)
def test_causal_is_what_the_attention_does(tiny_models, name):
    head = "token" if name in TOKEN_FAMILIES else "sequence"
    model = build_full(tiny_models[name], head).model
    inputs = torch.randint(5, 200, (1, 10), generator=torch.Generator().manual_seed(0))
    changed = inputs.clone()
    changed[0, -1] = 4
    with torch.no_grad():
        before = model.base_model(input_ids=inputs).last_hidden_state[:, :-1]
        after = model.base_model(input_ids=changed).last_hidden_state[:, :-1]
    sees_later = not torch.allclose(before, after, atol=1e-6)
    assert sees_later != find_family(model.config).causal


def test_shared_layers_share_weights(tiny_models):
    built = build_full(tiny_models["albert"], "token")
    assert built.family.shared_layers
    assert len(built.model.base_model.get_submodule(built.family.layers)) == 1
    assert not any(family.shared_layers for family in FAMILIES if family is not built.family)


@pytest.mark.parametrize("family", FAMILY_NAMES)
def test_the_longest_input_is_the_longest_that_runs(tmp_path, family):
    folder = make_tiny(family, tmp_path, max_position_embeddings=24)
    config = AutoConfig.from_pretrained(folder)
    model = AutoModel.from_pretrained(folder).eval()
    longest = longest_input(config)

    def run(length):
        ids = torch.full((1, length), 5)
        with torch.inference_mode():
            return model(input_ids=ids, attention_mask=torch.ones_like(ids))

    if longest is None:
        run(60)
        return
    assert longest in (22, 24)
    run(longest)
    with pytest.raises((IndexError, RuntimeError)):
        run(longest + 1)
