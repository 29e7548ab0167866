"""Training from cached states is training; a cache is reused when it must be and never else."""

import copy
import json
import os
import shutil
from collections import namedtuple
from dataclasses import replace

import numpy as np
import pytest
import torch
from small_runs import call_recipe, flags
from tiny import FAMILY_NAMES, TOKEN_FAMILIES, make_tiny

from lowcost_ft.config.run import RunConfig
from lowcost_ft.errors import UserError
from lowcost_ft.frozen import cache_key, lower_states, stored_states
from lowcost_ft.frozen.cache import cached_layers
from lowcost_ft.frozen.device_states import DeviceStates, device_bytes
from lowcost_ft.models.adapters import layer_list
from lowcost_ft.models.loading import build_model, forward_module, load_tokenizer
from lowcost_ft.models.quantization import weight_bytes
from lowcost_ft.pipeline.predicting import predict
from lowcost_ft.tasks.classification import ClassificationTask, TextExample
from lowcost_ft.tasks.ner import NerExample, NerTask
from lowcost_ft.training.optimizer import build_optimizer, parameter_groups
from lowcost_ft.training.recovery import MicroBatchBudget
from lowcost_ft.training.setup import build_accelerator
from lowcost_ft.training.step_plan import planned_steps
from lowcost_ft.training.step_replay import rehearse
from lowcost_ft.training.steps import StepRunner

SEPARATE = [name for name in FAMILY_NAMES if name != "albert"]
CASES = [(name, "classification") for name in SEPARATE]
CASES += [(name, "ner") for name in TOKEN_FAMILIES if name != "albert"]
TEXTS = [" ".join(["where is my order"] * (1 + i % 5)) for i in range(16)]
TAGS = ("O", "B-x", "I-x")


class Case:
    """A tiny model, data, and what `cached_layers` wants to know of them."""

    def __init__(self, model_id, family, name, *, trainable_layers=2, max_length=16, **options):
        self.accelerator = build_accelerator()
        self.tokenizer = load_tokenizer(model_id, words=name == "ner")
        causal = family in ("gpt2", "llama", "qwen2", "qwen3", "gemma", "gemma2", "gemma3_text")
        if name == "ner":
            self.task = NerTask(list(TAGS), causal=causal)
            self.examples = [
                NerExample(
                    words=tuple(text.split()),
                    tags=tuple(TAGS[(i + j) % 3] for j in range(len(text.split()))),
                    source="test",
                )
                for i, text in enumerate(TEXTS)
            ]
        else:
            self.task = ClassificationTask(["a", "b", "c"])
            self.examples = [
                TextExample(text=text, label="abca"[i % 4], source="test")
                for i, text in enumerate(TEXTS)
            ]
        self.features = self.task.featurize(self.examples, self.tokenizer, max_length=max_length)
        self.trainable_layers = trainable_layers
        self.max_length = max_length
        self.model_id = model_id
        self.built = build_model(
            model_id,
            head=self.task.head,
            labels=self.task.labels,
            pad_token_id=self.tokenizer.pad_token_id,
            trainable_layers=trainable_layers,
            **options,
        )
        self.model = forward_module(self.built.model)

    def cached(self, folder, **changes):
        return cached_layers(
            self.accelerator,
            self.model,
            self.built.family,
            changes.pop("splits", {"train": self.features}),
            **{
                "trainable_layers": self.trainable_layers,
                "head_names": self.built.head_names,
                "model_id": self.model_id,
                "max_length": self.max_length,
                "pad_token_id": self.tokenizer.pad_token_id,
                "micro_batch_tokens": 64,
                "cache_dir": str(folder),
                "say": lambda text: None,
            }
            | changes,
        )

    def make_optimizer(self):
        groups = parameter_groups(
            self.model.named_parameters(),
            head_names=self.built.head_names,
            learning_rate=1e-3,
            head_learning_rate=None,
            weight_decay=0.01,
        )
        return build_optimizer(groups, name="adamw", device=torch.device("cpu"))

    def runner(self, cached=None, **options):
        return StepRunner(
            self.accelerator,
            self.model,
            self.task,
            self.features,
            pad_token_id=self.tokenizer.pad_token_id,
            max_grad_norm=1.0,
            cached=cached,
            **options,
        )

    def losses(self, cached=None, **options):
        """Loss of each step of two epochs of two micro-batches a step."""
        settings = RunConfig(
            task="ner", batch_size=8, num_train_epochs=2, gradient_accumulation_steps=2
        )
        self.model.train()
        torch.manual_seed(7)
        runner, optimizer = self.runner(cached, **options), self.make_optimizer()
        return torch.stack(
            [
                runner.step(optimizer, step).loss
                for step in planned_steps(self.features, settings, 1)
            ]
        )


