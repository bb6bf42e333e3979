"""ListNet: the scores of a list should spread as its grades do."""

from dataclasses import dataclass

from rlhf_losses.feedback import Rankings
from rlhf_losses.feedback.ragged import Ragged
from rlhf_losses.losses.base import Loss
from rlhf_losses.losses.options import SMALLEST, number
from rlhf_losses.losses.properties import CONVEX, NON_NEGATIVE, SHIFT_INVARIANT
from rlhf_losses.shapes import PerItem, Scores


@dataclass(frozen=True)
class ListNet(Loss):
    r"""Cross-entropy of the softmax of the scores with the softmax of the grades.

    .. math:: -\sum_i \frac{e^{y_i / T}}{\sum_j e^{y_j / T}} \log \frac{e^{s_i}}{\sum_j e^{s_j}}

    Feedback:
        Ratings of several answers to a prompt, which are the grades :math:`y`; or rankings, where the grade is the
        number of ranks below.
    Options:
        `temperature` :math:`T` > 0 of the grades: scores come to differ by the grades' difference over :math:`T`.
    Relations:
        Two candidates: `bradley_terry` with the preference :math:`\sigma((y_1 - y_2) / T)`. `squared_error` also fixes
        the zero. `best_of_n` as :math:`T` falls to 0.
    Reference:
        Cao et al. (2007), with the probability of the top one, https://doi.org/10.1145/1273496.1273513
    Example:
        >>> import torch
        >>> ListNet()(torch.zeros(3), Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[3]))
        tensor(1.0986)
    """

    temperature: float = number(1.0, SMALLEST)

    feedback_type = Rankings
    properties = SHIFT_INVARIANT | NON_NEGATIVE | CONVEX

    def forward(self, scores: Scores, feedback: Rankings) -> PerItem:  # type: ignore[override]
        assert feedback.grades is not None
        lists = Ragged(feedback.sizes)
        # In float64, because float32 cannot hold a grade over the least temperature.
        target = lists.log_softmax(feedback.grades.double() / self.temperature).exp().to(scores.dtype)
        return -lists.sum(target * lists.log_softmax(scores[feedback.candidates]))


list_net = ListNet()
