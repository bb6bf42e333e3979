"""Metrics of scores as classifiers of labelled items."""

import math

import torch
from torch import Tensor

from rlhf_losses.shapes import LabelledScores


def classification_metrics(labelled: LabelledScores) -> dict[str, float]:
    """Return metrics of labelled items, where a positive score predicts a positive label.

    A score of 0 counts as one half of each prediction.

    Args:
        labelled: score and sign of the label (+1 or −1) of each item, of shape (items, 2).

    Returns:
        The metrics that the items define. `base_rate` is the share of the more frequent label, which is the accuracy of
            a constant prediction; `f1` is that of positive and `negative_f1` that of negative labels. If there are both
            labels, `balanced_accuracy` is the mean of their accuracies, and `auc` is the area under the ROC curve: the
            probability that a positive item has a higher score than a negative one.

    Examples:
        >>> labelled = torch.tensor([[2.0, 1.0], [0.5, 1.0], [1.0, 1.0], [0.7, -1.0]])
        >>> classification_metrics(labelled)["base_rate"], round(classification_metrics(labelled)["auc"], 3)
        (0.75, 0.667)
    """
    scores, signs = labelled.detach().cpu().double().unbind(dim=1)
    is_positive = signs > 0
    predicted = (1 + scores.sign()) / 2
    right = torch.where(is_positive, predicted, 1 - predicted)
    right_positive, right_negative = float(right[is_positive].sum()), float(right[~is_positive].sum())
    positive, negative = int(is_positive.sum()), int((~is_positive).sum())
    predicted_positive = float(predicted.sum())
    metrics: dict[str, float] = {}
    if positive or negative:
        metrics["base_rate"] = max(positive, negative) / len(signs)
    if positive + predicted_positive > 0:
        metrics["f1"] = 2 * right_positive / (positive + predicted_positive)
    if negative + len(signs) - predicted_positive > 0:
        metrics["negative_f1"] = 2 * right_negative / (negative + len(signs) - predicted_positive)
    if positive and negative:
        metrics["balanced_accuracy"] = (right_positive / positive + right_negative / negative) / 2
        metrics["auc"] = _auc(scores, is_positive)
    return metrics


def _auc(scores: Tensor, is_positive: Tensor) -> float:
    """Return the area under the ROC curve, from the sum of the ranks of the positive items; ties have mean ranks.

    torchmetrics applies a sigmoid to scores outside of 0 to 1, after which large scores are equal.
    """
    if scores.isnan().any():
        return math.nan
    _, order, counts = scores.unique(return_inverse=True, return_counts=True)
    mean_ranks = counts.cumsum(dim=0) - (counts - 1) / 2
    positive, negative = int(is_positive.sum()), int((~is_positive).sum())
    smallest_sum = positive * (positive + 1) / 2
    return (float(mean_ranks[order][is_positive].sum()) - smallest_sum) / (positive * negative)
