"""Running out of memory, and numbers that are none: what the loop does about them."""

import json
import random
import resource
import subprocess
import sys
from functools import cache

import numpy as np
import pytest
import torch
from small_runs import call_recipe, flags
from small_training import Trainer, poison

from lowcost_ft.commands.program import exit_code
from lowcost_ft.config.settings import TrainingConfig
from lowcost_ft.errors import NoRoomError, UserError, is_out_of_memory
from lowcost_ft.pipeline.predicting import predict
from lowcost_ft.training.progress import TrainResult
from lowcost_ft.training.random_state import random_states, set_random_states
from lowcost_ft.training.recovery import MicroBatchBudget
from lowcost_ft.training.setup import build_accelerator
from lowcost_ft.training.steps import StepRunner

CPU_MESSAGE = "[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried to allocate 9"
ERRORS = [torch.OutOfMemoryError("CUDA out of memory."), RuntimeError(CPU_MESSAGE), MemoryError()]


@pytest.fixture
def trainer(tiny_model, tmp_path):
    return lambda name="ner", family="bert", **options: Trainer(
        tiny_model, tmp_path, name, family, **options
    )


@pytest.fixture
def exhaust(monkeypatch):
    """`exhaust(fails)`: memory runs out wherever `fails(call, rows)` says so.

    The real pass runs first, so that its graph and the gradients before it are there.
    """
    real, calls = StepRunner.loss, []

    def install(fails, error=ERRORS[0]):
        def loss(self, rows):
            calls.append(rows)
            value = real(self, rows)
            if fails(len(calls), rows):
                raise error
            return value

        monkeypatch.setattr(StepRunner, "loss", loss)
        return calls

    return install


@pytest.fixture(scope="module")
def reference(tiny_model, tmp_path_factory):
    """Weights of a run that nothing happened to, by its settings."""

    @cache
    def train(settings):
        run = Trainer(tiny_model, tmp_path_factory.mktemp("run"), "ner", "bert", dropout=0.0)
        assert run(**dict(settings)).recoveries == []
        return run.weights()

    return train


@pytest.mark.parametrize("seed", range(20))
def test_weights_do_not_depend_on_memory_that_ran_out(
    trainer, exhaust, monkeypatch, reference, seed
):
    """Memory runs out at two random micro-batches; the reference began with what was left."""
    draw = random.Random(seed)
    # 6 steps, of 2 or more micro-batches.
    settings = {"num_train_epochs": 2, "max_length": 32, "learning_rate": 1e-3}
    cut = {"micro_batch_tokens": 32} if seed % 2 else {"gradient_accumulation_steps": 2}
    moments = sorted(draw.sample(range(1, 13), 2))

    def fails(call, rows):
        return bool(moments) and call >= moments[0] and len(rows) > 1 and moments.pop(0) > 0

    run = trainer(dropout=0.0)
    with monkeypatch.context():
        exhaust(fails, ERRORS[seed % 3])
        result = run(**settings, **cut)
        monkeypatch.undo()
    assert len(result.recoveries) == 2
    (name, left), *_ = [
        (key, value)
        for key, value in result.recoveries[-1].items()
        if key in ("micro_batch_tokens", "gradient_accumulation_steps")
    ]
    expected = reference(tuple((settings | {"max_length": 8, name: max(8, left)}).items()))
    for key, weight in expected.items():
        torch.testing.assert_close(run.weights()[key], weight, rtol=0, atol=1e-5)
    assert (result.optimizer_steps, result.examples) == (6, 40)


def test_the_step_is_drawn_again_from_the_same_random_state(trainer, exhaust, monkeypatch):
    """With dropout: bit by bit what a run gives that began with the smaller micro-batches."""
    settings = {"num_train_epochs": 1, "gradient_accumulation_steps": 2}
    failed, smaller = (trainer(dropout=0.3, lora_dropout=0.3) for _ in range(2))
    torch.manual_seed(1)
    with monkeypatch.context():
        exhaust(lambda call, rows: call == 6)  # The second half of the first step.
        result = failed(**settings)
        monkeypatch.undo()
    assert [entry["optimizer_step"] for entry in result.recoveries] == [1]
    torch.manual_seed(1)
    smaller(**settings | {"gradient_accumulation_steps": 4})
    for key, weight in smaller.weights().items():
        assert torch.equal(failed.weights()[key], weight), key


