"""A step's gradient does not depend on how the step is cut."""

import copy

import pytest
import torch
from tiny import ENCODERS, make_tiny

from lowcost_ft.config.run import RunConfig
from lowcost_ft.data.batching import share_step
from lowcost_ft.models.loading import build_model, forward_module, load_tokenizer
from lowcost_ft.tasks.classification import ClassificationTask, TextExample
from lowcost_ft.tasks.ner import NerExample, NerTask
from lowcost_ft.training.optimizer import build_optimizer, parameter_groups
from lowcost_ft.training.setup import build_accelerator
from lowcost_ft.training.step_plan import planned_steps
from lowcost_ft.training.step_replay import rehearse
from lowcost_ft.training.steps import StepRunner

TEXTS = [" ".join(["where is my order"] * (1 + i % 5)) for i in range(16)]
TAGS = ("O", "B-x", "I-x")


def make_task(name, causal, **options):
    if name == "ner":
        examples = [
            NerExample(
                words=tuple(text.split()),
                tags=tuple(TAGS[(i + j) % 3] for j in range(len(text.split()))),
                source="test",
            )
            for i, text in enumerate(TEXTS)
        ]
        return NerTask(list(TAGS), causal=causal), examples
    if options.get("problem_type") == "multi_label_classification":
        labels = [("a",), ("a", "b"), (), ("c",)]
    elif options.get("problem_type") == "regression":
        labels = [0.5, -1.0, 2.0, 0.0]
    else:
        labels = ["a", "b", "c", "a"]
    examples = [
        TextExample(text=text, label=labels[i % 4], source="test") for i, text in enumerate(TEXTS)
    ]
    names = ["value"] if options.get("problem_type") == "regression" else ["a", "b", "c"]
    return ClassificationTask(names, **options), examples


def make_runner(folder, family, name, *, model_options=None, **options):
    model_id = make_tiny(family, folder)
    causal = family in ("llama", "gpt2")
    tokenizer = load_tokenizer(model_id, words=name == "ner")
    task, examples = make_task(name, causal, **options)
    features = task.featurize(examples, tokenizer, max_length=32)
    built = build_model(
        model_id,
        head=task.head,
        labels=task.labels,
        problem_type=task.problem_type,
        pad_token_id=tokenizer.pad_token_id,
        **({"dropout": 0.0} | (model_options or {})),
    )
    # LoRA starts with B = 0, where the gradient of A is zero: move it, so that A is tested too.
    torch.manual_seed(0)
    with torch.no_grad():
        for parameter_name, parameter in built.model.named_parameters():
            if "lora_B" in parameter_name:
                parameter.normal_(std=0.05)
    model = forward_module(built.model).train()
    return StepRunner(
        build_accelerator(),
        model,
        task,
        features,
        pad_token_id=tokenizer.pad_token_id,
        max_grad_norm=0.0,
    )


def gradient(runner, cuts, number=1):
    features = runner.features
    rows = torch.arange(len(features.lengths)).numpy()
    (share,) = share_step(rows, features.lengths, num_micro_batches=cuts)
    loss = runner.backward(share, float(features.weights.sum()), number=number)
    flat = torch.cat([p.grad.flatten() for p in runner.trainable])
    for parameter in runner.trainable:
        parameter.grad = None
    return flat, loss