@pytest.mark.parametrize("dtype", ["fp32", "bf16"])
def test_a_copy_on_the_device_gives_the_same_states(tmp_path, tiny_model, dtype):
    case = Case(tiny_model("bert"), "bert", "ner")
    with case.cached(tmp_path, dtype=dtype) as report:
        on_disk = report.states["train"]
    copied = on_disk.on_device()
    starts, lengths = case.features.lines(np.array([3, 0, 11]))
    states = on_disk.stored.padded(starts, lengths)
    assert torch.equal(copied.stored.padded(starts, lengths), states)
    assert states.dtype == copied.stored.flat.dtype and not states[1, lengths[1] :].any()
    tokens = len(case.features.input_ids)
    assert copied.stored.flat.nbytes == device_bytes(on_disk.stored.num_bytes, tokens)


@pytest.fixture(scope="module")
def from_disk(tmp_path_factory, tiny_model):
    """A cache, and the losses of training from it."""
    case, folder = Case(tiny_model("bert"), "bert", "ner"), tmp_path_factory.mktemp("cache")
    with case.cached(folder) as report:
        return folder, case.losses(report.states["train"])


def test_training_from_the_copy_is_the_same_to_the_bit(tiny_model, from_disk):
    folder, expected = from_disk
    case = Case(tiny_model("bert"), "bert", "ner")
    with case.cached(folder) as report:
        found = case.losses(report.states["train"], states_on_device=True)
    assert torch.equal(found, expected)


def test_the_copy_goes_first_when_memory_runs_out(tiny_model, from_disk, monkeypatch, capsys):
    folder, expected = from_disk
    case, real, used = Case(tiny_model("bert"), "bert", "ner"), StepRunner.loss, []

    def loss(self, rows):
        used.append(type(self.cached.stored).__name__)
        if len(used) == 3:  # The first micro-batch of the second step.
            raise torch.OutOfMemoryError("CUDA out of memory.")
        return real(self, rows)

    monkeypatch.setattr(StepRunner, "loss", loss)
    budget = MicroBatchBudget(tokens=4096, pieces=2)
    with case.cached(folder) as report:
        found = case.losses(report.states["train"], states_on_device=True, budget=budget)
    assert torch.equal(found, expected)
    assert used[:4] == ["DeviceStates"] * 3 + ["StoredStates"] and "DeviceStates" not in used[3:]
    assert budget.pieces == 2
    (noted,) = budget.recoveries
    assert (noted["optimizer_step"], noted["states"]) == (2, "host")
    assert "repeating it without the copy of the frozen layers' states" in capsys.readouterr().err


def test_without_room_for_the_copy_training_reads_from_the_disk(tiny_model, from_disk, monkeypatch):
    def full(*_):
        raise torch.OutOfMemoryError("CUDA out of memory.")

    monkeypatch.setattr(DeviceStates, "of", full)
    folder, expected = from_disk
    case = Case(tiny_model("bert"), "bert", "ner")
    with case.cached(folder) as report:
        assert torch.equal(case.losses(report.states["train"], states_on_device=True), expected)


def compare(folder, *case, tolerance=1e-5, **options):
    """Trains without and with the cache; returns both."""
    plain, fast = Case(*case, **options), Case(*case, **options)
    expected = plain.losses()
    assert len(set(expected.tolist())) == len(expected)
    with fast.cached(folder) as report:
        assert not report.reused
        losses = fast.losses(report.states["train"])
    torch.testing.assert_close(losses, expected, atol=tolerance, rtol=0)
    return plain, fast


