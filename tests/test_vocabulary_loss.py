"""The loss over a vocabulary in pieces: that of each family's own logits, and its gradients."""

import pytest
import torch
from tiny import DECODERS
from torch.nn import functional as F  # noqa: N812
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

from lowcost_ft.errors import UserError
from lowcost_ft.tasks import vocabulary_loss as pieced
from lowcost_ft.tasks.language_head import check_head, states_before_head
from lowcost_ft.tasks.vocabulary_loss import Vocabulary, token_losses, vocabulary_loss

IGNORED = -100


@pytest.fixture
def small_pieces(monkeypatch):
    monkeypatch.setattr(pieced, "_PIECE_NUMBERS", 1000)
    monkeypatch.setattr(pieced, "_LEAST_TOKENS", 3)


def gradients(model):
    found = {name: p.grad.clone() for name, p in model.named_parameters()}
    model.zero_grad()
    return found


@pytest.mark.parametrize("family", DECODERS)
def test_loss_and_gradients_are_those_of_the_models_own_logits(tiny_model, small_pieces, family):
    model = AutoModelForCausalLM.from_pretrained(tiny_model(family)).eval()
    torch.manual_seed(0)
    ids, targets = torch.randint(5, 200, (2, 3, 11))
    targets[0, :6] = IGNORED
    inputs = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    logits = model(**inputs).logits.float().flatten(0, 1)
    expected = F.cross_entropy(logits, targets.flatten(), reduction="sum")
    expected.backward()
    of_logits = gradients(model)
    found = states_before_head(model, inputs)
    places = (targets.flatten() != IGNORED).nonzero().squeeze(1)
    states, right = found["states"].flatten(0, 1)[places], targets.flatten()[places]
    loss = vocabulary_loss(states, found.vocabulary, right)
    assert loss.item() == pytest.approx(expected.item(), rel=1e-6)
    assert token_losses(states, found.vocabulary, right).sum().item() == pytest.approx(
        expected.item(), rel=1e-6
    )
    loss.backward()
    for name, gradient in gradients(model).items():  # Tied weights train, too.
        scale = of_logits[name].abs().max()
        assert (gradient - of_logits[name]).abs().max() <= 1e-5 * scale, name
    check_head(model, family)


@pytest.mark.parametrize("scale", [1.0, 0.25])
@pytest.mark.parametrize("cap", [None, 5.0])
def test_a_bias_a_scale_and_a_cap_have_gradients(small_pieces, cap, scale):
    torch.manual_seed(0)
    states, weight = torch.randn(8, 4, requires_grad=True), torch.randn(30, 4, requires_grad=True)
    bias, targets = torch.randn(30, requires_grad=True), torch.randint(0, 30, (8,))
    logits = F.linear(states, weight) * scale + bias
    logits = logits if cap is None else cap * torch.tanh(logits / cap)
    expected = torch.autograd.grad(
        3 * F.cross_entropy(logits, targets, reduction="sum"), (states, weight, bias)
    )
    vocabulary = Vocabulary(weight=weight, bias=bias, scale=scale, cap=cap, dtype=torch.float32)
    found = torch.autograd.grad(
        3 * vocabulary_loss(states, vocabulary, targets), (states, weight, bias)
    )
    for one, other in zip(expected, found, strict=True):
        assert torch.allclose(one, other, rtol=1e-5, atol=1e-6)


def test_an_output_layer_of_another_kind_is_refused_by_its_model_type():
    sizes = {"d_model": 16, "encoder_layers": 1, "decoder_layers": 1, "langs": ["en", "de"]}
    sizes |= {"src_vocab_size": 40, "tgt_vocab_size": 40, "max_position_embeddings": 20}
    sizes |= {"encoder_attention_heads": 2, "decoder_attention_heads": 2}
    model = AutoModelForSeq2SeqLM.from_config(AutoConfig.for_model("fsmt", **sizes))
    with pytest.raises(UserError, match="the output layer of model type 'fsmt' is not a linear"):
        check_head(model, "fsmt")


def scaled(kind, **changes):
    sizes = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2}
    sizes |= {"num_key_value_heads": 2, "intermediate_size": 16, "vocab_size": 40}
    config = AutoConfig.for_model(kind, **sizes, **changes, pad_token_id=0)
    return AutoModelForCausalLM.from_config(config).eval()


@pytest.mark.parametrize(
    ("kind", "changes"),
    [("granite", {"logits_scaling": 8.0}), ("cohere", {"logit_scale": 0.0625}), ("cohere2", {})],
)
def test_logits_that_are_scaled_have_their_scale(kind, changes):
    model = scaled(kind, **changes)
    check_head(model, kind)
    found = states_before_head(model, {"input_ids": torch.ones(1, 1, dtype=torch.long)})
    assert found.vocabulary.scale != 1


def test_logits_that_are_changed_otherwise_are_refused_though_padding_has_none():
    model = scaled("hyperclovax", logits_scaling=8.0)  # It multiplies, where Granite divides.
    assert not model.get_input_embeddings().weight[0].any()
    with pytest.raises(UserError, match="changes its logits in a way that is not known"):
        check_head(model, "hyperclovax")
