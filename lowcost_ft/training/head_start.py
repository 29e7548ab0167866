"""Where a new output layer begins: as a logistic regression on what the pretrained model says."""

from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np
import torch
from accelerate.utils import broadcast
from torch import nn

from lowcost_ft.data.batching import MicroBatch, cut_step
from lowcost_ft.data.features import IGNORED_LABEL, Features
from lowcost_ft.errors import UserError
from lowcost_ft.models.output_layer import mean_states, reading
from lowcost_ft.screen import say
from lowcost_ft.tasks.base import Task
from lowcost_ft.tasks.choices import Choices

__all__ = ["MOST_ROWS", "STRENGTH", "fit_head", "tell_start"]

MOST_ROWS = 4096
"""Rows that the layer is fitted to at most: with more, training is long enough to learn it."""
STRENGTH = 1.0
"""Weight of the loss of a row against half the squared length of all weights, for states of length
1 in the mean (scikit-learn's C). A layer that stays as it is does better with 10 or more; this one
goes on learning, and should leave the layers below something to learn."""
LEAST_ACCURACY = 0.5
"""Share of right choices on held-out rows below which the user is told of a better start."""
_TRIED = (STRENGTH, 10.0, 100.0)
_HELD_OUT = 4
"""One of so many rows is held out to see what a head on the pretrained model knows."""
_TOKENS = 1024
"""Tokens of a forward pass: always as many, so that the cut of a step changes no digit."""
_ITERATIONS = 100

Line = tuple[torch.Tensor, torch.Tensor]
"""Weights, `(classes, inputs)`, and what is added to the bias, `(classes,)`."""
Evaluate = Callable[[Features, MicroBatch], tuple[torch.Tensor, dict[str, torch.Tensor]]]


