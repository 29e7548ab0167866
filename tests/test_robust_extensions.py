"""Adversarial training and R-Drop: equations, cuts, frozen layers, memory, resuming."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from test_backbone_cache import Case as CacheCase
from test_loss_extensions import DiedError, extended, train  # noqa: F401
from test_simulated_step import Case, assert_equal, config
from test_steps import gradient, make_runner
from torch import nn

from lowcost_ft.config.run import RunConfig
from lowcost_ft.errors import UserError
from lowcost_ft.models.adapters import layer_list
from lowcost_ft.training.checkpoint_files import newest_checkpoint
from lowcost_ft.training.extensions.adversarial import Adversarial, random_start
from lowcost_ft.training.extensions.base import TrainingContext
from lowcost_ft.training.extensions.registry import build_extensions

KINDS = ("fgm", "pgd", "freelb")


class Linear(nn.Module):
    """A model whose loss is linear in its embeddings: the sum of w x over the real tokens."""

    def __init__(self):
        super().__init__()
        self.embed = nn.Embedding(9, 4)
        self.w = nn.Parameter(torch.tensor([0.5, -1.0, 2.0, 0.25]))
        self.embed.requires_grad_(False)
        self.entered = []

    def get_input_embeddings(self):
        return self.embed

    def forward(self, batch):
        x = self.embed(batch["input_ids"])
        self.entered.append(x.detach().clone())
        return x * batch["attention_mask"][..., None] @ self.w


def linear_case(kind, epsilon=0.3, steps=3, change=lambda model: None):
    torch.manual_seed(0)
    model = Linear()
    change(model)
    trick = Adversarial(model, kind=kind, epsilon=epsilon, steps=steps, seed=5)
    batch = {
        "input_ids": torch.tensor([[1, 2, 3, 4], [5, 6, 0, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]),
        "adversarial.rows": torch.tensor([7, 3]),
        "adversarial.lengths": torch.tensor([4, 2]),
    }

    def inner(batch):
        outputs = model(batch)
        loss = trick.loss(outputs, batch, inner=lambda out, _: out.sum(), forward=model)
        loss.backward()
        return loss.detach()

    return model, trick, batch, trick.backward(batch, inner=inner)


def test_fgm_is_the_closed_form_on_a_linear_model():
    model, _, batch, loss = linear_case("fgm", epsilon=0.3)
    clean, moved = model.entered
    expected = clean.clone()
    for row, length in enumerate((4, 2)):  # |g| is |w| for each real token: sqrt(length) |w|.
        reach = 0.3 * clean[row, :length].norm()
        expected[row, :length] += reach * model.w.detach() / model.w.norm() / length**0.5
    torch.testing.assert_close(moved, expected)  # Padding stays where it is.
    values = [(x * batch["attention_mask"][..., None] @ model.w).sum() for x in (clean, expected)]
    torch.testing.assert_close(loss, (sum(values) / 2).detach())
    gradient = (clean + expected) / 2 * batch["attention_mask"][..., None]
    torch.testing.assert_close(model.w.grad, gradient.sum((0, 1)))
    assert model.embed.weight.grad is None


@pytest.mark.parametrize("kind", ["pgd", "freelb"])
def test_points_of_several_steps_stay_in_the_ball_and_climb(kind):
    model, _, batch, loss = linear_case(kind, epsilon=0.3, steps=3)
    assert len(model.entered) == {"pgd": 4, "freelb": 3}[kind]
    clean = model.embed(batch["input_ids"])
    mask = batch["attention_mask"][..., None]
    reach = 0.3 * (clean * mask).flatten(1).norm(dim=1)
    losses = []
    for x in model.entered:
        assert ((x - clean) * (1 - mask)).abs().max() == 0
        length = (x - clean).flatten(1).norm(dim=1)
        assert (length <= reach * (1 + 1e-6)).all()
        losses.append((x * mask @ model.w).sum(1).detach())
    assert (length > 0.99 * reach).all()  # On a slope, the worst point is at the edge.
    for lower, higher in pairwise(losses):
        assert (higher > lower).all()
    learned = losses[-1:] if kind == "pgd" else losses
    torch.testing.assert_close(loss, sum(learned).sum() / len(learned))
    seen = model.entered[-1:] if kind == "pgd" else model.entered
    torch.testing.assert_close(model.w.grad, (sum(seen) / len(seen) * mask).sum((0, 1)))


@pytest.mark.parametrize("kind", KINDS)
def test_a_row_without_a_gradient_stays_finite(kind):
    def change(model):
        model.embed.weight.data.mul_(100)  # As long as the states of large models.
        model.w.data.zero_()  # As for a row whose loss counts nothing.

    model, _, _, loss = linear_case(kind, change=change)
    assert all(torch.isfinite(x).all() for x in model.entered)
    assert loss == 0
    assert torch.isfinite(model.w.grad).all()


def test_random_starts_depend_on_seed_step_and_row_alone():
    def start(rows, lengths, tokens, **changes):
        shift = torch.zeros(len(rows), tokens, 4)
        random_start(shift, rows, lengths, **{"seed": 1, "step": 2, **changes})
        return shift

    together = start([7, 3], [5, 2], 5)
    assert torch.equal(together[:1], start([7], [5], 5))
    assert torch.equal(together[1:, :2], start([3], [2], 2))
    assert together[1, 2:].abs().max() == 0
    assert 0.3 < together[0].norm() < 1
    for other in ({"seed": 2}, {"step": 3}):
        assert not torch.equal(together, start([7, 3], [5, 2], 5, **other))


@pytest.mark.parametrize(("family", "layers"), [("bert", 1), ("llama", None)])
@pytest.mark.parametrize("kind", KINDS)
def test_the_gradient_does_not_depend_on_the_cut(tmp_path, family, layers, kind):
    task = "ner" if kind == "pgd" else "classification"
    runner = make_runner(tmp_path, family, task, model_options={"trainable_layers": layers})
    plain, plain_loss = gradient(runner, 1)
    extended(runner, adversarial=kind, adversarial_epsilon=0.2, trainable_layers=layers)
    whole, whole_loss = gradient(runner, 1)
    assert (whole - plain).norm() / plain.norm() > 1e-2
    assert whole_loss > plain_loss
    for cuts in (2, 4, 16):
        cut, loss = gradient(runner, cuts)
        assert (cut - whole).norm() / whole.norm() < 1e-5
        torch.testing.assert_close(loss, whole_loss, rtol=1e-5, atol=1e-6)
    assert all(p.requires_grad for p in runner.trainable)
    runner.extensions.after_update(1)
    again, _ = gradient(runner, 1)
    assert torch.equal(again, whole) == (kind == "fgm")  # Others start elsewhere in each step.


class FixedMasks:
    """Dropout that differs between the two passes and is the same for every row."""

    def __init__(self, layer):
        draw = torch.Generator().manual_seed(1)
        self.masks = torch.rand(2, 1, 64, 32, generator=draw) * 2
        self.passes = 0
        layer.register_forward_hook(self.drop)

    def drop(self, module, inputs, output):
        mask = self.masks[self.passes % 2]
        self.passes += 1
        return output * mask[:, : output.shape[1]]


@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ner", {}),
        ("classification", {"class_weights": [0.5, 2.0, 3.0]}),
        ("classification", {"problem_type": "multi_label_classification"}),
    ],
)
def test_r_drop_is_its_equation_however_a_step_is_cut(tmp_path, name, options):
    options = {"model_options": {"dropout": 1e-12}, **options}
    runner = make_runner(tmp_path, "bert", name, **options)
    masks = FixedMasks(runner.model.bert.encoder.layer[0])
    extended(runner, consistency="r-drop", consistency_weight=3.0)
    whole, whole_loss = gradient(runner, 1)
    for cuts in (2, 4, 16):
        cut, loss = gradient(runner, cuts)
        assert (cut - whole).norm() / whole.norm() < 1e-5
        torch.testing.assert_close(loss, whole_loss, rtol=1e-5, atol=1e-6)
    rows = np.arange(16)
    batch = runner.batch(rows)
    assert masks.passes % 2 == 0
    first, second = (runner._outputs(rows, batch) for _ in range(2))
    losses = (runner.task.loss(first, batch) + runner.task.loss(second, batch)) / 2
    if "problem_type" in options:
        p, q = (torch.stack([z.sigmoid(), 1 - z.sigmoid()], -1) for z in (first, second))
        apart = (p * (p / q).log() + q * (q / p).log()).sum(-1).mean(-1).sum()
    else:
        p, q = (z.softmax(-1).flatten(0, -2) for z in (first, second))
        labels = batch["token_labels" if name == "ner" else "labels"].flatten()
        counted = (labels >= 0).float()
        if name != "ner":
            counted = counted * runner.task.class_weights[labels]
        apart = ((p * (p / q).log() + q * (q / p).log()).sum(-1) * counted).sum()
    expected = (losses + 3 / 4 * apart) / float(runner.features.weights.sum())
    torch.testing.assert_close(whole_loss, expected.detach(), rtol=1e-5, atol=1e-6)
    assert apart > 0.01


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"dropout": 0.0, "consistency": "r-drop"}, "--dropout 0.0 and --consistency r-drop"),
        ({"consistency_weight": 1.0}, "--consistency-weight needs --consistency"),
        ({"adversarial_epsilon": 0.1}, "--adversarial-epsilon needs --adversarial"),
        ({"adversarial_steps": 2}, "--adversarial-steps needs --adversarial"),
        ({"adversarial": "fgm", "adversarial_steps": 2}, "fgm takes one step"),
        ({"adversarial": "pgd", "adversarial_steps": 0}, "--adversarial-steps 0 is too small"),
        ({"adversarial": "pgd", "adversarial_epsilon": 0.0}, "epsilon 0.0 must be above 0"),
        ({"adversarial": "pgd", "torch_compile": True}, "--torch-compile cannot follow"),
    ],
)
def test_what_cannot_be_obeyed_is_refused(values, message):
    with pytest.raises(UserError, match=message) as caught:
        RunConfig(**values)
    assert len(caught.value.problems) == 1


def test_r_drop_takes_the_models_own_dropout_and_needs_some(tmp_path):
    assert RunConfig().settled_dropout == 0
    assert RunConfig(consistency="r-drop").settled_dropout == "model"
    assert RunConfig(consistency="r-drop", dropout=0.0, lora_dropout=0.1)
    without = make_runner(tmp_path, "llama", "classification", model_options={"dropout": None})
    with pytest.raises(UserError, match="this model has no dropout of its own"):
        extended(without, consistency="r-drop")
    only_lora = {"dropout": 0.0, "lora_dropout": 0.1, "trainable_layers": 1}
    extended(
        make_runner(tmp_path, "bert", "classification", model_options=only_lora),
        consistency="r-drop",
    )


ROBUST = [
    ("bert", {"adversarial": "fgm"}),
    ("bert", {"adversarial": "freelb"}),
    ("bert", {"consistency": "r-drop"}),
    ("gemma2", {"consistency": "r-drop", "adversarial": "pgd"}),
]


def robust_case(tiny_model, family, settings, **options):
    case = CacheCase(tiny_model(family), family, "classification", **options)
    context = TrainingContext(
        settings=RunConfig(trainable_layers=options["trainable_layers"], **settings),
        model=case.built.model,
        task=case.task,
        features=case.features,
        pad_token_id=case.tokenizer.pad_token_id,
    )
    plain = case.runner

    def runner(cached=None):
        made = plain(cached)
        made.extensions = build_extensions(context)
        made.extensions.begin(10)
        return made

    case.runner = runner
    return case


@pytest.mark.parametrize(("family", "settings"), ROBUST)
def test_cached_layers_change_nothing_and_extra_passes_leave_frozen_ones_out(
    tiny_model, tmp_path, monkeypatch, family, settings
):
    options = {"trainable_layers": 1, "dropout": 0.1}
    plain = robust_case(tiny_model, family, settings, **options)
    frozen = type(layer_list(plain.model, plain.built.family)[0])
    calls, run = [], frozen.forward
    with monkeypatch.context() as patch:
        patch.setattr(frozen, "forward", lambda *a, **k: (calls.append(1), run(*a, **k))[1])
        expected = plain.losses()
    assert len(calls) == 8 * 2  # In each of 8 micro-batches, both frozen layers run once.
    fast = robust_case(tiny_model, family, settings, **options)
    with fast.cached(tmp_path) as report:
        found = fast.losses(report.states["train"])
    torch.testing.assert_close(found, expected, rtol=1e-5, atol=1e-5)


MEMORY = [
    {"adversarial": "freelb", "trainable_layers": 1},
    {"adversarial": "pgd", "gradient_checkpointing": True},
    {"consistency": "r-drop", "adversarial": "fgm", "method": "full"},
    {"consistency": "r-drop", "trainable_layers": 1},
    {"consistency": "r-drop", "trainable_layers": 1, "cache_frozen_layers": True},
]


@pytest.mark.parametrize("settings", MEMORY, ids=lambda s: "-".join(map(str, s.values())))
def test_their_memory_is_predicted_as_it_is_measured(tiny_model, settings):
    task = "ner" if settings.get("method") == "full" else "classification"
    case = Case(tiny_model("bert"), config(task, **settings))
    assert_equal(case.predict(), case.measure())


@pytest.mark.parametrize("settings", [{"adversarial": "freelb", "consistency": "r-drop"}])
def test_a_stopped_run_goes_on_to_the_same_bits(train, tmp_path, settings):  # noqa: F811
    whole = train("whole", **settings)
    with pytest.raises(DiedError):
        train("stopped", dies_after=5, **settings)
    checkpoint = newest_checkpoint(tmp_path / "stopped" / "checkpoints", print)
    assert checkpoint.state["extensions"]["adversarial"] == {"number": 4}
    resumed = train("stopped", resume=checkpoint, scores=(0.2, 0.3, 0.4), **settings)
    for name, weight in whole.weights().items():
        assert torch.equal(weight, resumed.weights()[name]), name
