"""Eurus loss: comparison and classification of both answers."""

from dataclasses import dataclass

from rlhf_losses.feedback import Pairs
from rlhf_losses.losses.base import AnyLoss, NamedObjective
from rlhf_losses.losses.pairwise.bradley_terry import bradley_terry
from rlhf_losses.losses.pairwise.independent_classification import independent_classification


@dataclass(frozen=True)
class Eurus(NamedObjective):
    r"""Sum of `bradley_terry` and `independent_classification`.

    $$-\log \sigma(s_\text{chosen} - s_\text{rejected} - m) - \log \sigma(s_\text{chosen}) - \log
    \sigma(-s_\text{rejected})$$

    Use it if chosen answers are good and rejected answers are bad in absolute terms, as in data with verified
    solutions. Then the zero of the scores separates good from bad answers. If both answers to a prompt can be good, use
    `bradley_terry`.

    Feedback:
        Pairs. The margin $m$ applies to the first term only. Preferences, ties and weights apply to both terms as in
        `bradley_terry`.

    References:
        Yuan et al. (2024), https://arxiv.org/abs/2404.02078

    Examples:
        >>> import torch
        >>> Eurus()(torch.tensor([0.0, 0.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(2.0794)
    """

    feedback_type = Pairs

    def expand(self) -> AnyLoss:
        return bradley_terry + independent_classification


eurus = Eurus()
