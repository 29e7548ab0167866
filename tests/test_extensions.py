"""What a training trick may do, shown by tricks that live in this file alone."""

import dataclasses
import re
from pathlib import Path

import numpy as np
import pytest
import torch
from small_training import Trainer
from test_simulated_step import Case, assert_equal, config
from test_steps import gradient, make_runner

from lowcost_ft.config.run import RunConfig
from lowcost_ft.errors import UserError
from lowcost_ft.models.loading import forward_module
from lowcost_ft.training.checkpoint_files import newest_checkpoint
from lowcost_ft.training.extensions import registry
from lowcost_ft.training.extensions.base import Extension, TrainingContext
from lowcost_ft.training.extensions.composition import Extensions
from lowcost_ft.training.progress import TrainResult
from lowcost_ft.training.steps import StepRunner


class Masked(Extension):
    """Another token at every third place: a batch that is not as it was collated."""

    name = "masked"

    @classmethod
    def of(cls, context):
        return cls()

    def batch(self, batch, rows, features):
        ids = batch["input_ids"].clone()
        ids[:, 2::3] = 7
        return batch | {"input_ids": ids}


class Taught(Extension):
    """Distillation: a teacher's logits come with the batch, and are what the loss looks at, too."""

    name = "taught"

    def __init__(self, num_rows):
        draw = torch.Generator().manual_seed(0)
        self.logits = torch.randn(num_rows, 3, generator=draw)

    @classmethod
    def of(cls, context):
        return cls(len(context.features.lengths))

    def batch(self, batch, rows, features):
        return batch | {
            "taught.logits": self.logits[torch.from_numpy(rows)].to(batch["labels"].device)
        }

    def loss(self, outputs, batch, *, inner, forward):
        wrong = torch.nn.functional.mse_loss(outputs, batch["taught.logits"], reduction="sum")
        return 0.5 * inner(outputs, batch) + 0.5 * wrong


class Consistent(Extension):
    """R-Drop: a second forward pass, its loss, and how far the two are apart."""

    name = "consistent"

    @classmethod
    def of(cls, context):
        return cls()

    def loss(self, outputs, batch, *, inner, forward):
        again = forward(batch | {"input_ids": batch["input_ids"].clamp(max=50)})
        apart = (outputs - again).square().sum()
        return (inner(outputs, batch) + inner(again, batch)) / 2 + apart


class Adversarial(Extension):
    """FGM: embeddings moved along their own gradient, and a second backward pass."""

    name = "adversarial"

    def __init__(self, model):
        self.records, self.seen, self.shift = False, None, None
        model.get_input_embeddings().register_forward_hook(self.hook)

    @classmethod
    def of(cls, context):
        return cls(forward_module(context.model))

    def hook(self, module, inputs, output):
        if self.shift is not None:
            return output + self.shift
        if self.records:
            self.seen = output if output.requires_grad else output.requires_grad_()
            self.seen.retain_grad()
        return None

    def backward(self, batch, *, inner):
        self.records = True
        loss = inner(batch)
        found = self.seen.grad
        self.records, self.seen = False, None
        length = found.flatten(1).norm(dim=1).clamp_min(1e-12)
        self.shift = found / length[:, None, None]
        inner(batch)
        self.shift = None
        return loss


class Louder(Extension):
    """Around the forward pass."""

    name = "louder"

    @classmethod
    def of(cls, context):
        return cls()

    def forward(self, batch, *, inner):
        return 2 * inner(batch)


class Averaged(Extension):
    """An average of the weights, which is scored and saved in their place."""

    name = "averaged"

    def __init__(self, model):
        self.weights = {n: p for n, p in model.named_parameters() if p.requires_grad}
        self.average, self.steps, self.kept = {}, 0, {}

    @classmethod
    def of(cls, context):
        return cls(forward_module(context.model))

    def begin(self, total_steps):
        self.average = {name: p.detach().clone() for name, p in self.weights.items()}
        self.steps = 0

    @torch.no_grad()
    def after_update(self, number):
        self.steps += 1
        for name, weight in self.weights.items():
            self.average[name].lerp_(weight.detach(), 0.3)

    @torch.no_grad()
    def swap_in(self):
        self.kept = {name: p.detach().clone() for name, p in self.weights.items()}
        for name, weight in self.weights.items():
            weight.copy_(self.average[name])

    @torch.no_grad()
    def swap_out(self):
        for name, weight in self.weights.items():
            weight.copy_(self.kept[name])

    def tensors(self):
        return dict(self.average)

    def numbers(self):
        return {"steps": self.steps}

    def load(self, tensors, numbers):
        self.average, self.steps = dict(tensors), numbers["steps"]


