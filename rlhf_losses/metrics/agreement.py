"""Agreement of scores with feedback: accuracy and mean margin."""

import torch

from rlhf_losses.feedback import Feedback, Labels, Mixed, Pairs, Steps, StepwiseRankings
from rlhf_losses.metrics.tally import Tally
from rlhf_losses.shapes import PerItem, Scores


def agreement(scores: Scores, feedback: Feedback) -> dict[str, Tally]:
    """Return the accuracy of the scores and, for feedback that compares answers, the mean margin.

    For pairs and for feedback that is convertible to pairs, the accuracy is the share of pairs in which the preferred
    answer has the higher score. Equal scores count 0.5. Tied pairs do not count. The margin is the score of the chosen
    answer minus that of the rejected answer. The score of an answer in steps is the mean over its steps.

    For labels, the accuracy is the share of scores whose sign agrees with the label. A score of 0 counts 0.5. Ratings
    of steps do not count. Labels are used only if no feedback compares answers.

    Args:
        scores: vector of scores.
        feedback: feedback on the scores.

    Returns:
        Tallies named `accuracy` and `margin`; an empty mapping for feedback that contains neither
            comparisons nor labels.

    Examples:
        >>> agreement(torch.tensor([3.2, 1.5]), Pairs(chosen=[0], rejected=[1]))["accuracy"].mean
        1.0
    """
    scores = scores.detach().float()
    parts = feedback.parts if isinstance(feedback, Mixed) else (feedback,)
    compared = [
        _score_differences(scores, part)
        for part in parts
        if isinstance(part, StepwiseRankings) or type(part).is_convertible_to(Pairs)
    ]
    if compared:
        accuracy = [_sign_accuracy(differences, signs) for differences, signs in compared]
        margin = [Tally.of(differences) for differences, _ in compared]
        return {"accuracy": sum(accuracy, Tally()), "margin": sum(margin, Tally())}
    labelled = [part for part in parts if isinstance(part, Labels | Steps)]
    tallies = [_sign_accuracy(scores[part.item_positions], _label_signs(part)) for part in labelled]
    return {"accuracy": sum(tallies, Tally())} if tallies else {}


def _sign_accuracy(values: PerItem, signs: PerItem) -> Tally:
    """Return the accuracy of the signs of values; items with the target sign 0 do not count."""
    return Tally.of((1 + torch.sign(values) * signs) / 2, signs.abs())


def _score_differences(scores: Scores, feedback: Feedback) -> tuple[PerItem, PerItem]:
    """Return the score difference of every pair and its sign according to the feedback."""
    if isinstance(feedback, StepwiseRankings):
        answer = torch.arange(len(feedback.counts), device=scores.device).repeat_interleave(feedback.counts)
        sums = scores.new_zeros(len(feedback.counts)).index_add(0, answer, scores[feedback.steps])
        scores, feedback = sums / feedback.counts, feedback.answer_rankings()
    pairs = feedback.convert_to(Pairs)
    assert isinstance(pairs, Pairs)
    return pairs.score_difference(scores), _preference_signs(pairs)


def _preference_signs(pairs: Pairs) -> PerItem:
    if pairs.preference is None:
        return torch.ones(len(pairs), device=pairs.chosen.device)
    return torch.sign(pairs.preference - 0.5)


def _label_signs(feedback: Labels | Steps) -> PerItem:
    """Return +1 for positive labels and −1 for negative ones; 0 for all items if the values are ratings."""
    values = feedback.labels if isinstance(feedback, Labels) else feedback.values
    if bool(torch.isin(values, torch.tensor([-1.0, 0.0, 1.0], device=values.device)).all()):
        return torch.where(values > 0, 1.0, -1.0)
    return torch.zeros_like(values)
