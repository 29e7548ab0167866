"""What cannot be exported, and why."""

from collections.abc import Sequence
from typing import Any

from peft import PeftModel

from lowcost_ft.errors import UserError
from lowcost_ft.models.families import find_family, is_causal
from lowcost_ft.models.merging import check_mergeable
from lowcost_ft.models.onnx_model import ONNX_FILES
from lowcost_ft.models.quantization import weight_bytes
from lowcost_ft.tasks import task_class

__all__ = ["check_family", "check_precisions", "check_task", "check_weights"]


def check_precisions(names: Sequence[str]) -> None:
    """Refuses precisions that there are not, and none at all.

    Raises:
        UserError: Names the known ones.
    """
    known = ", ".join(("fp32", "fp16", "int8"))
    if not names:
        raise UserError(f"--precision is empty: give some of {known}")
    if unknown := [name for name in names if name not in ONNX_FILES]:
        raise UserError(f"--precision {', '.join(unknown)}: not known; give some of {known}")


def check_task(run: dict[str, Any]) -> None:
    """Refuses a task that has no form in ONNX here.

    Args:
        run: The content of `run.json`.

    Raises:
        UserError: Says why, and what to do instead.
    """
    if task_class(run["task"]).generates:
        raise UserError(
            "export: this task writes its answer token by token, and only tasks that predict in "
            "one pass are exported; use the run as it is, or lowcost-ft merge"
        )


def check_family(config: Any) -> None:
    """Refuses, before any weight is read, a model that has no form in ONNX here.

    Args:
        config: The base model's configuration.

    Raises:
        UserError: Says why, and what to do instead.
    """
    if is_causal(config):
        family = find_family(config)
        raise UserError(
            f"export: {family.name if family else config.model_type} is a decoder, and only "
            "encoders are exported: no tool was found that reads the answers of a decoder's "
            "classifier from ONNX as the run does. lowcost-ft merge writes a folder that "
            "transformers loads"
        )


def check_weights(model: Any) -> None:
    """Refuses adapters that are not added to weights, and weights that are not in float32.

    Args:
        model: The loaded model.

    Raises:
        UserError: Says why.
    """
    if isinstance(model, PeftModel):
        check_mergeable(model, command="export")
    elif weight_bytes(model)[0]:
        raise UserError(
            "export: the model's own weights are quantized; export a run on the unquantized model"
        )
