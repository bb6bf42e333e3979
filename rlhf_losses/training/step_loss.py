"""The loss of one optimizer step, computed one forward pass at a time.

A mean over an optimizer step is exact only if every forward pass divides by the weights of the whole step. These
weights do not depend on scores, so `StepLoss.begin` sums them before the first forward pass, over all processes.
"""

from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from rlhf_losses.data import ForwardPass
from rlhf_losses.losses import BatchLoss, Objective
from rlhf_losses.losses.reduction import AverageOver, item_weights, weighted_mean
from rlhf_losses.metrics import Tally
from rlhf_losses.shapes import PerItem, Scalar, Scores


def identity(tensor: Tensor) -> Tensor:
    """Return the tensor itself, which is its sum over one process."""
    return tensor


class StepLoss:
    r"""The loss of an optimizer step as a sum of shares, one per forward pass.

    $$L = \sum_t \lambda_t \, \frac{\sum_i w_{ti}\, \ell_{ti}}{\sum_i w_{ti}}$$

    for terms $t$ with weights $\lambda_t$ and items $i$ of all forward passes of all processes. The item weights
    $w_{ti}$ are 1 for an average over items; for an average over prompts they are 1 / number of items of the prompt.

    Call `begin` once per step, then `measure` if `needs_scores` returns True, then `share` for each forward pass. The
    sum of all shares of all processes is the loss of the step, for any division of the rows into passes and processes.

    Args:
        objective: the weighted sum of losses.
        average_over: `"items"` or `"prompts"`.
        all_reduce: sums a tensor over the processes of the step.

    Attributes:
        means: means of the moments of each batch-wide term, by the index of the term; None before `measure`.

    Examples:
        >>> from rlhf_losses.losses import bradley_terry
        >>> StepLoss(bradley_terry.as_objective()).needs_scores()
        False
    """

    def __init__(
        self,
        objective: Objective,
        average_over: AverageOver = "items",
        all_reduce: Callable[[Tensor], Tensor] = identity,
    ) -> None:
        self.objective = objective
        self._terms = objective.terms
        self.average_over = average_over
        self.all_reduce = all_reduce
        self._passes: Sequence[ForwardPass] = ()
        self._totals: Tensor | None = None
        self.means: dict[int, Tensor] | None = None

    def begin(self, passes: Sequence[ForwardPass]) -> Tensor:
        """Start a step: sum the item weights of each term over the passes of all processes.

        Args:
            passes: the forward passes of this process.

        Returns:
            The sums, of shape (terms).
        """
        device = passes[0].score_row.device if passes else None
        sums = torch.zeros(len(self._terms), device=device)
        for one in passes:
            sums = sums + torch.stack([weights.sum() for weights in self._item_weights(one)])
        self._passes, self._totals, self.means = passes, self.all_reduce(sums), None
        return self._totals

    def needs_scores(self) -> bool:
        """Return whether the shares depend on the scores of the whole step, which `measure` has not received yet."""
        return is_batch_wide(self.objective) and self.means is None

    @torch.no_grad()
    def measure(self, scores: Sequence[Scores]) -> None:
        r"""Compute the means $\sum_i w_i m_i / \sum_i w_i$ of the moments of each batch-wide term over the step.

        Args:
            scores: the scores of each pass, in the order of `begin`.
        """
        totals, means = self._require_totals(), {}
        for index, term in enumerate(self._terms):
            if isinstance(term.loss, BatchLoss):
                sums = [
                    self._item_weights(one)[index].double() @ term.loss.moments_of(pass_scores, one.feedback)
                    for one, pass_scores in zip(self._passes, scores, strict=True)
                ]
                means[index] = self.all_reduce(torch.stack(sums).sum(dim=0)) / totals[index].clamp(min=1e-12)
        self.means = means

    def share(
        self, forward_pass: ForwardPass, scores: Scores, parameters: Sequence[Mapping[str, Tensor]]
    ) -> tuple[Scalar, dict[str, Tally]]:
        """Return the share of one forward pass in the loss of the step.

        Args:
            forward_pass: one of the passes of this step.
            scores: its scores, of shape (scores).
            parameters: trainable parameters of each term, by name.

        Returns:
            The share, with a gradient with respect to scores and parameters, and a weighted sum of the per-item loss
            for each term name.
        """
        totals = self._require_totals()
        weights = self._item_weights(forward_pass)
        losses = self.per_item_losses(forward_pass, scores, parameters)
        shares = [
            term.weight * weighted_mean(loss, weight, total)
            for term, loss, weight, total in zip(self._terms, losses, weights, totals, strict=True)
        ]
        tallies = dict(zip(self.objective.term_names, map(Tally.of, losses, weights), strict=True))
        return torch.stack(shares).sum(), tallies

    def per_item_losses(
        self, forward_pass: ForwardPass, scores: Scores, parameters: Sequence[Mapping[str, Tensor]]
    ) -> list[PerItem]:
        """Return the loss of each item of each term; for the arguments see `share`."""
        return [self._per_item_loss(number, forward_pass, scores, one) for number, one in enumerate(parameters)]

    def item_rows(self, forward_pass: ForwardPass) -> list[Tensor]:
        """Return, for each term, the position in the pass of the row of each item."""
        score_row = forward_pass.score_row
        unused_scores = torch.zeros(len(score_row), device=score_row.device)
        feedback = [forward_pass.feedback.convert_to(term.loss.feedback_type) for term in self._terms]
        return [
            score_row[term.loss.item_positions(unused_scores, one)]
            for term, one in zip(self._terms, feedback, strict=True)
        ]

    def _per_item_loss(
        self, number: int, forward_pass: ForwardPass, scores: Scores, parameters: Mapping[str, Tensor]
    ) -> PerItem:
        loss = self._terms[number].loss
        if not isinstance(loss, BatchLoss):
            return loss.per_item_loss(scores, forward_pass.feedback, parameters)
        if self.means is None:
            raise RuntimeError(f"{loss} needs the scores of the whole step. Call StepLoss.measure before share.")
        return loss.per_item_loss_at(scores, forward_pass.feedback, self.means[number])

    def _item_weights(self, forward_pass: ForwardPass) -> list[PerItem]:
        """Return the weight of each item of each term; it does not depend on the scores."""
        weights = []
        for rows in self.item_rows(forward_pass):
            prompt_weights = forward_pass.prompt_weight[rows] if self.average_over == "prompts" else 1.0
            weights.append(item_weights(rows, self.average_over) * prompt_weights)
        return weights

    def _require_totals(self) -> Tensor:
        if self._totals is None:
            raise RuntimeError("The item weights of the step are unknown. Call StepLoss.begin first.")
        return self._totals


def is_batch_wide(objective: Objective) -> bool:
    """Return whether a term of the objective depends on the scores of a whole optimizer step."""
    return any(isinstance(term.loss, BatchLoss) for term in objective.terms)
