"""How steps are cut where nobody says: whole on a GPU that holds them, by the caches on a CPU."""

import json
from dataclasses import replace

import numpy as np
import pytest
from small_runs import call_recipe, flags

from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.settings import USUAL_MICRO_BATCH_TOKENS
from lowcost_ft.data.batching import cut_step
from lowcost_ft.memory.operators import Target
from lowcost_ft.planning.find_plan import find_plan, keep_states
from lowcost_ft.planning.longest_rows import longest_forecast
from lowcost_ft.planning.micro_batches import cpu_tokens, whole_step_tokens
from lowcost_ft.record.environment import cache_sizes
from lowcost_ft.record.prediction_tokens import prediction_tokens
from lowcost_ft.report.collect import Result
from lowcost_ft.report.labels import known_settings
from lowcost_ft.report.repeat import repeat_command

MIB = 2**20
CUDA = Target(device="cuda", mixed_precision="bf16")


@pytest.mark.parametrize(
    ("width", "caches", "tokens"),
    [
        (384, {}, 4096),  # Not known.
        (384, {1: 32 * 2**10, 2: MIB, 3: 32 * MIB}, 2048),
        (1024, {1: 48 * 2**10, 2: 2 * MIB, 3: 105 * MIB}, 2048),
        (384, {2: MIB, 3: 16 * MIB}, 1024),
        (384, {1: 64 * 2**10, 2: MIB}, 1024),
        (4096, {3: 16 * MIB}, 1024),
    ],
)
def test_a_cpu_takes_as_many_tokens_as_its_last_cache_holds(width, caches, tokens):
    assert cpu_tokens(width, caches) == tokens


def test_cache_sizes_are_those_that_linux_lists(tmp_path):
    kinds = [("1", "Data", "32K"), ("1", "Instruction", "64K"), ("3", "Unified", "1M")]
    for number, kind in enumerate(kinds):
        folder = tmp_path / f"index{number}"
        folder.mkdir()
        for name, text in zip(("level", "type", "size"), kind, strict=True):
            (folder / name).write_text(f"{text}\n")
    (tmp_path / "index9").mkdir()  # As where a sandbox hides the files.
    assert cache_sizes(tmp_path) == {1: 32768, 3: 2**20}
    assert cache_sizes(tmp_path / "nowhere") == {}
    assert cache_sizes() == cache_sizes()


@pytest.fixture(scope="module")
def config(tiny_model):
    return RunConfig(
        task="classification", model_id=tiny_model("bert"), max_length=64, batch_size=128
    )


@pytest.fixture(scope="module")
def forecast(config):
    return longest_forecast(config, CUDA, num_labels=3)


def test_a_gpu_takes_the_whole_step(config, forecast):
    assert config.micro_batch_tokens == "auto"
    plan = find_plan(config, None, forecast)
    assert plan.config == replace(config, micro_batch_tokens=128 * 64)
    assert plan.choices == []
    assert find_plan(config, None, forecast, card_bytes=10**12) == plan
    given = replace(config, micro_batch_tokens=512)
    assert find_plan(given, None, forecast, card_bytes=1000).config == given
    pieces = replace(config, gradient_accumulation_steps=2)
    assert find_plan(pieces, None, forecast, card_bytes=1000).config == pieces


def test_a_card_that_does_not_hold_it_takes_the_largest_cut_that_fits(config, forecast):
    whole = find_plan(config, None, forecast).prediction.needed_bytes
    least = forecast(replace(config, micro_batch_tokens=64)).needed_bytes
    card = (whole + least) // 2
    plan = find_plan(config, None, forecast, card_bytes=card)
    cut = plan.config.micro_batch_tokens
    assert plan.config == replace(config, micro_batch_tokens=cut)
    assert plan.prediction.needed_bytes <= card < plan.unplanned.needed_bytes
    assert [(c.setting, c.value) for c in plan.choices] == [("micro_batch_tokens", cut)]
    assert forecast(replace(config, micro_batch_tokens=cut + 640)).needed_bytes > card
    # A budget of that size comes to the same.
    budget = replace(config, memory_budget=f"{card}B")
    assert find_plan(budget, card, forecast).config == replace(budget, micro_batch_tokens=cut)


def test_without_a_budget_nothing_is_refused_and_nothing_else_is_chosen(config, forecast):
    plan = find_plan(config, None, forecast, card_bytes=1000)
    assert plan.config == replace(config, micro_batch_tokens=64)


def test_a_run_that_goes_on_keeps_its_cut(config, forecast):
    plan = find_plan(config, None, forecast, card_bytes=10**12, begun_with=640)
    assert plan.config.micro_batch_tokens == 640
    full_card = find_plan(config, None, forecast, card_bytes=1000, begun_with=640)
    assert full_card.config.micro_batch_tokens == 640
    # A budget had cut to less than the greatest length, since all rows are shorter.
    long = replace(config, max_length=128, memory_budget="1GB")
    assert find_plan(long, 10**9, forecast, begun_with=100).config.micro_batch_tokens == 100
    on_cpu = longest_forecast(config, Target(device="cpu"), num_labels=3)
    assert find_plan(config, None, on_cpu, begun_with=640).config.micro_batch_tokens == 640


