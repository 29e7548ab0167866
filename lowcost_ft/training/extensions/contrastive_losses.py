"""The losses of contrastive training: between texts, with heads, and with prototypes."""

import torch

__all__ = ["cosine_loss", "head_loss", "prototype_loss"]

SCALE = 20.0
"""Factor on cosines with prototypes: the inverse of a temperature of 0.05."""


def cosine_loss(states: torch.Tensor, classes: torch.Tensor) -> torch.Tensor:
    """Computes the squared errors of the cosines of all pairs of each group.

    Pairs of one class count half, and pairs of two classes half, however many there are.

    Args:
        states: The mean state of each text, `(groups x texts, hidden)`.
        classes: The number of each text's class, `(groups, texts)`.

    Returns:
        The sum over the groups, `()`.
    """
    groups, texts = classes.shape
    directions = torch.nn.functional.normalize(states.float(), dim=-1).view(groups, texts, -1)
    cosines = directions @ directions.transpose(1, 2)  # (groups, texts, texts)
    same = (classes[:, :, None] == classes[:, None, :]).float()
    others = 1 - torch.eye(texts, device=states.device)
    near, far = same * others, 1 - same
    pulled = ((1 - cosines).square() * near).sum((1, 2)) / near.sum((1, 2)).clamp(min=1)
    pushed = (cosines.square() * far).sum((1, 2)) / far.sum((1, 2)).clamp(min=1)
    return ((pulled + pushed) / 2).sum()


def prototype_loss(
    states: torch.Tensor, classes: torch.Tensor, prototypes: torch.Tensor
) -> torch.Tensor:
    """Computes the cross-entropy of each text's scaled cosines with all prototypes.

    Args:
        states: The mean state of each text, `(groups x texts, hidden)`.
        classes: The number of each text's class, `(groups, texts)`.
        prototypes: The prototype of each class, of length 1, `(classes, hidden)`.

    Returns:
        The sum over the groups of the mean over the texts of each, `()`.
    """
    directions = torch.nn.functional.normalize(states.float(), dim=-1)
    losses = torch.nn.functional.cross_entropy(
        SCALE * directions @ prototypes.T, classes.flatten(), reduction="sum"
    )
    return losses / classes.shape[1]


def head_loss(
    states: torch.Tensor, classes: torch.Tensor, heads: torch.Tensor, folds: torch.Tensor
) -> torch.Tensor:
    """Computes the cross-entropy of the outputs of the head that has not seen the text.

    Args:
        states: The mean state of each text, `(groups x texts, hidden)`.
        classes: The number of each text's class, `(groups, texts)`.
        heads: Weights and, last, bias of each fold's head, `(folds, classes, hidden + 1)`.
        folds: The fold of each text, `(groups, texts)`; -1: any head will do.

    Returns:
        The sum over the groups of the mean over the texts of each, `()`.
    """
    directions = torch.nn.functional.normalize(states.float(), dim=-1)
    outputs = directions @ heads[..., :-1].flatten(0, 1).T + heads[..., -1].flatten()
    own = folds.flatten().clamp(min=0)[:, None, None].expand(-1, 1, heads.shape[1])
    outputs = outputs.view(len(states), len(heads), -1).gather(1, own)[:, 0]
    losses = torch.nn.functional.cross_entropy(outputs, classes.flatten(), reduction="sum")
    return losses / classes.shape[1]
