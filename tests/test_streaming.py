"""Reading frozen layers one at a time gives what holding them all gives, bit for bit."""

import copy
import json
from collections import namedtuple
from dataclasses import replace

import pytest
import torch
from safetensors.torch import load_file, save_file
from small_runs import call_recipe, flags
from test_backbone_cache import SEPARATE, Case, folders
from tiny import make_tiny

from lowcost_ft.errors import UserError
from lowcost_ft.frozen import stored_states, streaming
from lowcost_ft.frozen.streamed_part import StreamedPart, streamed_part
from lowcost_ft.frozen.streaming import streaming_disk_bytes, streaming_needs
from lowcost_ft.models.loading import build_model, forward_module, load_trained
from lowcost_ft.pipeline.predicting import predict

VARIANTS = [(family, {}) for family in SEPARATE]
VARIANTS += [("deberta-v2", {"conv_kernel_size": 3, "conv_act": "gelu"})]


class Streamed(Case):
    """The same without the lower layers."""

    def __init__(self, *case, **options):
        super().__init__(*case, stream_frozen_layers=True, **options)
        self.part = streamed_part(self.built, self.trainable_layers)

    def cached(self, folder, **changes):
        return super().cached(folder, streamed=self.part, **changes)


@pytest.mark.parametrize(("family", "changes"), VARIANTS)
def test_states_and_training_are_the_same_bit_for_bit(tmp_path, family, changes):
    model_id = make_tiny(family, tmp_path / "model", **changes)
    case = (model_id, family, "classification")
    plain, streamed = (kind(*case, trainable_layers=1) for kind in (Case, Streamed))
    with plain.cached(tmp_path / "plain") as report:
        expected = report.states["train"].stored.flat.clone()
        losses = plain.losses(report.states["train"])
    with streamed.cached(tmp_path / "streamed") as report:
        assert not report.reused
        assert torch.equal(report.states["train"].stored.flat, expected)
        assert torch.equal(streamed.losses(report.states["train"]), losses)
    # The same key: each finds what the other has made.
    assert folders(tmp_path / "streamed") == folders(tmp_path / "plain")
    weights = plain.model.state_dict()
    trained = streamed.model.state_dict()
    assert 0 < len(trained) < len(weights)
    for name, weight in trained.items():
        assert torch.equal(weight, weights[name]), name


@pytest.mark.parametrize("family", ["bert", "llama"])
def test_one_layer_at_a_time_is_in_memory(tmp_path, tiny_model, family, monkeypatch):
    case = Streamed(tiny_model(family), family, "classification", trainable_layers=1)
    part, model = case.part, case.model
    upper = {name for name, _ in model.named_parameters()}
    held = []

    def run_stage(self, stage, inputs, states):
        lower = {n for n, _ in model.named_parameters() if n not in upper}
        held.append((stage, {n.split("layer")[1][:2] for n in lower if "layer" in n} or "below"))
        size = sum(p.nbytes for n, p in model.named_parameters() if n in lower)
        assert 0 < size <= part.largest_stage_bytes
        return real(self, stage, inputs, states)

    real = StreamedPart.run_stage
    monkeypatch.setattr(StreamedPart, "run_stage", run_stage)
    with case.cached(tmp_path):
        assert {name for name, _ in model.named_parameters()} == upper
    assert {stage for stage, _ in held} == {0, 1, 2}
    assert all(len(layers) == 1 for stage, layers in held if stage)
    assert not [p for p in model.parameters() if p.is_meta]


def test_each_finds_what_the_other_has_made(tmp_path, tiny_model, monkeypatch):
    first, second = (k(tiny_model("bert"), "bert", "ner") for k in (Case, Streamed))
    with first.cached(tmp_path / "a"), second.cached(tmp_path / "b"):
        pass
    monkeypatch.setattr(stored_states.PartialStates, "write", None)
    with second.cached(tmp_path / "a") as report:
        assert report.reused and report.streaming is None
        losses = second.losses(report.states["train"])
    with first.cached(tmp_path / "b") as report:
        assert report.reused
        assert torch.equal(first.losses(report.states["train"]), losses)


