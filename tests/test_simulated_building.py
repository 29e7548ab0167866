"""What streamed frozen layers take is what was said before a weight was read."""

import pytest
import torch
from test_streaming import Streamed
from tiny import make_tiny

from lowcost_ft.memory.measure import cpu_step_peak_bytes
from lowcost_ft.memory.operators import Target
from lowcost_ft.models.loading import build_model, forward_module
from lowcost_ft.planning.simulated_building import cache_needs, simulate_building

WIDER = {
    "llama": {"hidden_size": 192, "intermediate_size": 512, "num_hidden_layers": 6},
    "bert": {"hidden_size": 192, "intermediate_size": 768, "vocab_size": 4000},
}


def whole_model(case):
    """The same model on the meta device."""
    built = build_model(
        case.model_id,
        head=case.task.head,
        labels=case.task.labels,
        pad_token_id=case.tokenizer.pad_token_id,
        trainable_layers=case.trainable_layers,
        on_meta=True,
    )
    return forward_module(built.model), built.family


def predicted(case, micro_batch_tokens, **target):
    return simulate_building(
        *whole_model(case),
        case.trainable_layers,
        [case.features],
        target=Target(num_threads=torch.get_num_threads(), **target),
        pad_token_id=case.tokenizer.pad_token_id,
        micro_batch_tokens=micro_batch_tokens,
    )


def model_of(family, folder, tiny_model):
    name = family.removeprefix("wide ")
    if name == family:
        return name, tiny_model(name)
    return name, make_tiny(name, folder, **WIDER[name])


@pytest.mark.parametrize("micro_batch_tokens", [16, 4096])
@pytest.mark.parametrize("family", ["deberta-v2", "modernbert", "gpt2", "wide bert", "wide llama"])
def test_the_peak_is_as_measured(tmp_path, tiny_model, family, micro_batch_tokens):
    name, model_id = model_of(family, tmp_path / "model", tiny_model)
    case = Streamed(model_id, name, "classification", trainable_layers=1)

    def build():
        with case.cached(tmp_path / "cache", micro_batch_tokens=micro_batch_tokens):
            pass

    alive = [*case.model.parameters(), *case.model.buffers()]
    measured = cpu_step_peak_bytes(build, alive)
    found = predicted(case, micro_batch_tokens)
    # What is left are the numbers of tokens, and where they lie.
    assert found.peak_bytes == pytest.approx(measured, rel=3e-3, abs=1500)
    assert found.needed_bytes == found.peak_bytes == sum(found.parts.values())


def test_on_a_gpu_the_trainable_layers_and_files_wait_outside(tmp_path, tiny_model):
    name, model_id = model_of("wide llama", tmp_path / "model", tiny_model)
    case = Streamed(model_id, name, "classification", trainable_layers=5)
    whole, family = whole_model(case)
    here, there = predicted(case, 64), predicted(case, 64, device="cuda", context_bytes=0)
    layer = sum(p.nbytes for p in whole.model.layers[0].parameters())
    assert here.parts["weights"] > 6 * layer
    assert layer < there.parts["weights"] < 1.1 * layer
    needs = cache_needs(
        whole,
        family,
        5,
        {"train": 1000},
        target=Target(device="cuda", mixed_precision="bf16"),
        cache_dtype="auto",
        streamed=True,
        weight_dtype=torch.bfloat16,
    )
    assert 6 * layer < needs.host_bytes < 7.5 * layer  # Adapters, too.
    assert needs.kept_bytes == 1000 * 192 * 2
    # Two generations in float32 at once, and two stages that write them.
    assert needs.disk_bytes == 4 * needs.kept_bytes
    assert needs.state_bytes == needs.kept_bytes * (1 + 2 + 2)
    assert needs.to_dict(100)["disk_seconds"] == pytest.approx(
        (needs.state_bytes + needs.weight_file_bytes) / 100, abs=0.1
    )


def test_the_model_is_whole_again(tiny_model):
    case = Streamed(tiny_model("bert"), "bert", "ner", trainable_layers=1)
    whole, family = whole_model(case)
    names = [(name, id(module)) for name, module in whole.named_modules()]
    for _ in range(2):
        simulate_building(
            whole,
            family,
            1,
            [case.features],
            target=Target(),
            pad_token_id=0,
            micro_batch_tokens=64,
        )
    assert [(name, id(module)) for name, module in whole.named_modules()] == names


@pytest.mark.gpu
def test_on_a_real_gpu(tmp_path, tiny_model):
    name, model_id = model_of("wide llama", tmp_path / "model", tiny_model)
    case = Streamed(model_id, name, "classification", trainable_layers=1)
    case.model.to(case.accelerator.device)
    context = torch.cuda.memory_allocated()
    torch.cuda.reset_peak_memory_stats()
    with case.cached(tmp_path / "cache", micro_batch_tokens=64) as report:
        measured = torch.cuda.max_memory_allocated()
        assert all(p.is_cuda for p in case.model.parameters())
        case.losses(report.states["train"])
    found = predicted(case, 64, device="cuda", mixed_precision=case.accelerator.mixed_precision)
    assert context < measured < 1.1 * found.peak_bytes
