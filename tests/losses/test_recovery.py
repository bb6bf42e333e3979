"""Losses that are likelihoods find the true scores again, from thousands of answers drawn from their own model.

Each question has a few possible answers, whose probabilities under the true scores the loss itself gives. Counts
of answers are drawn, and the scores with the least mean cost are compared with the true ones, in units of their
standard error (Huber's sandwich, which holds for other losses than likelihoods too).
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
ANSWERS_A_QUESTION = 400


@dataclass
class Survey:
    """All possible answers to some questions, laid end to end, and how often each was given."""

    said: Feedback
    question: torch.Tensor
    counts: torch.Tensor


def pairs(ties: bool) -> list[list[Feedback]]:
    """Return who of every two is better, or that they tie."""
    ways = [{"preference": [1.0]}, {"preference": [0.0]}, *([{"tie": [1.0]}] if ties else [])]
    return [[Pairs([a], [b], **way) for way in ways] for a, b in combinations(range(len(TRUE)), 2)]


def strengths(levels: int) -> list[list[Feedback]]:
    """Return by how much who of every two is better, from far better to far worse."""
    steps = [(float(abs(step)), float(step >= 0)) for step in range(levels, -levels - 1, -1)]
    return [
        [Pairs([a], [b], margin=[margin], preference=[first]) for margin, first in steps]
        for a, b in combinations(range(len(TRUE)), 2)
    ]


def lists(ranks: set[tuple[int, ...]]) -> list[list[Feedback]]:
    """Return the ways to rank every four answers."""
    fours = combinations(range(len(TRUE)), 4)
    return [[Rankings(list(four), list(one), [4]) for one in sorted(ranks)] for four in fours]


ORDERS = set(permutations((1, 2, 3, 4)))
FIRST = set(permutations((1, 2, 2, 2)))
FIRST_TWO = set(permutations((1, 2, 3, 3)))


def questions(loss: Loss) -> list[list[Feedback]]:
    """Return all that can be said to a loss, question by question."""
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


def ask(model: Loss, flip_rate: float = 0.0, seed: int = 0, numbers: dict[str, torch.Tensor] | None = None) -> Survey:
    """Draw answers from the model of a loss at the true scores; of two answers, some are noted the wrong way round."""
    asked = questions(model)
    said = type(asked[0][0]).concatenate([one for answers in asked for one in answers])
    question = torch.tensor([number for number, answers in enumerate(asked) for _ in answers])
    chances = (-model.per_item_loss(TRUE, said, numbers)).exp()
    generator = torch.Generator().manual_seed(seed)
    counts = []
    for number in range(len(asked)):
        chance = chances[question == number]
        assert float(chance.sum()) == pytest.approx(1.0)
        noted = (1 - flip_rate) * chance + flip_rate * chance.flip(0)
        drawn = torch.multinomial(noted, ANSWERS_A_QUESTION, replacement=True, generator=generator)
        counts.append(torch.bincount(drawn, minlength=len(chance)))
    return Survey(said, question, torch.cat(counts).double())


def fit(loss: Loss, survey: Survey) -> tuple[torch.Tensor, torch.Tensor]:
    """Return the scores of least cost, the learned numbers after them, and the standard errors of both.

    What the loss leaves free is set as in the truth.
    """
    sizes = [len(TRUE), *map(len, loss.loss_parameters.values())]

    def price(unknown):
        scores, *numbers = unknown.split(sizes)
        return loss.per_item_loss(scores, survey.said, dict(zip(loss.loss_parameters, numbers, strict=True)))

    def cost(unknown):
        return (survey.counts * price(unknown)).sum() / survey.counts.sum()

    start = [TRUE.new_tensor(value) for value in loss.loss_parameters.values()]
    scores = torch.cat([torch.zeros_like(TRUE), *start]).requires_grad_()
    optimizer = torch.optim.LBFGS([scores], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = cost(scores)
        value.backward()
        return value

    optimizer.step(closure)
    found = scores.detach()
    curvature = torch.autograd.functional.hessian(cost, found)
    slopes = torch.autograd.functional.jacobian(price, found)
    # Answers to one question vary around its mean; the questions themselves were chosen, not drawn.
    spread = sum(
        scatter(slopes[survey.question == number], survey.counts[survey.question == number])
        for number in survey.question.unique()
    )
    inverse = torch.linalg.pinv(curvature, rtol=1e-8)
    variance = inverse @ (spread / survey.counts.sum() ** 2) @ inverse
    # All scores may move together, or with the first of the cut points.
    moves = {"scores"} | {name for name in loss.loss_parameters if name == "first_cut"}
    parts = zip(["scores", *loss.loss_parameters], [TRUE, *start], strict=True)
    shift = torch.cat([torch.full_like(part, float(name in moves)) for name, part in parts])
    if bool((curvature @ shift).abs().max() < 1e-8):
        found = found + shift * (TRUE.mean() - found[: len(TRUE)].mean())
    return found, variance.diagonal().sqrt()


def scatter(slopes, counts):
    """Return the sum of outer products around the mean, weighed by counts."""
    away = slopes - (counts.unsqueeze(1) * slopes).sum(dim=0) / counts.sum()
    return (counts.unsqueeze(1) * away).T @ away


def require_truth(found, error, truth=TRUE):
    """Fail unless the scores lie around the truth as their standard errors say."""
    surprise = (found - truth) / error
    assert (error < 0.25).all(), error
    assert surprise.abs().max() < 3.5, surprise
    assert 0.05 < (surprise**2).mean() < 3, surprise


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
def test_a_likelihood_recovers_the_scores_that_its_answers_were_drawn_from(text):
    loss = parse_loss(text)
    require_truth(*fit(loss, ask(loss)))


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ("rao_kupper", {"log_tie_width": [log(0.4)]}),
        ("davidson", {"log_tie_odds": [log(2.5)]}),
        ("ordinal_preference", {"log_gaps": [log(0.3), log(0.8), log(1.6)]}),
        ("ordinal_preference(levels=1)", {"log_gaps": [log(0.7)]}),
        ("ordinal_rating", {"first_cut": [-2.0], "log_gaps": [log(0.5), log(1.5), log(1.0)]}),
        ("ordinal_rating(levels=2)", {"first_cut": [0.5]}),
    ],
)
def test_tie_widths_and_cut_points_are_recovered_with_the_scores(text, numbers):
    loss = parse_loss(text)
    true_numbers = {name: TRUE.new_tensor(value) for name, value in numbers.items()}
    found, error = fit(loss, ask(loss, numbers=true_numbers))
    require_truth(found, error, torch.cat([TRUE, *true_numbers.values()]))


def test_accumulated_pairs_recover_the_scores_behind_plackett_luce_lists():
    require_truth(*fit(parse_loss("accumulated_pairs"), ask(plackett_luce)))


def test_robust_bradley_terry_recovers_the_scores_behind_flipped_labels_and_bradley_terry_does_not():
    survey = ask(bradley_terry, flip_rate=0.2)
    require_truth(*fit(parse_loss("robust_bradley_terry(flip_rate=0.2)"), survey))
    shrunk, error = fit(bradley_terry, survey)
    assert ((shrunk - TRUE) / error).abs().max() > 5
    assert shrunk.std() < 0.8 * TRUE.std()


def test_half_a_win_for_either_side_shrinks_scores_where_a_loss_of_ties_does_not():
    loss = parse_loss("rao_kupper(tie_width=1.0)")
    survey = ask(loss)
    require_truth(*fit(loss, survey))
    assert fit(bradley_terry, survey)[0].std() < 0.9 * TRUE.std()
