"""ListNet: the scores of a list should spread as its grades do."""

from dataclasses import dataclass

from rlhf_losses.dimensions import PerCandidate, Scalar
from rlhf_losses.losses.base import GradedLoss
from rlhf_losses.losses.claims import CONVEX, NON_NEGATIVE, SHIFT_INVARIANT
from rlhf_losses.losses.options import SMALLEST, number


@dataclass(frozen=True)
class ListNet(GradedLoss):
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
        >>> from rlhf_losses.feedback import Rankings
        >>> ListNet()(torch.zeros(3), Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[3]))
        tensor(1.0986)
    """

    temperature: float = number(1.0, SMALLEST)

    claims = SHIFT_INVARIANT | NON_NEGATIVE | CONVEX

    def per_list(self, scores: PerCandidate, grades: PerCandidate) -> Scalar:
        # In float64, because float32 cannot hold a grade over the least temperature.
        target = (grades.double() / self.temperature).softmax(dim=0).to(scores.dtype)
        return -(target * scores.log_softmax(dim=0)).sum()


list_net = ListNet()