@pytest.mark.parametrize("method", ["lora", "full"])
@pytest.mark.parametrize(("family", "name"), CASES)
def test_cached_and_uncached_training_agree(tmp_path, tiny_model, family, name, method):
    # With the models' own dropout in the upper layers, drawn alike in both.
    plain, fast = compare(tmp_path, tiny_model(family), family, name, method=method)
    untrained = Case(tiny_model(family), family, name, method=method).model.state_dict()
    weights, cached = plain.model.state_dict(), fast.model.state_dict()
    assert list(weights) == list(cached) == list(untrained)
    trains = {key for key, p in plain.model.named_parameters() if p.requires_grad}
    for key, weight in weights.items():
        assert torch.equal(cached[key], untrained[key]) == torch.equal(weight, untrained[key])
        assert key in trains or torch.equal(cached[key], untrained[key])


@pytest.mark.parametrize(
    ("family", "quantization"),
    [
        *[(family, quantization) for family in SEPARATE for quantization in ("8bit", "nf4")],
        *[(family, "int8") for family in ("bert", "distilbert", "gpt2")],
    ],
)
def test_quantized_layers_agree_as_closely(tmp_path, tiny_model, family, quantization):
    # 8bit would not on its own: its kernel for evaluation rounds otherwise (`settle_kernels`).
    name = "ner" if family in TOKEN_FAMILIES else "classification"
    # A code of int8 may fall on the other side of a half where the last bits differ.
    tolerance = 5e-3 if quantization == "int8" else 1e-5
    case = (tiny_model(family), family, name)
    plain, _ = compare(tmp_path, *case, tolerance=tolerance, quantization=quantization)
    for layer in layer_list(plain.model, plain.built.family):  # frozen and trained ones
        stored, whole = weight_bytes(layer)
        assert 0 < stored < whole / 2


@pytest.mark.parametrize("family", SEPARATE)
@pytest.mark.parametrize("trainable_layers", [1, 3])
def test_any_number_of_layers_may_train(tmp_path, tiny_model, family, trainable_layers):
    case = (tiny_model(family), family, "classification")
    compare(tmp_path, *case, trainable_layers=trainable_layers, dropout=0.0)


@pytest.mark.parametrize(
    ("family", "changes"),
    [
        ("deberta-v2", {"conv_kernel_size": 3, "conv_act": "gelu"}),
        ("electra", {"embedding_size": 32}),  # without a projection behind the embeddings
        ("modernbert", {"global_attn_every_n_layers": 2}),
    ],
)
def test_variants_of_a_family_agree(tmp_path, family, changes):
    model_id = make_tiny(family, tmp_path / "model", **changes)
    for trainable_layers in (1, 2, 3):
        case = (model_id, family, "classification")
        compare(tmp_path / "cache", *case, trainable_layers=trainable_layers)


def test_gradient_checkpointing_agrees(tmp_path, tiny_model):
    case = (tiny_model("bert"), "bert", "ner")
    compare(tmp_path, *case, gradient_checkpointing=True, dropout=0.0)


@pytest.mark.parametrize("dtype", ["bf16", "fp16"])
def test_a_half_precision_cache_is_half_as_large_and_near(tmp_path, tiny_model, dtype):
    plain, fast = (Case(tiny_model("bert"), "bert", "ner") for _ in range(2))
    with fast.cached(tmp_path, dtype=dtype) as report:
        losses = fast.losses(report.states["train"])
        assert report.num_bytes == len(fast.features.input_ids) * 32 * 2
    torch.testing.assert_close(losses, plain.losses(), atol=2e-2, rtol=0)


def test_states_too_large_for_fp16_are_refused(tmp_path, tiny_model):
    case = Case(tiny_model("llama"), "llama", "classification")
    with torch.no_grad():
        case.model.model.embed_tokens.weight.mul_(1e7)
    with pytest.raises(UserError, match="--cache-dtype bf16"), case.cached(tmp_path, dtype="fp16"):
        pass
    assert not [path for path in tmp_path.iterdir() if path.is_dir()]


