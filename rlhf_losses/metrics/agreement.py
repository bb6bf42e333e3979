"""Agreement of scores with feedback: accuracy, mean margin, and labels with their scores."""

from dataclasses import dataclass

import torch
from torch import Tensor

from rlhf_losses.feedback import Feedback, Labels, Mixed, Pairs, Ragged, Steps, StepwiseRankings
from rlhf_losses.metrics.tally import Tally, add_tallies
from rlhf_losses.shapes import LabelledScores, PerItem, Scores, Sizes


def agreement(scores: Scores, feedback: Feedback, rated_steps: bool = False) -> dict[str, Tally]:
    """Return how well scores agree with feedback that compares answers, or otherwise with labels.

    For pairs and for feedback that is convertible to pairs, `accuracy` is the share of pairs in which the preferred
    answer has the higher score, where equal scores count 0.5, and `margin` is the score of the preferred answer minus
    that of the other. The preferred answer is the chosen one, or the rejected one where the preference is below 0.5.
    Tied pairs do not count. The score of an answer in steps is the mean over its steps.

    For labels and labelled steps, `accuracy` is the share of items whose score has the sign of the label: positive for
    a probability above 0.5, negative below. A score of 0 counts 0.5, and items with the label 0.5 do not count. Steps
    also have `answer_accuracy`, the share of answers that have a negative score if and only if they have a negative
    label, and the two accuracies of ProcessBench (https://arxiv.org/abs/2412.06559): `processbench_error` is the share
    of the answers with a negative label in which the first negative score is at the first negative label, and
    `processbench_correct` is the share of the other answers without a negative score. Labels are used only if no
    feedback compares answers.

    Args:
        scores: vector of scores.
        feedback: feedback on the scores.
        rated_steps: whether the values of `Steps` are ratings, which are not used; by default they are labels.

    Returns:
        Tallies by name; an empty mapping for feedback that contains neither comparisons nor labels.

    Examples:
        >>> agreement(torch.tensor([3.2, 1.5]), Pairs(chosen=[0], rejected=[1]))["accuracy"].mean
        1.0
        >>> agreement(torch.tensor([0.0, 5.0]), Pairs(chosen=[0], rejected=[1], preference=[0.0]))["margin"].mean
        5.0
    """
    scores = scores.detach().float()
    tallies: dict[str, Tally] = {}
    for part in _comparisons(feedback):
        tallies = add_tallies(tallies, _compare(scores, part))
    for part in _labels(feedback, rated_steps):
        tallies = add_tallies(tallies, _classify(scores, part))
    return tallies


def labelled_scores(scores: Scores, feedback: Feedback, rated_steps: bool = False) -> LabelledScores | None:
    """Return the score and the sign of the label of each labelled item, of shape (items, 2).

    `classification_metrics` computes from them the metrics of labels that are not means over items.

    Args:
        scores: vector of scores.
        feedback: feedback on the scores.
        rated_steps: whether the values of `Steps` are ratings, which are not used; by default they are labels.

    Returns:
        The items whose label is not 0.5, or None if `agreement` uses no labels.

    Examples:
        >>> labelled_scores(torch.tensor([3.0, 1.5]), Labels(candidates=[0, 1], labels=[1.0, 0.0]))
        tensor([[ 3.0000,  1.0000],
                [ 1.5000, -1.0000]])
    """
    items = [
        torch.stack([scores.detach().float()[part.item_positions], _signs(part)], dim=1)
        for part in _labels(feedback, rated_steps)
    ]
    return torch.cat([rows[rows[:, 1] != 0] for rows in items]) if items else None


@dataclass(frozen=True)
class AnswerVerdicts:
    """What labels and scores of steps say about whole answers; each tensor has one entry per answer.

    Attributes:
        is_judged: whether a step has a label other than 0.5.
        is_wrong: whether a label is negative.
        called_wrong: whether the score of a step with a label is negative.
        first_error_found: whether the first negative score is at the first negative label, or there is neither.
    """

    is_judged: Tensor
    is_wrong: Tensor
    called_wrong: Tensor
    first_error_found: Tensor