def test_a_recovery_is_said_and_recorded_and_lasts(trainer, exhaust, capsys):
    run = trainer()
    calls = exhaust(lambda call, rows: len(rows) > 2)
    result = run(num_train_epochs=2)
    # Found in the rehearsal already.
    sizes = [entry["micro_batch_tokens"] for entry in result.recoveries]
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[0] <= result.recoveries[0]["failed_tokens"] // 2
    assert "out of memory in step" in capsys.readouterr().err
    # Each failure halves what may be tried, so there are few.
    assert sum(len(rows) > 2 for rows in calls) == len(sizes) <= 4


@pytest.mark.parametrize("cut", [{}, {"gradient_accumulation_steps": 1}])
def test_an_example_that_does_not_fit_alone_is_named(trainer, exhaust, cut):
    run = trainer()
    longest = int(np.argmax(run.features.lengths))
    exhaust(lambda call, rows: longest in rows)
    with pytest.raises(NoRoomError, match=f"row {run.features.examples[longest]} alone"):
        run(num_train_epochs=1, **cut)


def test_other_errors_are_not_absorbed(trainer, exhaust):
    exhaust(lambda call, rows: True, RuntimeError("shapes differ"))
    with pytest.raises(RuntimeError, match="shapes differ"):
        trainer()(max_steps=1)


def test_the_budget_halves_what_failed():
    budget = MicroBatchBudget(tokens=4096)
    budget.shrink(300, step=7)
    assert (budget.tokens, budget.pieces) == (150, None)
    budget.shrink(150, step=8)
    assert budget.tokens == 75
    assert budget.recoveries[0] == {
        "optimizer_step": 7,
        "failed_tokens": 300,
        "micro_batch_tokens": 150,
    }
    pieces = MicroBatchBudget(tokens=4096, pieces=3)
    assert "6 micro-batches" in pieces.shrink(300, step=1)
    assert pieces.pieces == 6


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        *((error, True) for error in ERRORS),
        (NoRoomError("x"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("shapes differ"), False),
        (ValueError("out of memory of old times"), False),
        (UserError("x"), False),
    ],
)
def test_how_exhausted_memory_shows(error, expected):
    assert is_out_of_memory(error) == expected


def test_a_refusal_without_a_reason_is_memory_under_a_limit(monkeypatch):
    refused = RuntimeError("could not create a primitive")
    assert not is_out_of_memory(refused)
    monkeypatch.setattr(resource, "getrlimit", lambda limit: (10**9, 10**9))
    assert is_out_of_memory(refused)


def test_imports_take_no_gigabyte_of_addresses():
    show = (
        "import re, lowcost_ft\n"
        "def held():\n"
        "    text = open('/proc/self/status').read()\n"
        "    return int(re.search(r'VmData:\\s+(\\d+)', text)[1])\n"
        "before = held()\nimport pyarrow.dataset\nprint(held() - before)"
    )
    done = subprocess.run([sys.executable, "-c", show], capture_output=True, text=True, check=True)
    assert int(done.stdout) * 1024 < 400_000_000


def test_memory_that_ran_out_is_told_in_words(capsys):
    def ask() -> None:
        raise RuntimeError(
            "[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate "
            "memory: you tried to allocate 12582912 bytes. Error code 12 (Cannot allocate memory)"
        )

    assert exit_code(ask, debug=False) == 2
    told = capsys.readouterr().err
    assert told.startswith("error: out of memory")
    assert "did not give 12.6 MB" in told and "enforce" not in told
    assert "--memory-budget" in told
    assert "bug" not in told