@pytest.mark.parametrize("family", ["bert", "llama"])
@pytest.mark.parametrize(
    ("name", "options"),
    [
        ("ner", {}),
        ("classification", {}),
        ("classification", {"class_weights": [0.5, 2.0, 3.0]}),
        ("classification", {"problem_type": "multi_label_classification"}),
        ("classification", {"problem_type": "regression"}),
    ],
)
def test_the_gradient_of_a_step_does_not_depend_on_its_cut(tmp_path, family, name, options):
    runner = make_runner(tmp_path, family, name, **options)
    assert len(set(runner.features.lengths.tolist())) > 1
    whole, whole_loss = gradient(runner, 1)
    assert whole.norm() > 0
    for cuts in (2, 4, 16):
        cut, loss = gradient(runner, cuts)
        assert (cut - whole).norm() / whole.norm() < 1e-5
        torch.testing.assert_close(loss, whole_loss, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("family", [*ENCODERS, "gpt2"])
@pytest.mark.parametrize(("name", "rate"), [("ner", 0.1), ("classification", 0.02)])
def test_dropout_takes_the_same_out_of_a_row_however_a_step_is_cut(tmp_path, family, name, rate):
    runner = make_runner(tmp_path, family, name, model_options={"dropout": rate})
    if name == "ner" and family != "albert":  # which does not know it
        runner.model.activation_checkpointing_enable()
    whole, whole_loss = gradient(runner, 1)
    for cuts in (2, 16):
        cut, loss = gradient(runner, cuts)
        assert (cut - whole).norm() / whole.norm() < 1e-5
        torch.testing.assert_close(loss, whole_loss, rtol=1e-5, atol=1e-6)
    other, _ = gradient(runner, 1, number=2)
    assert (other - whole).norm() / whole.norm() > 1e-2


@pytest.mark.parametrize(("family", "name"), [("bert", "ner"), ("bert", "classification")])
def test_the_loss_is_the_mean_that_pytorch_computes(tmp_path, family, name):
    runner = make_runner(tmp_path, family, name)
    _, loss = gradient(runner, 4)
    losses = []
    for row in range(len(runner.features.lengths)):
        start, end = runner.features.starts[row : row + 2]
        logits = runner.model(
            input_ids=torch.tensor(runner.features.input_ids[None, start:end]).long()
        ).logits
        if name == "ner":
            labels = torch.tensor(runner.features["token_labels"][start:end]).long()
            losses += torch.nn.functional.cross_entropy(
                logits[0][labels >= 0], labels[labels >= 0], reduction="none"
            ).tolist()
        else:
            label = torch.tensor(runner.features["labels"][row : row + 1])
            losses += torch.nn.functional.cross_entropy(logits, label, reduction="none").tolist()
    assert loss.item() == pytest.approx(sum(losses) / len(losses), rel=1e-5)


def test_a_process_without_rows_adds_nothing(tmp_path):
    runner = make_runner(tmp_path, "bert", "ner")
    total = float(runner.features.weights.sum())
    empty = torch.empty(0, dtype=torch.int64).numpy()
    assert runner.backward([empty], total).item() == 0.0
    assert all((p.grad == 0).all() for p in runner.trainable)


def test_a_rehearsal_leaves_no_trace_and_sees_the_costliest_step(tmp_path):
    runner = make_runner(tmp_path, "bert", "ner")
    settings = RunConfig(task="ner", batch_size=4, num_train_epochs=2)
    weights = copy.deepcopy(runner.model.state_dict())
    torch.manual_seed(3)
    random_state = torch.get_rng_state()

    def make_optimizer():
        groups = parameter_groups(
            runner.model.named_parameters(),
            head_names=("classifier",),
            learning_rate=1e-2,
            head_learning_rate=None,
            weight_decay=0.01,
        )
        return build_optimizer(groups, name="adamw", device=torch.device("cpu"))

    peak = rehearse(runner, planned_steps(runner.features, settings, 1), make_optimizer)
    for name, weight in runner.model.state_dict().items():
        assert torch.equal(weight, weights[name]), name
    assert torch.equal(torch.get_rng_state(), random_state)
    assert all(p.grad is None for p in runner.trainable)
    parameters = sum(p.nbytes for p in runner.model.parameters())
    assert parameters < peak < 20 * parameters
    # Twice the examples a step need more memory.
    larger = RunConfig(task="ner", batch_size=16, num_train_epochs=2)
    assert rehearse(runner, planned_steps(runner.features, larger, 1), make_optimizer) > peak


def test_the_plan_of_a_run_counts_its_tokens(tmp_path):
    features = make_runner(tmp_path, "bert", "ner").features
    settings = RunConfig(task="ner", batch_size=5, num_train_epochs=3)
    steps = list(planned_steps(features, settings, 1))
    assert len(steps) == 3 * 4
    assert sum(step.examples for step in steps) == 3 * 16
    assert sum(step.real_tokens for step in steps) == 3 * int(features.lengths.sum())
    assert [step.last_of_epoch for step in steps] == [False, False, False, True] * 3
    limited = RunConfig(task="ner", batch_size=5, max_steps=6)
    assert len(list(planned_steps(features, limited, 1))) == 6