class Augmented(Extension):
    """Other rows in every epoch: each text twice, the second time longer and in another order."""

    name = "augmented"

    def __init__(self, seed):
        self.seed = seed

    @classmethod
    def of(cls, context):
        return cls(context.settings.seed)

    def epoch(self, features, number):
        draw = np.random.default_rng([self.seed, number])
        rows = np.split(features.input_ids, features.starts[1:-1])
        others = [np.append(row, draw.permutation(row)[: 1 + number]) for row in rows]
        ids = [*rows, *others]
        starts = np.concatenate([[0], np.cumsum([len(row) for row in ids])])
        types = features.token_type_ids
        return dataclasses.replace(
            features,
            input_ids=np.concatenate(ids).astype(np.int32),
            starts=starts,
            token_type_ids=None if types is None else np.zeros(starts[-1], types.dtype),
            examples=np.arange(len(ids)),
            num_examples=len(ids),
            weights=np.tile(features.weights, 2),
            arrays={
                name: np.concatenate([array, array]) for name, array in features.arrays.items()
            },
        )


STEP_TRICKS = (Masked, Taught, Consistent, Adversarial, Louder)
COMBINED = {trick.name: (trick,) for trick in STEP_TRICKS} | {"all": STEP_TRICKS}


def build(tricks, context):
    return Extensions([trick.of(context) for trick in tricks])


@pytest.mark.parametrize("tricks", COMBINED.values(), ids=COMBINED)
def test_the_gradient_of_a_step_does_not_depend_on_its_cut(tmp_path, tricks):
    runner = make_runner(tmp_path, "bert", "classification")
    plain, plain_loss = gradient(runner, 1)
    context = TrainingContext(
        settings=RunConfig(),
        model=runner.model,
        task=runner.task,
        features=runner.features,
        pad_token_id=runner.pad_token_id,
    )
    runner.extensions = build(tricks, context)
    whole, whole_loss = gradient(runner, 1)
    assert (whole - plain).norm() / plain.norm() > 1e-3  # It does something.
    if tricks != (Adversarial,):  # Whose loss is that of the first pass.
        assert abs(whole_loss - plain_loss) > 1e-3
    for cuts in (2, 4, 16):
        cut, loss = gradient(runner, cuts)
        assert (cut - whole).norm() / whole.norm() < 1e-5
        torch.testing.assert_close(loss, whole_loss, rtol=1e-5, atol=1e-6)


MEMORY = {
    "consistent": (Consistent,),
    "adversarial": (Adversarial,),
    "averaged": (Averaged,),
    "augmented": (Augmented,),
    "all": (Masked, Taught, Consistent, Adversarial, Averaged),
}


@pytest.mark.parametrize("tricks", MEMORY.values(), ids=MEMORY)
def test_their_memory_is_predicted_as_it_is_measured(tiny_model, tricks):
    values = config(batch_size=12, micro_batch_tokens=480, ema=0)
    plain = Case(tiny_model("bert"), values).predict()
    case = Case(tiny_model("bert"), values, extend=lambda context: build(tricks, context))
    prediction = case.predict()
    assert_equal(prediction, case.measure())
    assert prediction.peak_bytes > plain.peak_bytes


class Stop(Extension):
    """Ends a run in the middle of an epoch, without a word."""

    name = "stop"

    def __init__(self):
        self.begun = 0

    def begin(self, total_steps):
        self.begun += 1

    def after_update(self, number):
        if (self.begun, number) == (2, 5):  # Not in the rehearsal.
            raise KeyError("as if the machine had died")


@pytest.fixture
def train(tiny_model, tmp_path):
    """`train(name, tricks)`: a run of 9 steps; returns its trainer, result and tricks."""

    def run(name, tricks, *more, resume=None, scores=(0.1, 0.2, 0.3), **settings):
        trainer = Trainer(tiny_model, tmp_path / name, "classification", "bert")
        context = TrainingContext(
            settings=RunConfig(**settings),
            model=trainer.built.model,
            task=trainer.task,
            features=trainer.features,
            pad_token_id=trainer.pad_token_id,
        )
        made = [trick.of(context) for trick in tricks]
        result = TrainResult()
        torch.manual_seed(0)
        trainer(
            scores,
            num_train_epochs=3,
            every=2,
            resume=resume,
            result=result,
            extensions=Extensions([*made, *more]),
            **settings,
        )
        return trainer, result, made

    return run


# The teacher knows the rows of the data alone.
@pytest.mark.parametrize(
    "tricks",
    [(Averaged,), (Augmented,), (Masked, Taught), (Consistent, Adversarial, Averaged, Augmented)],
    ids=["averaged", "augmented", "taught", "combined"],
)
def test_a_run_that_was_stopped_goes_on_to_the_same_bits(train, tmp_path, tricks):
    whole, result, _ = train("whole", tricks)
    with pytest.raises(KeyError, match="machine"):
        train("stopped", tricks, Stop())
    checkpoint = newest_checkpoint(tmp_path / "stopped" / "checkpoints", print)
    assert checkpoint.step == 4
    resumed, again, _ = train("stopped", tricks, resume=checkpoint, scores=(0.2, 0.3, 0.4, 0.5))
    assert again.optimizer_steps == result.optimizer_steps
    assert [p["loss"] for p in again.loss_history] == [p["loss"] for p in result.loss_history]
    for name, weight in whole.weights().items():
        assert torch.equal(weight, resumed.weights()[name]), name


