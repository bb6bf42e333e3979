"""Classification loss for both answers of a pair."""

from dataclasses import dataclass
from types import MappingProxyType

from torch.nn.functional import logsigmoid

from rlhf_losses.feedback import Pairs
from rlhf_losses.losses.base import Loss, Parameters
from rlhf_losses.losses.families import HALF, PREFERENCE_USE, WEIGHT_USE, weighted
from rlhf_losses.losses.properties import CONVEX, MONOTONE, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import PerPair, Scores


@dataclass(frozen=True)
class IndependentClassification(Loss[Pairs]):
    r"""Cross-entropy with chosen as good, rejected as bad.

    $$-\log \sigma(s_\text{chosen}) - \log \sigma(-s_\text{rejected})$$

    The two answers are independent.

    Use it if scores of answers to different prompts are compared: unlike `bradley_terry`, it determines the zero of the
    scores. It equals `cross_entropy` with the chosen answers labelled good and the rejected answers labelled bad. If
    both answers to a prompt can be good, use `bradley_terry`; for both losses at once use `eurus`.

    Feedback:
        Pairs. A preference $p$ gives the mean of the loss and of the loss with swapped answers, weighted by $p$ and $1
        - p$; a tie counts as $p = 0.5$. The weight multiplies the loss of the pair. Margins are ignored.

    References:
        Sun et al. (2024), https://arxiv.org/abs/2411.04991

    Examples:
        >>> import torch
        >>> IndependentClassification()(torch.tensor([0.0, 0.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(1.3863)
    """

    properties = MONOTONE | NON_NEGATIVE | CONVEX | REVERSIBLE
    column_uses = MappingProxyType({"preference": PREFERENCE_USE, "tie": HALF, "weight": WEIGHT_USE})

    def forward(self, scores: Scores, feedback: Pairs, parameters: Parameters) -> PerPair:
        chosen, rejected = scores[feedback.chosen], scores[feedback.rejected]
        loss = -logsigmoid(chosen) - logsigmoid(-rejected)
        if feedback.preference is not None:
            swapped = -logsigmoid(rejected) - logsigmoid(-chosen)
            loss = feedback.preference * loss + (1 - feedback.preference) * swapped
        return weighted(loss, feedback)


independent_classification = IndependentClassification()
