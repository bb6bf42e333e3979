"""Spread of the scores of the answers to one prompt, which a policy is trained on."""

from dataclasses import asdict, dataclass

import numpy as np

from rlhf_losses.evaluation.scored_data import ScoredData


@dataclass(frozen=True)
class ScoreSpread:
    """Spread of scores within and between prompts.

    Attributes:
        prompts: number of prompts with at least two different answers.
        within: standard deviation of the scores of one prompt: the square root of the mean variance.
        total: standard deviation of all these scores.
        share_within: share of the variance that is within prompts. The rest is the same for all answers to a prompt,
            and has no effect on a policy.
        equal: share of prompts whose answers all have equal scores.

    References:
        Razin et al. (2025), https://arxiv.org/abs/2503.15477
    """

    prompts: int
    within: float
    total: float
    share_within: float
    equal: float

    def to_dict(self) -> dict[str, float]:
        """Return the JSON object."""
        return asdict(self)


def score_spread(data: ScoredData) -> ScoreSpread | None:
    """Return the spread of the scores of whole answers, or None if no prompt has two different answers.

    Args:
        data: the scored dataset.
    """
    ends = np.flatnonzero(data.texts.is_answer_end & data.used.numpy())
    distinct = ends[np.unique(data.texts.text[ends], return_index=True)[1]]
    _, prompt, counts = np.unique(data.clusters[distinct], return_inverse=True, return_counts=True)
    several = counts[prompt] > 1
    if not several.any():
        return None
    scores, prompt = data.values.numpy()[distinct][several], np.unique(prompt[several], return_inverse=True)[1]
    sizes = np.bincount(prompt)
    centred = scores - (np.bincount(prompt, weights=scores) / sizes)[prompt]
    variances = np.bincount(prompt, weights=centred**2) / sizes
    within, total = float((variances * sizes).sum() / sizes.sum()), float(scores.var())
    lowest, highest = np.full(len(sizes), np.inf), np.full(len(sizes), -np.inf)
    np.minimum.at(lowest, prompt, scores)
    np.maximum.at(highest, prompt, scores)
    share = within / total if total else 0.0
    return ScoreSpread(len(sizes), within**0.5, total**0.5, share, float((lowest == highest).mean()))
