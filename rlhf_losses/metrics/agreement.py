"""Agreement of scores with feedback: accuracy, mean margin, and labels with their scores."""

import torch

from rlhf_losses.feedback import Feedback, Labels, Mixed, Pairs, Ragged, Steps, StepwiseRankings
from rlhf_losses.metrics.tally import Tally, add_tallies
from rlhf_losses.shapes import LabelledScores, PerItem, PerStep, Scores, Sizes


def agreement(scores: Scores, feedback: Feedback, rated_steps: bool = False) -> dict[str, Tally]:
    """Return how well scores agree with feedback that compares answers, or otherwise with labels.

    For pairs and for feedback that is convertible to pairs, `accuracy` is the share of pairs in which the preferred
    answer has the higher score, where equal scores count 0.5, and `margin` is the score of the preferred answer minus
    that of the other. The preferred answer is the chosen one, or the rejected one where the preference is below 0.5.
    Tied pairs do not count. The score of an answer in steps is the mean over its steps.

    For labels and labelled steps, `accuracy` is the share of items whose score has the sign of the label: positive for
    a probability above 0.5, negative below. A score of 0 counts 0.5, and items with the label 0.5 do not count. Steps
    also have the two accuracies of ProcessBench (https://arxiv.org/abs/2412.06559): `processbench_error` is the share
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
    scores, signs = scores[feedback.item_positions], _signs(feedback)
    tallies = {"accuracy": _sign_accuracy(scores, signs)}
    if isinstance(feedback, Labels):
        return tallies
    assert feedback.sizes is not None
    return tallies | _first_errors(scores, signs, feedback.sizes)


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


def _first_errors(scores: PerStep, signs: PerStep, sizes: Sizes) -> dict[str, Tally]:
    """Return the share of wrong answers whose first error is found, and of correct answers in which none is found."""
    answers = Ragged(sizes)
    first_error, first_found = (_first(answers, mask) for mask in (signs < 0, (scores < 0) & (signs != 0)))
    is_right, is_wrong_answer = (first_error == first_found).float(), (first_error < sizes).float()
    has_labels = (answers.sum(signs.abs()) > 0).float()
    return {
        "processbench_error": Tally.of(is_right, is_wrong_answer),
        "processbench_correct": Tally.of(is_right, has_labels - is_wrong_answer),
    }


def _first(answers: Ragged, mask: torch.Tensor) -> Sizes:
    """Return the index of the first step of each answer for which `mask` is true; without one, the number of steps."""
    return -answers.max(-torch.where(mask, answers.positions, answers.sizes[answers.segment_ids]))
