"""Starts a run: sets up processes, precision, threads, seeds, trackers, folder and record."""

import contextlib
import importlib.util
import os
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from accelerate import Accelerator
from accelerate.utils import DistributedType, broadcast_object_list, set_seed

from lowcost_ft.config.methods import find_method
from lowcost_ft.config.run import RunConfig
from lowcost_ft.config.values import split_list
from lowcost_ft.errors import UserError
from lowcost_ft.models.hub import model_folder
from lowcost_ft.pipeline.stopping import says_how_to_continue
from lowcost_ft.pipeline.student import settle_student
from lowcost_ft.pipeline.summary import summarize
from lowcost_ft.record.environment import command_line, git_state, hardware, versions
from lowcost_ft.record.overwriting import paths_of_settings
from lowcost_ft.record.prediction_tokens import prediction_tokens
from lowcost_ft.record.redaction import redact
from lowcost_ft.record.run_file import record_run
from lowcost_ft.record.run_folder import CHECKPOINTS, claimed_output_dir, remove_checkpoints
from lowcost_ft.screen import wrapped
from lowcost_ft.training.checkpoint_files import Checkpoint
from lowcost_ft.training.extensions.registry import not_for_split_models
from lowcost_ft.training.resume import check_settings, find_checkpoint, run_settings
from lowcost_ft.training.setup import build_accelerator, set_num_threads
from lowcost_ft.training.sharding import is_sharded

__all__ = ["Run", "processes_stay", "start_run"]


@dataclass(kw_only=True)
class Run:
    """A run while it goes on.

    Attributes:
        config: Its settings.
        accelerator: Its processes, device and precision.
        folder: Where everything is written.
        record: What becomes `run.json`.
        settings: The settings that decide the result, as the user gave them.
        resume: The checkpoint that the run goes on from, or None.
        paused: Whether it stopped for the time being, and can go on from its checkpoint.
        on_scores: Gets the validation scores and predictions of each evaluation.
    """

    config: RunConfig
    accelerator: Accelerator
    folder: Path
    record: dict[str, Any]
    settings: dict[str, Any] = field(default_factory=dict)
    resume: Checkpoint | None = None
    paused: bool = False
    on_scores: Callable[[dict[str, Any], Any], None] | None = None

    @property
    def prediction_tokens(self) -> int:
        """Most padded tokens in a micro-batch of a pass that only predicts."""
        return prediction_tokens(self.record)

    def say(self, text: str) -> None:
        """Prints a line from the main process only, with credentials removed."""
        shown = redact(text, keep=self.record.get("labels") or ())
        self.accelerator.print(wrapped(shown, sys.stdout), flush=True)


@contextlib.contextmanager
def start_run(config: RunConfig) -> Iterator[Run]:
    """Sets up processes, threads, seeds and the run folder; writes `run.json` at the end.

    A run that a user's mistake stops before training leaves no folder behind.

    Args:
        config: The settings.

    Yields:
        The run.

    Raises:
        UserError: The folder cannot be used, or the hardware cannot do what is asked.
    """
    if config.seeds is not None:
        raise UserError(
            "seeds: one run has one seed; run_recipe runs one a seed, and in Python each is "
            "main(replace(config, seed=..., seeds=None))"
        )
    trackers = split_list(config.report_to) or ()
    # Accelerate would silently leave out a tracker that is not installed.
    if missing := [name for name in trackers if importlib.util.find_spec(name) is None]:
        raise UserError(
            [
                f"--report-to {name}: it is not installed; pip install 'lowcost_ft[{name}]'"
                for name in missing
            ]
        )
    config = settle_student(config)
    # An absolute path: the run may be used from another folder, and a link may change.
    if Path(config.model_id).is_dir():
        config = replace(config, model_id=str(Path(config.model_id).resolve()))
    try:
        # Some trackers need a folder at once; it is replaced by the run's own folder below.
        accelerator = build_accelerator(
            mixed_precision=config.mixed_precision,
            report_to=trackers,
            project_dir=config.output_dir or ".",
        )
    except (ValueError, ImportError) as error:
        raise UserError(str(error)) from error
    _check_sharding(accelerator, config)
    set_num_threads(config.num_threads, local_processes=_local_processes())
    set_seed(config.seed)
    with _shared_folder(accelerator, config) as folder:
        record = _new_record(accelerator, config, folder)
        run = Run(config=config, accelerator=accelerator, folder=folder, record=record)
        run.settings = run_settings(config, accelerator)
        if config.resume:
            run.resume = _find_resume(run)
        with record_run(folder, record, enabled=accelerator.is_main_process):
            if trackers:
                accelerator.project_configuration.project_dir = str(folder)
                accelerator.project_configuration.logging_dir = str(folder)
                flat = {k: v for k, v in record["config"].items() if v is not None}
                accelerator.init_trackers("lowcost_ft", config=redact(flat))
            with says_how_to_continue(record, folder, run.say):
                yield run
            # The block was left early, as in a notebook that only looks at its data.
            if not record.get("evaluation"):
                record["status"] = "interrupted"
            # A process that leaves first would cut connections that others still use.
            accelerator.wait_for_everyone()
            _end(accelerator)
        if accelerator.is_main_process and not run.paused:
            remove_checkpoints(folder)
    if run.paused:
        run.say(f"paused: its checkpoint is in {folder / CHECKPOINTS}")
    else:
        run.say(summarize(record, folder))