def test_another_checkpoint_is_another_key(tmp_path, tiny_model):
    with Streamed(tiny_model("bert"), "bert", "ner").cached(tmp_path / "cache"):
        pass
    changed = make_tiny("bert", tmp_path / "model", seed=1)
    weights = load_file(f"{tiny_model('bert')}/model.safetensors")
    weights["encoder.layer.0.output.dense.bias"][5] += 1
    save_file(weights, f"{changed}/model.safetensors", metadata={"format": "pt"})
    case = Streamed(changed, "bert", "ner")
    with case.cached(tmp_path / "cache", model_id=tiny_model("bert")) as report:
        assert not report.reused
    assert len(folders(tmp_path / "cache")) == 2


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_any_checkpoint_is_read_as_transformers_reads_it(tmp_path, tiny_model, dtype, monkeypatch):
    """In several files, in half precision, with names from before they were changed."""
    monkeypatch.setattr("lowcost_ft.models.streamed_weights._CHUNK_BYTES", 1000)
    model_id = tmp_path / "model"
    make_tiny("bert", model_id)
    weights = load_file(model_id / "model.safetensors")
    old = {"LayerNorm.weight": "LayerNorm.gamma", "LayerNorm.bias": "LayerNorm.beta"}
    for new, name in old.items():
        weights = {
            f"bert.{k.removeprefix('bert.')}".replace(new, name): w for k, w in weights.items()
        }
    shards = {"a.safetensors": {}, "b.safetensors": {}}
    for number, (name, weight) in enumerate(weights.items()):
        shards[list(shards)[number % 2]][name] = weight.to(dtype)
    for name, shard in shards.items():
        save_file(shard, model_id / name, metadata={"format": "pt"})
    (model_id / "model.safetensors").unlink()
    index = {name: file for file, shard in shards.items() for name in shard}
    (model_id / "model.safetensors.index.json").write_text(
        json.dumps({"metadata": {}, "weight_map": index})
    )
    plain, streamed = (
        build_model(str(model_id), head="token", labels=["a", "b"], trainable_layers=1, **options)
        for options in ({}, {"stream_frozen_layers": True})
    )
    part = streamed_part(streamed, 1)
    expected = forward_module(plain.model).state_dict()
    for name, weight in forward_module(streamed.model).state_dict().items():
        assert torch.equal(weight, expected[name]), name
    seen = {}

    part.run({"input_ids": torch.ones((1, 3), dtype=torch.long)}, seen.__setitem__)
    assert part.num_parameters == sum(weight.numel() for weight in seen.values())
    assert part.bytes_read == 4 * part.num_parameters
    for name, weight in seen.items():
        assert torch.equal(weight, expected[f"bert.{name}"]), name


# --- Whole runs


@pytest.mark.parametrize(
    ("recipe", "family", "kind"),
    [
        ("cached_lora_ner", "bert", "ner"),
        ("lora_gpt_classification", "llama", "single"),
        ("lora_classification", "deberta-v2", "multi"),
    ],
)
def test_a_run_saves_the_adapter_of_a_run_that_held_all(
    tmp_path, tiny_model, small_files, recipe, family, kind
):
    records, adapters = [], []
    for name, extra in (("plain", {}), ("streamed", {"stream_frozen_layers": True})):
        values = {"model_id": tiny_model(family), "output_dir": tmp_path / name, "batch_size": 8}
        values |= {"num_train_epochs": 2, "max_length": 24, "trainable_layers": 1}
        values |= {"cache_frozen_layers": True, "cache_dir": tmp_path / f"cache-{name}"}
        assert call_recipe(recipe, *flags(**values, **small_files[kind], **extra)) == 0
        records.append(json.loads((tmp_path / name / "run.json").read_text()))
        adapters.append(load_file(tmp_path / name / "adapter_model.safetensors"))
    plain, streamed = records
    assert plain["train"]["streaming"] is None
    assert streamed["train"]["streaming"]["layers"] == 3
    assert streamed["train"]["streaming"]["weight_bytes"] > 0
    assert plain["parameters"] == streamed["parameters"]
    said = [record["memory_plan"]["frozen_layers"] for record in records]
    assert said[0]["weight_file_bytes"] == 0
    cost = streamed["train"]["streaming"]
    assert said[1]["weight_file_bytes"] == 2 * cost["weight_bytes"]
    assert said[1]["state_bytes"] == cost["written_bytes"] + cost["read_bytes"]
    assert said[1]["kept_bytes"] == streamed["train"]["cache_bytes"]
    assert plain["evaluation"] == streamed["evaluation"]
    assert plain["train"]["final_loss"] == streamed["train"]["final_loss"]
    # The frozen layers are in no memory.
    assert streamed["train"]["peak_memory_bytes"] < plain["train"]["peak_memory_bytes"]
    for name, weight in adapters[0].items():
        assert torch.equal(adapters[1][name], weight), name
    texts = [(tmp_path / name / "predictions.jsonl").read_text() for name in ("plain", "streamed")]
    assert texts[0] == texts[1]
    assert len(folders(tmp_path / "cache-streamed")) == 3
    # Anyone loads it as ever.
    inputs = {"input_ids": torch.arange(5, 12)[None]}
    logits = [
        load_trained(tmp_path / name, record)(**inputs).logits
        for name, record in zip(("plain", "streamed"), records, strict=True)
    ]
    assert torch.equal(*logits)


