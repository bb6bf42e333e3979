"""ListNet loss."""

from dataclasses import dataclass

from rlhf_losses.feedback import Ragged, Rankings
from rlhf_losses.losses.base import Loss, Parameters
from rlhf_losses.losses.options import SMALLEST, number
from rlhf_losses.losses.properties import CONVEX, NON_NEGATIVE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerItem, Scores


@dataclass(frozen=True)
class ListNet(Loss[Rankings]):
    r"""Cross-entropy between softmax of grades and scores.

    $$-\sum_i \frac{e^{y_i / T}}{\sum_j e^{y_j / T}} \log \frac{e^{s_i}}{\sum_j e^{s_j}}$$

    Use it if several answers to each prompt are rated and rating differences are meaningful. At the minimum,
    differences of scores are differences of grades divided by $T$. If the zero of the ratings matters too, use
    `squared_error`; if only their order matters, use `plackett_luce`. With two answers it is `bradley_terry` with the
    preference $\sigma((y_1 - y_2) / T)$; as $T$ approaches 0 it becomes `best_of_n`.

    Feedback:
        Rankings; one item per list. The grades $y$ are ratings or, for rankings without ratings, the number of ranks
        below each answer. Ties have equal grades.

    Args:
        temperature: temperature $T$ of the softmax of the grades, in units of the grades; at least 1e-6.

    References:
        Cao et al. (2007), with top-one probabilities, https://doi.org/10.1145/1273496.1273513

    Examples:
        >>> import torch
        >>> ListNet()(torch.zeros(3), Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[3]))
        tensor(1.0986)
    """

    temperature: float = number(1.0, SMALLEST)

    properties = SHIFT_INVARIANT | NON_NEGATIVE | CONVEX

    def forward(self, scores: Scores, feedback: Rankings, parameters: Parameters) -> PerItem:
        assert feedback.grades is not None
        lists = Ragged(feedback.sizes)
        # In float64: a grade divided by the smallest temperature exceeds the precision of float32.
        target = lists.log_softmax(feedback.grades.double() / self.temperature).exp().to(scores.dtype)
        return -lists.sum(target * lists.log_softmax(scores[feedback.candidates]))


list_net = ListNet()
