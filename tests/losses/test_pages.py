"""The generated pages are up to date, and the statements about the scale of scores are true."""

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
    Centering,
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
GENERATED = runpy.run_path(str(DOCS / "generate_losses.py"))["files"]()
PAGES = DOCS / "reference" / "losses"


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.stem)
def test_generated_documentation_is_up_to_date(path):
    assert path.is_file(), f"{path.name} is missing. Run: python docs/generate_losses.py"
    assert path.read_text(encoding="utf-8") == GENERATED[path], (
        f"{path.name} is stale. Run: python docs/generate_losses.py"
    )


def test_every_loss_and_named_objective_has_a_page_and_nothing_else_has_one():
    pages = {path.stem for path in PAGES.glob("*.md")}
    assert pages == {cls.name() for cls in provide_losses()}, "Run: python docs/generate_losses.py"
    assert {"eurus", "centered_bradley_terry"} < pages


def test_the_page_of_a_named_objective_has_its_options_and_the_equivalent_sum():
    page = GENERATED[PAGES / "centered_bradley_terry.md"]
    assert "Equals `bradley_terry + 0.01 * centering`." in page
    assert "| `coefficient` | `0.01` | a finite number of at least 0 |" in page


@pytest.mark.parametrize("path", GENERATED, ids=lambda path: path.stem)
def test_links_have_a_target(path):
    for link in re.findall(r"\]\((?!http)([^)#]+)", GENERATED[path]):
        assert (path.parent / link).exists(), link


def test_every_property_is_defined():
    for one in LossProperty:
        assert f"* **{one.words()[0]}**: " in CHOOSING


def is_shift_invariant(cls):
    return LossProperty.SHIFT_INVARIANT in cls().active_properties()


def test_the_losses_that_determine_the_zero_are_those_of_the_page():
    comparisons = [cls for cls in provide_losses() if cls.feedback_type in (Pairs, Rankings) and cls is not Centering]
    with_zero = {cls.name() for cls in comparisons if not is_shift_invariant(cls)}
    assert with_zero == {"independent_classification", "eurus", "centered_bradley_terry"}
    pointwise = [cls for cls in provide_losses() if cls.feedback_type in (Ratings, Labels, Steps)]
    assert not [cls.name() for cls in pointwise if is_shift_invariant(cls)]


def gradient(loss, score_difference, **columns):
    """Return the gradient of the loss of a pair in its score difference."""
    leaf = torch.tensor(score_difference, dtype=torch.float64, requires_grad=True)
    value = loss(torch.stack([leaf / 2, -leaf / 2]), Pairs(chosen=[0], rejected=[1], **columns))
    return torch.autograd.grad(value, leaf)[0].item()


def minimum(loss, **columns):
    """Return the score difference at the minimum of the loss of a pair."""
    return brentq(lambda score_difference: gradient(loss, score_difference, **columns), -50, 50)


@pytest.mark.parametrize("share", [0.6, 0.75, 0.9])
def test_the_minimum_of_bradley_terry_is_at_the_log_odds_of_the_preference(share):
    assert minimum(bradley_terry, preference=[share]) == pytest.approx(log(share / (1 - share)), rel=1e-5)
    scaled = BradleyTerry(temperature=3.0)
    assert minimum(scaled, preference=[share]) == pytest.approx(3 * log(share / (1 - share)), rel=1e-5)


@pytest.mark.parametrize("smoothing", [0.05, 0.25])
def test_label_smoothing_gives_certain_pairs_a_finite_minimum(smoothing):
    assert minimum(BradleyTerry(label_smoothing=smoothing)) == pytest.approx(log((1 - smoothing) / smoothing))


@pytest.mark.parametrize("rate", [0.1, 0.3])
@pytest.mark.parametrize("score_difference", [-10.0, 0.0, 10.0, 1000.0])
def test_the_gradient_of_robust_bradley_terry_never_vanishes(rate, score_difference):
    assert gradient(RobustBradleyTerry(flip_rate=rate), score_difference) <= -rate / (1 - 2 * rate) * (1 - 1e-9)


@pytest.mark.parametrize("loss", [bradley_terry, thurstone], ids=str)
def test_likelihoods_of_certain_pairs_have_no_finite_minimum(loss):
    assert all(gradient(loss, score_difference) < 0 for score_difference in (-10.0, 0.0, 5.0, 10.0))


def test_losses_with_a_distance_have_their_minimum_there():
    assert minimum(SquaredDifference(target=2.0)) == pytest.approx(2.0)
    assert minimum(SquaredDifference(target=2.0), preference=[0.75]) == pytest.approx((2 * 0.75 - 1) * 2.0)
    assert gradient(Hinge(margin=2.0), 1.99) < 0 == gradient(Hinge(margin=2.0), 2.01)


@pytest.mark.parametrize("loss", [squared_error, huber], ids=str)
def test_the_minimum_of_regressions_is_at_the_ratings(loss):
    ratings = Ratings(candidates=[0, 1], ratings=[3.0, -1.0], sizes=[2])
    scores = torch.tensor([3.0, -1.0], requires_grad=True)
    assert not torch.autograd.grad(loss(scores, ratings), scores)[0].any()


def test_the_minimum_of_list_net_is_at_grade_differences_over_the_temperature():
    lists = Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[3], grades=[4.0, 1.0, 0.0])
    scores = (torch.tensor([4.0, 1.0, 0.0], dtype=torch.float64) / 2 + 7).requires_grad_()
    (slopes,) = torch.autograd.grad(ListNet(temperature=2.0)(scores, lists), scores)
    assert slopes.abs().max() < 1e-12


def test_score_decay_gives_a_pair_a_finite_minimum():
    # The gradient of bradley_terry is -sigmoid(-difference); that of the mean of two squares (difference / 2) ** 2 is
    # difference / 2.
    score_difference = minimum(bradley_terry + 0.1 * score_decay)
    assert 1 / (1 + exp(score_difference)) == pytest.approx(0.1 * score_difference / 2)


def test_the_gradient_of_the_log_barrier_increases_towards_the_limit():
    scores = torch.tensor([0.1, 1.0, 3.0, 4.5, 4.9], requires_grad=True)
    (slopes,) = torch.autograd.grad(log_barrier.per_score(scores).sum(), scores)
    assert (slopes.diff() > 0).all()
    assert slopes[0] < 0.01


def test_the_deviation_of_thurstone_is_that_of_the_noise_on_each_answer():
    # The difference of two scores with noise of deviation 1 has the deviation sqrt(2).
    scores = torch.tensor([1.0, 0.0], dtype=torch.float64)
    probability = exp(-thurstone(scores, Pairs(chosen=[0], rejected=[1])).item())
    draws = torch.randn(2, 1_000_000, generator=torch.Generator().manual_seed(0))
    assert probability == pytest.approx(float((draws[0] + 1 > draws[1]).double().mean()), abs=3e-3)
