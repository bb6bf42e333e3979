"""From the scores of the steps of a text to the score of the whole text."""

import torch

from rlhf_losses.losses import Aggregated
from rlhf_losses.transforms import ScoredTexts


def aggregate_steps(aggregation: Aggregated, steps: ScoredTexts) -> ScoredTexts:
    r"""Return the score, the feature vector and the length of a whole text.

    The feature vector is $\sum_k \frac{\partial s}{\partial s_k} \phi_k$, where $s$ is the score of the text, $s_k$ the
    score of step $k$ and $\phi_k$ its feature vector: to first order, a change of the head has the same effect on the
    score of the text as on a score with this vector.

    Args:
        aggregation: how the scores are aggregated.
        steps: the steps of one text, at least one.

    Returns:
        One score in float64, with one feature vector in float32, of width 0 if the steps have none.
    """
    if not steps.features.shape[1]:
        score = aggregation.aggregate(steps.scores.double())
        return ScoredTexts(score.reshape(1), steps.features[-1:], steps.lengths[-1:])
    with torch.inference_mode(False), torch.enable_grad():
        scores = steps.scores.double().detach().requires_grad_()
        score = aggregation.aggregate(scores)
        (share,) = torch.autograd.grad(score, scores)
    features = share.float() @ steps.features.float()
    return ScoredTexts(score.detach().reshape(1), features.unsqueeze(0), steps.lengths[-1:])
