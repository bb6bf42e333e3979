"""Losses that are likelihoods find the true scores again, from thousands of answers drawn from their own model.

Each question has a few possible answers, whose probabilities under the true scores the loss itself gives. Counts
of answers are drawn, and the scores with the least mean cost are compared with the true ones, in units of their
standard error (Huber's sandwich, which holds for other losses than likelihoods too).
"""

from dataclasses import dataclass
from itertools import combinations, permutations

import pytest
import torch

from rlhf_losses.feedback import Feedback, Labels, Pairs, Rankings, Steps
from rlhf_losses.hooks import parse_loss
from rlhf_losses.losses import BestOfN, Loss, PlackettLuce, TieLoss, bradley_terry, plackett_luce

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


def lists(ranks: set[tuple[int, ...]]) -> list[list[Feedback]]:
    """Return the ways to rank every four answers."""
    fours = combinations(range(len(TRUE)), 4)
    return [[Rankings(list(four), list(one), [4]) for one in sorted(ranks)] for four in fours]


ORDERS = set(permutations((1, 2, 3, 4)))
FIRST = set(permutations((1, 2, 2, 2)))
FIRST_TWO = set(permutations((1, 2, 3, 3)))


def questions(loss: Loss) -> list[list[Feedback]]:
    """Return all that can be said to a loss, question by question."""
    if loss.reads is Rankings:
        top = loss.top if isinstance(loss, PlackettLuce) else 1 if isinstance(loss, BestOfN) else None
        return lists({1: FIRST, 2: FIRST_TWO}.get(top, ORDERS))
    if loss.reads is Labels:
        return [[Labels([i], [label]) for label in (0.0, 1.0)] for i in range(len(TRUE))]
    if loss.reads is Steps:
        return [[Steps([i], [label]) for label in (0.0, 1.0)] for i in range(len(TRUE))]
    return pairs(ties=isinstance(loss, TieLoss))


def ask(model: Loss, flip_rate: float = 0.0, seed: int = 0) -> Survey:
    """Draw answers from the model of a loss at the true scores; of two answers, some are noted the wrong way round."""
    asked = questions(model)
    said = type(asked[0][0]).concatenate([one for answers in asked for one in answers])
    question = torch.tensor([number for number, answers in enumerate(asked) for _ in answers])
    chances = (-model.price(TRUE, said)).exp()
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
    """Return the scores of least cost and their standard errors; what the loss leaves free is set as in the truth."""

    def cost(scores):
        return (survey.counts * loss.price(scores, survey.said)).sum() / survey.counts.sum()

    scores = torch.zeros_like(TRUE, requires_grad=True)
    optimizer = torch.optim.LBFGS([scores], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def closure():
        optimizer.zero_grad()
        value = cost(scores)
        value.backward()
        return value

    optimizer.step(closure)
    found = scores.detach()
    curvature = torch.autograd.functional.hessian(cost, found)
    slopes = torch.autograd.functional.jacobian(lambda s: loss.price(s, survey.said), found)
    # Answers to one question vary around its mean; the questions themselves were chosen, not drawn.
    spread = sum(
        scatter(slopes[survey.question == number], survey.counts[survey.question == number])
        for number in survey.question.unique()
    )
    inverse = torch.linalg.pinv(curvature, rtol=1e-8)
    variance = inverse @ (spread / survey.counts.sum() ** 2) @ inverse
    if bool((curvature.sum(dim=0).abs() < 1e-8).all()):
        found = found - found.mean() + TRUE.mean()
    return found, variance.diagonal().sqrt()


def scatter(slopes, counts):
    """Return the sum of outer products around the mean, weighed by counts."""
    away = slopes - (counts.unsqueeze(1) * slopes).sum(dim=0) / counts.sum()
    return (counts.unsqueeze(1) * away).T @ away


def require_truth(found, error):
    """Fail unless the scores lie around the truth as their standard errors say."""
    surprise = (found - TRUE) / error
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
        "rao_kupper",
        "rao_kupper(tie_width=0.3)",
        "davidson",
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
