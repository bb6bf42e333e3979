"""Multi-attribute: several rated attributes of a text, told from its one score."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Attributes
from rlhf_losses.losses.base import Loss
from rlhf_losses.losses.options import weights
from rlhf_losses.losses.properties import CONVEX, HOMOGENEOUS, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import ItemIndex, PerItem, Scores


@dataclass(frozen=True)
class MultiAttribute(Loss):
    r"""Squared error of each rated attribute, which is told from the score on a line of its own.

    .. math:: (o_a + l_a s - y_a)^2, \qquad \sum_a w_a l_a = 1, \quad \sum_a w_a o_a = 0

    With these two conditions the weighted sum of the attributes as the model tells them is the score,
    :math:`\sum_a w_a (o_a + l_a s) = s`: the weights that are declared say what is saved_merged.

    Feedback:
        Attributes, in any units; one item for each that was rated. Missing ones count nothing, nor do those that have
        no weight.
    Options:
        `weights`: a name and its weight :math:`w_a`, then the next. A weight may be negative, like that of verbosity.
        The lines :math:`o_a + l_a s` are learned beside the model; they start as :math:`w_a s / \sum_b w_b^2`.
    Relations:
        With one attribute of weight 1 it is `squared_error`. It is factor analysis with one factor: attributes that
        rise and fall by themselves need a model with a head for each, which a model with one score does not have.
    Reference:
        Wang et al. (2024), HelpSteer2, https://arxiv.org/abs/2406.08673, regress each attribute and save_merged a weighted
        sum; that one score tells them all, as in Spearman (1904), https://doi.org/10.2307/1412107, is derived here
    Example:
        >>> said = Attributes.from_row({"attributes": {"helpfulness": 4.0, "correctness": None}})
        >>> MultiAttribute()(torch.tensor([2.5]), said)
        tensor(2.2500)
    """

    weights: str = weights("helpfulness=0.5, correctness=0.5")

    feedback_type = Attributes
    properties = HOMOGENEOUS | NON_NEGATIVE | CONVEX | REVERSIBLE

    @property
    def loss_parameters(self) -> Mapping[str, tuple[float, ...]]:
        return {"offsets": (0.0,) * len(self.by_name), "slopes": tuple(self.by_name.values())}

    @cached_property
    def by_name(self) -> Mapping[str, float]:
        """The declared weight of each attribute."""
        parts = (part.split("=") for part in self.weights.split(","))
        return {name.strip(): float(weight) for name, weight in parts}

    def require_domain(self, feedback: Attributes) -> None:  # type: ignore[override]
        never = [name for name in self.by_name if len(feedback) and not bool(feedback.named(name).any())]
        if never:
            raise InvalidFeedbackError(
                f"multi_attribute weighs {', '.join(self.by_name)}, but {', '.join(never)} is no attribute of these "
                "data, so its share of the score would be made up. Name the attributes of the data: "
                "multi_attribute(weights='helpfulness=1.0')."
            )

    def item_positions(self, scores: Scores, feedback: Attributes) -> ItemIndex:  # type: ignore[override]
        return feedback.candidates[self._priced(feedback) >= 0]

    def forward(self, scores: Scores, feedback: Attributes, offsets: Tensor, slopes: Tensor) -> PerItem:  # type: ignore[override]
        which = self._priced(feedback)
        priced = which >= 0
        weight = scores.new_tensor(list(self.by_name.values()))
        offset = offsets - weight * (weight @ offsets) / (weight @ weight)
        slope = slopes + weight * (1 - weight @ slopes) / (weight @ weight)
        told = offset[which[priced]] + slope[which[priced]] * scores[feedback.candidates[priced]]
        return (told - feedback.values[priced]) ** 2

    def _priced(self, feedback: Attributes) -> Tensor:
        """Return the place of each entry's attribute among the weights, or −1 where nothing is to be priced."""
        which = torch.full_like(feedback.names, -1)
        for place, name in enumerate(self.by_name):
            which[feedback.named(name) & feedback.rated] = place
        return which


multi_attribute = MultiAttribute()