def test_a_recipe_that_cannot_fit_an_example(tmp_path, tiny_model, small_files, exhaust, capsys):
    exhaust(lambda call, rows: True)
    arguments = flags(model_id=tiny_model("bert"), max_steps=1, **small_files["ner"])
    assert call_recipe("lora_ner", *arguments, *flags(output_dir=tmp_path / "run")) == 2
    assert "ner-train.jsonl:" in capsys.readouterr().err
    run = json.loads((tmp_path / "run" / "run.json").read_text())
    assert run["status"] == "out_of_memory"
    assert len(run["train"]["recoveries"]) > 0


def test_evaluation_cuts_what_does_not_fit(trainer, monkeypatch):
    run = trainer()
    settings = {"pad_token_id": run.pad_token_id, "micro_batch_tokens": 4096}
    expected = predict(build_accelerator(), run.model, run.task, run.features, **settings)
    real, sizes, recoveries = run.model.forward, [], []

    def forward(*, input_ids, **inputs):
        sizes.append(len(input_ids))
        output = real(input_ids=input_ids, **inputs)
        if len(input_ids) > 3:
            raise ERRORS[0]
        return output

    monkeypatch.setattr(run.model, "forward", forward)
    found = predict(
        build_accelerator(), run.model, run.task, run.features, recoveries=recoveries, **settings
    )
    for name, array in expected.items():
        np.testing.assert_allclose(found[name], array, atol=1e-5)
    assert recoveries
    assert {entry["during"] for entry in recoveries} == {"evaluation"}
    assert sum(size > 3 for size in sizes) == len(recoveries) <= 4

    monkeypatch.setattr(run.model, "forward", lambda **_: (_ for _ in ()).throw(ERRORS[1]))
    with pytest.raises(NoRoomError, match=r"out of memory: example .* alone"):
        predict(build_accelerator(), run.model, run.task, run.features, **settings)


# Numbers that are none.


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_bad_step_is_left_out_and_its_example_named(trainer, value):
    run = trainer()
    poison(run, 5, value)
    result = run(num_train_epochs=2, max_bad_steps=3, early_stopping_patience=0)
    # Equal sentences are equally bad.
    assert [len(bad["examples"]) >= 1 for bad in result.bad_steps] == [True, True]
    assert all("row 5" in bad["examples"] for bad in result.bad_steps)
    assert all(len(bad["examples"]) < 8 for bad in result.bad_steps)
    assert all(p.isfinite().all() for p in run.weights().values())
    assert result.optimizer_steps == 6


def test_too_many_bad_steps_stop_the_run(trainer):
    run, result = trainer(), TrainResult()
    poison(run, 5)
    with pytest.raises(UserError, match=r"diverged: in 2 steps, .*row 5"):
        run(num_train_epochs=9, max_bad_steps=2, early_stopping_patience=0, result=result)
    assert len(result.bad_steps) == 2
    assert all(p.isfinite().all() for p in run.weights().values())


def test_all_random_states_are_put_back():
    def draw():
        return random.random(), random.gauss(), np.random.normal(), torch.rand(1).item()

    draw()
    states = json.loads(json.dumps(random_states()))
    first = draw()
    assert draw() != first
    set_random_states(states)
    assert draw() == first


def test_the_budget_of_the_flags():
    assert MicroBatchBudget.of(TrainingConfig(micro_batch_tokens=100)).tokens == 100
    assert MicroBatchBudget.of(TrainingConfig(gradient_accumulation_steps=2)).pieces == 2


def test_a_resumed_run_keeps_the_budget_that_fitted_unless_told_otherwise():
    before = MicroBatchBudget.of(TrainingConfig())
    before.shrink(1000, step=3)
    again, other = (MicroBatchBudget.of(TrainingConfig(micro_batch_tokens=n)) for n in (4096, 256))
    for budget in (again, other):
        budget.load(json.loads(json.dumps(before.state_dict())), before.recoveries)
    assert (again.tokens, other.tokens) == (500, 256)
    assert len(again.recoveries) == 1
