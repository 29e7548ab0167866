"""What `lowcost-ft compress` answers: its JSON, and what `run.json` says under `compress`."""

from dataclasses import dataclass
from typing import Any

from lowcost_ft.compress.healing import Healing
from lowcost_ft.compress.targets import Latency
from lowcost_ft.pipeline.comparing import Drift

__all__ = ["CompressReport"]


@dataclass(frozen=True, kw_only=True)
class CompressReport:
    """What a compression came to."""

    folder: str
    pieces_before: int
    pieces_after: int
    """Rows of the table of embeddings."""
    parameters_before: int
    parameters_after: int
    bytes_after: int
    """Size of the weights in the folder."""
    layers: list[int] | None
    """Numbers of the layers that stay, where some were dropped."""
    neurons: int | None
    """Neurons of each feed-forward that stay, where some were cut."""
    heads: int | None
    """Attention heads of each layer that stay, where some were cut."""
    covered: int | None
    """Examples of the given files, whose predictions are the same as before the layers were cut."""
    tokens_before: int
    tokens_after: int
    """Tokens of the validation split: more where its texts need pieces that are gone."""
    drift: Drift
    """Predictions for the validation split, against the run with its adapter in float32."""
    latency: Latency | None
    """Time for one text, where a target for it was given."""
    healing: Healing | None
    """What distillation from the model before the cut did; None where nothing was healed."""
    to_train: bool
    """Whether the model has to be trained again: it was cut, now or earlier, and not healed."""
    earlier: dict[str, Any] | None = None
    """What an earlier compression came to, where the run was itself a compressed model."""
