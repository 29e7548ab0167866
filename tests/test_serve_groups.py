"""Adapters that run together give what each gives alone, and what no adapter changes runs once."""

from types import SimpleNamespace

import pytest
import torch
from accelerate import Accelerator
from torch import nn

from lowcost_ft.models.loading import build_model, forward_module, load_tokenizer
from lowcost_ft.models.pooled_states import keeping_states, take_states
from lowcost_ft.models.shared_weights import share_weights
from lowcost_ft.serve.dispatch import _StackedLora
from lowcost_ft.serve.groups import group_models

HEADS = {"token": ["O", "B-a", "I-a"], "sequence": ["a", "b"], "question_answering": ["s", "e"]}


@pytest.fixture(scope="module")
def served(tiny_model):
    """`served("bert", ("token", "lora"), ...)`: models that share weights, as a server has them."""

    def build(family, *kinds, **settings):
        folder, found = tiny_model(family), []
        tokenizer = load_tokenizer(folder)
        accelerator = Accelerator(cpu=True)
        for number, (head, method, *more) in enumerate(kinds):
            own = settings | (more[0] if more else {})
            built = build_model(
                folder,
                head=head,
                labels=HEADS[head],
                method=method,
                seed=number,
                pad_token_id=tokenizer.pad_token_id,
                **own,
            )
            moved(built.model, seed=number)
            model = forward_module(built.model).eval()
            if found:
                share_weights(found[0].predictor.model, model)
            predictor = SimpleNamespace(model=model, tokenizer=tokenizer, accelerator=accelerator)
            found.append(SimpleNamespace(name=f"{number}-{method}", predictor=predictor))
        return found

    return build


def moved(model, seed):
    """Moves what would be trained, so that adapters do something."""
    generator = torch.Generator().manual_seed(seed + 1)
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.requires_grad:
                parameter += 0.1 * torch.randn(parameter.shape, generator=generator)


def batch(model, rows, *, seed=0):
    """Inputs of rows of the given lengths, padded to the longest."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 100, (len(rows), max(rows)), generator=generator)
    mask = (torch.arange(max(rows)) < torch.tensor(rows)[:, None]).long()
    return {"input_ids": ids * mask, "attention_mask": mask}


def logits(outputs, mask):
    name = next(name for name in ("logits", "start_logits") if outputs.get(name) is not None)
    found = outputs[name]
    return found[mask.bool()] if found.shape[:2] == mask.shape else found


def check_together(models, group, numbers, inputs_of):
    """Compares rows that run together with each model's own."""
    together = {
        name: torch.cat([inputs_of[n][name] for n in numbers]) for name in inputs_of[numbers[0]]
    }
    segments, first = [], 0
    for number in numbers:
        count = len(inputs_of[number]["input_ids"])
        segments.append((number, first, first + count))
        first += count
    with torch.inference_mode():
        upper = group.upper_states(group.lower_states(together), together, segments)
        for number, start, end in segments:
            own, mask = inputs_of[number], inputs_of[number]["attention_mask"]
            with group.top(number, upper[start:end]) as top:
                found = logits(top(**own), mask)
            expected = logits(models[number].predictor.model(**own), mask)
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


# PiSSA and OLoRA train on other base weights; what their runs save is plain LoRA.
METHODS = ("lora", "rslora", "dora", "adalora", "ia3", "oft", "bias")


@pytest.mark.parametrize("method", METHODS)
def test_each_method_runs_beside_lora(served, method):
    models = served("bert", ("token", "lora"), ("sequence", method), ("token", method))
    grouping = group_models(models)
    assert not grouping.reasons
    group = grouping.places[id(models[0])][0]
    assert {id(grouping.places[id(model)][0]) for model in models} == {id(group)}
    inputs = {n: batch(models[n], [5, 9, 9][: n + 1], seed=n) for n in range(3)}
    for number in inputs:  # One length for all, as a micro-batch has.
        inputs[number] = padded(inputs[number], 9)
    check_together(models, group, [0, 1, 2], inputs)
    check_together(models, group, [1], inputs)
    check_together(models, group, [0, 2], {n: inputs[1] for n in range(3)})


def padded(inputs, length):
    return {
        name: nn.functional.pad(value, (0, length - value.shape[1]))
        for name, value in inputs.items()
    }


