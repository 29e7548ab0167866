"""What an export came to: each file as it was measured, beside the run itself."""

from dataclasses import dataclass, field
from typing import Any

from lowcost_ft.pipeline.comparing import Drift

__all__ = ["ExportReport", "ExportedFile"]


@dataclass(frozen=True, kw_only=True)
class ExportedFile:
    """One precision of an export, as it was measured."""

    precision: str
    file: str | None
    """The file in the folder; None where it was not worth writing."""
    reason: str | None = None
    """Why not."""
    bytes: int
    drift: Drift
    """For fp32 against the run as it was trained, for the others against fp32."""
    float_layers: list[str] = field(default_factory=list)
    """Layers that int8 leaves in float32, the costliest first."""
    layers: int | None = None
    """Layers that int8 could hold in 8 bits."""
    texts_per_second: float
    milliseconds: float
    """One text by itself, in milliseconds."""


@dataclass(frozen=True, kw_only=True)
class ExportReport:
    """What an export came to."""

    folder: str
    parity_gap: float
    """Largest difference of fp32's logits from the run's, relative where they are above 1."""
    files: list[ExportedFile]
    texts_per_second: float
    """Of the run's own predictor, in float32 with PyTorch."""
    milliseconds: float
    cpu: str
    int8_instructions: str | None
    threads: int
    validation_rows: int
    opset: int
    versions: dict[str, Any]
