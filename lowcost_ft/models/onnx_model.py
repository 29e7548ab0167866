"""A model in an ONNX file, called like a model of transformers: `lowcost-ft predict` runs it."""

import importlib.util
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from torch import nn
from transformers import AutoConfig

from lowcost_ft.errors import UserError
from lowcost_ft.models.safety import check_run_folder

__all__ = ["ONNX_FILES", "OnnxModel", "check_onnx_installed", "load_exported"]

ONNX_FILES = {
    "fp32": "onnx/model.onnx",
    "int8": "onnx/model_quantized.onnx",
    "fp16": "onnx/model_fp16.onnx",
}
"""Precision -> its file in an exported folder, as Optimum and transformers.js call it; the first
that is there is the one that is run unless another is asked for."""


class OnnxModel(nn.Module):
    """Runs an ONNX file on the CPU.

    Args:
        model: The file, or the bytes of one.
        config: The configuration of the model that it was made from.
        precision: Its key in `ONNX_FILES`.
    """

    def __init__(self, model: Path | bytes, config: Any, precision: str) -> None:
        super().__init__()
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        options.log_severity_level = 3
        source = model if isinstance(model, bytes) else str(model)
        self.config, self.precision = config, precision
        self._session = onnxruntime.InferenceSession(
            source, options, providers=["CPUExecutionProvider"]
        )
        self._takes = [one.name for one in self._session.get_inputs()]
        self._gives = [one.name for one in self._session.get_outputs()]

    def forward(self, **inputs: torch.Tensor) -> SimpleNamespace:
        """The outputs, by the names that a model of transformers gives them.

        Args:
            **inputs: `input_ids` and the like, `(batch, sequence)` each, on any device.
        """
        device = inputs["input_ids"].device
        given = {name: inputs[name].cpu().numpy() for name in self._takes}
        found = self._session.run(None, given)
        tensors = [torch.from_numpy(array).to(device) for array in found]
        return SimpleNamespace(**dict(zip(self._gives, tensors, strict=True)))


def check_onnx_installed(*, to_write: bool) -> None:
    """Refuses to go on where the libraries of the `export` extra are missing.

    Args:
        to_write: Whether a graph is to be made, and not only run.

    Raises:
        UserError: Says what to install.
    """
    names = ("onnx", "onnxscript", "onnxruntime") if to_write else ("onnxruntime",)
    if missing := [name for name in names if importlib.util.find_spec(name) is None]:
        what = "export" if to_write else "an exported folder"
        raise UserError(f"{what} needs {', '.join(missing)}: pip install 'lowcost_ft[export]'")


def load_exported(
    folder: str | Path,
    run: dict[str, Any],
    *,
    precision: str | None = None,
    trust_remote_code: bool = False,
) -> OnnxModel:
    """The model of an exported folder.

    Args:
        folder: What `lowcost-ft export` wrote.
        run: Its `run.json`.
        precision: Which of its files; None for the first of `ONNX_FILES` that it has.
        trust_remote_code: Whether a configuration class of the model's own may be run.

    Raises:
        UserError: It lacks the file, or the file is damaged.
    """
    check_onnx_installed(to_write=False)
    check_run_folder(Path(folder), run["model_id"])
    there = [name for name, file in ONNX_FILES.items() if (Path(folder) / file).is_file()]
    if not there:
        raise UserError(f"{folder}: lacks {ONNX_FILES['fp32']}; restore it, or export again")
    if precision is not None and precision not in there:
        raise UserError(
            f"--precision {precision}: {folder} holds {', '.join(there)}; name one of them, or "
            "export again with this precision"
        )
    chosen = precision or there[0]
    file = Path(folder) / ONNX_FILES[chosen]
    try:
        config = AutoConfig.from_pretrained(str(folder), trust_remote_code=trust_remote_code)
    except (OSError, ValueError) as error:
        raise UserError(
            f"{folder}: config.json is missing or damaged; restore it, or export again"
        ) from error
    try:
        return OnnxModel(file, config, chosen)
    except Exception as error:  # ONNX Runtime has classes of errors of its own.
        reason = str(error).splitlines()[0]
        raise UserError(f"{file}: is damaged [{reason}]; restore it, or export again") from error
