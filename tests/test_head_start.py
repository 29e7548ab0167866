"""`--head-start fitted`: the output layer begins as a logistic regression on what it reads."""

import numpy as np
import pytest
import torch
from small_runs import call_recipe, flags
from torch import nn

from lowcost_ft.commands.main import main
from lowcost_ft.data.features import IGNORED_LABEL
from lowcost_ft.models.output_layer import reading
from lowcost_ft.record.run_file import load_run
from lowcost_ft.training import loop
from lowcost_ft.training.head_start import STRENGTH, fit_head


@pytest.fixture
def start(tmp_path, tiny_model, small_files, monkeypatch):
    """`start(recipe, kind, family, **flags)`: the layer as it begins, and what it is fitted to."""

    def run(recipe="lora_classification", kind="single", family="bert", **changes):
        found = {}

        def watched(evaluate, task, features, layer, *, seed):
            found["bias"] = None if layer.bias is None else layer.bias.detach().clone()
            found["record"] = fit_head(evaluate, task, features, layer, seed=seed)
            found["layer"] = nn.Linear(*layer.weight.T.shape, bias=layer.bias is not None)
            with torch.no_grad():
                for name, parameter in layer.named_parameters():
                    found["layer"].get_parameter(name).copy_(parameter)
                logits, labels, states = [], [], []
                for row in range(len(features.lengths)):
                    with reading(layer) as read:
                        outputs, batch = evaluate(features, np.array([row]))
                    choices = task.choices(outputs, batch)
                    logits.append(choices.logits)
                    labels.append(choices.labels)
                    state = read[-1]
                    if state.ndim == 3:  # Virtual tokens stand in front.
                        state = state[:, -batch["attention_mask"].shape[1] :]
                    states.append(state.flatten(0, -2))
            found.update(weights=choices.weights, logits=torch.cat(logits))
            found.update(labels=torch.cat(labels), states=torch.cat(states))
            return found["record"]

        monkeypatch.setattr(loop, "fit_head", watched)
        found["folder"] = tmp_path / f"run{len(list(tmp_path.iterdir()))}"
        values = {"model_id": tiny_model(family), "batch_size": 8, "max_steps": 3}
        values |= {"head_start": "fitted", "max_length": 48, "output_dir": found["folder"]}
        assert call_recipe(recipe, *flags(**values | changes, **small_files[kind])) == 0
        return found

    return run


def slope(found, strength, scale):
    """The gradient of the penalized loss at the layer, relative to that of an empty layer."""
    states, labels = found["states"].double() / scale, found["labels"]
    known = labels[:, 0] >= 0 if labels.ndim == 2 else labels != IGNORED_LABEL
    many = labels.ndim == 2
    lengths = []
    fitted = found["layer"].weight.detach().double() * scale
    shift = (found["layer"].bias.detach() - found["bias"]).double()
    for weight, moved in ((fitted, shift), (fitted * 0, shift * 0)):
        weight.requires_grad_()
        moved.requires_grad_()
        logits = states[known] @ weight.T + found["bias"] + moved
        if many:
            loss = nn.functional.binary_cross_entropy_with_logits(
                logits, labels[known].double(), reduction="sum"
            )
        else:
            weights = found["weights"]
            loss = nn.functional.cross_entropy(
                logits,
                labels[known],
                weight=None if weights is None else weights.double(),
                reduction="sum",
            )
        loss = loss + (weight.square().sum() + moved.square().sum()) / (2 * strength)
        parts = torch.autograd.grad(loss, (weight, moved))
        lengths.append(torch.cat([part.flatten() for part in parts]).norm())
    return float(lengths[0] / lengths[1])


@pytest.mark.parametrize(
    ("recipe", "kind", "changes"),
    [
        ("lora_classification", "single", {}),
        ("lora_classification", "single", {"class_weights": "balanced", "method": "full"}),
        ("lora_classification", "multi", {}),
        ("lora_relation", "relation", {}),
        ("lora_ner", "ner", {}),
        ("lora_ner", "ner", {"max_length": 8}),
        ("lora_ner", "ner", {"method": "prompt"}),
    ],
)
def test_no_other_layer_fits_better(start, recipe, kind, changes):
    found = start(recipe, kind, **changes)
    assert found["record"]["rows"] == 80
    scale = float(found["states"].double().norm(dim=1).mean())
    assert slope(found, STRENGTH, scale) < 0.02
    assert load_run(found["folder"])["train"]["head_start"] == found["record"]


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("bert", {"pooling": "mean"}),
        ("bert", {"pooling": "mean", "method": "prompt"}),
        ("llama", {}),
        ("gpt2", {}),
        ("roberta", {}),
    ],
)
def test_it_knows_most_training_texts_before_training(start, family, changes):
    """Also where the answer is a mean over the tokens, or that of the last one."""
    found = start(family=family, **changes)
    right = (found["logits"].argmax(1) == found["labels"]).double().mean()
    assert right > 0.6
    assert found["record"]["held_out_accuracy"] > 0.7


def test_it_does_not_depend_on_the_cut_or_on_the_cache(start, tmp_path):
    values = {"trainable_layers": 1}
    whole, cut = start(**values), start(**values, micro_batch_tokens=48)
    cached = start(**values, cache_frozen_layers=True, cache_dir=tmp_path / "cache")
    assert torch.equal(cut["layer"].weight, whole["layer"].weight)
    assert torch.equal(cut["layer"].bias, whole["layer"].bias)
    torch.testing.assert_close(cached["layer"].weight, whole["layer"].weight, rtol=1e-3, atol=1e-3)
    assert cached["record"] == whole["record"]


@pytest.mark.parametrize(
    ("recipe", "kind", "changes", "said"),
    [
        ("lora_classification", "number", {}, "no output for each of several classes"),
        ("lora_qa", "question", {}, "no output for each of several classes"),
        (
            "lora_classification",
            "single",
            {"contrastive": "cosine", "pooling": "mean"},
            "--contrastive fits the head at the end",
        ),
    ],
)
def test_it_is_refused_where_nothing_can_be_fitted(
    tmp_path, tiny_model, small_files, capsys, recipe, kind, changes, said
):
    values = {"model_id": tiny_model("bert"), "head_start": "fitted", "max_steps": 2}
    values |= {"output_dir": tmp_path / "run", "max_length": 48, **changes}
    assert call_recipe(recipe, *flags(**values, **small_files[kind])) == 2
    message = " ".join(capsys.readouterr().err.split())
    assert "--head-start fitted" in message
    assert said in message


def test_a_head_of_the_checkpoint_is_kept(tmp_path, tiny_model, trained_run, small_files, capsys):
    merged = tmp_path / "merged"
    words = ["merge", str(trained_run("single", "bert")), "--output-dir", str(merged)]
    assert main(words) == 0
    values = {"model_id": merged, "head_start": "fitted", "max_steps": 2, "max_length": 48}
    values |= {"output_dir": tmp_path / "run"}
    assert call_recipe("lora_classification", *flags(**values, **small_files["single"])) == 2
    assert "does not begin at random" in " ".join(capsys.readouterr().err.split())