@contextlib.contextmanager
def processes_stay() -> Iterator[None]:
    """Inside the block, the processes of a launch stay connected from one run to the next."""
    _STAY.append(True)
    try:
        yield
    finally:
        _STAY.pop()


_STAY: list[bool] = []


def _end(accelerator: Accelerator) -> None:
    """Ends the trackers, and the connections between processes unless another run follows."""
    if not _STAY:
        accelerator.end_training()
        return
    for tracker in accelerator.trackers:
        tracker.finish()
    accelerator.trackers = []


@contextlib.contextmanager
def _shared_folder(accelerator: Accelerator, config: RunConfig) -> Iterator[Path]:
    """Claims the run folder in the main process, and tells every process its path."""
    with contextlib.ExitStack() as claim:
        folders: list[Any] = [None]
        if accelerator.is_main_process:
            name = f"{config.task}-{config.method}"
            claimed = claimed_output_dir(
                config.output_dir,
                name,
                overwrite=config.overwrite,
                resume=config.resume,
                reads=paths_of_settings(config.to_dict())
                | {"--model-id": model_folder(config.model_id, config.revision)},
            )
            folders = [claim.enter_context(claimed)]
        broadcast_object_list(folders)
        yield Path(folders[0])


def _find_resume(run: Run) -> Checkpoint | None:
    folder = run.folder / CHECKPOINTS
    checkpoint = find_checkpoint(run.accelerator, folder, run.say)
    if checkpoint is None:
        run.say(f"note: no checkpoint in {run.folder}: the run starts from its beginning")
        return None
    check_settings(checkpoint, run.settings)
    run.say(f"resuming {run.folder} after step {checkpoint.step:,}")
    return checkpoint


def _new_record(accelerator: Accelerator, config: RunConfig, folder: Path) -> dict[str, Any]:
    settled = {"output_dir": str(folder), **config.settled}
    return {
        "task": config.task,
        "model_id": config.model_id,
        "method": config.method,
        "seed": config.seed,
        "command": command_line(),
        "config": config.to_dict() | settled,
        "versions": versions(),
        "hardware": hardware() | {"processes": accelerator.num_processes},
        "git": git_state(),
    }


def _check_sharding(accelerator: Accelerator, config: RunConfig) -> None:
    """Refuses ways to split a model that this package cannot save, restore or reload exactly.

    Raises:
        UserError: The launch and the settings do not go together.
    """
    if accelerator.distributed_type in (DistributedType.DEEPSPEED, DistributedType.MEGATRON_LM):
        raise UserError(
            f"{accelerator.distributed_type.value} brings an engine of its own, which steps inside "
            "the backward pass. To split a model over devices choose FSDP version 2 in "
            "`accelerate config`: it splits weights, gradients and optimizer state alike"
        )
    if not is_sharded(accelerator):
        return
    if config.lora_start != "random":
        raise UserError(
            f"--lora-start {config.lora_start}: not possible with FSDP, which splits the matrices; "
            "leave one of them out"
        )
    if config.head_start == "fitted":
        raise UserError(
            "--head-start fitted: not possible with FSDP, which splits the output layer; leave one "
            "of them out"
        )
    if config.stream_frozen_layers:
        raise UserError(
            "--stream-frozen-layers: FSDP splits the whole model; leave one of them out"
        )
    if not accelerator.is_fsdp2:
        raise UserError("FSDP version 1 is not supported: set fsdp_version: 2 (accelerate config)")
    if config.quantization != "none":
        raise UserError(
            f"--quantization {config.quantization}: FSDP does not split quantized weights; leave "
            "one of the two out"
        )
    method = find_method(config.method)
    if config.adapter_config or method is None or not method.splits:
        what = "--adapter-config" if config.adapter_config else f"--method {config.method}"
        raise UserError(f"{what}: not tested with FSDP; use lora or full, or data parallelism")
    if flags := not_for_split_models(config):
        raise UserError(
            f"{', '.join(flags)}: not tested with FSDP; leave it out, or use data parallelism"
        )
    plugin = accelerator.state.fsdp_plugin
    if plugin.cpu_ram_efficient_loading:
        # Accelerate 1.15 tells parameters apart by their address; those that only the first
        # process has read have none in the others, whose optimizer then loses the head.
        plugin.cpu_ram_efficient_loading = False
        os.environ["FSDP_CPU_RAM_EFFICIENT_LOADING"] = "false"
        accelerator.print(
            "note: each process reads the weights (fsdp_cpu_ram_efficient_loading off)"
        )


def _local_processes() -> int:
    return int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
