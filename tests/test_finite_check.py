"""A step whose numbers are not finite changes nothing, also where the host learns of it later."""

import pytest
import torch
from small_training import Trainer, poison

from lowcost_ft.config.run import RunConfig
from lowcost_ft.errors import UserError
from lowcost_ft.training import finite_check
from lowcost_ft.training.checkpoint_files import newest_checkpoint
from lowcost_ft.training.extensions.base import Extension
from lowcost_ft.training.extensions.composition import Extensions
from lowcost_ft.training.finite_check import FiniteCheck, may_read_later, step_if_finite
from lowcost_ft.training.optimizer import build_optimizer
from lowcost_ft.training.progress import TrainResult
from lowcost_ft.training.setup import build_accelerator
from lowcost_ft.training.step_plan import planned_steps
from lowcost_ft.training.steps import StepRunner

CPU = torch.device("cpu")
POISONED = {"num_train_epochs": 3, "max_bad_steps": 9, "early_stopping_patience": 0}


@pytest.fixture
def later(monkeypatch):
    """Has a CPU read its checks later, as a GPU does."""
    monkeypatch.setattr(finite_check, "DEVICES_THAT_WAIT", ("cpu",))


@pytest.fixture(scope="module")
def trainer(tiny_model, tmp_path_factory):
    """Makes trainers whose example 5 has a loss that is no number, all with the same dropout."""

    def make():
        made = Trainer(tiny_model, tmp_path_factory.mktemp("run"), "ner", "bert")
        poison(made, 5)
        torch.manual_seed(0)
        return made

    return make


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
@pytest.mark.parametrize("at", [0, 2])
def test_the_optimizer_leaves_a_bad_step_out_by_itself(at, bad):
    def trained(numbers):
        weight = torch.nn.Parameter(torch.linspace(-1, 1, 40).view(8, 5))
        optimizer = build_optimizer(
            [{"params": [weight], "lr": 0.1, "weight_decay": 0.1}], name="adamw", device=CPU
        )
        for number in numbers:
            weight.grad = torch.full_like(weight, number)
            step_if_finite(optimizer, FiniteCheck(weight.grad.sum()))
        return [weight, *optimizer.state[weight].values()]

    good = [1.0, -2.0, 0.5]
    for value, expected in zip(trained([*good[:at], bad, *good[at:]]), trained(good), strict=True):
        assert torch.equal(value, expected)


def test_a_check_says_what_it_found():
    assert [FiniteCheck(torch.tensor(x)).read() for x in (1.0, torch.inf, torch.nan)] == [1, 0, 0]
    found = FiniteCheck(torch.tensor(torch.nan)).found_inf
    assert (found.item(), found.dtype, found.shape) == (1.0, torch.float32, ())


def test_it_is_read_later_only_where_nothing_depends_on_it(later):
    class Follower(Extension):
        name = "follower"

        def after_update(self, number):
            pass

    accelerator, weights = build_accelerator(), [torch.nn.Parameter(torch.zeros(2))]
    groups = [{"params": weights, "lr": 0.1, "weight_decay": 0.0}]
    adamw, sgd = (build_optimizer(groups, name=n, device=CPU) for n in ("adamw", "sgd"))
    assert may_read_later(accelerator, adamw, Extensions())
    assert not may_read_later(accelerator, sgd, Extensions())
    assert not may_read_later(accelerator, adamw, Extensions([Follower()]))


def test_a_cpu_does_not_wait_and_so_does_not_read_later():
    weights = [{"params": [torch.nn.Parameter(torch.zeros(2))]}]
    adamw = build_optimizer(weights, name="adamw", device=CPU)
    assert not may_read_later(build_accelerator(), adamw, Extensions())


@pytest.fixture(scope="module")
def at_once(trainer):
    """A run with bad steps that are read at once: its result and its weights."""
    run = trainer()
    return run(**POISONED).to_dict(), run.weights()


def timeless(result):
    history = [
        [{k: v for k, v in entry.items() if k != "seconds"} for entry in result[name]]
        for name in ("loss_history", "validation_history")
    ]
    counts = ("bad_steps", "optimizer_steps", "examples", "real_tokens", "overflowed_steps")
    return repr([*history, *(result[name] for name in counts)])  # NaN is not equal to itself.


def test_a_run_is_the_same_to_the_bit_whenever_its_checks_are_read(trainer, at_once, later):
    result, weights = at_once
    assert [bad["optimizer_step"] for bad in result["bad_steps"]] != []
    run = trainer()
    again = run(**POISONED).to_dict()
    assert timeless(again) == timeless(result)
    for name, weight in run.weights().items():
        assert torch.equal(weight, weights[name]), name


def test_a_checkpoint_knows_of_every_bad_step_before_it(trainer, at_once, later, monkeypatch):
    result, weights = at_once
    first = result["bad_steps"][0]["optimizer_step"]
    run, real = trainer(), StepRunner.step

    def stopped(self, optimizer, step):
        if self.reads_later and step.number == first + 1:
            raise KeyError("as if the machine had died")
        return real(self, optimizer, step)

    with monkeypatch.context() as patched, pytest.raises(KeyError):
        patched.setattr(StepRunner, "step", stopped)
        run(every=1, **POISONED)
    checkpoint = newest_checkpoint(run.folder, print)
    assert checkpoint is not None and checkpoint.step == first
    known = checkpoint.state["result"]["bad_steps"]
    assert [bad["optimizer_step"] for bad in known] == [first]
    resumed = run(resume=checkpoint, **POISONED).to_dict()
    assert repr(resumed["bad_steps"]) == repr(result["bad_steps"])
    for name, weight in run.weights().items():
        assert torch.equal(weight, weights[name]), name


def test_too_many_bad_steps_stop_the_run_at_the_same_step(trainer, later):
    told = []
    for devices in ((), ("cpu",)):
        finite_check.DEVICES_THAT_WAIT = devices  # `later` puts it back.
        run, result = trainer(), TrainResult()
        with pytest.raises(UserError, match=r"diverged: in 2 steps, .*row 5") as stopped:
            run(**POISONED | {"max_bad_steps": 2}, result=result)
        told.append((str(stopped.value), result.optimizer_steps, repr(result.bad_steps)))
        assert all(weight.isfinite().all() for weight in run.weights().values())
    assert told[0] == told[1]


def test_the_news_comes_before_the_next_weights(trainer):
    run = trainer()
    runner = StepRunner(
        build_accelerator(),
        run.model.train(),
        run.task,
        run.features,
        pad_token_id=run.pad_token_id,
        max_grad_norm=1.0,
        example_name="row {}".format,
    )
    runner.reads_later = True
    steps = list(planned_steps(run.features, RunConfig(task="ner", batch_size=8), 1))[:3]
    (bad,) = (n for n, step in enumerate(steps) if 5 in step.features.examples[step.rows])
    optimizer = torch.optim.AdamW(runner.trainable, lr=0.1, fused=True)
    before = run.weights()
    outcome = runner.step(optimizer, steps[bad])
    assert outcome.bad_examples is None and runner.late_outcomes() == []
    for name, weight in run.weights().items():
        assert torch.equal(weight, before[name])
    runner.step(optimizer, steps[bad - 1])
    (late,) = runner.late_outcomes()
    assert late.step.number == steps[bad].number and "row 5" in late.bad_examples
    runner.settle()
    assert runner.late_outcomes() == []
    assert any(not torch.equal(w, before[name]) for name, w in run.weights().items())