# --- Accidents


@pytest.mark.parametrize("error", [KeyboardInterrupt, MemoryError])
@pytest.mark.parametrize("stage", [0, 1, 2])
def test_an_interrupted_build_leaves_nothing(tmp_path, tiny_model, monkeypatch, error, stage):
    case = Streamed(tiny_model("bert"), "bert", "ner", trainable_layers=1)
    real, calls = streaming.run_stage, []

    def stopped(part, number, *rest):
        for count, batch in enumerate(real(part, number, *rest)):
            if number == stage and count:
                calls.append(number)
                raise error
            yield batch

    before = [(n, id(m)) for n, m in case.model.named_modules()]
    with monkeypatch.context() as patch:
        patch.setattr(streaming, "run_stage", stopped)
        with pytest.raises(error), case.cached(tmp_path):
            pass
    assert calls == [stage]
    assert folders(tmp_path) == []
    assert [(n, id(m)) for n, m in case.model.named_modules()] == before
    with case.cached(tmp_path) as report:
        assert not report.reused


def test_a_killed_build_is_not_trusted(tmp_path, tiny_model, monkeypatch):
    case = Streamed(tiny_model("bert"), "bert", "ner", trainable_layers=1)
    with monkeypatch.context() as patch:  # as if the power had gone
        patch.setattr(stored_states.PartialStates, "write", lambda *_: 1 / 0)
        patch.setattr(stored_states.PartialStates, "discard", lambda _: None)
        with pytest.raises(ZeroDivisionError), case.cached(tmp_path):
            pass
    (left,) = folders(tmp_path)
    assert left.endswith(".partial") and any((tmp_path / left).glob("layer-*"))
    with case.cached(tmp_path) as report:
        assert not report.reused
    (folder,) = folders(tmp_path)
    assert {path.name for path in (tmp_path / folder).iterdir()} == {"states.bin", "manifest.json"}


def test_room_for_two_generations_is_looked_for_first(tmp_path, tiny_model, monkeypatch):
    case = Streamed(tiny_model("bert"), "bert", "ner", trainable_layers=1)
    few = case.task.featurize(case.examples[:5], case.tokenizer, max_length=16)
    splits = {"train": case.features, "validation": few}
    one = len(case.features.input_ids) * 32 * 4
    kept = one + len(few.input_ids) * 32 * 4
    usage = namedtuple("usage", "total used free")
    spare = stored_states._SPARE_BYTES
    with monkeypatch.context() as patch:
        free = spare + kept + one - 1
        patch.setattr(stored_states.shutil, "disk_usage", lambda _: usage(0, 0, free))
        with pytest.raises(UserError, match="of disk"), case.cached(tmp_path, splits=splits):
            pass
        assert folders(tmp_path) == []
    said = []
    with case.cached(tmp_path, splits=splits, say=said.append):
        pass
    assert "MB while they are made" in said[0]
    assert "stages one at a time" in said[1] and "MB of weights" in said[1]