@pytest.mark.parametrize("family", ["bert", "deberta-v2", "gpt2", "llama", "gemma3_text"])
def test_predictions_from_cached_states_are_those_of_the_model(tmp_path, tiny_model, family):
    case = Case(tiny_model(family), family, "classification")
    options = {"pad_token_id": case.tokenizer.pad_token_id, "micro_batch_tokens": 64}
    arguments = (case.accelerator, case.model, case.task, case.features)
    expected = predict(*arguments, **options)
    with case.cached(tmp_path) as report:
        found = predict(*arguments, **options, cached=report.states["train"])
    for name, values in expected.items():
        np.testing.assert_allclose(found[name], values, atol=1e-5)


def test_the_lower_part_comes_back_as_it_was(tmp_path, tiny_model):
    case = Case(tiny_model("bert"), "bert", "ner")
    before = copy.deepcopy(case.model.state_dict())
    modules = [(name, id(module)) for name, module in case.model.named_modules()]
    with pytest.raises(RuntimeError, match="stop"), case.cached(tmp_path):
        inside = {name for name, _ in case.model.named_parameters()}
        assert not any("embeddings" in name or "layer.0." in name for name in inside)
        assert any("layer.1." in name for name in inside)
        raise RuntimeError("stop")
    assert [(name, id(module)) for name, module in case.model.named_modules()] == modules
    for name, weight in case.model.state_dict().items():
        assert torch.equal(weight, before[name]), name


def test_the_lower_part_counts_as_memory_on_a_cpu(tmp_path, tiny_model):
    case = Case(tiny_model("bert"), "bert", "ner")
    settings = RunConfig(task="ner", batch_size=8)
    with case.cached(tmp_path) as report:
        peak = rehearse(
            case.runner(report.states["train"]),
            planned_steps(case.features, settings, 1),
            case.make_optimizer,
        )
    assert peak > sum(p.nbytes for p in case.model.parameters())


# --- Reuse


def folders(path):
    return sorted(entry.name for entry in path.iterdir() if entry.is_dir())


def test_a_second_run_reuses_the_states(tmp_path, tiny_model, monkeypatch):
    case = Case(tiny_model("bert"), "bert", "ner")
    said = []
    with case.cached(tmp_path, say=said.append) as report:
        first = report.states["train"].stored.flat.clone()
        assert not report.reused and report.seconds > 0
    assert "MB of disk" in said[0]
    # Another head, another rank, other labels: what lies below is the same.
    other = Case(tiny_model("bert"), "bert", "ner", lora_r=2, seed=5, dropout=0.0)
    monkeypatch.setattr(stored_states.PartialStates, "write", None)
    with other.cached(tmp_path, say=said.append) as report:
        assert report.reused
        assert torch.equal(report.states["train"].stored.flat, first)
    assert "reusing" in said[-1]
    assert len(folders(tmp_path)) == 1


def test_a_changed_input_is_never_answered_from_another(tmp_path, tiny_model):
    bert = tiny_model("bert")
    case = Case(bert, "bert", "ner")

    def fill(case, **changes):
        with case.cached(tmp_path, **changes) as report:
            return report.reused

    assert not fill(case)
    ids = case.features.input_ids.copy()
    ids[3] += 1
    same_ids = {"input_ids": case.features.input_ids, "starts": case.features.starts.copy()}
    same_ids["starts"][1] += 1
    types = np.ones_like(ids)
    for data in ({"input_ids": ids}, same_ids, {"token_type_ids": types}):
        assert not fill(case, splits={"train": replace(case.features, **data)})
    assert not fill(case, max_length=17)
    assert not fill(case, model_id="another name")
    assert not fill(case, dtype="bf16")
    assert not fill(Case(bert, "bert", "ner", trainable_layers=1))
    assert not fill(Case(bert, "bert", "ner", attn_implementation="eager"))
    assert not fill(Case(bert, "bert", "ner", max_length=6))
    for name in ("layer.0.output.dense.weight", "embeddings.word_embeddings.weight"):
        changed = Case(bert, "bert", "ner")
        with torch.no_grad():
            next(p for n, p in changed.model.named_parameters() if n.endswith(name)).view(-1)[
                5
            ] += 1
        assert not fill(changed)
    assert len(folders(tmp_path)) == 12
    assert fill(case)


