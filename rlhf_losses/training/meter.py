"""Metrics of training and evaluation, as exact means over everything since the last log."""

import torch
from accelerate import Accelerator

from rlhf_losses.data import ForwardPass
from rlhf_losses.losses import Loss
from rlhf_losses.losses.objective import term_names
from rlhf_losses.metrics import Tally, add_tallies, agreement
from rlhf_losses.shapes import PerItem, Scores


class Meter:
    """Adds up tallies batch by batch and gives their means once, over every process."""

    def __init__(self) -> None:
        self.tallies: dict[str, Tally] = {}
        self.batch: list[Scores] = []

    def record(
        self, loss: Loss, scores: Scores, batch: ForwardPass, costs: list[PerItem], weights: list[PerItem]
    ) -> None:
        """Add one forward pass."""
        scores = scores.detach()
        self.batch.append(scores)
        self._add(agreement(scores, batch["feedback"]))
        self._add(dict(zip(metric_names(loss), map(Tally.of, costs, weights), strict=True)))

    def end_batch(self) -> None:
        """Add the scores of the passes since the last batch; their extremes are means of each batch's, as TRL's."""
        scores, self.batch = torch.cat(self.batch), []
        extremes = (scores.min().item(), scores.max().item()) if len(scores) else (0.0, 0.0)
        # A process without scores counts 0 of each, for processes add up the same names.
        named = zip(("min_reward", "max_reward"), extremes, strict=True)
        self._add({name: Tally(value, min(len(scores), 1)) for name, value in named})
        self._add({"mean_reward": Tally.of(scores)})

    def means(self, accelerator: Accelerator) -> dict[str, float]:
        """Return the mean of each metric over every process, leaving out what was never counted."""
        names = sorted(self.tallies)
        sums = torch.tensor([[self.tallies[name].total, self.tallies[name].count] for name in names])
        if names and accelerator.num_processes > 1:
            sums = accelerator.reduce(sums.to(accelerator.device), reduction="sum").cpu()
        tallies = {name: Tally(*pair) for name, pair in zip(names, sums.tolist(), strict=True)}
        return {name: tally.mean for name, tally in tallies.items() if tally.count}

    def clear(self) -> None:
        """Forget everything."""
        self.tallies, self.batch = {}, []

    def _add(self, tallies: dict[str, Tally]) -> None:
        self.tallies = add_tallies(self.tallies, tallies)


def metric_names(loss: Loss) -> list[str]:
    """Return a metric's name for each term.

    >>> from rlhf_losses.losses import bradley_terry, hinge
    >>> metric_names(bradley_terry + hinge)
    ['loss/bradley_terry', 'loss/hinge']
    """
    return [f"loss/{name}" for name in term_names(loss)]
