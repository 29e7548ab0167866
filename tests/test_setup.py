"""Precision and threads: what the hardware and the user say."""

import pytest
import torch
from small_runs import call_recipe, flags, forget_precision

from lowcost_ft.commands.main import main
from lowcost_ft.training.setup import build_accelerator, choose_mixed_precision, set_num_threads


@pytest.mark.parametrize(
    ("requested", "gpu", "bf16", "tiles", "chosen"),
    [
        ("auto", False, False, False, "no"),
        ("auto", False, False, True, "bf16"),
        ("no", False, False, True, "no"),
        ("auto", True, True, False, "bf16"),
        ("auto", True, False, True, "fp16"),
        ("no", True, True, True, "no"),
        ("bf16", False, False, False, "bf16"),
        ("fp16", True, True, False, "fp16"),
    ],
)
def test_precision_is_what_was_asked_for_or_what_the_hardware_has(
    monkeypatch, requested, gpu, bf16, tiles, chosen
):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch.cuda, "is_bf16_supported", lambda including_emulation: bf16)
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: tiles)
    assert choose_mixed_precision(requested) == chosen


def test_fp16_without_a_gpu_is_refused(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(ValueError, match="--mixed-precision fp16 needs a CUDA GPU"):
        choose_mixed_precision("fp16")


def test_without_a_gpu_the_accelerator_is_the_cpu():
    accelerator = build_accelerator()
    assert accelerator.device.type == "cpu"
    assert accelerator.mixed_precision == "no"


def test_a_cpu_with_amx_tiles_trains_in_bf16_and_says_so(
    tmp_path, tiny_model, small_files, monkeypatch, capsys
):
    monkeypatch.setattr(torch.cpu, "_is_amx_tile_supported", lambda: True)
    values = {"model_id": tiny_model("bert"), "max_steps": 2, **small_files["ner"]}
    precisions = []
    for number, given in enumerate(({}, {"mixed_precision": "no"})):
        folder = tmp_path / str(number)
        assert call_recipe("lora_ner", *flags(**values, **given, output_dir=folder)) == 0
        told = " ".join(capsys.readouterr().out.split())
        precisions.append("products are computed in bf16" in told)
        # What loads the run follows the process, whatever the hardware's own precision is.
        assert main(["evaluate", str(folder), "--test-file", small_files["ner"]["test_file"]]) == 0
        if not given:
            with pytest.raises(ValueError, match="has computed in bf16 before"):
                build_accelerator(mixed_precision="no")
    forget_precision()
    build_accelerator(mixed_precision="no")  # Not for the tests that follow.
    assert precisions == [True, False]


@pytest.mark.parametrize(
    ("requested", "exported", "launched", "processes", "expected"),
    [
        (3, None, False, 1, 3),
        (3, "2", False, 1, 3),  # The flag goes before the environment.
        (None, None, False, 1, 8),
        (None, None, True, 4, 2),
        (None, None, True, 16, 1),
        (None, "1", False, 1, 1),  # The user's own.
        (None, "1", True, 1, 8),  # The launcher's.
        (None, "4", True, 2, 4),
        (None, "many", False, 1, 8),
    ],
)
def test_threads(monkeypatch, requested, exported, launched, processes, expected):
    set_to = []
    monkeypatch.setattr(torch, "set_num_threads", set_to.append)
    monkeypatch.setattr("psutil.cpu_count", lambda logical: 8)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: set(range(16)), raising=False)
    for name in ("OMP_NUM_THREADS", "ACCELERATE_MIXED_PRECISION", "TORCHELASTIC_RUN_ID"):
        monkeypatch.delenv(name, raising=False)
    if exported is not None:
        monkeypatch.setenv("OMP_NUM_THREADS", exported)
    if launched:
        monkeypatch.setenv("ACCELERATE_MIXED_PRECISION", "no")
    assert set_num_threads(requested, local_processes=processes) == expected
    assert set_to == [expected]


def test_threads_stay_on_the_cores_that_the_process_may_use(monkeypatch):
    monkeypatch.setattr(torch, "set_num_threads", lambda count: None)
    monkeypatch.setattr("psutil.cpu_count", lambda logical: 64)
    monkeypatch.setattr("os.sched_getaffinity", lambda pid: {0, 1, 2}, raising=False)
    monkeypatch.delenv("OMP_NUM_THREADS", raising=False)
    assert set_num_threads(None, local_processes=1) == 3
