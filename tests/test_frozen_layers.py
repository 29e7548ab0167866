"""Below the trainable layers: no dropout, no graph, no activations kept, whatever is called."""

import copy

import pytest
import torch
from tiny import FAMILY_NAMES, TOKEN_FAMILIES, make_tiny
from torch import nn

from lowcost_ft.frozen.lower_part import LowerPart
from lowcost_ft.memory.measure import cpu_step_peak_bytes
from lowcost_ft.models.families import FAMILIES
from lowcost_ft.models.freezing import freeze_below, frozen_names
from lowcost_ft.models.loading import build_model, forward_module

SEPARATE = [name for name in FAMILY_NAMES if name != "albert"]
CASES = [(name, "sequence") for name in SEPARATE]
CASES += [(name, "token") for name in TOKEN_FAMILIES if name != "albert"]


def build(model_id, head="sequence", **options):
    built = build_model(model_id, head=head, labels=["a", "b", "c"], pad_token_id=1, **options)
    return built, forward_module(built.model)


def token_ids(rows=2, length=12):
    return torch.randint(5, 200, (rows, length), generator=torch.Generator().manual_seed(0))


def lowest(model, built, name):
    return model.base_model.get_submodule(f"{built.family.layers}.{name}")


@pytest.mark.parametrize(("family", "head"), CASES)
def test_the_table_names_all_that_runs_before_the_layers(tiny_model, family, head):
    """Whatever has weights and runs before the first layer is named by `embeddings`."""
    built, model = build(tiny_model(family), head, method="full")
    named = [model.base_model.get_submodule(n) for n in frozen_names(model, built.family, 3)]
    ran = []

    class Stop(Exception):  # noqa: N818
        pass

    def stop(*_):
        raise Stop

    for module in model.base_model.modules():
        if any(True for _ in module.parameters(recurse=False)):
            module.register_forward_hook(lambda m, *_: ran.append(m))
    lowest(model, built, 0).register_forward_pre_hook(stop)
    with pytest.raises(Stop):
        model(input_ids=token_ids())
    below = {module for part in named for module in part.modules()}
    relative = {"LayerNorm"} if family == "deberta-v2" else set()  # of the relative positions
    outside = [type(m).__name__ for m in ran if m not in below]
    assert ran and set(outside) <= relative


@pytest.mark.parametrize(("family", "head"), CASES)
@pytest.mark.parametrize("method", ["lora", "full"])
def test_the_lower_part_stays_in_evaluation_mode(tiny_model, family, head, method):
    built, model = build(tiny_model(family), head, method=method, trainable_layers=1, dropout=0.3)
    states = []
    lowest(model, built, 2).register_forward_pre_hook(
        lambda _, args, kwargs: states.append(args[0] if args else kwargs["hidden_states"]),
        with_kwargs=True,
    )
    model.eval()
    inputs = {"input_ids": token_ids(), "attention_mask": torch.ones(2, 12, dtype=torch.long)}
    with torch.no_grad():
        model(**inputs)
    model.train()
    assert model.training and lowest(model, built, 2).training
    assert not lowest(model, built, 1).training
    model(**inputs).logits.sum().backward()
    assert torch.equal(states[0], states[1])  # Dropout would change it.
    assert not states[1].requires_grad
    below = LowerPart(model, built.family, 1)
    assert all(p.grad is None and not p.requires_grad for p in below.tensors())
    trained = [p.grad for p in model.parameters() if p.requires_grad]
    assert any(gradient is not None and gradient.abs().sum() > 0 for gradient in trained)


def test_it_survives_copies_and_wrappers(tiny_model):
    built, model = build(tiny_model("bert"), trainable_layers=2)
    other = copy.deepcopy(model)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.zero_()
    wrapped = nn.ModuleDict({"model": other}).train()
    assert not lowest(wrapped["model"], built, 0).training
    # The copy runs its own weights.
    assert other(input_ids=token_ids()).logits.abs().sum() > 0


def test_nothing_changes_what_is_saved(tmp_path, tiny_model):
    for folder, layers in ((tmp_path / "frozen", 1), (tmp_path / "free", None)):
        _, model = build(tiny_model("bert"), method="full", trainable_layers=layers)
        model.save_pretrained(folder)
    for name in ("config.json", "model.safetensors"):
        assert (tmp_path / "frozen" / name).read_bytes() == (tmp_path / "free" / name).read_bytes()


def test_freezing_twice_is_freezing_once(tiny_model):
    built, model = build(tiny_model("bert"), trainable_layers=2)
    kind = type(lowest(model, built, 0))
    freeze_below(model, built.family, 2)
    assert type(lowest(model, built, 0)) is kind
    assert isinstance(lowest(model, built, 0), kind.__mro__[2])


def test_no_activations_are_kept_below(tmp_path):
    """The peak of a step does not grow with the number of frozen layers, beyond their weights."""

    def activations(num_layers, trainable_layers):
        folder = make_tiny("bert", tmp_path / str(num_layers), num_hidden_layers=num_layers)
        _, model = build(folder, trainable_layers=trainable_layers, gradient_checkpointing=False)
        model.train()
        ids = token_ids(16, 64)

        def step():
            model(input_ids=ids).logits.sum().backward()
            model.zero_grad()

        step()
        return cpu_step_peak_bytes(step, [])

    few, many, all_train = activations(2, 1), activations(8, 1), activations(8, None)
    assert many < few * 1.02
    assert all_train > 3 * many


@pytest.mark.parametrize("family", SEPARATE)
def test_the_lower_part_runs_alone(tiny_model, family):
    built, model = build(tiny_model(family), method="full", trainable_layers=2)
    part = LowerPart(model, built.family, 2)
    assert part.first_layer == 1
    states = part.run({"input_ids": token_ids()})
    assert states.shape == (2, 12, 32)
    expected = model(input_ids=token_ids()).logits
    with part.taken_out(), part.entering(states):
        torch.testing.assert_close(model(input_ids=token_ids()).logits, expected)


def test_conv_of_deberta_is_in_the_table():
    (deberta,) = (family for family in FAMILIES if family.after_first_layer)
    assert deberta.after_first_layer == ("encoder.conv",)
