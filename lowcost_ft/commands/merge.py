"""`lowcost-ft merge`: an adapter and its base model as one plain folder."""

import sys
from dataclasses import dataclass

from lowcost_ft.commands.saved_run import MadeOfRun, share_problems
from lowcost_ft.errors import UserError
from lowcost_ft.screen import print_json, say, wrapped

__all__ = ["Merge", "merge"]


@dataclass(frozen=True, kw_only=True)
class Merge(MadeOfRun):
    """Merge a run's adapter into its full-precision base model: a plain transformers folder."""

    max_drift: float = 0.05
    """Largest share of predictions on the run's validation split that may differ from the run's;
    above it nothing is written."""


def merge(command: Merge) -> None:
    """Writes the merged folder and says how far its logits differ from the run's.

    Raises:
        UserError: A flag or the run is wrong, or too many predictions change.
    """
    if problems := share_problems("--max-drift", command.max_drift):
        raise UserError(problems)
    from lowcost_ft.pipeline.merge import merge_run

    report = merge_run(
        command.run,
        command.output_dir,
        max_drift=command.max_drift,
        base_model=command.base_model,
        validation=command.validation_file,
        trust_remote_code=command.trust_remote_code,
        num_threads=command.num_threads,
        say=say,
    )
    if command.json:
        print_json(vars(report))
    else:
        told = (
            f"Merged into {report.folder}. Its logits differ from the run's by at most "
            f"{report.parity_gap:.1e}."
        )
        print(wrapped(told, sys.stdout))
