"""Programs run by two CPU processes on this machine, one program after the other.

`launch` starts the processes once for all of the programs: that takes longer than most of them.
"""

import json
import os
import runpy
import subprocess
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from unittest import mock

__all__ = ["Done", "Program", "launch"]

# What `accelerate launch` sets after a configuration with FSDP.
FSDP = {
    "ACCELERATE_USE_FSDP": "true",
    "FSDP_VERSION": "2",
    "FSDP_AUTO_WRAP_POLICY": "TRANSFORMER_BASED_WRAP",
    "FSDP_CPU_RAM_EFFICIENT_LOADING": "true",
}


@dataclass(frozen=True)
class Program:
    """A Python file and its arguments; sharded: the model is split over the processes."""

    path: str
    arguments: Sequence[str]
    sharded: bool = False


@dataclass(frozen=True)
class Done:
    """What became of a program: its exit code, and what both processes printed."""

    code: int
    output: str
    errors: str


def launch(programs: Mapping[str, Program], folder: Path) -> dict[str, Done]:
    """Runs the programs by `torchrun`; what comes after one that failed does not run."""
    plan = folder / "programs.json"
    plan.write_text(json.dumps({name: asdict(program) for name, program in programs.items()}))
    command = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2"]
    started = subprocess.run(
        [sys.executable, *command, __file__, str(plan)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=240,
    )
    done = {}
    for name in programs:
        code, output, errors = (
            [file.read_text("utf-8") for file in sorted(folder.glob(f"{name}.*.{part}"))]
            for part in ("code", "output", "errors")
        )
        codes = {int(number) for number in code}
        # One that did not end, or never began, has no code of its own.
        both = codes.pop() if len(code) == 2 and len(codes) == 1 else started.returncode or 1
        done[name] = Done(both, "".join(output), "".join(errors) or started.stderr)
    return done


def _main(plan: Path) -> None:
    import torch

    # Processes that parted would look for each other at the old address: they stay together.
    part = torch.distributed.destroy_process_group
    torch.distributed.destroy_process_group = lambda *_: None
    for name, program in json.loads(plan.read_text()).items():
        place = plan.parent / f"{name}.{os.environ['RANK']}"
        for stream, kind in ((sys.stdout, "output"), (sys.stderr, "errors")):
            stream.flush()
            with place.with_suffix(f"{place.suffix}.{kind}").open("w") as file:
                os.dup2(file.fileno(), stream.fileno())
        code = _run(**program)
        place.with_suffix(f"{place.suffix}.code").write_text(str(code))
        if code:
            sys.exit(code)
    part()


def _run(path: str, arguments: list[str], sharded: bool) -> int:
    from small_runs import forget_precision

    forget_precision()
    with ExitStack() as stack:
        stack.enter_context(mock.patch.object(sys, "argv", [path, *arguments]))
        stack.enter_context(mock.patch.object(sys, "path", [str(Path(path).parent), *sys.path]))
        if sharded:
            _shard(stack)
        try:
            runpy.run_path(path, run_name="__main__")
        except SystemExit as stop:
            return int(stop.code or 0)
    return 0


def _shard(stack: ExitStack) -> None:
    """Accelerate turns FSDP on for accelerators only; PyTorch's shards over gloo just as well."""
    from accelerate import Accelerator, PartialState
    from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin
    from torch.distributed.tensor import DTensor

    from lowcost_ft.pipeline import start

    build = start.build_accelerator

    def build_sharded(**arguments: object) -> Accelerator:
        accelerator = build(**arguments)  # type: ignore[arg-type]
        PartialState._shared_state["distributed_type"] = DistributedType.FSDP
        accelerator.state.distributed_type = DistributedType.FSDP
        accelerator.state.fsdp_plugin = FullyShardedDataParallelPlugin()
        prepare = accelerator.prepare

        def checked(*objects: object) -> object:
            prepared = prepare(*objects)
            assert all(isinstance(weight, DTensor) for weight in prepared[0].parameters())
            return prepared

        accelerator.prepare = checked
        return accelerator

    stack.enter_context(mock.patch.dict(os.environ, FSDP))
    stack.enter_context(mock.patch.object(start, "build_accelerator", build_sharded))


if __name__ == "__main__":
    _main(Path(sys.argv[1]))