def test_an_average_is_scored_and_saved_and_does_not_disturb_the_training(train):
    plain, result, _ = train("plain", ())
    trainer, averaged, (average,) = train("averaged", (Averaged,))
    assert average.steps == 9
    losses = [[p["loss"] for p in r.loss_history] for r in (result, averaged)]
    assert losses[0] == losses[1]
    for name, weight in average.average.items():
        assert torch.equal(trainer.seen[-1][name], weight)
        assert torch.equal(trainer.weights()[name], weight)  # The last epoch is the best one.
        assert torch.equal(average.kept[name], plain.weights()[name])
    earlier, _, _ = train("earlier", (Averaged,), scores=(0.1, 0.9, 0.3))
    for name in average.average:
        assert torch.equal(earlier.weights()[name], earlier.seen[1][name])


def test_rows_of_an_epoch_are_planned_as_they_are(train):
    _, plain, _ = train("plain", ())
    _, result, _ = train("augmented", (Augmented,))
    assert (plain.optimizer_steps, plain.examples, plain.epochs) == (9, 60, 3)
    assert (result.optimizer_steps, result.examples, result.epochs) == (15, 120, 3)
    assert result.real_tokens == 2 * plain.real_tokens + 20 * (1 + 2 + 3)
    assert result.loss_history[-1]["learning_rate"] < 2e-3  # The schedule knew them all.
    _, other, _ = train("other", (Augmented,), seed=1)
    assert other.real_tokens == result.real_tokens
    assert other.final_loss != result.final_loss


def test_hooks_that_nothing_overrides_are_never_called(tmp_path, monkeypatch):
    runner = make_runner(tmp_path, "bert", "classification")
    runner.extensions = Extensions([Louder()])

    def called(*args, **kwargs):
        raise AssertionError("an empty hook was called")

    for hook in ("epoch", "batch", "loss", "backward", "penalty", "after_update", "swap_in"):
        monkeypatch.setattr(Extension, hook, called)
    _, loss = gradient(runner, 4)
    assert loss.isfinite()
    runner.extensions.after_update(1)


def test_other_rows_and_a_cache_of_the_data_exclude_each_other(tmp_path):
    runner = make_runner(tmp_path, "bert", "classification")
    options = {"pad_token_id": 0, "max_grad_norm": 0.0, "cached": object()}
    for trick in (Masked(), Augmented(0)):
        with pytest.raises(AssertionError):
            StepRunner(
                runner.accelerator,
                runner.model,
                runner.task,
                runner.features,
                extensions=Extensions([trick]),
                **options,
            )


def test_settings_are_made_into_extensions_and_say_what_they_exclude(monkeypatch):
    @dataclasses.dataclass(frozen=True, kw_only=True)
    class Config(RunConfig):
        loudness: float = 0.0

    class Loud(Louder):
        @classmethod
        def problems(cls, config):
            if config.loudness and config.cache_frozen_layers:
                return ["--loudness and --cache-frozen-layers exclude each other"]
            return []

        @classmethod
        def of(cls, context):
            return cls() if context.settings.loudness else None

    monkeypatch.setattr(registry, "EXTENSIONS", (Loud,))
    for loudness, count in ((0.0, 0), (1.0, 1)):
        context = TrainingContext(
            settings=Config(loudness=loudness), model=None, task=None, features=None, pad_token_id=0
        )
        assert len(registry.build_extensions(context).numbers()) == count
    with pytest.raises(UserError, match="--loudness and --cache-frozen-layers exclude"):
        Config(loudness=1.0, cache_frozen_layers=True, trainable_layers=1)


def test_the_model_does_not_get_what_is_for_the_loss_alone(tmp_path):
    runner = make_runner(tmp_path, "bert", "classification")
    runner.extensions = Extensions([Taught(len(runner.features.lengths))])
    given = []
    runner.model.register_forward_pre_hook(
        lambda module, args, inputs: given.append(set(inputs)), with_kwargs=True
    )
    gradient(runner, 1)
    assert given == [{"input_ids", "attention_mask", "token_type_ids"}]


def test_nothing_but_the_registry_names_an_extension():
    package = Path(registry.__file__).parents[2]
    tricks = {path.stem for path in (package / "training" / "extensions").glob("*.py")}
    tricks -= {"__init__", "base", "composition", "registry"}
    # What two of them share, and parts of the contrastive one.
    tricks -= {"choice_loss", "teaching"}
    tricks -= {"contrastive_losses", "class_references", "fitted_texts"}
    assert tricks == {trick.__module__.split(".")[-1] for trick in registry.EXTENSIONS}
    for path in package.rglob("*.py"):
        if path.parent.name != "extensions":
            assert not re.search(rf"extensions\.({'|'.join(tricks)})\b", path.read_text("utf-8"))
    for path in (package / "training").glob("*.py"):  # Elsewhere they may be names of methods.
        assert not re.search("|".join(tricks), path.read_text("utf-8"), re.IGNORECASE), path


def test_two_extensions_of_one_name_would_share_a_file():
    with pytest.raises(AssertionError):
        Extensions([Louder(), Louder()])
