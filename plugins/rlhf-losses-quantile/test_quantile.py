"""The loss keeps the contract, and the scores that it likes best are the quantiles that numpy and scipy find."""

from importlib.metadata import version

import numpy as np
import pytest
import torch
from rlhf_losses_quantile import Quantile
from scipy import optimize

from rlhf_losses import InvalidLossError, Ratings, loss_registry, parse_loss, squared_error
from rlhf_losses.testing import check_loss

LEVELS = [0.05, 0.25, 0.5, 0.9]


def rated(ratings) -> Ratings:
    """Return one rating a text."""
    return Ratings(candidates=range(len(ratings)), ratings=ratings, sizes=[1] * len(ratings))


def all_of_one_text(ratings) -> Ratings:
    """Return many ratings of the text with the only score."""
    return Ratings(candidates=[0] * len(ratings), ratings=ratings, sizes=[1] * len(ratings))


@pytest.mark.parametrize("level", LEVELS)
def test_quantile_keeps_the_contract(level):
    check_loss(Quantile(level=level))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("short", [-2.0, 0.0, 3.0])
def test_what_a_score_falls_short_costs_the_level_and_what_it_exceeds_the_rest(level, short):
    cost = Quantile(level=level)(torch.tensor([4.0 - short]), rated([4.0]))
    assert float(cost) == pytest.approx(level * short if short > 0 else (1 - level) * -short)


@pytest.mark.parametrize("level", LEVELS)
def test_the_cheapest_score_is_the_quantile_of_numpy(level):
    ratings = np.random.default_rng(0).gamma(2.0, size=501)
    loss, said = Quantile(level=level), all_of_one_text(ratings)
    # The cost is made of straight lines that meet at ratings, so one of these is the cheapest score.
    costs = [float(loss(torch.tensor([score], dtype=torch.float64), said)) for score in ratings]
    assert ratings[np.argmin(costs)] == np.quantile(ratings, level, method="inverted_cdf")


@pytest.mark.parametrize("level", LEVELS)
def test_the_slope_is_the_share_of_ratings_below_less_the_level(level):
    ratings = np.random.default_rng(1).normal(size=200)
    score = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    Quantile(level=level)(score, all_of_one_text(ratings)).backward()
    assert float(score.grad) == pytest.approx((ratings < 0.3).mean() - level)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.8])
def test_linear_scores_are_those_of_the_linear_program(level):
    """Quantile regression as the paper solves it: what is missing and what is too much are variables of their own."""
    generator = np.random.default_rng(2)
    features = np.column_stack([np.ones(60), generator.normal(size=(60, 2))])
    ratings = features @ [1.0, 0.5, -0.7] + generator.normal(size=60) * (1 + features[:, 1] ** 2)
    ones = np.ones(60)
    solved = optimize.linprog(
        np.concatenate([np.zeros(6), level * ones, (1 - level) * ones]),
        A_eq=np.hstack([features, -features, np.eye(60), -np.eye(60)]),
        b_eq=ratings,
    )
    weights = torch.tensor(solved.x[:3] - solved.x[3:6])
    loss, said = Quantile(level=level), rated(torch.tensor(ratings))

    def cost(weights):
        # Ratings are kept in float32, which is as exact as this comparison can be.
        return float(loss(torch.tensor(features) @ weights, said))

    assert cost(weights) == pytest.approx(solved.fun / 60, rel=1e-5)
    for direction in torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64):
        assert cost(weights + 0.1 * direction) > cost(weights)


@pytest.mark.parametrize("level", [0.1, 0.9])
def test_scores_that_are_learned_fall_below_the_level_of_new_ratings(level):
    """Where ratings spread twice as wide, the quantile is twice as far from their middle; a mean would not move."""
    generator = np.random.default_rng(3)
    spreads = np.array([1.0, 2.0])
    said = Ratings([0, 1] * 2000, (generator.normal(size=(2000, 2)) * spreads).ravel(), [1] * 4000)
    scores = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([scores], lr=0.05)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 400)
        optimizer.zero_grad()
        Quantile(level=level)(scores, said).backward()
        optimizer.step()
    new = generator.normal(size=(20_000, 2)) * spreads
    # The standard error of a quantile of 2,000 ratings is below 0.7 per cent of ratings; four of them are allowed.
    assert (new <= scores.detach().numpy()).mean(axis=0) == pytest.approx([level, level], abs=0.028)


def test_at_one_half_it_is_half_the_absolute_error():
    scores, said = torch.tensor([1.0, 5.0]), rated([4.0, 4.0])
    assert float(Quantile(level=0.5)(scores, said)) == pytest.approx((abs(4.0 - 1.0) + abs(4.0 - 5.0)) / 2 / 2)
    assert Quantile(level=0.5)(scores, said) != squared_error(scores, said)


@pytest.mark.parametrize("level", ["0", "1", "-0.5", "1e999", "'low'", "True"])
def test_a_level_that_cannot_be_is_refused_with_its_domain(level):
    with pytest.raises(InvalidLossError, match="It must be a finite number above 0 to below 1"):
        parse_loss(f"quantile(level={level})")


def test_the_installed_plugin_gives_the_loss_its_name():
    entry = loss_registry().entries["quantile"]
    assert (entry.loss, entry.plugin, entry.version) == (Quantile, "quantile", version("rlhf-losses-quantile"))
    assert str(parse_loss("quantile(level=0.9) + 0.01 * score_decay")) == "quantile(level=0.9) + 0.01 * score_decay"
