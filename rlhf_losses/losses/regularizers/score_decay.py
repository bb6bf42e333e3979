"""Score decay: every score should stay near zero."""

from dataclasses import dataclass

from rlhf_losses.losses.base import Regularizer
from rlhf_losses.losses.properties import CONVEX, HOMOGENEOUS, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import Scores


@dataclass(frozen=True)
class ScoreDecay(Regularizer):
    r"""Square of each score.

    .. math:: s^2

    Feedback:
        Any; one item a score.
    Relations:
        `centering` only asks the two scores of a pair to cancel.
    Reference:
        Hoerl & Kennard (1970), ridge regression, https://doi.org/10.1080/00401706.1970.10488634
    Example:
        >>> import torch
        >>> from rlhf_losses.feedback import Pairs
        >>> ScoreDecay()(torch.tensor([2.0, 0.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(2.)
    """

    properties = HOMOGENEOUS | NON_NEGATIVE | CONVEX | REVERSIBLE

    def per_score(self, scores: Scores) -> Scores:
        return scores**2


score_decay = ScoreDecay()