@pytest.mark.parametrize(
    "family",
    ["distilbert", "roberta", "electra", "modernbert", "gpt2", "llama", "qwen3"],
)
def test_families_run_in_groups(served, family):
    models = served(
        family, ("token", "lora", {"lora_r": 4}), ("sequence", "lora"), trainable_layers=2
    )
    grouping = group_models(models)
    assert not grouping.reasons
    group = grouping.places[id(models[0])][0]
    assert group.first == 1
    inputs = {n: padded(batch(models[n], [4, 7][: n + 1], seed=n), 8) for n in range(2)}
    check_together(models, group, [0, 1], inputs)
    check_together(models, group, [0, 1], {n: inputs[1] for n in range(2)})


def test_what_cannot_run_together_says_why(served):
    kinds = [("token", "lora"), ("token", "prompt"), ("sequence", "prefix"), ("token", "layernorm")]
    reasons = group_models(served("bert", *kinds)).reasons
    for name, why in (
        ("0-lora", "no other adapter"),
        ("1-prompt", "vectors in front"),
        ("2-prefix", "vectors in front"),
        ("3-layernorm", "changes more than layers"),  # The norm of the embeddings, too.
    ):
        assert why in reasons[name]
    reasons = group_models(served("albert", *[("token", "lora")] * 2)).reasons
    assert set(reasons.values()) == {"its layers cannot be run one by one"}
    # Its adapters change the keys of relative positions as well, which are not of any row.
    reasons = group_models(served("deberta-v2", ("token", "lora"), ("sequence", "lora"))).reasons
    assert set(reasons.values()) == {"its outputs beside others are not its own"}


def test_heads_alone_share_all_layers(served):
    models = served("bert", ("token", "head"), ("sequence", "head"), ("token", "head"))
    grouping = group_models(models)
    group = grouping.places[id(models[0])][0]
    assert group.first == 3 and not grouping.reasons
    inputs = {n: batch(models[n], [5, 7]) for n in range(3)}
    check_together(models, group, [0, 1, 2], inputs)


def test_the_lower_layers_run_once_and_no_weight_is_copied(served):
    models = served("bert", ("token", "lora"), ("sequence", "lora"), trainable_layers=1)
    before = storages([model.predictor.model for model in models])
    group = group_models(models).places[id(models[0])][0]
    stacks = [m.stacked for m in group._upper.modules() if isinstance(m, _StackedLora)]
    assert len(stacks) == 6
    held = [model.predictor.model for model in models]
    after = storages([*held, group._lower, group._upper, *group._tops])
    # The stacks are the adapters' own storage from now on.
    assert sum(after.values()) == sum(before.values())
    ran = []
    for number, layer in enumerate(group._lower.base_model.encoder.layer):
        layer.register_forward_hook(lambda m, a, out, n=number: ran.append((n, len(out))))
    inputs = batch(models[0], [6])
    with torch.inference_mode():
        states = group.lower_states(inputs)
        group.upper_states(
            torch.cat([states] * 2),
            {name: torch.cat([value] * 2) for name, value in inputs.items()},
            [(0, 0, 1), (1, 1, 2)],
        )
    assert [number for number, _ in ran] == [0, 1]


def storages(models):
    tensors = [t for model in models for t in (*model.parameters(), *model.buffers())]
    return {t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}


def test_a_group_whose_outputs_differ_is_not_used(served, monkeypatch):
    models = served("bert", ("token", "lora"), ("sequence", "lora"))
    wrong = lambda self, x: 1.5 * self.modules_and_segments[0][0](x)  # noqa: E731
    monkeypatch.setattr(_StackedLora, "forward", wrong)
    grouping = group_models(models)
    assert not grouping.places
    assert set(grouping.reasons.values()) == {"its outputs beside others are not its own"}


@pytest.mark.parametrize("layers", [None, 1, 0], ids=["all layers", "top layer", "head"])
def test_a_group_leaves_the_states_of_the_middle_layer(served, layers):
    own = {} if not layers else {"trainable_layers": layers}
    method = "head" if layers == 0 else "lora"
    models = served("bert", ("token", method, own), ("sequence", method, own))
    places = group_models(models).places
    assert len(places) == 2
    group = places[id(models[0])][0]
    assert group.middle_is_lower == (layers is not None)
    inputs = batch(models[0].predictor.model, [7, 4])
    together = {name: torch.cat([value] * 2) for name, value in inputs.items()}
    with torch.inference_mode():
        lower = group.lower_states(together)
        middle = take_states()
        group.upper_states(lower, together, [(0, 0, 2), (1, 2, 4)])
        middle = middle if group.middle_is_lower else take_states()
        for number, model in enumerate(models):
            with keeping_states(model.predictor.model) as kept:
                model.predictor.model(**inputs)
                expected = take_states()
            assert kept
            found = middle[2 * number : 2 * number + 2]
            torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)
