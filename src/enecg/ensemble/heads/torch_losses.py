"""The losses that heads are trained with in torch, one per kind of task."""

from __future__ import annotations

from torch import Tensor, nn, where

from enecg.tasks import Kind

BETA = 0.2  # standard deviations of a label below which the smooth L1 loss is quadratic


def robust_loss(regression: bool | Tensor, scores: Tensor, truth: Tensor) -> Tensor:
    """Return the loss of each score, of the same shape: smooth L1 for values, cross-entropy for each class.

    Args:
        regression: of all outputs, or bool `[output]`.
        scores: `[recording, output]`, before the link.
        truth: labels of the same shape; standardised values, or probabilities.
    """
    if regression is False:
        return nn.functional.binary_cross_entropy_with_logits(scores, truth, reduction="none")
    values = nn.functional.smooth_l1_loss(scores, truth, reduction="none", beta=BETA)
    if regression is True:
        return values
    classes = nn.functional.binary_cross_entropy_with_logits(scores, truth, reduction="none")
    return where(regression, values, classes)


def published_loss(kind: Kind, scores: Tensor, truth: Tensor) -> Tensor:
    """Return the mean loss as EnECG has it: squared error, cross-entropy, or cross-entropy per output."""
    if kind == "regression":
        return nn.functional.mse_loss(scores, truth)
    if kind == "multiclass":
        return nn.functional.cross_entropy(scores, truth)
    return nn.functional.binary_cross_entropy_with_logits(scores, truth)
