"""The progress of training: counts, curves, and lines for the screen and the trackers."""

import math
import sys
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator
from tqdm.auto import tqdm

from lowcost_ft.training.arriving import Arriving
from lowcost_ft.training.steps import StepOutcome

__all__ = ["TrainLog", "TrainResult"]

LOGGED_POINTS = 200
"""About how many points of the loss curve are kept, however long the run is."""

SECONDS_BETWEEN_LINES = 60
"""Seconds between lines about training if the screen cannot show a progress bar."""


@dataclass(kw_only=True)
class TrainResult:
    """What training did and cost; `run.json` holds it under `train`."""

    seconds: float = 0.0
    epochs: float = 0.0
    optimizer_steps: int = 0
    examples: int = 0
    """Examples that were trained on; each counts once an epoch."""
    real_tokens: int = 0
    padded_tokens: int = 0
    peak_memory_bytes: int = 0
    peak_memory_source: str = "cpu_allocator"
    final_loss: float | None = None
    best_epoch: int | None = None
    stopped_early: bool = False
    loss_history: list[dict[str, float]] = field(default_factory=list)
    validation_history: list[dict[str, float]] = field(default_factory=list)
    recoveries: list[dict[str, Any]] = field(default_factory=list)
    """The times that memory ran out, and the size of micro-batches from there on."""
    bad_steps: list[dict[str, Any]] = field(default_factory=list)
    """Steps that were skipped because loss or gradient was not finite, with their bad examples."""
    resumed_at_steps: list[int] = field(default_factory=list)
    """Optimizer steps that the run went on from after it had been stopped."""
    overflowed_steps: int = 0
    """Steps that were skipped because float16 overflowed; the scaler then scales down."""
    first_steps: int = 0
    """Steps that were the first of a process: one, and one more each time the run was resumed."""
    first_step_seconds: float = 0.0
    """Time of the first steps. It counts in `seconds` but not in the speed, since a GPU loads its
    kernels then."""
    first_step_tokens: int = 0
    start_seconds: float = 0.0
    """Time in which `--lora-start gradient` and `--head-start fitted` looked for their start. It
    counts in `seconds` but not in the speed."""
    head_start: dict[str, float] | None = None
    """What `head_start.fit_head` says of the output layer that it fitted; None: it was not."""
    paused: bool = False
    """Whether training stopped for the time being, to go on from its checkpoint."""
    cpu_seconds: float = 0.0
    """CPU time of all threads of this process in the steps."""
    cpu_seconds_possible: float = 0.0
    """The CPU time if each PyTorch thread had had a core of its own all the time."""

    def count(
        self, outcome: StepOutcome, seconds: float, cpu_seconds: float, *, first: bool
    ) -> None:
        """Counts an optimizer step.

        Args:
            outcome: The step.
            seconds: Its time.
            cpu_seconds: CPU time of all threads of this process in the step.
            first: Whether it is the first step of this process.
        """
        self.seconds += seconds
        self.cpu_seconds += cpu_seconds
        self.cpu_seconds_possible += seconds * torch.get_num_threads()
        if first:
            self.first_steps += 1
            self.first_step_seconds += seconds
            self.first_step_tokens += outcome.step.real_tokens
        self.optimizer_steps += 1
        self.examples += outcome.step.examples
        self.real_tokens += outcome.step.real_tokens
        self.padded_tokens += outcome.step.padded_tokens
        self.overflowed_steps += outcome.overflowed
        if outcome.bad_examples is not None:
            self.note_bad(outcome)

    def note_bad(self, outcome: StepOutcome) -> None:
        """Notes a step that was skipped because its numbers were not finite."""
        bad = {"optimizer_step": outcome.step.number, "loss": float(outcome.loss)}
        self.bad_steps.append({**bad, "examples": outcome.bad_examples})

    @property
    def scored_epochs(self) -> int:
        """The number of the epoch that was scored last; 0 before the first score."""
        history = self.validation_history
        return round(history[-1]["epoch"]) if history else 0

    def to_dict(self) -> dict[str, Any]:
        """The fields, with the padding share, the speed and the share of CPU time it got."""
        share = 1 - self.real_tokens / self.padded_tokens if self.padded_tokens else 0.0
        steps, tokens = self.optimizer_steps, self.real_tokens
        seconds = self.seconds - self.start_seconds
        if steps > self.first_steps:
            steps -= self.first_steps
            seconds -= self.first_step_seconds
            tokens -= self.first_step_tokens
        return {
            **vars(self),
            "padding_share": round(share, 4),
            "real_tokens_per_second": round(tokens / seconds if seconds else 0.0, 1),
            "cpu_share": round(self.cpu_seconds / self.cpu_seconds_possible, 3)
            if self.cpu_seconds_possible
            else None,
            "seconds_per_step": round(seconds / max(steps, 1), 6),
        }


