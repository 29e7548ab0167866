"""Which examples of a step have a loss that is infinite or NaN."""

from typing import TYPE_CHECKING

import numpy as np
import torch
from accelerate.utils import gather_object

from lowcost_ft.training.random_state import set_torch_states, torch_states
from lowcost_ft.training.step_plan import PlannedStep

if TYPE_CHECKING:
    from lowcost_ft.training.steps import StepRunner

__all__ = ["bad_examples"]


def bad_examples(runner: "StepRunner", step: PlannedStep) -> list[str]:
    """Names of the examples whose own loss is not finite, or of all if there is none."""
    random = torch_states()
    bad = []
    with torch.no_grad():
        # A sharded model would have to be asked equally often by every process.
        for rows in () if runner.sharded else step.micro_batches[runner.accelerator.process_index]:
            bad += [int(row) for row in rows if not runner.loss(np.array([row])).isfinite()]
    set_torch_states(random)
    if runner.accelerator.num_processes > 1:
        bad = sorted(gather_object(bad))
    examples = np.unique(runner.features.examples[bad or step.rows])
    return [runner.example_name(int(example)) for example in examples]
