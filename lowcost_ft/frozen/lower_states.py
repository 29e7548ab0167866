"""What the lower part of a model makes of every row of a data set: the states above it."""

import sys
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import torch
from accelerate import Accelerator
from tqdm.auto import tqdm

from lowcost_ft.data.batching import MicroBatch, inference_tokens, share_step
from lowcost_ft.data.features import Features, collate, model_inputs
from lowcost_ft.frozen.lower_part import LowerPart
from lowcost_ft.frozen.streamed_part import Seen, StreamedPart

__all__ = ["LowerStates"]


@dataclass(frozen=True)
class LowerStates:
    """Computes what enters the first trainable layer, for rows of one data set."""

    accelerator: Accelerator
    part: LowerPart
    features: Features
    pad_token_id: int
    micro_batch_tokens: int

    def states(self, rows: np.ndarray) -> torch.Tensor:
        """What enters the first trainable layer for some rows, `(rows, longest, hidden)`."""
        with self.accelerator.autocast():
            return self.part.run(self.inputs(rows))

    def probe(self, seen: Seen | None) -> torch.Tensor:
        """The states of the first row; `seen` is shown the weights that are read for it."""
        with self.accelerator.autocast():
            if isinstance(self.part, StreamedPart):
                return self.part.run(self.inputs(np.zeros(1, np.int64)), seen)
            return self.part.run(self.inputs(np.zeros(1, np.int64)))

    def inputs(self, rows: np.ndarray) -> dict[str, torch.Tensor]:
        """What the model takes for some rows, on the device."""
        batch = collate(self.features, rows, pad_token_id=self.pad_token_id)
        batch = model_inputs(batch, self.features)
        device = self.accelerator.device
        return {name: value.to(device) for name, value in batch.items()}

    def share(self) -> Iterator[tuple[int, torch.Tensor]]:
        """This process's rows: first token and states, `(tokens, hidden)`, on the CPU."""
        lengths = self.features.lengths
        for rows in self.micro_batches():
            states = self.states(rows).cpu()  # (B, T, H)
            for row, of_row in zip(rows, states, strict=True):
                yield int(self.features.starts[row]), of_row[: lengths[row]]

    def share_of_rows(self) -> list[MicroBatch]:
        """The micro-batches of this process, the same each time."""
        lengths = self.features.lengths
        shares = share_step(
            np.arange(len(lengths)),
            lengths,
            num_processes=self.accelerator.num_processes,
            micro_batch_tokens=inference_tokens(
                self.micro_batch_tokens, self.accelerator.device.type
            ),
        )
        return [rows for rows in shares[self.accelerator.process_index] if len(rows)]

    def micro_batches(self, description: str | None = None) -> Iterator[MicroBatch]:
        """The micro-batches of `share_of_rows`, with a progress bar."""
        rows = self.share_of_rows()
        bar = tqdm(rows, desc=description, file=sys.stderr, disable=None, leave=False)
        bar.disable = bar.disable or not self.accelerator.is_main_process
        yield from bar
