"""Eurus: which answer is better, and whether each is good, at once."""

from dataclasses import dataclass

from rlhf_losses.feedback import Pairs
from rlhf_losses.losses.base import Loss
from rlhf_losses.losses.objective import NamedObjective
from rlhf_losses.losses.pairwise.bradley_terry import bradley_terry
from rlhf_losses.losses.pairwise.independent_classification import independent_classification
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, REVERSIBLE


@dataclass(frozen=True)
class Eurus(NamedObjective):
    r"""The sum `bradley_terry + independent_classification`.

    .. math:: -\log \sigma(s_\text{chosen} - s_\text{rejected} - m)
        - \log \sigma(s_\text{chosen}) - \log \sigma(-s_\text{rejected})

    Feedback:
        Pairs.
    Relations:
        `bradley_terry` asks for a score_difference only, `independent_classification` for signs only.
    Reference:
        Yuan et al. (2024), https://arxiv.org/abs/2404.02078
    Example:
        >>> import torch
        >>> Eurus()(torch.tensor([0.0, 0.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(2.0794)
    """

    feedback_type = Pairs
    properties = MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE

    def expand(self) -> Loss:
        return bradley_terry + independent_classification


eurus = Eurus()
