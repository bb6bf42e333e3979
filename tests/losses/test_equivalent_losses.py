"""Losses that equal another loss: lists of two answers and pairs, losses with and without ties, neutral options."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rlhf_losses.feedback import Labels, Pairs, Rankings, Ratings, Steps, Votes
from rlhf_losses.losses import (
    BestOfN,
    BradleyTerry,
    Davidson,
    FocalBradleyTerry,
    Hinge,
    Huber,
    LambdaNdcg,
    ListNet,
    PlackettLuce,
    Pqm,
    RaoKupper,
    RobustBradleyTerry,
    accumulated_pairs,
    best_of_n,
    bradley_terry,
    cross_entropy,
    eurus,
    hinge,
    independent_classification,
    plackett_luce,
    squared_difference,
    squared_error,
    step_cross_entropy,
)
from rlhf_losses.testing.strategies import scores_with

SMALL = st.floats(-20, 20)


def close(values):
    return pytest.approx(values.tolist(), rel=1e-6, abs=1e-6)


def as_lists(pairs):
    """Return each pair as a list of two, the chosen answer first."""
    both = torch.stack([pairs.chosen, pairs.rejected], dim=1).flatten()
    return Rankings(both, torch.tensor([1, 2] * len(pairs)), torch.tensor([2] * len(pairs)))


@pytest.mark.parametrize(
    ("listwise", "pairwise"),
    [
        (plackett_luce, bradley_terry),
        (PlackettLuce(top=1), bradley_terry),
        (accumulated_pairs, bradley_terry),
        (best_of_n, bradley_terry),
        (BestOfN(temperature=2.5), BradleyTerry(temperature=2.5)),
        # At a temperature near 0 the softmax of the grades is 1 for the better answer.
        (ListNet(temperature=0.01), bradley_terry),
        (LambdaNdcg(), (1 - 1 / torch.log2(torch.tensor(3.0)).item()) * bradley_terry),
        (LambdaNdcg(top=1, gain="linear"), bradley_terry),
    ],
    ids=str,
)
@given(drawn=scores_with(Pairs))
def test_a_list_of_two_answers_has_the_loss_of_a_pair(listwise, pairwise, drawn):
    scores, pairs = drawn
    plain = Pairs(pairs.chosen, pairs.rejected)
    (term,) = pairwise.as_objective().terms
    values = listwise.per_item_loss(scores.double(), as_lists(plain))
    assert values.tolist() == close(term.weight * term.loss.per_item_loss(scores.double(), plain))


@given(first=SMALL, second=SMALL, score_difference=SMALL, temperature=st.floats(0.5, 4))
def test_list_net_of_two_answers_is_bradley_terry_with_a_soft_preference(first, second, score_difference, temperature):
    scores = torch.tensor([score_difference, 0.0], dtype=torch.float64)
    grades = torch.tensor([first, second], dtype=torch.float64)
    lists = Rankings(candidates=[0, 1], ranks=[1, 2], sizes=[2], grades=grades)
    preference = torch.sigmoid((grades[0] - grades[1]) / temperature).reshape(1)
    pairs = Pairs(chosen=[0], rejected=[1], preference=preference)
    assert ListNet(temperature=temperature)(scores, lists).item() == pytest.approx(
        bradley_terry(scores, pairs).item(), rel=1e-4, abs=1e-4
    )


@given(drawn=scores_with(Rankings))
def test_accumulated_pairs_is_the_mean_of_bradley_terry_over_a_list(drawn):
    scores, rankings = drawn
    one = Rankings(rankings.candidates[: rankings.sizes[0]], rankings.ranks[: rankings.sizes[0]], rankings.sizes[:1])
    assert accumulated_pairs(scores.double(), one).tolist() == close(bradley_terry(scores.double(), one))


@given(drawn=scores_with(Rankings))
def test_the_first_choice_of_plackett_luce_is_best_of_n(drawn):
    scores, rankings = drawn
    ranks = torch.cat([torch.arange(int(size)) for size in rankings.sizes])
    strict = Rankings(rankings.candidates, ranks, rankings.sizes)
    first = PlackettLuce(top=1).per_item_loss(scores.double(), strict)
    assert first.tolist() == close(best_of_n.per_item_loss(scores.double(), strict))


@pytest.mark.parametrize("loss", [RaoKupper(tie_width=1e-6), Davidson(tie_odds=1e-6)], ids=str)
@given(score_difference=SMALL, wins=st.booleans())
def test_a_tie_loss_with_rare_ties_is_bradley_terry_without_ties(loss, score_difference, wins):
    scores = torch.tensor([score_difference, 0.0], dtype=torch.float64)
    pairs = Pairs(chosen=[0], rejected=[1], preference=[float(wins)])
    assert loss(scores, pairs).item() == pytest.approx(bradley_terry(scores, pairs).item(), abs=1e-5)


@given(score_difference=SMALL, width=st.floats(0.1, 5))
def test_rao_kupper_of_a_win_is_bradley_terry_with_the_width_as_margin(score_difference, width):
    scores = torch.tensor([score_difference, 0.0], dtype=torch.float64)
    win, with_margin = Pairs(chosen=[0], rejected=[1]), Pairs(chosen=[0], rejected=[1], margin=[width])
    value = RaoKupper(tie_width=width)(scores, win).item()
    assert value == pytest.approx(bradley_terry(scores, with_margin).item(), rel=1e-5, abs=1e-6)


@pytest.mark.parametrize("loss", [RaoKupper(), Davidson()], ids=str)
@given(drawn=scores_with(Votes))
def test_the_loss_of_votes_is_the_mean_over_annotators(loss, drawn):
    scores, votes = drawn
    scores = scores.double()
    ties = torch.zeros_like(votes.votes_first) if votes.ties is None else votes.ties
    counts = [votes.votes_first, ties, votes.votes_second]
    outcomes = [
        {"preference": torch.full_like(ties, p), "tie": torch.full_like(ties, t)} for p, t in ((1, 0), (0.5, 1), (0, 0))
    ]
    values = [loss.per_item_loss(scores, Pairs(votes.first, votes.second, **outcome)) for outcome in outcomes]
    expected = sum(count * value for count, value in zip(counts, values, strict=True)) / sum(counts)
    assert loss.per_item_loss(scores, votes).tolist() == pytest.approx(expected.tolist(), rel=1e-5, abs=1e-5)


@pytest.mark.parametrize(
    ("neutral", "other"),
    [(RobustBradleyTerry(flip_rate=0.0), bradley_terry), (FocalBradleyTerry(focus=0.0), bradley_terry)],
)
@given(drawn=scores_with(Pairs))
def test_a_neutral_option_gives_bradley_terry(neutral, other, drawn):
    scores, pairs = drawn
    assert neutral.per_item_loss(scores.double(), pairs).tolist() == close(other.per_item_loss(scores.double(), pairs))


@given(drawn=scores_with(Pairs), rate=st.floats(0, 0.45))
def test_the_mean_of_robust_bradley_terry_over_flips_is_bradley_terry(drawn, rate):
    scores, pairs = drawn
    scores = scores.double()
    robust, plain = RobustBradleyTerry(flip_rate=rate), Pairs(pairs.chosen, pairs.rejected)
    flipped = Pairs(pairs.rejected, pairs.chosen)
    mean = (1 - rate) * robust.per_item_loss(scores, plain) + rate * robust.per_item_loss(scores, flipped)
    assert mean.tolist() == pytest.approx(
        bradley_terry.per_item_loss(scores, plain).tolist(), rel=1e-6, abs=1e-6 * float(scores.abs().max() + 1)
    )


@given(drawn=scores_with(Pairs))
def test_squared_hinge_is_squared_difference_below_the_margin(drawn):
    scores, pairs = drawn
    plain = Pairs(pairs.chosen, pairs.rejected)
    below = plain.score_difference(scores.double()) <= 1
    squared = Hinge(power=2.0).per_item_loss(scores.double(), plain)
    assert squared[below].tolist() == close(squared_difference.per_item_loss(scores.double(), plain)[below])
    assert squared[below].tolist() == close(hinge.per_item_loss(scores.double(), plain)[below] ** 2)
    assert not squared[~below].any()


@given(drawn=scores_with(Pairs))
def test_independent_classification_is_cross_entropy_on_both_answers(drawn):
    scores, pairs = drawn
    plain = Pairs(pairs.chosen, pairs.rejected)
    good = Labels(plain.chosen, torch.ones(len(plain)))
    bad = Labels(plain.rejected, torch.zeros(len(plain)))
    expected = cross_entropy.per_item_loss(scores.double(), good) + cross_entropy.per_item_loss(scores.double(), bad)
    assert independent_classification.per_item_loss(scores.double(), plain).tolist() == close(expected)
    assert float(eurus(scores.double(), plain)) == pytest.approx(
        float(bradley_terry(scores.double(), plain) + expected.mean()), rel=1e-6
    )


@given(drawn=scores_with(Steps))
def test_step_cross_entropy_is_cross_entropy_of_each_step(drawn):
    scores, steps = drawn
    expected = cross_entropy.per_item_loss(scores, Labels(steps.steps, steps.values))
    assert step_cross_entropy.per_item_loss(scores, steps).equal(expected)


@given(score=SMALL)
def test_pqm_of_one_step_without_margin_is_step_cross_entropy(score):
    scores = torch.tensor([score], dtype=torch.float64)
    for label in (0.0, 1.0):
        step = Steps(steps=[0], values=[label])
        assert Pqm(margin=0.0)(scores, step).item() == pytest.approx(step_cross_entropy(scores, step).item())


@given(drawn=scores_with(Ratings))
def test_huber_is_half_the_squared_error_below_its_threshold(drawn):
    scores, ratings = drawn
    near = ratings.ratings.double() + scores[ratings.candidates].double().clamp(-2, 2)
    wide = Ratings(torch.arange(len(near)), ratings.ratings, ratings.sizes)
    assert Huber(threshold=2.0).per_item_loss(near, wide).tolist() == close(squared_error.per_item_loss(near, wide) / 2)
