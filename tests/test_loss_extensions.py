"""Label smoothing, the focal loss, and the average of the weights: equations, cuts, memory."""

import pytest
import torch
from small_training import Trainer
from test_simulated_step import Case, assert_equal, config
from test_steps import gradient, make_runner
from torch.nn import functional

from lowcost_ft.config.run import RunConfig
from lowcost_ft.errors import UserError
from lowcost_ft.training.checkpoint_files import newest_checkpoint
from lowcost_ft.training.extensions.base import TrainingContext
from lowcost_ft.training.extensions.registry import build_extensions
from lowcost_ft.training.extensions.weight_average import WeightAverage, share_kept
from lowcost_ft.training.progress import TrainResult

SINGLE = {"problem_type": "single_label_classification"}
WEIGHTED = {"class_weights": [0.5, 2.0, 3.0]}
MULTI = {"problem_type": "multi_label_classification"}
KINDS = [("ner", {}), ("classification", SINGLE), ("classification", WEIGHTED)]
KINDS += [("classification", MULTI), ("classification", {**MULTI, **WEIGHTED})]


def extended(runner, **settings):
    """The runner with the extensions of these settings."""
    context = TrainingContext(
        settings=RunConfig(task=runner.task.name, **settings),
        model=runner.model,
        task=runner.task,
        features=runner.features,
        pad_token_id=runner.pad_token_id,
    )
    runner.extensions = build_extensions(context)
    runner.extensions.begin(100)
    return runner


def outputs_and_labels(runner):
    """Logits and labels of each choice in the data, by hand."""
    rows = torch.arange(len(runner.features.lengths)).numpy()
    batch = runner.batch(rows)
    logits = runner._outputs(rows, batch)
    if runner.task.name == "ner":
        return logits.flatten(0, 1), batch["token_labels"].flatten()
    return logits, batch["labels"]


def smoothed(logits, labels, task, share):
    if task.problem_type == "multi_label_classification":
        target = labels * (1 - share) + share / 2
        return functional.binary_cross_entropy_with_logits(
            logits, target, pos_weight=task.class_weights, reduction="none"
        ).mean()
    weights = getattr(task, "class_weights", None)
    return functional.cross_entropy(logits, labels, weight=weights, label_smoothing=share)


def focal(logits, labels, task, gamma):
    weights = getattr(task, "class_weights", None)
    if task.problem_type == "multi_label_classification":
        p = logits.sigmoid()
        weights = torch.ones(3) if weights is None else weights
        yes = weights * labels * (1 - p) ** gamma * p.log()
        return -(yes + (1 - labels) * p**gamma * (1 - p).log()).mean()
    known = labels >= 0
    logits, labels = logits[known], labels[known]
    p = logits.softmax(-1)[torch.arange(len(labels)), labels]
    weight = torch.ones(len(labels)) if weights is None else weights[labels]
    return -(weight * (1 - p) ** gamma * p.log()).sum() / weight.sum()


@pytest.mark.parametrize(("name", "options"), KINDS)
@pytest.mark.parametrize(
    ("settings", "equation"),
    [({"label_smoothing": 0.2}, smoothed), ({"focal_gamma": 2.0}, focal)],
    ids=["smoothing", "focal"],
)
def test_the_loss_is_the_equation_however_a_step_is_cut(
    tmp_path, name, options, settings, equation
):
    runner = make_runner(tmp_path, "bert", name, **options)
    plain, _ = gradient(runner, 1)
    extended(runner, **settings)
    whole, loss = gradient(runner, 1)
    value = next(iter(settings.values()))
    expected = equation(*outputs_and_labels(runner), runner.task, value)
    torch.testing.assert_close(loss, expected.detach(), rtol=1e-5, atol=1e-6)
    expected.backward()
    by_hand = torch.cat([p.grad.flatten() for p in runner.trainable])
    assert (whole - by_hand).norm() / by_hand.norm() < 1e-5
    for parameter in runner.trainable:
        parameter.grad = None
    assert (whole - plain).norm() / plain.norm() > 1e-3
    for cuts in (2, 4, 16):
        cut, cut_loss = gradient(runner, cuts)
        assert (cut - whole).norm() / whole.norm() < 1e-5
        torch.testing.assert_close(cut_loss, loss, rtol=1e-5, atol=1e-6)


def test_a_focal_loss_without_power_is_the_cross_entropy_and_never_breaks(tmp_path):
    runner = make_runner(tmp_path, "llama", "classification")
    plain, plain_loss = gradient(runner, 2)
    extended(runner, focal_gamma=1e-12)
    found, loss = gradient(runner, 2)
    torch.testing.assert_close(found, plain, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(loss, plain_loss)
    extended(runner, focal_gamma=0.5)  # The root of 1 - p has no slope where p is 1.
    with torch.no_grad():
        runner.model.score.weight.mul_(1e4)
    certain, loss = gradient(runner, 2)
    assert certain.isfinite().all()
    assert loss.isfinite()


@pytest.mark.parametrize("flag", ["label_smoothing", "focal_gamma"])
def test_without_classes_they_are_refused(tmp_path, flag):
    runner = make_runner(tmp_path, "bert", "classification", problem_type="regression")
    expected = rf"--{flag.replace('_', '-')}: .*text classification \(regression\) makes none"
    with pytest.raises(UserError, match=expected):
        extended(runner, **{flag: 0.5})
    with pytest.raises(UserError, match="both change the loss"):
        RunConfig(label_smoothing=0.1, focal_gamma=2.0)


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"label_smoothing": 1.0}, "--label-smoothing 1.0 must be above 0 and below 1"),
        ({"focal_gamma": 0.0}, "--focal-gamma 0.0 must be above 0"),
        ({"ema": 1.0}, "--ema 1.0 must be at least 0 and below 1"),
    ],
)
def test_values_without_a_meaning_are_refused(values, message):
    with pytest.raises(UserError, match=message):
        RunConfig(**values)


