"""Ordinal preference: how much better the chosen answer is, on a scale of words like slightly, clearly, far."""

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Pairs
from rlhf_losses.losses.base import Loss
from rlhf_losses.losses.numerics import between, ends
from rlhf_losses.losses.options import count
from rlhf_losses.losses.properties import CONVEX, NON_NEGATIVE, PROPER, REVERSIBLE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerPair, Scores


@dataclass(frozen=True)
class OrdinalPreference(Loss):
    r"""Negative log-likelihood of the stated strength: a noisy score_difference falls between two of a row of cut points.

    .. math:: -\log\big(\sigma(b_{k + 1} - \Delta) - \sigma(b_k - \Delta)\big), \qquad
        \Delta = s_\text{chosen} - s_\text{rejected}, \quad b_{-k + 1} = -b_k

    Feedback:
        Pairs whose `margin` is the strength :math:`k`: 0 for a tie, 1 for the weakest preference, and so on. A
        `preference` of 0 turns the pair round, shares of `preference` and `tie` weigh what each says, and a
        `weight` multiplies the cost. Where only some rows of a batch have a margin, those without one are ties.
    Options:
        `levels`: the greatest strength. The cut points :math:`0 < b_1 < \dots < b_\text{levels}` are learned beside the
        model; they start 1 apart.
    Relations:
        With one level it is `rao_kupper`. `bradley_terry` with a margin needs to be told how many score units a
        word is worth; here that is learned.
    Reference:
        McCullagh (1980), with symmetric cut points, https://doi.org/10.1111/j.2517-6161.1980.tb01109.x
    Example:
        >>> OrdinalPreference()(torch.tensor([3.0, 0.0]), Pairs(chosen=[0], rejected=[1], margin=[3.0]))
        tensor(0.6931)
    """

    levels: int = count(3, 1)

    feedback_type = Pairs
    properties = SHIFT_INVARIANT | NON_NEGATIVE | CONVEX | REVERSIBLE | PROPER

    @property
    def loss_parameters(self) -> Mapping[str, tuple[float, ...]]:
        return {"log_gaps": (0.0,) * self.levels}

    def require_domain(self, feedback: Pairs) -> None:  # type: ignore[override]
        if feedback.margin is None:
            raise InvalidFeedbackError(
                "ordinal_preference got pairs without a margin, so that it cannot tell how strong a preference is. "
                "Add the column margin (0 for a tie, 1, 2, ...), or take bradley_terry."
            )
        odd = (feedback.margin != feedback.margin.round()) | (feedback.margin < 0) | (feedback.margin > self.levels)
        if bool(odd.any()):
            raise InvalidFeedbackError(
                f"ordinal_preference got the margin {feedback.margin[odd][0].item():g}, but strengths are whole "
                f"numbers from 0 to {self.levels}. Write ordinal_preference(levels=...) with the greatest strength of "
                "the data, or take bradley_terry, which reads margins in score units."
            )

    def forward(self, scores: Scores, feedback: Pairs, log_gaps: Tensor) -> PerPair:  # type: ignore[override]
        score_difference = feedback.score_difference(scores)
        said = torch.ones_like(score_difference) if feedback.margin is None else feedback.margin
        strength = said.round().clamp(0, self.levels).long()
        positive = log_gaps.exp().cumsum(dim=0)
        # The cut points from -levels to levels; strength 0 lies between the two in the middle.
        cuts = ends(torch.cat([-positive.flip(0), positive]))

        def cost(level: Tensor) -> PerPair:
            return between(score_difference, cuts[level + self.levels], cuts[level + self.levels + 1])

        win, tie, defeat = feedback.outcomes()
        total = win * cost(strength) + tie * cost(torch.zeros_like(strength)) + defeat * cost(-strength)
        return total if feedback.weight is None else feedback.weight * total


ordinal_preference = OrdinalPreference()