def test_other_library_versions_build_anew(tmp_path, tiny_model, monkeypatch):
    case = Case(tiny_model("bert"), "bert", "ner")
    for version, reused in (("1", False), ("2", False), ("1", True)):
        monkeypatch.setattr(cache_key, "versions", lambda v=version: dict.fromkeys(VERSIONS, v))
        with case.cached(tmp_path) as report:
            assert report.reused is reused


VERSIONS = ("torch", "transformers", "bitsandbytes")


def test_two_splits_share_nothing_but_the_folder(tmp_path, tiny_model):
    case = Case(tiny_model("bert"), "bert", "ner")
    few = case.task.featurize(case.examples[:5], case.tokenizer, max_length=16)
    with case.cached(tmp_path, splits={"train": case.features, "validation": few}) as report:
        assert report.states["validation"].stored.flat.shape[0] == len(few.input_ids)
        assert report.num_bytes == sum(p.stat().st_size for p in tmp_path.glob("*/states.bin"))
    with case.cached(tmp_path, splits={"validation": few}) as report:
        assert report.reused


def test_the_manifest_says_what_the_states_are(tmp_path, tiny_model):
    case = Case(tiny_model("bert"), "bert", "ner")
    with case.cached(tmp_path):
        (manifest,) = tmp_path.glob("*/manifest.json")
    content = json.loads(manifest.read_text())
    assert content["shape"] == [len(case.features.input_ids), 32]
    assert content["layer"] == 1
    assert content["model_id"] == case.model_id


# --- Accidents


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
def test_an_interrupted_build_leaves_no_cache(tmp_path, tiny_model, monkeypatch, error):
    case = Case(tiny_model("bert"), "bert", "ner")
    share = lower_states.LowerStates.share

    def interrupted(run):
        yield next(share(run))
        raise error

    with monkeypatch.context() as patch:
        patch.setattr(lower_states.LowerStates, "share", interrupted)
        with pytest.raises(error), case.cached(tmp_path):
            pass
    assert folders(tmp_path) == []
    with case.cached(tmp_path) as report:
        assert not report.reused


def test_a_killed_build_leaves_no_cache(tmp_path, tiny_model, monkeypatch):
    case = Case(tiny_model("bert"), "bert", "ner")
    with monkeypatch.context() as patch:  # as if the power had gone
        patch.setattr(stored_states.PartialStates, "finish", lambda *_: 1 / 0)
        patch.setattr(stored_states.PartialStates, "discard", lambda _: None)
        with pytest.raises(ZeroDivisionError), case.cached(tmp_path):
            pass
    assert [name.endswith(".partial") for name in folders(tmp_path)] == [True]
    with case.cached(tmp_path) as report:
        assert not report.reused
    assert [name.endswith(".partial") for name in folders(tmp_path)] == [False]


def test_a_shortened_file_is_no_cache(tmp_path, tiny_model):
    case = Case(tiny_model("bert"), "bert", "ner")
    with case.cached(tmp_path) as report:
        expected = report.states["train"].stored.flat.clone()
    (states,) = tmp_path.glob("*/states.bin")
    os.truncate(states, states.stat().st_size // 2)
    with case.cached(tmp_path) as report:
        assert not report.reused
        assert torch.equal(report.states["train"].stored.flat, expected)


def test_a_disk_too_small_is_refused_before_anything_is_written(tmp_path, tiny_model, monkeypatch):
    case = Case(tiny_model("bert"), "bert", "ner")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 10**6))
    with pytest.raises(UserError, match="--cache-dir"), case.cached(tmp_path / "new"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_disk_that_old_caches_fill_is_told_with_their_sizes(tmp_path, tiny_model, monkeypatch):
    case, other = (Case(tiny_model("bert"), "bert", "ner", trainable_layers=k) for k in (2, 1))
    few = case.task.featurize(case.examples[:5], case.tokenizer, max_length=16)
    with other.cached(tmp_path), case.cached(tmp_path, splits={"validation": few}):
        pass
    names = {json.loads(p.read_text())["layer"]: p.parent for p in tmp_path.glob("*/manifest.json")}
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage(10**9, 10**9, 10**6))
    # The validation states, of layer 1, are in use; those of layer 2 belong to another run.
    both = {"train": case.features, "validation": few}
    with pytest.raises(UserError) as told, case.cached(tmp_path, splits=both):
        pass
    assert f" MB  {names[2]}" in str(told.value) and "rm -r FOLDER" in str(told.value)
    assert str(names[1]) not in str(told.value)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, tiny_model):
    case = Case(tiny_model("bert"), "bert", "ner")
    (tmp_path / "file").write_text("")
    with pytest.raises(UserError, match="cannot write"), case.cached(tmp_path / "file"):
        pass


