"""Predicts a whole split in constant memory, and scores the predictions."""

import math
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from functools import partial
from typing import Any, Literal

import numpy as np
import torch
from accelerate import Accelerator
from torch import nn
from tqdm.auto import tqdm

from lowcost_ft.data.batching import MicroBatch, inference_tokens, share_step
from lowcost_ft.data.features import Features, collate, model_inputs
from lowcost_ft.errors import UserError
from lowcost_ft.frozen.cache import CachedStates
from lowcost_ft.models.attention_masks import known_padding
from lowcost_ft.models.pooled_states import PooledTexts
from lowcost_ft.pipeline.concurrency import copies_of, run_all
from lowcost_ft.pipeline.writing import write_after
from lowcost_ft.tasks.base import Predictions, Task
from lowcost_ft.training.recovery import each_that_fits
from lowcost_ft.training.sharding import is_sharded

__all__ = ["Written", "check_same", "predict", "predict_and_score"]

Written = Literal["all", "drawn", "none"]
"""For a task that writes texts: the examples that it writes them for. `drawn` are the ones that the
task itself draws from a validation split."""

_LEAST_TOKENS = 256
"""Fewest padded tokens in a micro-batch: smaller ones spend their time on call overhead."""


def predict(
    accelerator: Accelerator,
    model: nn.Module,
    task: Task,
    features: Features,
    *,
    pad_token_id: int,
    micro_batch_tokens: int,
    cached: CachedStates | None = None,
    example_name: Callable[[int], str] = "example {}".format,
    recoveries: list[dict[str, Any]] | None = None,
    concurrent: bool = False,
    losses: list[float] | None = None,
    pooled: PooledTexts | None = None,
    rows: np.ndarray | None = None,
    written: Written = "all",
) -> Predictions:
    """Predicts every example; each micro-batch's logits are reduced before the next one runs.

    The processes share the work, and each gets all predictions.

    Args:
        accelerator: Processes, device and precision.
        model: The model, prepared or not; put into evaluation mode and left in it.
        task: The task, which decodes outputs into predictions.
        features: The tokenized split.
        pad_token_id: Token that fills up a micro-batch.
        micro_batch_tokens: Padded tokens that a micro-batch may hold; a CPU takes fewer.
        cached: Output of the frozen layers for `features`, which then do not run.
        example_name: What to call an example, given its number, in messages.
        recoveries: Gets an entry for each time that memory ran out and micro-batches got smaller.
        concurrent: Let each thread of a CPU run micro-batches of its own where there are enough of
            them; all together hold no more than `micro_batch_tokens`. For a model without hooks,
            whose modules can be copied, in a single process.
        losses: Gets the summed loss of each micro-batch of this process; needs labelled features.
        pooled: Gets the states of the examples, if `keep_states` was called for the model.
        rows: Rows to predict; None: all. The predictions of other examples are zeros.
        written: For which examples a task that writes texts writes them.

    Returns:
        The task's arrays, in the order of the examples.

    Raises:
        NoRoomError: A single example does not fit into memory.
    """
    model.eval()
    device = accelerator.device
    predictions = task.new_predictions(features)
    tokens = inference_tokens(micro_batch_tokens, device.type)
    chosen = np.arange(len(features.lengths)) if rows is None else rows
    workers, share = 1, _share(accelerator, features, tokens, chosen)
    if concurrent and device.type == "cpu" and (most := torch.get_num_threads()) > 1:
        each = min(tokens, max(_LEAST_TOKENS, micro_batch_tokens // most))
        cut = _share(accelerator, features, each, chosen)
        # Towards the end some workers are idle, so this does not pay for a few texts.
        if len(cut) >= 4 * most:
            workers, share = min(most, max(1, micro_batch_tokens // each)), cut
    bar = tqdm(total=sum(map(len, share)), file=sys.stderr, disable=None, leave=False, unit="row")
    bar.disable = bar.disable or not accelerator.is_main_process
    models, lock = copies_of(model, workers), threading.Lock()
    alone = task.generates and not task.writes  # Such a task generates in `Task.predict`.
    whole = alone and cached is not None
    if task.writes and not features.weights.any():
        share = []  # Unlabelled rows have no loss to compute.

    def decode(
        model: nn.Module, rows: MicroBatch
    ) -> tuple[dict[str, np.ndarray], dict[str, torch.Tensor], float, Any]:
        # A process without rows still runs one: a sharded model needs every process.
        present = rows if len(rows) else np.zeros(1, np.int64)
        batch = collate(features, present, pad_token_id=pad_token_id)
        inputs = model_inputs(batch, features)
        on_device = {name: value.to(device) for name, value in inputs.items()}
        entering = nullcontext() if cached is None or whole else cached.entering(present)
        masks = known_padding(task.has_padding(features, present))
        with masks, entering, accelerator.autocast():
            outputs = None
            if alone or (losses is None and not task.writes):
                decoded = task.predict(model, on_device, batch)
            else:
                outputs = task.forward(model, on_device)
                decoded = task.decode_batch(outputs, batch)
        found = {k: v.cpu().numpy() for k, v in decoded.items()}
        states = None if pooled is None else pooled.take(batch)
        if outputs is None or losses is None:
            return found, batch, 0.0, states
        on_same = {name: value.to(device) for name, value in batch.items()}
        return found, batch, float(task.loss(outputs, on_same)), states

    def work(micro_batches: Iterator[MicroBatch], worker: int) -> None:
        with torch.inference_mode():
            results = each_that_fits(
                micro_batches,
                features.lengths,
                partial(decode, models[worker]),
                # The processes of a sharded model must run equally many micro-batches.
                absorb=not is_sharded(accelerator),
                name=lambda row: example_name(int(features.examples[row])),
                recoveries=[] if recoveries is None else recoveries,
            )
            for rows, (decoded, batch, loss, states) in results:
                with lock:
                    if len(rows):
                        if losses is not None:
                            losses.append(loss)
                        task.store(predictions, decoded, batch, features.examples[rows])
                    if pooled is not None:
                        pooled.add(states, features.examples[rows])
                    bar.update(len(rows))

    with bar, cached.part.put_back() if cached is not None and whole else nullcontext():
        run_all(work, share, workers)
    if task.writes and written != "none":
        # For these tasks each example is one row.
        places = task.written_rows(features) if written == "drawn" else chosen
        mine = places[accelerator.process_index :: accelerator.num_processes]
        with nullcontext() if cached is None else cached.part.put_back():
            found = write_after(
                accelerator,
                model,
                [task.prompt(features, int(number)) for number in mine],
                task.generation(),
                numbers=mine,
                pad_token_id=pad_token_id,
            )
        near_ties = set(found.near_ties)
        if found.halvings and recoveries is not None:
            recoveries.append({"during": "writing", "halvings": found.halvings})
        for place, (number, text) in enumerate(zip(mine, found.tokens, strict=True)):
            near = place in near_ties
            task.store_written(predictions, int(number), text, near_tie=near)
    if accelerator.num_processes == 1:
        return predictions

    def summed(array: np.ndarray) -> np.ndarray:
        whole: torch.Tensor = accelerator.reduce(torch.from_numpy(array).to(device), "sum")
        return whole.cpu().numpy()

    if pooled is not None and pooled.sums is not None:
        pooled.sums, pooled.tokens = summed(pooled.sums), summed(pooled.tokens)
    # Each entry is written by one process and zero in the others.
    return {name: summed(array) for name, array in predictions.items()}


def _share(
    accelerator: Accelerator, features: Features, tokens: int, rows: np.ndarray
) -> list[MicroBatch]:
    """This process's micro-batches of some rows of a split, the longest rows first."""
    shares = share_step(
        rows,
        features.lengths,
        num_processes=accelerator.num_processes,
        micro_batch_tokens=tokens,
    )
    return shares[accelerator.process_index]


def predict_and_score(
    accelerator: Accelerator,
    model: nn.Module,
    task: Task,
    examples: Sequence[Any],
    features: Features,
    *,
    pad_token_id: int,
    micro_batch_tokens: int,
    seed: int = 0,
    cached: CachedStates | None = None,
    recoveries: list[dict[str, Any]] | None = None,
    validation: bool = False,
    pooled: PooledTexts | None = None,
    written: Written = "drawn",
) -> tuple[dict[str, Any], Predictions]:
    """Predicts a split and scores it.

    Args:
        examples: The examples of the split.
        seed: Seed of the bootstrap intervals.
        validation: Whether this is the validation split. The task then chooses thresholds and the
            like on it before it is scored, and the scores hold `loss`, the mean over all labels
            that the model knows (None without any).

    The other arguments are those of `predict`.

    Returns:
        The task's metrics, and the predictions that they were computed from.

    Raises:
        NoRoomError: A single example does not fit into memory.
        UserError: The task's main metric is not among its scores.
    """
    losses: list[float] | None = [] if validation else None
    predictions = predict(
        accelerator,
        model,
        task,
        features,
        pad_token_id=pad_token_id,
        micro_batch_tokens=micro_batch_tokens,
        cached=cached,
        example_name=lambda number: str(examples[number].source),
        recoveries=recoveries,
        losses=losses,
        pooled=pooled,
        written=written,
    )
    if validation:
        task.choose_decisions(examples, predictions)
    scores = task.score(examples, predictions, seed=seed)
    if task.metric not in scores:
        raise UserError(
            f"the task's metric {task.metric!r} is not among its scores: let `score` return it, or "
            f"choose one of {', '.join(scores)}"
        )
    if losses is not None:
        scores = scores | {"loss": _mean_loss(accelerator, losses, features)}
    return scores, predictions


def _mean_loss(
    accelerator: Accelerator, losses: Sequence[float], features: Features
) -> float | None:
    """The mean loss per label, over all processes; None if it is not finite or nothing counts."""
    total = math.fsum(losses) if all(map(math.isfinite, losses)) else math.nan
    if accelerator.num_processes > 1:
        summed = torch.tensor(total, dtype=torch.float32, device=accelerator.device)
        total = float(accelerator.reduce(summed, reduction="sum"))
    weight = float(features.weights.sum())
    return total / weight if weight and math.isfinite(total) else None


def check_same(trained: Predictions, reloaded: Predictions, *, tolerance: float) -> None:
    """Compares the predictions of a trained model with those of its reloaded folder.

    Raises:
        RuntimeError: They differ, so the saved model is not the one that was trained.
    """
    labels = trained.get("label")
    for name, before in trained.items():
        after = reloaded[name]
        if labels is not None and before.shape == labels.shape:
            # Where two answers are as good as level, the last digits of the weights decide, and the
            # score is that of another answer.
            alike = labels == reloaded["label"]
            before, after = (before[alike], after[alike]) if alike.any() else (before, after)
        if np.issubdtype(before.dtype, np.floating) and not np.allclose(
            before, after, atol=tolerance, rtol=tolerance
        ):
            largest = float(np.abs(before - after).max())
            raise RuntimeError(
                f"the saved model does not predict what the trained one did: {name} differ by up "
                f"to {largest:.2g}. Do not use it, and report this with run.json"
            )