def test_whole_steps_are_never_cut_and_short_ones_leave_the_usual_number(config, forecast):
    (step,) = forecast._steps(config)
    tokens = whole_step_tokens([step])
    assert len(cut_step(step.rows, step.features.widths, micro_batch_tokens=tokens)) == 1
    assert len(cut_step(step.rows, step.features.widths, micro_batch_tokens=tokens - 1)) == 2
    assert whole_step_tokens([step], num_processes=3) == USUAL_MICRO_BATCH_TOKENS
    assert whole_step_tokens([replace(step, rows=np.arange(3))]) == USUAL_MICRO_BATCH_TOKENS


def test_cached_states_stay_on_a_gpu_that_has_room_for_them(config):
    cached = replace(config, trainable_layers=1, cache_frozen_layers=True)
    on_cuda, on_cpu = (
        longest_forecast(cached, target, num_labels=3) for target in (CUDA, Target(device="cpu"))
    )
    plan = find_plan(cached, None, on_cuda)
    tokens = len(on_cuda.features.input_ids)
    kept = keep_states(plan, 10**12, on_cuda)
    assert kept.states_bytes == kept.prediction.parts["states"] == (tokens + 1) * 32 * 2  # bf16
    assert kept.prediction.peak_bytes == plan.prediction.peak_bytes + kept.states_bytes
    needed = kept.prediction.needed_bytes
    assert needed >= plan.prediction.needed_bytes + kept.states_bytes
    assert kept.to_dict(None)["states_on_device_bytes"] == kept.states_bytes
    assert keep_states(plan, needed, on_cuda) == kept
    assert keep_states(plan, needed - 1, on_cuda) == plan
    assert on_cpu.states_bytes(cached) == on_cuda.states_bytes(config) == 0


def test_a_micro_batch_always_holds_an_example():
    long = RunConfig(task="ner", max_length=8192)
    assert long.with_cut(4096).micro_batch_tokens == 8192
    assert replace(long, micro_batch_tokens=9000).with_cut(4096).micro_batch_tokens == 9000


def test_the_record_says_what_it_came_to(tmp_path, tiny_model, small_files):
    values = {"model_id": tiny_model("bert"), "max_steps": 2, **small_files["single"]}
    assert call_recipe("lora_classification", *flags(output_dir=tmp_path, **values)) == 0
    record = json.loads((tmp_path / "run.json").read_text("utf-8"))
    assert record["config"]["micro_batch_tokens"] == cpu_tokens(32, cache_sizes())
    assert record["train"]["micro_batch_tokens"] == record["config"]["micro_batch_tokens"]
    assert record["left_open"] == ["micro_batch_tokens"]


def test_a_model_predicts_with_the_usual_number_where_training_chose_more():
    for tokens, left_open, expected in [
        ("auto", [], 4096),  # The run ended before it was settled.
        (65536, ["micro_batch_tokens"], 4096),
        (512, ["micro_batch_tokens"], 512),
        (65536, [], 65536),
    ]:
        record = {"config": {"micro_batch_tokens": tokens}, "left_open": left_open}
        assert prediction_tokens(record) == expected
    assert prediction_tokens({"config": {"micro_batch_tokens": 100}}) == 100


def test_caches_decide_in_training_alone_and_a_budget_everywhere():
    record = {"config": {"micro_batch_tokens": 1024}, "left_open": ["micro_batch_tokens"]}
    record["memory_plan"] = {"device": "cpu"}
    assert prediction_tokens(record) == 4096
    record["config"]["memory_budget"] = "1GB"
    assert prediction_tokens(record) == 1024


def test_seeds_stay_one_row_of_a_report_whatever_their_longest_step_is():
    def told(tokens, source, **more):
        train = {"peak_memory_source": source}
        run = {"config": {"micro_batch_tokens": tokens}, "train": train, **more}
        return known_settings(Result(name="run", run=run))["micro_batch_tokens"]

    chosen = {"left_open": ["micro_batch_tokens"]}
    assert told(8192, "cuda_allocator", **chosen) == told(8100, "cuda_allocator", **chosen)
    assert told(8192, "cuda_allocator") == 8192
    assert told(4096, "cpu_allocator", **chosen) == told(4096, "cpu_allocator")


def test_the_command_that_repeats_a_run_cuts_its_steps_alike():
    config = {"micro_batch_tokens": 640, "max_steps": 3}
    run = {"task": "ner", "config": config, "seed": 0}
    assert "--micro-batch-tokens 640" in repeat_command(Result(name="run", run=run))
    run["config"] = config | {"gradient_accumulation_steps": 2}
    assert "--micro-batch-tokens" not in repeat_command(Result(name="run", run=run))