def test_the_default_folder_follows_the_environment(monkeypatch):
    monkeypatch.delenv("LOWCOST_FT_CACHE", raising=False)
    monkeypatch.setenv("XDG_CACHE_HOME", "/xdg")
    assert str(stored_states.default_cache_dir()) == "/xdg/lowcost_ft/frozen_layers"
    monkeypatch.setenv("LOWCOST_FT_CACHE", "/own")
    assert str(stored_states.default_cache_dir()) == "/own/frozen_layers"


# --- Refused


def test_shared_and_unknown_layers_are_refused(tmp_path, tiny_model):
    case = Case(tiny_model("albert"), "albert", "classification", trainable_layers=None)
    with pytest.raises(UserError, match="shared layer"), case.cached(tmp_path, trainable_layers=1):
        pass
    case.built = replace(case.built, family=None)
    with pytest.raises(UserError, match="not known"), case.cached(tmp_path, trainable_layers=1):
        pass


def test_flags_that_belong_together():
    with pytest.raises(UserError, match="--trainable-layers K"):
        RunConfig(cache_frozen_layers=True)
    with pytest.raises(UserError, match="--cache-dir needs --cache-frozen-layers"):
        RunConfig(trainable_layers=1, cache_dir="x")
    with pytest.raises(UserError, match="--cache-dtype needs"):
        RunConfig(trainable_layers=1, cache_dtype="bf16")
    RunConfig(trainable_layers=1, cache_frozen_layers=True, cache_dtype="bf16", cache_dir="x")


# --- Whole runs


@pytest.mark.parametrize(
    ("recipe", "kind", "family"),
    [
        ("lora_ner", "ner", "bert"),
        ("lora_classification", "single", "llama"),
        ("full_ner", "ner", "distilbert"),
    ],
)
def test_a_cached_run_ends_like_an_uncached_one(
    tmp_path, tiny_model, small_files, recipe, kind, family
):
    runs = []
    values = {"model_id": tiny_model(family), "trainable_layers": 1, "learning_rate": 3e-3}
    values |= {"num_train_epochs": 2, "batch_size": 8, "max_length": 48, **small_files[kind]}
    cache = {"cache_frozen_layers": True, "cache_dir": tmp_path / "cache"}
    for name, more in (("plain", {}), ("filled", cache), ("reused", cache)):
        folder = tmp_path / name
        # Each run reloads what it saved and compares the predictions.
        assert call_recipe(recipe, *flags(**values, **more, output_dir=folder)) == 0
        runs.append(json.loads((folder / "run.json").read_text()))
    plain, filled, reused = runs
    assert plain["train"]["cache_bytes"] == 0 and plain["train"]["cache_seconds"] == 0
    assert filled["train"]["cache_bytes"] == reused["train"]["cache_bytes"] > 0
    assert filled["train"]["cache_seconds"] > 0
    for run in (filled, reused):
        for key in ("final_loss", "peak_memory_bytes"):
            assert run["train"][key] > 0
        for mine, theirs in zip(
            run["train"]["loss_history"], plain["train"]["loss_history"], strict=True
        ):
            assert mine["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
        assert run["parameters"] == plain["parameters"]
        for name in os.listdir(tmp_path / "plain"):
            if name.endswith(".safetensors"):
                assert (tmp_path / "filled" / name).exists()
