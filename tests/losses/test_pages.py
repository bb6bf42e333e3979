"""The pages of losses are those that their docstrings make, and what the prose says of scales is so."""

import re
import runpy
from math import exp, log
from pathlib import Path

import pytest
import torch
from scipy.optimize import brentq

from rlhf_losses.feedback import Labels, Pairs, Rankings, Ratings, Steps
from rlhf_losses.hooks.builtins import provide_losses
from rlhf_losses.losses import (
    BradleyTerry,
    Hinge,
    ListNet,
    LossProperty,
    RobustBradleyTerry,
    SquaredDifference,
    bradley_terry,
    huber,
    log_barrier,
    score_decay,
    squared_error,
    thurstone,
)

DOCS = Path(__file__).parents[2] / "docs"
CHOOSING = (DOCS / "choosing-a-loss.md").read_text(encoding="utf-8")
WRITTEN = runpy.run_path(str(DOCS / "losses.py"))["files"]()
PAGES = DOCS / "reference" / "losses"


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
def test_what_the_docs_tell_of_losses_is_up_to_date(path):
    assert path.is_file(), f"{path.name} is missing. Run: python docs/losses.py"
    assert path.read_text(encoding="utf-8") == WRITTEN[path], f"{path.name} is stale. Run: python docs/losses.py"


def test_every_page_is_that_of_a_loss():
    pages = {path.stem for path in PAGES.glob("*.md")}
    assert pages == {kind.name() for kind in provide_losses()}, "Run: python docs/losses.py"


@pytest.mark.parametrize("path", WRITTEN, ids=lambda path: path.stem)
def test_links_lead_somewhere(path):
    for link in re.findall(r"\]\((?!http)([^)#]+)", WRITTEN[path]):
        assert (path.parent / link).exists(), link


def test_every_claim_is_explained():
    for claim in LossProperty:
        assert f"* **{claim.words()[0]}**: " in CHOOSING


def test_the_zero_is_free_under_the_losses_that_the_page_names():
    compared = [
        kind for kind in provide_losses() if kind.feedback_type in (Pairs, Rankings) and kind.name() != "centering"
    ]
    fixing = {kind.name() for kind in compared if LossProperty.SHIFT_INVARIANT not in kind.properties}
    assert fixing == {"independent_classification", "eurus", "centered_bradley_terry"}
    judged = [kind for kind in provide_losses() if kind.feedback_type in (Ratings, Labels, Steps)]
    assert not [kind.name() for kind in judged if LossProperty.SHIFT_INVARIANT in kind.properties]


def slope(loss, score_difference, **said):
    """Return how the cost of a pair changes with its score_difference, the scores being plus and minus half of it."""
    leaf = torch.tensor(score_difference, dtype=torch.float64, requires_grad=True)
    cost = loss(torch.stack([leaf / 2, -leaf / 2]), Pairs(chosen=[0], rejected=[1], **said))
    return torch.autograd.grad(cost, leaf)[0].item()


def rest(loss, **said):
    """Return the score_difference at which a loss pulls no more."""
    return brentq(lambda score_difference: slope(loss, score_difference, **said), -50, 50)


@pytest.mark.parametrize("share", [0.6, 0.75, 0.9])
def test_a_preference_holds_the_lead_at_its_log_odds(share):
    assert rest(bradley_terry, preference=[share]) == pytest.approx(log(share / (1 - share)), rel=1e-5)
    temperate = BradleyTerry(temperature=3.0)
    assert rest(temperate, preference=[share]) == pytest.approx(3 * log(share / (1 - share)), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.05, 0.25])
def test_label_smoothing_holds_the_lead_of_sure_pairs(smoothing):
    assert rest(BradleyTerry(label_smoothing=smoothing)) == pytest.approx(log((1 - smoothing) / smoothing))


@pytest.mark.parametrize("rate", [0.1, 0.3])
@pytest.mark.parametrize("score_difference", [-10.0, 0.0, 10.0, 1000.0])
def test_robust_bradley_terry_never_stops_to_pull(rate, score_difference):
    assert slope(RobustBradleyTerry(flip_rate=rate), score_difference) <= -rate / (1 - 2 * rate) * (1 - 1e-9)


@pytest.mark.parametrize("loss", [bradley_terry, thurstone], ids=str)
def test_without_disagreement_the_lead_of_a_likelihood_grows_without_end(loss):
    assert all(slope(loss, score_difference) < 0 for score_difference in (-10.0, 0.0, 5.0, 10.0))


def test_losses_that_name_a_distance_hold_the_scale_at_it():
    assert rest(SquaredDifference(target=2.0)) == pytest.approx(2.0)
    assert rest(SquaredDifference(target=2.0), preference=[0.75]) == pytest.approx((2 * 0.75 - 1) * 2.0)
    assert slope(Hinge(margin=2.0), 1.99) < 0 == slope(Hinge(margin=2.0), 2.01)


@pytest.mark.parametrize("loss", [squared_error, huber], ids=str)
def test_scores_rest_where_they_equal_the_ratings(loss):
    ratings = Ratings(candidates=[0, 1], ratings=[3.0, -1.0], sizes=[2])
    scores = torch.tensor([3.0, -1.0], requires_grad=True)
    assert not torch.autograd.grad(loss(scores, ratings), scores)[0].any()


def test_list_net_rests_at_the_differences_of_the_grades_over_the_temperature():
    lists = Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[3], grades=[4.0, 1.0, 0.0])
    scores = (torch.tensor([4.0, 1.0, 0.0], dtype=torch.float64) / 2 + 7).requires_grad_()
    (gradient,) = torch.autograd.grad(ListNet(temperature=2.0)(scores, lists), scores)
    assert gradient.abs().max() < 1e-12


def test_score_decay_holds_a_pair_at_a_finite_lead():
    # At rest sigmoid(-score_difference) is what the decay pulls back, the mean of two squared halves of the score_difference.
    score_difference = rest(bradley_terry + 0.1 * score_decay)
    assert 1 / (1 + exp(score_difference)) == pytest.approx(0.1 * score_difference / 2)


def test_the_log_barrier_pulls_the_harder_the_nearer_the_limit_is():
    scores = torch.tensor([0.1, 1.0, 3.0, 4.5, 4.9], requires_grad=True)
    (gradient,) = torch.autograd.grad(log_barrier.per_score(scores).sum(), scores)
    assert (gradient.diff() > 0).all()
    assert gradient[0] < 0.01


def test_under_thurstone_the_noise_of_each_answer_has_the_deviation():
    # Two answers with noise of deviation 1 each: their difference has deviation sqrt(2).
    scores = torch.tensor([1.0, 0.0], dtype=torch.float64)
    chance = exp(-thurstone(scores, Pairs(chosen=[0], rejected=[1])).item())
    draws = torch.randn(2, 1_000_000, generator=torch.Generator().manual_seed(0))
    assert chance == pytest.approx(float((draws[0] + 1 > draws[1]).double().mean()), abs=3e-3)
