"""`lowcost-ft export`: a run as an ONNX folder."""

from dataclasses import asdict, dataclass
from pathlib import Path

from lowcost_ft.commands.saved_run import MadeOfRun, check_threads, share_problems
from lowcost_ft.config.values import split_list
from lowcost_ft.errors import UserError
from lowcost_ft.screen import print_json, say

__all__ = ["Export", "export"]


@dataclass(frozen=True, kw_only=True)
class Export(MadeOfRun):
    """Write a run as ONNX, for ONNX Runtime, Optimum and transformers.js, and say how score and
    speed change."""

    precision: str = "fp32"
    """Comma-separated precisions to write: fp32, fp16 (half the size), int8 (a quarter of it)."""
    max_drift: float | None = None
    """Largest share of predictions on the run's validation split that may change. int8 leaves
    layers in float32 until this and --max-score-drop hold. Default: 0.02, for entities 0.05."""
    max_score_drop: float = 0.005
    """Largest loss of the validation score for which fp16 or int8 is written."""
    min_speedup: float = 1.1
    """How many times as fast as float32 int8 must be on this CPU to be written; 0 for any speed."""


def export(command: Export) -> None:
    """Writes the folder and says what was measured.

    Raises:
        UserError: A flag or the run is wrong, or float32 itself answers otherwise than the run.
    """
    check_threads(command)
    drift = command.max_drift
    problems = [] if drift is None else share_problems("--max-drift", drift)
    if not 0 <= command.max_score_drop < float("inf"):
        problems.append(
            f"--max-score-drop {command.max_score_drop}: give a number that is 0 or more"
        )
    if not 0 <= command.min_speedup < float("inf"):
        problems.append(f"--min-speedup {command.min_speedup}: give a number that is 0 or more")
    if problems:
        raise UserError(problems)
    from lowcost_ft.export.exporting import export_run
    from lowcost_ft.export.telling import summary_lines
    from lowcost_ft.pipeline.summary import next_command
    from lowcost_ft.record.run_file import load_run

    report = export_run(
        command.run,
        command.output_dir,
        precision=split_list(command.precision) or (),
        max_drift=command.max_drift,
        max_score_drop=command.max_score_drop,
        min_speedup=command.min_speedup,
        base_model=command.base_model,
        validation=command.validation_file,
        trust_remote_code=command.trust_remote_code,
        num_threads=command.num_threads,
        say=say,
    )
    if command.json:
        print_json(asdict(report))
    else:
        command_to_try = next_command(load_run(report.folder), Path(report.folder))
        print("\n".join(summary_lines(report, command_to_try)))
