"""The two losses of contrastive training: between texts, and between texts and prototypes."""

import torch

__all__ = ["cosine_loss", "prototype_loss"]

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
