"""Ordinal loss for pairs with graded preferences."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType

import torch
from torch import Tensor

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Pairs
from rlhf_losses.losses.base import Loss, Parameters
from rlhf_losses.losses.families import PREFERENCE_USE, WEIGHT_USE, weighted
from rlhf_losses.losses.numerics import interval_nll, with_infinite_ends
from rlhf_losses.losses.options import integer
from rlhf_losses.losses.properties import CONVEX, NON_NEGATIVE, PROPER, REVERSIBLE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerPair, Scores


@dataclass(frozen=True)
class OrdinalPreference(Loss[Pairs]):
    r"""Negative log-likelihood of graded preferences.

    $$-\log\big(\sigma(b_{k + 1} - \Delta) - \sigma(b_k - \Delta)\big), \qquad
    \Delta = s_\text{chosen} - s_\text{rejected}, \quad b_{-k + 1} = -b_k$$

    This is a cumulative logit model with trainable cut points.

    Use it if annotators graded their preferences, like "slightly better" or "much better". The cut points
    $0 < b_1 < \dots < b_\text{levels}$ are trainable parameters with initial gaps of 1; they determine the score
    difference of each grade. `bradley_terry` with a margin needs these score differences in the data. With one level
    the loss is `rao_kupper`.

    Feedback:
        Pairs whose margin is the grade $k$ of the preference: 1 for the weakest, and so on up to `levels`. A tie has
        the grade 0. Every row has a margin: a dataset in which some rows have none is refused. A preference of 0 swaps
        the answers; other preferences and values of `tie` give the mean over the outcomes of `Pairs.outcomes`. The
        weight multiplies the loss of the pair.

    Args:
        levels: largest strength, at least 1.

    References:
        McCullagh (1980), with symmetric cut points, https://doi.org/10.1111/j.2517-6161.1980.tb01109.x

    Examples:
        >>> OrdinalPreference()(torch.tensor([3.0, 0.0]), Pairs(chosen=[0], rejected=[1], margin=[3.0]))
        tensor(0.6931)
    """

    levels: int = integer(3, 1, high=1_000)

    properties = SHIFT_INVARIANT | NON_NEGATIVE | CONVEX | REVERSIBLE | PROPER
    column_uses = MappingProxyType(
        {
            "margin": "is the grade of the preference: 0 is a tie",
            **{"preference": PREFERENCE_USE, "tie": "is the probability of a tie", "weight": WEIGHT_USE},
        }
    )

    @property
    def required_columns(self) -> tuple[str, ...]:
        return ("margin",)

    @property
    def loss_parameters(self) -> Mapping[str, tuple[float, ...]]:
        return {"log_gaps": (0.0,) * self.levels}

    def require_domain(self, feedback: Pairs) -> None:
        if feedback.margin is None:
            raise InvalidFeedbackError(
                "ordinal_preference received pairs without margins, but it needs the strength of each preference. Add "
                "the column margin (0 for a tie, 1, 2, ...), or use bradley_terry."
            )
        invalid = (feedback.margin != feedback.margin.round()) | (feedback.margin < 0) | (feedback.margin > self.levels)
        if bool(invalid.any()):
            raise InvalidFeedbackError(
                f"ordinal_preference received the margin {feedback.margin[invalid][0].item():g}, but strengths are "
                f"integers from 0 to {self.levels}. Set ordinal_preference(levels=...) to the largest strength of the "
                "data, or use bradley_terry, whose margins are in score units."
            )

    def with_outcomes(self, feedback: Pairs) -> Pairs:
        if feedback.margin is None:
            return feedback
        win, tie, _ = feedback.outcomes()
        is_tie = feedback.margin == 0
        return replace(
            feedback,
            preference=torch.where(is_tie, 0.5, win + tie / 2),
            tie=torch.where(is_tie, 1.0, tie),
        )

    def forward(self, scores: Scores, feedback: Pairs, parameters: Parameters) -> PerPair:
        difference = feedback.score_difference(scores)
        margin = torch.ones_like(difference) if feedback.margin is None else feedback.margin
        strength = margin.round().clamp(0, self.levels).long()
        positive = parameters["log_gaps"].exp().cumsum(dim=0)
        # Cut points from -levels to levels; strength 0 is between the two in the middle.
        cuts = with_infinite_ends(torch.cat([-positive.flip(0), positive]))

        def nll(strength: Tensor) -> PerPair:
            return interval_nll(difference, cuts[strength + self.levels], cuts[strength + self.levels + 1])

        win, tie, defeat = feedback.outcomes()
        expected = win * nll(strength) + tie * nll(torch.zeros_like(strength)) + defeat * nll(-strength)
        return weighted(expected, feedback)


ordinal_preference = OrdinalPreference()
