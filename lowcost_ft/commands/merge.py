"""`lowcost-ft merge`: an adapter and its base model as one plain folder."""

import json
import sys
from dataclasses import dataclass

from lowcost_ft.commands.saved_run import RunFolder
from lowcost_ft.errors import UserError

__all__ = ["Merge", "merge"]


@dataclass(frozen=True, kw_only=True)
class Merge:
    """Merge a run's adapter into its full-precision base model: a plain transformers folder."""

    run: RunFolder
    """Folder of a completed run."""
    output_dir: str
    """Folder to write."""
    max_drift: float = 0.05
    """Largest share of predictions on the run's validation split that may differ from the run's;
    above it nothing is written."""
    base_model: str | None = None
    """Name or folder of the run's base model, where it is not what run.json names any more."""
    json: bool = False
    """Print the result as one JSON object."""
    trust_remote_code: bool = False
    """Run model code that comes with the base model. Off unless you trust its author."""
    num_threads: int | None = None
    """CPU threads. Default: OMP_NUM_THREADS if you set it, else the physical cores."""
    debug: bool = False
    """Show a traceback with each error."""


def merge(command: Merge) -> None:
    """Writes the merged folder and says how far its logits differ from the run's.

    Raises:
        UserError: A flag or the run is wrong, or too many predictions change.
    """
    if not 0 <= command.max_drift <= 1:
        raise UserError(
            f"--max-drift {command.max_drift} is not a share: give a number from 0 to 1"
        )
    from lowcost_ft.pipeline.merge import merge_run

    report = merge_run(
        command.run,
        command.output_dir,
        max_drift=command.max_drift,
        base_model=command.base_model,
        trust_remote_code=command.trust_remote_code,
        num_threads=command.num_threads,
        say=lambda text: print(text, file=sys.stderr),
    )
    if command.json:
        print(json.dumps(vars(report)))
    else:
        print(
            f"Merged into {report.folder}. Its logits differ from the run's by at most "
            f"{report.parity_gap:.1e}."
        )