def test_no_more_disk_is_taken_than_was_announced(tmp_path, tiny_model, monkeypatch):
    case = Streamed(tiny_model("llama"), "llama", "classification", trainable_layers=1)
    few = case.task.featurize(case.examples[:5], case.tokenizer, max_length=16)
    splits = {"train": case.features, "validation": few}
    real, most = streaming.Generation.write, [0]

    def write(self, run, batches):
        written = real(self, run, batches)
        files = [path.stat().st_size for path in tmp_path.rglob("*.bin")]
        most[0] = max(most[0], sum(files))
        return written

    monkeypatch.setattr(streaming.Generation, "write", write)
    with case.cached(tmp_path, splits=splits) as report:
        sizes = {name: states.stored.num_bytes for name, states in report.states.items()}
    assert report.num_bytes < most[0] <= streaming_disk_bytes(sizes, 3)
    assert report.streaming.written_bytes == 3 * report.num_bytes
    assert report.streaming.read_bytes == 2 * report.num_bytes


@pytest.mark.parametrize("family", ["deberta-v2", "llama"])
def test_what_it_takes_is_known_without_a_weight(tmp_path, tiny_model, family):
    case = Streamed(tiny_model(family), family, "classification", trainable_layers=1)
    with case.cached(tmp_path) as report:
        cost = report.streaming
    whole = build_model(
        tiny_model(family),
        head="sequence",
        labels=["a", "b", "c"],
        pad_token_id=0,
        trainable_layers=1,
        on_meta=True,
    )
    tokens = {"train": len(case.features.input_ids)}
    needs, disk = streaming_needs(forward_module(whole.model), whole.family, 1, tokens)
    assert disk == 2 * report.num_bytes
    # Before, the weights were read once for the key.
    expected = replace(cost, weight_bytes=2 * cost.weight_bytes, seconds=0.0)
    assert needs == expected


def test_two_splits_that_are_the_same(tmp_path, tiny_model):
    case = Streamed(tiny_model("bert"), "bert", "ner", trainable_layers=1)
    again = copy.copy(case.features)
    with case.cached(tmp_path, splits={"validation": case.features, "test": again}) as report:
        flat = [states.stored.flat for states in report.states.values()]
        assert torch.equal(*flat)
    assert len(folders(tmp_path)) == 1


def test_predictions_go_on_in_a_reloaded_model(tmp_path, tiny_model):
    case = Streamed(tiny_model("gpt2"), "gpt2", "classification", trainable_layers=1)
    options = {"pad_token_id": case.tokenizer.pad_token_id, "micro_batch_tokens": 64}
    with case.cached(tmp_path) as report:
        cached = report.states["train"]
    # The lower part is away for good, inside the block and after it.
    found = predict(
        case.accelerator, case.model, case.task, case.features, **options, cached=cached
    )
    with pytest.raises(AssertionError, match="entering"):
        predict(case.accelerator, case.model, case.task, case.features, **options)
    assert len(found["label"] if "label" in found else next(iter(found.values()))) == 16


def test_what_cannot_be_streamed_is_refused(tiny_model, tmp_path, capsys):
    def refused(model_id, **values):
        arguments = {"model_id": model_id, "trainable_layers": 1, "cache_frozen_layers": True}
        arguments |= {"stream_frozen_layers": True, "output_dir": tmp_path / "run"} | values
        arguments = {name: value for name, value in arguments.items() if value is not None}
        assert call_recipe("lora_classification", *flags(**arguments)) == 2
        return capsys.readouterr().err

    bert = tiny_model("bert")
    assert "--stream-frozen-layers needs" in refused(bert, cache_frozen_layers=None)
    assert "--method full saves it" in refused(bert, method="full")
    assert "does not read nf4 weights" in refused(bert, quantization="nf4")
    assert "one shared layer" in refused(tiny_model("albert"))
    assert "not between 1 and 3" in refused(bert, trainable_layers=4)
    assert not (tmp_path / "run").exists()
