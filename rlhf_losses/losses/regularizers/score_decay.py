"""Regularizer of the square of each score."""

from dataclasses import dataclass

from rlhf_losses.losses.families import Regularizer
from rlhf_losses.losses.properties import CONVEX, HOMOGENEOUS, NON_NEGATIVE, REVERSIBLE
from rlhf_losses.shapes import Scores


@dataclass(frozen=True)
class ScoreDecay(Regularizer):
    r"""Square of each score.

    $$s^2$$

    Use it as a term of a sum to keep scores small; it sets both the zero and the scale. `centering` sets the zero only,
    and `log_barrier` has little influence on small scores.

    Feedback:
        Any; one item per score, and the annotations are ignored.

    References:
        Hoerl & Kennard (1970), ridge regression, https://doi.org/10.1080/00401706.1970.10488634

    Examples:
        >>> import torch
        >>> from rlhf_losses.feedback import Pairs
        >>> ScoreDecay()(torch.tensor([2.0, 0.0]), Pairs(chosen=[0], rejected=[1]))
        tensor(2.)
    """

    properties = HOMOGENEOUS | NON_NEGATIVE | CONVEX | REVERSIBLE

    def per_score(self, scores: Scores) -> Scores:
        return scores**2


score_decay = ScoreDecay()