def answer_verdicts(scores: Scores, feedback: Steps) -> AnswerVerdicts:
    """Return the verdicts of labels and scores of steps on whole answers.

    Args:
        scores: vector of scores.
        feedback: labels of steps.

    Examples:
        >>> found = answer_verdicts(torch.tensor([2.0, -1.0]), Steps(steps=[0, 1], values=[1.0, 0.0]))
        >>> found.is_wrong, found.first_error_found
        (tensor([True]), tensor([True]))
    """
    assert feedback.sizes is not None
    answers, signs = Ragged(feedback.sizes), _signs(feedback)
    negative = (scores[feedback.steps] < 0) & (signs != 0)
    first_error, first_found = _first(answers, signs < 0), _first(answers, negative)
    return AnswerVerdicts(
        is_judged=answers.sum(signs.abs()) > 0,
        is_wrong=first_error < feedback.sizes,
        called_wrong=first_found < feedback.sizes,
        first_error_found=first_error == first_found,
    )


def _parts(feedback: Feedback) -> tuple[Feedback, ...]:
    return feedback.parts if isinstance(feedback, Mixed) else (feedback,)


def _comparisons(feedback: Feedback) -> list[Feedback]:
    return [p for p in _parts(feedback) if isinstance(p, StepwiseRankings) or type(p).is_convertible_to(Pairs)]


def _labels(feedback: Feedback, rated_steps: bool) -> list[Labels | Steps]:
    """Return the labels, which are used without comparisons only."""
    labels = [p for p in _parts(feedback) if isinstance(p, Labels) or (isinstance(p, Steps) and not rated_steps)]
    return [] if _comparisons(feedback) else labels


def _compare(scores: Scores, feedback: Feedback) -> dict[str, Tally]:
    if isinstance(feedback, StepwiseRankings):
        sums = Ragged(feedback.counts).sum(scores[feedback.steps])
        scores, feedback = sums / feedback.counts, feedback.answer_rankings()
    pairs = feedback.convert_to(Pairs)
    differences, signs = pairs.score_difference(scores), _signs(pairs)
    return {"accuracy": _sign_accuracy(differences, signs), "margin": Tally.of(differences * signs, signs.abs())}


def _classify(scores: Scores, feedback: Labels | Steps) -> dict[str, Tally]:
    tallies = {"accuracy": _sign_accuracy(scores[feedback.item_positions], _signs(feedback))}
    if isinstance(feedback, Labels):
        return tallies
    return tallies | _tallies_of_answers(answer_verdicts(scores, feedback))


def _signs(feedback: Pairs | Labels | Steps) -> PerItem:
    """Return +1 where the chosen answer is better or the label is positive, −1 for the opposite, and 0 for a tie."""
    if isinstance(feedback, Pairs):
        probability = feedback.outcomes()[0] if feedback.preference is None else feedback.preference
    else:
        probability = feedback.labels if isinstance(feedback, Labels) else feedback.values
    return torch.sign(probability - 0.5)


def _sign_accuracy(values: PerItem, signs: PerItem) -> Tally:
    """Return the accuracy of the signs of values; items with the target sign 0 do not count."""
    return Tally.of((1 + torch.sign(values) * signs) / 2, signs.abs())


def _tallies_of_answers(answers: AnswerVerdicts) -> dict[str, Tally]:
    is_right, is_wrong, judged = answers.first_error_found.float(), answers.is_wrong.float(), answers.is_judged.float()
    return {
        "answer_accuracy": Tally.of((answers.is_wrong == answers.called_wrong).float(), judged),
        "processbench_error": Tally.of(is_right, is_wrong),
        "processbench_correct": Tally.of(is_right, judged - is_wrong),
    }


def _first(answers: Ragged, mask: Tensor) -> Sizes:
    """Return the index of the first step of each answer for which `mask` is true; without one, the number of steps."""
    return -answers.max(-torch.where(mask, answers.positions, answers.sizes[answers.segment_ids]))
