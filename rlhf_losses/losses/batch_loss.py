"""Losses of a global batch: a cost of all scores of an optimizer step together, whichever way the step is cut."""

from abc import abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_losses.feedback import Feedback
from rlhf_losses.losses.base import Loss
from rlhf_losses.shapes import Moments, PerItem, Scalar, Scores


@dataclass(frozen=True)
class BatchLoss(Loss):
    r"""A cost :math:`f(\bar m)` of the mean :math:`\bar m` of moments :math:`m_i` over everything in an optimizer step.

    It has a price an item all the same: the tangent of :math:`f` at the mean.

    .. math:: \ell_i = f(\bar m) + \nabla f(\bar m) \cdot (m_i - \bar m)

    These items have the mean :math:`f(\bar m)` and its gradient, in however many passes, micro-batches and processes
    they are priced, if all are given the same :math:`\bar m`. Whoever trains measures it first, without a gradient;
    where no `means` are given, the feedback that arrives is the whole batch.

    >>> from rlhf_losses.feedback import Pairs
    >>> from rlhf_losses.losses import BatchSumToZero
    >>> one, other = Pairs(chosen=[0], rejected=[1]), torch.tensor([3.0, 1.0])
    >>> BatchSumToZero()(other, one)
    tensor(4.)
    """

    @abstractmethod
    def moments(self, scores: Scores, feedback: Feedback) -> Moments:
        """Return the moments of each item, in float64: sums over a batch cancel."""

    @abstractmethod
    def of_means(self, means: Tensor) -> Scalar:
        """Return the cost of a batch whose moments have these means."""

    def forward(self, scores: Scores, feedback: Feedback, means: Tensor | None = None) -> PerItem:  # type: ignore[override]
        moments = self.moments(scores, feedback)
        if not len(moments):
            return scores[:0]
        at = (moments.mean(dim=0) if means is None else means).detach().requires_grad_()
        with torch.enable_grad():
            cost = self.of_means(at)
            (slope,) = torch.autograd.grad(cost, at)
        return (cost.detach() + (moments - at.detach()) @ slope).to(scores.dtype)
