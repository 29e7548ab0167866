"""Masks made from the lengths alone are the masks that the model makes by looking."""

import contextlib
import threading

import numpy as np
import pytest
import torch
from tiny import FAMILY_NAMES, TOKEN_FAMILIES
from torch.utils._python_dispatch import TorchDispatchMode

from lowcost_ft.data.features import Features, collate, model_inputs
from lowcost_ft.models.attention_masks import has_padding, known_padding
from lowcost_ft.models.loading import build_model, forward_module

CASES = [(name, "sequence") for name in FAMILY_NAMES]
CASES += [(name, "token") for name in TOKEN_FAMILIES]
LENGTHS = {"padded": [20, 12, 3], "full": [20, 20, 20]}


class Looks(TorchDispatchMode):
    """Counts how often the host asks for a tensor's value: on a GPU it would have to wait."""

    def __init__(self):
        super().__init__()
        self.count = 0

    def __torch_dispatch__(self, function, types, args=(), kwargs=None):
        self.count += function is torch.ops.aten._local_scalar_dense.default
        return function(*args, **(kwargs or {}))


def rows(lengths):
    ids = np.random.default_rng(0).integers(5, 200, sum(lengths)).astype(np.int32)
    return Features(
        input_ids=ids,
        starts=np.cumsum([0, *lengths]),
        examples=np.arange(len(lengths)),
        num_examples=len(lengths),
        weights=np.ones(len(lengths)),
    )


@pytest.mark.parametrize("lengths", list(LENGTHS))
@pytest.mark.parametrize(("family", "head"), CASES)
def test_nothing_is_asked_and_nothing_changes(tiny_model, family, head, lengths):
    built = build_model(tiny_model(family), head=head, labels=["a", "b"], pad_token_id=1)
    model = forward_module(built.model)
    features = rows(LENGTHS[lengths])
    batch = model_inputs(collate(features, np.arange(3), pad_token_id=1), features)
    expected = model(**batch).logits.detach()
    with known_padding(has_padding(features.lengths)):
        logits = model(**batch).logits.detach()
        with Looks() as looks:
            model(**batch).logits.sum().backward()
    real = batch["attention_mask"].bool() if head == "token" else ...
    torch.testing.assert_close(logits[real], expected[real])
    assert looks.count == 0


@pytest.mark.parametrize("implementation", ["sdpa", "eager"])
@pytest.mark.parametrize("family", ["bert", "llama"])
def test_a_kernel_of_choice_gets_its_own_kind_of_mask(tiny_model, family, implementation):
    built = build_model(
        tiny_model(family),
        head="token",
        labels=["a", "b"],
        pad_token_id=1,
        attn_implementation=implementation,
    )
    model = forward_module(built.model)
    for lengths in LENGTHS.values():
        features = rows(lengths)
        batch = model_inputs(collate(features, np.arange(3), pad_token_id=1), features)
        real = batch["attention_mask"].bool()
        expected = model(**batch).logits[real]
        with known_padding(has_padding(features.lengths)):
            torch.testing.assert_close(model(**batch).logits[real], expected)


def test_the_library_is_as_before_outside_the_block(tiny_model):
    model = forward_module(build_model(tiny_model("bert"), head="token", labels=["a", "b"]).model)
    features = rows(LENGTHS["padded"])
    batch = model_inputs(collate(features, np.arange(3), pad_token_id=1), features)
    expected = model(**batch).logits
    with contextlib.suppress(KeyboardInterrupt), known_padding(False):
        assert not torch.equal(model(**batch).logits, expected)  # The padding is seen.
        raise KeyboardInterrupt
    assert torch.equal(model(**batch).logits, expected)


def test_threads_have_answers_of_their_own(tiny_model):
    model = forward_module(build_model(tiny_model("bert"), head="token", labels=["a", "b"]).model)
    features = {padded: rows(LENGTHS["padded" if padded else "full"]) for padded in (True, False)}
    batches = {
        p: model_inputs(collate(f, np.arange(3), pad_token_id=1), f) for p, f in features.items()
    }
    model.eval()
    expected = {padded: model(**batch).logits for padded, batch in batches.items()}
    both, wrong = threading.Barrier(2), []

    def ask(padded):
        for _ in range(20):
            with known_padding(padded):
                both.wait(timeout=60)
                if not torch.equal(model(**batches[padded]).logits, expected[padded]):
                    wrong.append(padded)
            both.wait(timeout=60)
            # One thread may be in a block while the other is not.
            if not torch.equal(model(**batches[padded]).logits, expected[padded]):
                wrong.append(padded)

    asking = [threading.Thread(target=ask, args=(padded,)) for padded in (True, False)]
    for thread in asking:
        thread.start()
    for thread in asking:
        thread.join()
    assert not wrong
    assert torch.equal(model(**batches[True]).logits, expected[True])