@pytest.mark.parametrize(
    ("task", "settings"),
    [
        ("ner", {"label_smoothing": 0.1}),
        ("ner", {"focal_gamma": 2.0}),
        ("classification", {"ema": 0.9}),
    ],
)
def test_their_memory_is_predicted_as_it_is_measured(tiny_model, task, settings):
    case = Case(tiny_model("bert"), config(task, **settings))
    assert_equal(case.predict(), case.measure())


class DiedError(Exception):
    """As if the machine had."""


@pytest.fixture
def train(tiny_model, tmp_path):
    """`train(name, **settings)`: a run of 9 steps; returns its trainer, which knows the weights
    after each step."""

    def run(
        name,
        *,
        task="classification",
        resume=None,
        scores=(0.1, 0.2, 0.3),
        dies_after=None,
        **settings,
    ):
        trainer = Trainer(tiny_model, tmp_path / name, task, "bert")
        context = TrainingContext(
            settings=RunConfig(task=task, max_length=32, **settings),
            model=trainer.built.model,
            task=trainer.task,
            features=trainer.features,
            pad_token_id=trainer.pad_token_id,
            examples=trainer.examples,
            tokenizer=trainer.tokenizer,
        )
        trainer.extensions = extensions = build_extensions(context)
        trainer.steps, begin, after_update = [], extensions.begin, extensions.after_update

        def begin_anew(total_steps):
            trainer.steps = [trainer.weights()]  # A rehearsal has gone before.
            begin(total_steps)

        def note_weights(number):
            trainer.steps.append(trainer.weights())
            after_update(number)
            if number == dies_after and len(trainer.steps) == number + 1:
                raise DiedError

        extensions.begin, extensions.after_update = begin_anew, note_weights
        torch.manual_seed(0)
        trainer(
            scores,
            num_train_epochs=3,
            every=2,
            resume=resume,
            result=TrainResult(),
            extensions=extensions,
            **settings,
        )
        return trainer

    return run


@pytest.mark.parametrize(
    ("settings", "decay"),
    [
        *(({"task": task}, 0.99) for task in ("ner", "classification", "relation")),
        ({"task": "ner", "method": "dora", "quantization": "nf4"}, 0.99),
        ({"task": "ner", "method": "full"}, 0.0),
        ({"task": "ner", "method": "adalora"}, 0.0),
        ({"task": "question_answering"}, 0.0),
        ({"task": "translation"}, 0.0),
        ({"task": "classification", "pooling": "mean", "contrastive": "auto"}, 0.0),
        ({"task": "ner", "ema": 0}, 0.0),
        ({"task": "ner", "method": "full", "ema": 0.5}, 0.5),
    ],
)
def test_adapters_keep_an_average_where_it_was_measured_to_help(settings, decay):
    config = RunConfig(**settings)
    assert config.settled_ema == decay
    assert WeightAverage.asked_for(config) == (decay > 0)


@pytest.mark.parametrize("decay", [0.3])
def test_the_average_is_the_recursion_over_the_weights_of_each_step(train, decay):
    trainer = train("averaged", ema=decay)
    assert len(trainer.steps) == 10
    trained = {n for n, p in trainer.model.named_parameters() if p.requires_grad}
    for name in trained:
        average = trainer.steps[0][name]
        for step, weights in enumerate(trainer.steps[1:], 1):
            kept = min(decay, (1 + step) / (10 + step))
            assert kept == share_kept(decay, step)
            average = kept * average + (1 - kept) * weights[name]
        # It is what was scored last, and what is left in the model.
        torch.testing.assert_close(trainer.seen[-1][name], average)
        assert torch.equal(trainer.weights()[name], trainer.seen[-1][name])
        assert not torch.equal(trainer.weights()[name], trainer.steps[-1][name])


def test_the_average_does_not_disturb_the_training_and_the_best_one_is_kept(train):
    plain, averaged = train("plain"), train("averaged", ema=0.5, scores=(0.1, 0.9, 0.3))
    for ours, theirs in zip(averaged.steps, plain.steps, strict=True):
        assert all(torch.equal(ours[name], theirs[name]) for name in ours)
    for name, weight in averaged.weights().items():
        assert torch.equal(weight, averaged.seen[1][name])


@pytest.mark.parametrize("settings", [{"ema": 0.9, "focal_gamma": 1.0}])
def test_a_stopped_run_goes_on_to_the_same_bits(train, tmp_path, settings):
    whole = train("whole", **settings)
    with pytest.raises(DiedError):
        train("stopped", dies_after=5, **settings)
    checkpoint = newest_checkpoint(tmp_path / "stopped" / "checkpoints", print)
    assert checkpoint.step == 4
    resumed = train("stopped", resume=checkpoint, scores=(0.2, 0.3, 0.4), **settings)
    for name, weight in whole.weights().items():
        assert torch.equal(weight, resumed.weights()[name]), name
