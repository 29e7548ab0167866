"""What contrastive training compares texts with where classes are many: heads, or means of classes.

Heads are logistic regressions on the states of the pretrained model. Each text is compared with the
outputs of a head that was fitted without it (cross-fitting): one that had seen the text would find
nothing to mend in it. Means of classes are prototypes (Snell et al. 2017, arXiv:1703.05175; Zhai
and Wu 2019, arXiv:1811.12649).
"""

import numpy as np
import torch

from lowcost_ft.models.output_layer import logistic_regression

__all__ = ["class_means", "held_out_heads"]


def class_means(states: torch.Tensor, classes: np.ndarray, num_classes: int) -> torch.Tensor:
    """Computes the direction of the mean of each class, `(classes, hidden)`.

    Args:
        states: The state of each text, `(texts, hidden)`; on the meta device only shapes count.
        classes: The number of each text's class, `(texts,)`.
        num_classes: Number of classes.
    """
    means = states.new_zeros((num_classes, states.shape[1]))
    if states.is_meta:
        return means
    means.index_add_(0, torch.from_numpy(classes).to(states.device), _directions(states))
    return _directions(means)


def held_out_heads(
    states: torch.Tensor, classes: np.ndarray, folds: np.ndarray, num_classes: int
) -> torch.Tensor:
    """Fits a head for each fold, on the directions of the texts that are not in it.

    Args:
        states: The state of each text, `(texts, hidden)`; on the meta device only shapes count.
        classes: The number of each text's class, `(texts,)`; every class has a text.
        folds: The fold of each text, `(texts,)`, -1 for texts that all heads have seen; every
            class has a text outside each fold.
        num_classes: Number of classes.

    Returns:
        For each fold the weights and, last, the bias, `(folds, classes, hidden + 1)`.
    """
    count = max(int(folds.max()) + 1, 1)
    if states.is_meta:
        return states.new_empty((count, num_classes, states.shape[1] + 1))
    points = _directions(states).double().cpu().numpy()
    heads = []
    for fold in range(count):
        seen = folds != fold
        weight, bias = logistic_regression(points[seen], classes[seen])
        heads.append(np.concatenate([weight, bias[:, None]], axis=1))
    return torch.from_numpy(np.stack(heads)).to(states)


def _directions(states: torch.Tensor) -> torch.Tensor:
    return torch.nn.functional.normalize(states.float(), dim=-1)
