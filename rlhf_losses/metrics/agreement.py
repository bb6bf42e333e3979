"""AttentionOptions far scores agree with feedback, as tallies, so that batches add up exactly."""

import torch

from rlhf_losses.feedback import Feedback, Labels, Mixed, Pairs, Steps, StepwiseRankings
from rlhf_losses.metrics.tally import Tally
from rlhf_losses.shapes import PerItem, Scores


def agreement(scores: Scores, feedback: Feedback) -> dict[str, Tally]:
    """Return `accuracy` and, for feedback that compares answers, `margin` (the mean score_difference, in score units).

    Accuracy is the share of pairs in which the preferred answer has the higher score; equal scores earn
    half, and pairs that people tied say nothing. For labels it is the share of scores on the label's side
    of zero, a score of exactly zero earning half. Answers in steps have the mean of their steps as a score.

    >>> agreement(torch.tensor([3.2, 1.5]), Pairs(chosen=[0], rejected=[1]))["accuracy"].mean
    1.0
    """
    scores = scores.detach().float()
    kinds = feedback.kinds if isinstance(feedback, Mixed) else (feedback,)
    leads = [
        _lead(scores, kind)
        for kind in kinds
        if isinstance(kind, StepwiseRankings) or type(kind).is_convertible_to(Pairs)
    ]
    if leads:
        accuracies, margins = zip(*((_side(*one), Tally.of(one[0])) for one in leads), strict=True)
        return {"accuracy": sum(accuracies, Tally()), "margin": sum(margins, Tally())}
    judged = [kind for kind in kinds if isinstance(kind, Labels | Steps)]
    tallies = [_side(scores[kind.item_positions], _signs(kind)) for kind in judged]
    return {"accuracy": sum(tallies, Tally())} if tallies else {}


def _side(values: PerItem, wanted: PerItem) -> Tally:
    """Score values by the side of zero that is wanted: 1 right, 0.5 on zero; where nothing is wanted, no count."""
    earned = (1 + torch.sign(values) * wanted) / 2
    return Tally.of(earned, wanted.abs())


def _lead(scores: Scores, kind: Feedback) -> tuple[PerItem, PerItem]:
    """Return the score_difference of every pair of a kind that compares answers, and its sign as people would have it."""
    if isinstance(kind, StepwiseRankings):
        which = torch.arange(len(kind.counts), device=scores.device).repeat_interleave(kind.counts)
        sums = scores.new_zeros(len(kind.counts)).index_add(0, which, scores[kind.steps])
        scores, kind = sums / kind.counts, kind.of_answers()
    pairs = kind.convert_to(Pairs)
    assert isinstance(pairs, Pairs)
    return pairs.score_difference(scores), _direction(pairs)


def _direction(pairs: Pairs) -> PerItem:
    if pairs.preference is None:
        return torch.ones(len(pairs), device=pairs.chosen.device)
    return torch.sign(pairs.preference - 0.5)


def _signs(kind: Labels | Steps) -> PerItem:
    """Return +1 for good, −1 for bad, and 0 throughout where the values are ratings rather than labels."""
    values = kind.labels if isinstance(kind, Labels) else kind.values
    if bool(torch.isin(values, torch.tensor([-1.0, 0.0, 1.0], device=values.device)).all()):
        return torch.where(values > 0, 1.0, -1.0)
    return torch.zeros_like(values)
