"""Metrics of training and evaluation, exact over all batches since the last log."""

import math
from collections.abc import Callable, Mapping
from typing import Any

import torch
from torch import Tensor

from rlhf_losses.metrics import Tally, add_tallies, summarize
from rlhf_losses.shapes import LabelledScores, Scores
from rlhf_losses.training.step_loss import identity


class MetricTotals:
    """Sums of metrics over forward passes and batches, and all labelled scores; `compute` returns the metrics once.

    Examples:
        >>> totals = MetricTotals()
        >>> totals.add({"accuracy": Tally(1.0, 2.0)}, scores=torch.tensor([2.0, 1.0]))
        >>> totals.add({"accuracy": Tally(1.0, 1.0)}, scores=torch.tensor([3.0]))
        >>> totals.end_batch()
        >>> totals.compute()["mean_reward"], totals.compute()["max_reward"]
        (2.0, 3.0)
    """

    def __init__(self) -> None:
        self._tallies: dict[str, Tally] = {}
        self._labelled: list[LabelledScores] = []
        self._batch_scores: list[Scores] = []
        self._smallest, self._largest = math.inf, -math.inf

    def add(self, tallies: Mapping[str, Tally], scores: Scores, labelled: LabelledScores | None = None) -> None:
        """Add the tallies, the scores and the labelled scores of one forward pass."""
        self._tallies = add_tallies(self._tallies, tallies)
        if labelled is not None:
            self._labelled.append(labelled.cpu())
        self._batch_scores.append(scores.detach())

    def end_batch(self) -> None:
        """Add the scores of the passes since the last batch."""
        scores, self._batch_scores = torch.cat(self._batch_scores), []
        if len(scores):
            self._smallest = min(self._smallest, scores.min().item())
            self._largest = max(self._largest, scores.max().item())
        self._tallies = add_tallies(self._tallies, {"mean_reward": Tally.of(scores)})

    def compute(
        self,
        all_reduce: Callable[[Tensor], Tensor] = identity,
        all_gather: Callable[[Tensor], Tensor] = identity,
    ) -> dict[str, float]:
        """Return the metrics that are defined, see `summarize`.

        Args:
            all_reduce: sums a tensor over the processes; all of them have the same metrics.
            all_gather: concatenates the rows of a matrix over the processes.
        """
        names = sorted(self._tallies)
        if not names:
            return {}
        sums = torch.tensor([[self._tallies[name].total, self._tallies[name].count] for name in names])
        tallies = {name: Tally(*pair) for name, pair in zip(names, all_reduce(sums).tolist(), strict=True)}
        metrics = summarize(tallies, all_gather(torch.cat(self._labelled)) if self._labelled else None)
        if "accuracy" in metrics:
            metrics["accuracy_count"] = tallies["accuracy"].count
        return metrics | self._extremes(all_gather)

    def clear(self) -> None:
        """Remove all sums."""
        self._tallies, self._labelled, self._batch_scores = {}, [], []
        self._smallest, self._largest = math.inf, -math.inf

    def state_dict(self) -> dict[str, Any]:
        """Return the sums after the last batch, as plain numbers, lists and tensors."""
        tallies = {name: [tally.total, tally.count] for name, tally in self._tallies.items()}
        return {"tallies": tallies, "labelled": list(self._labelled), "extremes": [self._smallest, self._largest]}

    def add_state(self, state: Mapping[str, Any]) -> None:
        """Add the sums that `state_dict` returned.

        Args:
            state: sums of the same metrics.
        """
        self._tallies = add_tallies(self._tallies, {name: Tally(*pair) for name, pair in state["tallies"].items()})
        self._labelled += state["labelled"]
        smallest, largest = state["extremes"]
        self._smallest, self._largest = min(self._smallest, smallest), max(self._largest, largest)

    def _extremes(self, all_gather: Callable[[Tensor], Tensor]) -> dict[str, float]:
        """Return the smallest and the largest score of all processes."""
        own = torch.tensor([[self._smallest, self._largest]])
        gathered = all_gather(own)
        smallest, largest = gathered[:, 0].min().item(), gathered[:, 1].max().item()
        return {"min_reward": smallest, "max_reward": largest} if smallest <= largest else {}