def fit_head(
    evaluate: Evaluate, task: Task, features: Features, layer: nn.Linear, *, seed: int
) -> dict[str, float]:
    """Sets a new output layer to a logistic regression on the states that it reads at the start.

    A layer that is drawn at random gives the layers below random gradients, until it has learned
    which direction is which class. A fitted one begins with what the pretrained model knows. Its
    loss is that of the task, with its class weights; its bias is held near the value it has.

    Args:
        evaluate: Runs the model on rows of the data in evaluation mode, see `Passes.evaluate`.
        task: The task. Its answers must be choices between classes.
        features: The training data.
        layer: The output layer, with one output a class; it is changed in place.
        seed: Draws the rows that are held out, and `MOST_ROWS` rows where there are more.

    Returns:
        `rows`, how many it was fitted to; and `held_out_accuracy`, what a head alone knows on the
        pretrained model: the share of right choices on a quarter of the rows, when it is fitted to
        the others as strongly as suits that quarter.

    Raises:
        UserError: The model's answers are not this layer's outputs for one state each, or there are
            not two rows.

    Source:
        Kumar et al. (2022), arXiv:2202.10054, who train the layer first, and then everything.
    """
    # A long text may be several rows of `features`, and one without tokens is none.
    examples = np.random.default_rng(seed).permutation(np.unique(features.examples))[:MOST_ROWS]
    if len(examples) < 2:
        raise UserError("--head-start fitted: needs two training rows; leave it out")
    held_out = examples[: max(1, len(examples) // _HELD_OUT)]
    rows = features.rows_of(np.sort(examples))
    states, found, held = [], [], []
    for part in cut_step(rows, features.lengths, micro_batch_tokens=_TOKENS):
        with reading(layer) as read:
            outputs, batch = evaluate(features, part)
        choices = task.choices(outputs, batch)
        own = None if choices is None else _states(layer, read[-1], batch, choices.logits)
        if own is None or choices is None:
            raise UserError(
                "--head-start fitted: the answers of this model are not what its output layer "
                "gives for one state each; leave it out"
            )
        states.append(own.double().cpu())
        found.append(choices)
        of_part = np.isin(features.examples[part], held_out)
        held.append(np.repeat(of_part, len(own) // len(part)))
    weights = found[0].weights
    every = _Regression(
        states=torch.cat(states),
        labels=torch.cat([one.labels.cpu() for one in found]),
        weights=None if weights is None else weights.double().cpu(),
        bias=torch.zeros(layer.out_features) if layer.bias is None else layer.bias.detach().cpu(),
        has_bias=layer.bias is not None,
    )
    apart = torch.from_numpy(np.concatenate(held))
    # One scale for all states keeps the layer linear.
    scale = float(every.states.norm(dim=1).mean()) or 1.0
    every = replace(every, states=every.states / scale)
    accuracy = _known(every.rows(~apart), every.rows(apart))
    weight, shift = every.fitted(STRENGTH, None)
    with torch.no_grad():
        layer.weight.copy_(weight / scale)
        if layer.bias is not None:
            layer.bias.add_(shift.to(layer.bias))
    for parameter in layer.parameters():
        broadcast(parameter.data)  # Processes on other hardware may round otherwise.
    return {"rows": len(examples), "held_out_accuracy": round(accuracy, 4)}


def _known(seen: "_Regression", unseen: "_Regression") -> float:
    """The accuracy on choices of the layer that has the lowest loss there, fitted to others."""
    line, tried = None, []
    for strength in _TRIED:
        line = seen.fitted(strength, line)
        tried.append((float(unseen.loss(line)), unseen.accuracy(line)))
    return min(tried)[1]


def tell_start(found: dict[str, float]) -> None:
    """Tells the user what `fit_head` has found."""
    rows, accuracy = int(found["rows"]), found["held_out_accuracy"]
    say(
        f"head: fitted to {rows:,} rows; without a quarter of them, the pretrained model and this "
        f"head alone were right on {accuracy:.1%} of that quarter"
    )
    if accuracy < LEAST_ACCURACY:
        say(
            "note: where the pretrained model knows so little, a run that began with a fitted head "
            "was far worse than one without (docs/defaults.md): compare it with --head-start bias"
        )


def _states(
    layer: nn.Linear, read: torch.Tensor, batch: dict[str, torch.Tensor], logits: torch.Tensor
) -> torch.Tensor | None:
    """The states for which the layer gives the logits, `(choices, inputs)`; None: none of these.

    They are what the layer has read, or of the tokens of each text the mean or the last one.
    """
    mask = batch["attention_mask"]
    if read.dim() == 3:
        read = read[:, -mask.shape[1] :]  # Without the virtual tokens in front.
    candidates = [read.flatten(0, -2)]
    if read.shape[:-1] == mask.shape:
        last = mask.shape[1] - 1 - mask.flip(1).argmax(1)
        candidates += [mean_states([read], mask), read[torch.arange(len(read)), last]]
    for states in candidates:
        if len(states) != len(logits):
            continue
        given = nn.functional.linear(states.to(layer.weight.dtype), layer.weight)
        expected = logits if layer.bias is None else logits - layer.bias
        # Far more than half precision rounds, and far less than the states of texts differ.
        if (given - expected).norm() < 0.05 * expected.norm():
            return states
    return None


@dataclass(frozen=True, kw_only=True)
class _Regression:
    """A logistic regression: states `(choices, inputs)` in float64, and as `Choices` has them,
    labels and weights. The bias is what the layer has; a line moves it by a shift."""

    states: torch.Tensor
    labels: torch.Tensor
    weights: torch.Tensor | None
    bias: torch.Tensor
    has_bias: bool

    def rows(self, chosen: torch.Tensor) -> "_Regression":
        """The same for some of the choices."""
        return replace(self, states=self.states[chosen], labels=self.labels[chosen])

    def _choices(self, line: Line) -> Choices:
        weight, shift = line
        logits = torch.addmm(self.bias + shift, self.states, weight.T)
        return Choices(logits=logits, labels=self.labels, weights=self.weights)

    def loss(self, line: Line) -> torch.Tensor:
        """The summed loss of the choices, of yes or no that of every class, `()`."""
        choices = self._choices(line)
        # That of yes or no is a mean over the classes, each of which has its own regression.
        return choices.cross_entropy() * (len(self.bias) if choices.yes_or_no else 1)

    def accuracy(self, line: Line) -> float:
        """The share of right choices among those that are known."""
        choices = self._choices(line)
        if choices.yes_or_no:
            return float(((choices.logits > 0) == (self.labels > 0.5)).double().mean())
        known = self.labels != IGNORED_LABEL
        right = choices.logits.argmax(1)[known] == self.labels[known]
        return float(right.double().mean()) if len(right) else 0.0

    def fitted(self, strength: float, start: Line | None) -> Line:
        """The best line at a strength, searched for from another one on."""
        if start is None:
            shape = (len(self.bias), self.states.shape[1])
            start = torch.zeros(shape, dtype=torch.float64), torch.zeros(shape[0]).double()
        weight, shift = (one.detach().clone() for one in start)
        solver = torch.optim.LBFGS(
            [one.requires_grad_() for one in (weight, shift)[: 1 + self.has_bias]],
            max_iter=_ITERATIONS,
            history_size=10,
            line_search_fn="strong_wolfe",
        )

        def objective() -> torch.Tensor:
            solver.zero_grad()
            length = weight.square().sum() + shift.square().sum()
            total = (self.loss((weight, shift)) + length / (2 * strength)) / len(self.states)
            total.backward()
            return total

        solver.step(objective)
        return weight.detach(), shift.detach()