class TrainLog:
    """Reports losses and scores on the screen, to the trackers and in the result.

    Attributes:
        reads_later: Whether losses are reported one step later, so that no step waits for its own.
    """

    def __init__(self, accelerator: Accelerator, result: TrainResult, *, total_steps: int) -> None:
        self.accelerator = accelerator
        self.result = result
        self.every = max(1, total_steps // LOGGED_POINTS)
        self.losses: list[torch.Tensor] = []
        self.epoch_loss = 0.0
        self.epoch_steps = 0
        self.validation = ""
        self.said_at = 0.0
        self.reads_later = False
        self._on_the_way: tuple[Arriving, int, dict[str, float]] | None = None
        self.bar = tqdm(total=total_steps, unit="step", file=sys.stderr, disable=None, leave=False)
        self.bar.disable = self.bar.disable or not accelerator.is_main_process

    def step(self, loss: torch.Tensor, rate: float, *, last: bool) -> None:
        """Notes a step's loss, and fetches it from the device together with those of other steps.

        Args:
            loss: Mean loss of the step over all processes, `()`, on the device.
            rate: Learning rate of the step.
            last: Whether an epoch ends with it.
        """
        self.tell()
        self.losses.append(loss)
        if self.result.optimizer_steps % self.every == 0 or last:
            # One fetch serves many steps, since each makes the host wait for the device.
            total = Arriving(torch.stack(self.losses).sum())
            entry: dict[str, float] = {"step": self.result.optimizer_steps, "loss": math.nan}
            entry |= {"learning_rate": rate, "seconds": round(self.result.seconds, 3)}
            self._on_the_way = (total, len(self.losses), entry)
            self.losses.clear()
            if last or not self.reads_later:
                self.tell()
        self.bar.update()

    def tell(self) -> None:
        """Reports the losses that were fetched last; waits for them if they have not arrived."""
        if self._on_the_way is None:
            return
        (arriving, steps, entry), self._on_the_way = self._on_the_way, None
        total = arriving.read()
        mean = entry["loss"] = total / steps
        self.epoch_loss += total
        self.epoch_steps += steps
        self.result.loss_history.append(entry)
        told = {"train/loss": mean, "train/learning_rate": entry["learning_rate"]}
        self.accelerator.log(told, step=int(entry["step"]))
        speed = f"{self.result.real_tokens / self.result.seconds:,.0f} tokens/s"
        self.bar.set_postfix_str(f"loss {mean:.3f}{self.validation}, {speed}")
        self._say_in_log(mean, speed, self.result.seconds)

    def _say_in_log(self, loss: float, speed: str, seconds: float) -> None:
        """Prints a line now and then if no bar can be drawn, as in a log file or a container."""
        if not (self.accelerator.is_main_process and self.bar.disable):
            return
        if seconds - self.said_at < SECONDS_BETWEEN_LINES:
            return
        self.said_at = seconds
        done = self.result.optimizer_steps
        left = seconds / done * (self.bar.total - done)
        print(
            f"step {done:,} of {self.bar.total:,}: loss {loss:.3f}, {speed}, {_time_left(left)}",
            flush=True,
        )

    def epoch(self, number: int, metric: str, scores: dict[str, Any]) -> None:
        """Reports an epoch's mean loss and its validation scores.

        Args:
            number: Number of the epoch, from 1.
            metric: Name of the score that is printed.
            scores: The validation scores.
        """
        numbers = {k: float(v) for k, v in scores.items() if isinstance(v, int | float)}
        loss = self.epoch_loss / self.epoch_steps
        self.epoch_loss, self.epoch_steps = 0.0, 0
        self.result.final_loss = loss
        epoch = {"epoch": round(self.result.epochs, 4), "train_loss": loss}
        epoch["seconds"] = round(self.result.seconds, 3)
        self.result.validation_history.append(epoch | numbers)
        tracked = {f"validation/{key}": value for key, value in numbers.items()}
        self.accelerator.log(tracked, step=self.result.optimizer_steps)
        self.validation = f", {metric} {numbers[metric]:.3f}"
        if self.accelerator.is_main_process:
            # The bar prints the line, so that it does not break the bar.
            self.bar.write(
                f"epoch {number}: loss {loss:.4f}, validation {metric} {numbers[metric]:.4f}, "
                f"{self.result.seconds:.0f} s so far"
            )
            sys.stdout.flush()

    def state_dict(self) -> dict[str, Any]:
        """What a checkpoint needs besides the result."""
        self.tell()
        return {
            "losses": [float(loss) for loss in self.losses],
            "epoch_loss": self.epoch_loss,
            "epoch_steps": self.epoch_steps,
            "validation": self.validation,
        }

    def load(self, state: dict[str, Any]) -> None:
        """Goes on from a checkpoint."""
        device = self.accelerator.device
        self.losses = [torch.tensor(loss, device=device) for loss in state["losses"]]
        self.epoch_loss, self.epoch_steps = state["epoch_loss"], state["epoch_steps"]
        self.validation = state["validation"]
        self.bar.update(self.result.optimizer_steps)

    def close(self) -> None:
        """Takes the bar off the screen."""
        self.bar.close()


def _time_left(seconds: float) -> str:
    if seconds < 60:
        return "less than a minute left"
    minutes = round(seconds / 60)
    if minutes < 120:
        return f"about {minutes} min left"
    return f"about {seconds / 3600:.1f} h left"
