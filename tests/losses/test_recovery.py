"""Losses that are likelihoods recover the true scores from thousands of annotations drawn from their own model.

Each question has a few possible annotations, whose probabilities at the true scores are computed from the loss. Counts
of annotations are drawn, and the scores with the smallest mean loss are compared with the true scores, in units of
their standard error (Huber's sandwich estimator, which is valid for losses that are no likelihoods too).
"""

from dataclasses import dataclass
from itertools import combinations, permutations
from math import log

import pytest
import torch

from rlhf_losses.feedback import Feedback, Labels, Pairs, Rankings, Ratings, Steps
from rlhf_losses.hooks import parse_loss
from rlhf_losses.losses import (
    BestOfN,
    Loss,
    OrdinalPreference,
    OrdinalRating,
    PlackettLuce,
    TieLoss,
    bradley_terry,
    plackett_luce,
)

TRUE = torch.tensor([-1.5, -0.75, -0.25, 0.0, 0.75, 1.75], dtype=torch.float64)
ANNOTATIONS_PER_QUESTION = 400


@dataclass
class Survey:
    """All possible annotations of several questions, one after another, and the count of each."""

    feedback: Feedback
    question: torch.Tensor
    counts: torch.Tensor


def pairs(ties: bool) -> list[list[Feedback]]:
    """Return the outcomes of each pair of answers."""
    outcomes = [{"preference": [1.0]}, {"preference": [0.0]}, *([{"tie": [1.0]}] if ties else [])]
    return [[Pairs([a], [b], **outcome) for outcome in outcomes] for a, b in combinations(range(len(TRUE)), 2)]


def strengths(levels: int) -> list[list[Feedback]]:
    """Return the strengths of preference of each pair of answers, from much better to much worse."""
    steps = [(float(abs(step)), float(step >= 0)) for step in range(levels, -levels - 1, -1)]
    return [
        [Pairs([a], [b], margin=[margin], preference=[first]) for margin, first in steps]
        for a, b in combinations(range(len(TRUE)), 2)
    ]


def lists(ranks: set[tuple[int, ...]]) -> list[list[Feedback]]:
    """Return the rankings of each four answers."""
    fours = combinations(range(len(TRUE)), 4)
    return [[Rankings(list(four), list(one), [4]) for one in sorted(ranks)] for four in fours]


ORDERS = set(permutations((1, 2, 3, 4)))
FIRST = set(permutations((1, 2, 2, 2)))
FIRST_TWO = set(permutations((1, 2, 3, 3)))


def questions(loss: Loss) -> list[list[Feedback]]:
    """Return all possible annotations for a loss, question by question."""
    if loss.feedback_type is Rankings:
        top = loss.top if isinstance(loss, PlackettLuce) else 1 if isinstance(loss, BestOfN) else None
        return lists({1: FIRST, 2: FIRST_TWO}.get(top, ORDERS))
    if loss.feedback_type is Labels:
        return [[Labels([i], [label]) for label in (0.0, 1.0)] for i in range(len(TRUE))]
    if loss.feedback_type is Steps:
        return [[Steps([i], [label]) for label in (0.0, 1.0)] for i in range(len(TRUE))]
    if isinstance(loss, OrdinalPreference):
        return strengths(loss.levels)
    if isinstance(loss, OrdinalRating):
        return [[Ratings([i], [float(stars)], [1]) for stars in range(1, loss.levels + 1)] for i in range(len(TRUE))]
    return pairs(ties=isinstance(loss, TieLoss))


def annotate(
    loss: Loss, flip_rate: float = 0.0, seed: int = 0, parameters: dict[str, torch.Tensor] | None = None
) -> Survey:
    """Draw annotations from the model of a loss at the true scores; a share of the pairs has swapped labels."""
    possible = questions(loss)
    feedback = type(possible[0][0]).concatenate([one for annotations in possible for one in annotations])
    question = torch.tensor([number for number, annotations in enumerate(possible) for _ in annotations])
    probabilities = (-loss.per_item_loss(TRUE, feedback, parameters)).exp()
    generator = torch.Generator().manual_seed(seed)
    counts = []
    for number in range(len(possible)):
        probability = probabilities[question == number]
        assert float(probability.sum()) == pytest.approx(1.0)
        flipped = (1 - flip_rate) * probability + flip_rate * probability.flip(0)
        drawn = torch.multinomial(flipped, ANNOTATIONS_PER_QUESTION, replacement=True, generator=generator)
        counts.append(torch.bincount(drawn, minlength=len(probability)))
    return Survey(feedback, question, torch.cat(counts).double())


