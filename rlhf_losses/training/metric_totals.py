"""Metrics of training and evaluation, exact over all batches since the last log."""

from collections.abc import Callable, Mapping

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

    def add(self, tallies: Mapping[str, Tally], scores: Scores, labelled: LabelledScores | None = None) -> None:
        """Add the tallies, the scores and the labelled scores of one forward pass."""
        self._tallies = add_tallies(self._tallies, tallies)
        if labelled is not None:
            self._labelled.append(labelled.cpu())
        self._batch_scores.append(scores.detach())

    def end_batch(self) -> None:
        """Add the scores of the passes since the last batch.

        As in TRL, `min_reward` and `max_reward` are means over batches of the extremes of each batch.
        """
        scores, self._batch_scores = torch.cat(self._batch_scores), []
        smallest, largest = (scores.min().item(), scores.max().item()) if len(scores) else (0.0, 0.0)
        batches = min(len(scores), 1)  # a batch without scores counts 0 times, but all processes have the same names
        own = {
            "min_reward": Tally(smallest, batches),
            "max_reward": Tally(largest, batches),
            "mean_reward": Tally.of(scores),
        }
        self._tallies = add_tallies(self._tallies, own)

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
        return summarize(tallies, all_gather(torch.cat(self._labelled)) if self._labelled else None)

    def clear(self) -> None:
        """Remove all sums."""
        self._tallies, self._labelled, self._batch_scores = {}, [], []
