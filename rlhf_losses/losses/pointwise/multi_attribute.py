"""Regression of several attributes on one score."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback import Attributes
from rlhf_losses.losses.base import Loss, Parameters
from rlhf_losses.losses.options import named_weights
from rlhf_losses.losses.properties import CONVEX, HOMOGENEOUS, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import ItemIndex, PerItem, Scores


@dataclass(frozen=True)
class MultiAttribute(Loss[Attributes]):
    r"""Squared error of several ratings, linear in the score.

    $$(o_a + l_a s - y_a)^2, \qquad \sum_a w_a l_a = 1, \quad \sum_a w_a o_a = 0$$

    Each attribute is predicted by a linear function of the score.

    With these two constraints the weighted sum of the predicted attributes is the score:
    $\sum_a w_a (o_a + l_a s) = s$. So the weights define the meaning of the score. The offsets $o_a$ and slopes $l_a$
    are trainable parameters with the initial values 0 and $w_a / \sum_b w_b^2$.

    Use it if answers are rated by several named attributes. One score cannot represent attributes that vary
    independently; they need a model with several outputs. With one attribute of weight 1 the loss is `squared_error`.

    Feedback:
        Attributes in any units; one item per rated attribute of each answer. Missing ratings and attributes without a
        weight have no items.

    Args:
        weights: names of the attributes with their weights $w_a$, as a string; weights may be negative, but
            not all 0.

    References:
        Regression of each attribute: Wang et al. (2024), HelpSteer2, https://arxiv.org/abs/2406.08673;
        one common factor: Spearman (1904), https://doi.org/10.2307/1412107

    Examples:
        >>> feedback = Attributes.from_row({"attributes": {"helpfulness": 4.0, "correctness": None}})
        >>> MultiAttribute()(torch.tensor([2.5]), feedback)
        tensor(2.2500)
    """

    weights: str = named_weights("helpfulness=0.5, correctness=0.5")

    properties = HOMOGENEOUS | NON_NEGATIVE | CONVEX | REVERSIBLE

    @property
    def loss_parameters(self) -> Mapping[str, tuple[float, ...]]:
        # `forward` adds a multiple of the weights to satisfy the constraints; these slopes become w_a / sum(w_b ** 2).
        return {"offsets": (0.0,) * len(self.weight_by_name), "slopes": tuple(self.weight_by_name.values())}

    @cached_property
    def weight_by_name(self) -> Mapping[str, float]:
        """The weight of each attribute."""
        parts = (part.split("=") for part in self.weights.split(","))
        return {name.strip(): float(weight) for name, weight in parts}

    def require_domain(self, feedback: Attributes) -> None:
        names = self.weight_by_name
        missing = [name for name in names if len(feedback) and not bool(feedback.is_attribute(name).any())]
        if missing:
            raise InvalidFeedbackError(
                f"multi_attribute has weights for {', '.join(names)}, but the data have no attribute "
                f"{', '.join(missing)}, so a part of the score would not be trained. Use the names of the data: "
                "multi_attribute(weights='helpfulness=1.0')."
            )

    def item_positions(self, scores: Scores, feedback: Attributes) -> ItemIndex:
        return feedback.candidates[self._weight_index(feedback) >= 0]

    def forward(self, scores: Scores, feedback: Attributes, parameters: Parameters) -> PerItem:
        index = self._weight_index(feedback)
        items = index >= 0
        weight = scores.new_tensor(list(self.weight_by_name.values()))
        offset = parameters["offsets"] - weight * (weight @ parameters["offsets"]) / (weight @ weight)
        slope = parameters["slopes"] + weight * (1 - weight @ parameters["slopes"]) / (weight @ weight)
        predicted = offset[index[items]] + slope[index[items]] * scores[feedback.candidates[items]]
        return (predicted - feedback.values[items]) ** 2

    def _weight_index(self, feedback: Attributes) -> Tensor:
        """Return the index of each entry's attribute in the weights; −1 without a weight or without a rating."""
        index = torch.full_like(feedback.attribute_ids, -1)
        for position, name in enumerate(self.weight_by_name):
            index[feedback.is_attribute(name) & feedback.is_rated] = position
        return index


multi_attribute = MultiAttribute()