def fit(loss: Loss, survey: Survey) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the scores and loss parameters at the minimum of a loss, and their standard errors.

    A shift that does not change the loss is set to that of the true scores.
    """
    sizes = [len(TRUE), *map(len, loss.loss_parameters.values())]

    def losses(unknown):
        scores, *parameters = unknown.split(sizes)
        return loss.per_item_loss(scores, survey.feedback, dict(zip(loss.loss_parameters, parameters, strict=True)))

    def mean_loss(unknown):
        return (survey.counts * losses(unknown)).sum() / survey.counts.sum()

    start = [TRUE.new_tensor(value) for value in loss.loss_parameters.values()]
    scores = torch.cat([torch.zeros_like(TRUE), *start]).requires_grad_()
    optimizer = torch.optim.LBFGS([scores], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = mean_loss(scores)
        value.backward()
        return value

    optimizer.step(closure)
    found = scores.detach()
    hessian = torch.autograd.functional.hessian(mean_loss, found)
    jacobian = torch.autograd.functional.jacobian(losses, found)
    # Annotations of one question vary around its mean; the questions are fixed, not drawn.
    spread = sum(
        scatter(jacobian[survey.question == number], survey.counts[survey.question == number])
        for number in survey.question.unique()
    )
    inverse = torch.linalg.pinv(hessian, rtol=1e-8)
    variance = inverse @ (spread / survey.counts.sum() ** 2) @ inverse
    # A common shift of all scores, or of all scores and the first cut point, may not change the loss.
    shifted = {"scores"} | {name for name in loss.loss_parameters if name == "first_cut"}
    parts = zip(["scores", *loss.loss_parameters], [TRUE, *start], strict=True)
    shift = torch.cat([torch.full_like(part, float(name in shifted)) for name, part in parts])
    if bool((hessian @ shift).abs().max() < 1e-8):
        found = found + shift * (TRUE.mean() - found[: len(TRUE)].mean())
    return found, variance.diagonal().sqrt()


def scatter(gradients, counts):
    """Return the sum of outer products of deviations from the mean, weighted by counts."""
    deviations = gradients - (counts.unsqueeze(1) * gradients).sum(dim=0) / counts.sum()
    return (counts.unsqueeze(1) * deviations).T @ deviations


def require_true_scores(found, error, true=TRUE):
    """Fail unless the deviations from the true scores agree with the standard errors."""
    deviation = (found - true) / error
    assert (error < 0.25).all(), error
    assert deviation.abs().max() < 3.5, deviation
    assert 0.05 < (deviation**2).mean() < 3, deviation


@pytest.mark.parametrize(
    "text",
    [
        "bradley_terry",
        "bradley_terry(temperature=2.0)",
        "thurstone",
        "thurstone(deviation=0.7)",
        "rao_kupper(tie_width=1.0)",
        "rao_kupper(tie_width=0.3)",
        "davidson(tie_odds=1.0)",
        "davidson(tie_odds=0.4)",
        "plackett_luce",
        "plackett_luce(top=2)",
        "plackett_luce(top=1)",
        "best_of_n",
        "best_of_n(temperature=1.5)",
        "cross_entropy",
        "step_cross_entropy",
    ],
)
def test_a_likelihood_recovers_the_scores_of_its_own_model(text):
    loss = parse_loss(text)
    require_true_scores(*fit(loss, annotate(loss)))


@pytest.mark.parametrize(
    ("text", "parameters"),
    [
        ("rao_kupper", {"log_tie_width": [log(0.4)]}),
        ("davidson", {"log_tie_odds": [log(2.5)]}),
        ("ordinal_preference", {"log_gaps": [log(0.3), log(0.8), log(1.6)]}),
        ("ordinal_preference(levels=1)", {"log_gaps": [log(0.7)]}),
        ("ordinal_rating", {"first_cut": [-2.0], "log_gaps": [log(0.5), log(1.5), log(1.0)]}),
        ("ordinal_rating(levels=2)", {"first_cut": [0.5]}),
    ],
)
def test_tie_widths_and_cut_points_are_recovered_with_the_scores(text, parameters):
    loss = parse_loss(text)
    true_parameters = {name: TRUE.new_tensor(value) for name, value in parameters.items()}
    found, error = fit(loss, annotate(loss, parameters=true_parameters))
    require_true_scores(found, error, torch.cat([TRUE, *true_parameters.values()]))


def test_accumulated_pairs_recovers_the_scores_of_plackett_luce_lists():
    require_true_scores(*fit(parse_loss("accumulated_pairs"), annotate(plackett_luce)))


def test_robust_bradley_terry_recovers_scores_from_flipped_labels():
    survey = annotate(bradley_terry, flip_rate=0.2)
    require_true_scores(*fit(parse_loss("robust_bradley_terry(flip_rate=0.2)"), survey))
    shrunk, error = fit(bradley_terry, survey)
    assert ((shrunk - TRUE) / error).abs().max() > 5
    assert shrunk.std() < 0.8 * TRUE.std()


def test_ties_as_half_wins_shrink_the_scores_and_tie_losses_do_not():
    loss = parse_loss("rao_kupper(tie_width=1.0)")
    survey = annotate(loss)
    require_true_scores(*fit(loss, survey))
    assert fit(bradley_terry, survey)[0].std() < 0.9 * TRUE.std()
