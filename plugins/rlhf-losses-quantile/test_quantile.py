"""`quantile`: the contract of a loss, and scores that are the quantiles of numpy and scipy."""

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
    """Return one rating per text."""
    return Ratings(candidates=range(len(ratings)), ratings=ratings, sizes=[1] * len(ratings))


def all_of_one_text(ratings) -> Ratings:
    """Return several ratings of one text."""
    return Ratings(candidates=[0] * len(ratings), ratings=ratings, sizes=[1] * len(ratings))


@pytest.mark.parametrize("level", LEVELS)
def test_quantile_keeps_the_contract(level):
    check_loss(Quantile(level=level))


@pytest.mark.parametrize("level", LEVELS)
@pytest.mark.parametrize("error", [-2.0, 0.0, 3.0])
def test_too_low_scores_are_weighted_by_the_level_and_too_high_ones_by_the_rest(level, error):
    value = Quantile(level=level)(torch.tensor([4.0 - error]), rated([4.0]))
    assert float(value) == pytest.approx(level * error if error > 0 else (1 - level) * -error)


@pytest.mark.parametrize("level", LEVELS)
def test_the_score_with_the_lowest_loss_is_the_quantile_of_numpy(level):
    ratings = np.random.default_rng(0).gamma(2.0, size=501)
    loss, feedback = Quantile(level=level), all_of_one_text(ratings)
    # The loss is piecewise linear with kinks at the ratings, so one of the ratings has the lowest loss.
    values = [float(loss(torch.tensor([score], dtype=torch.float64), feedback)) for score in ratings]
    assert ratings[np.argmin(values)] == np.quantile(ratings, level, method="inverted_cdf")


@pytest.mark.parametrize("level", LEVELS)
def test_the_derivative_is_the_share_of_ratings_below_minus_the_level(level):
    ratings = np.random.default_rng(1).normal(size=200)
    score = torch.tensor([0.3], dtype=torch.float64, requires_grad=True)
    Quantile(level=level)(score, all_of_one_text(ratings)).backward()
    assert float(score.grad) == pytest.approx((ratings < 0.3).mean() - level)


@pytest.mark.parametrize("level", [0.1, 0.5, 0.8])
def test_linear_scores_are_those_of_the_linear_program(level):
    """The linear program of the paper has separate variables for positive and negative errors."""
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
    loss, feedback = Quantile(level=level), rated(torch.tensor(ratings))

    def value(weights):
        # Ratings are stored in float32, which limits the precision of the comparison.
        return float(loss(torch.tensor(features) @ weights, feedback))

    assert value(weights) == pytest.approx(solved.fun / 60, rel=1e-5)
    for direction in torch.randn(20, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64):
        assert value(weights + 0.1 * direction) > value(weights)


@pytest.mark.parametrize("level", [0.1, 0.9])
def test_the_share_of_new_ratings_below_a_trained_score_is_the_level(level):
    """Ratings with twice the standard deviation have a quantile twice as far from their mean."""
    generator = np.random.default_rng(3)
    stds = np.array([1.0, 2.0])
    feedback = Ratings([0, 1] * 2000, (generator.normal(size=(2000, 2)) * stds).ravel(), [1] * 4000)
    scores = torch.zeros(2, requires_grad=True)
    optimizer = torch.optim.Adam([scores], lr=0.05)
    for step in range(400):
        optimizer.param_groups[0]["lr"] = 0.05 * (1 - step / 400)
        optimizer.zero_grad()
        Quantile(level=level)(scores, feedback).backward()
        optimizer.step()
    new = generator.normal(size=(20_000, 2)) * stds
    # The standard error of a quantile of 2,000 ratings is below 0.7 per cent of them; the tolerance is four of these.
    assert (new <= scores.detach().numpy()).mean(axis=0) == pytest.approx([level, level], abs=0.028)


def test_at_level_one_half_it_is_half_the_absolute_error():
    scores, feedback = torch.tensor([1.0, 5.0]), rated([4.0, 4.0])
    assert float(Quantile(level=0.5)(scores, feedback)) == pytest.approx((abs(4.0 - 1.0) + abs(4.0 - 5.0)) / 2 / 2)
    assert Quantile(level=0.5)(scores, feedback) != squared_error(scores, feedback)


@pytest.mark.parametrize("level", ["0", "1", "-0.5", "1e999", "'low'", "True"])
def test_a_level_outside_its_domain_is_refused(level):
    with pytest.raises(InvalidLossError) as caught:
        parse_loss(f"quantile(level={level})")
    for part in ("level", "(0, 1)", "quantile(level=0.5)"):
        assert part in str(caught.value)


def test_the_installed_plugin_provides_the_loss():
    entry = loss_registry().entries["quantile"]
    assert (entry.cls, entry.plugin, entry.version) == (Quantile, "quantile", version("rlhf-losses-quantile"))
    assert str(parse_loss("quantile(level=0.9) + 0.01 * score_decay")) == "quantile(level=0.9) + 0.01 * score_decay"
