"""Lists are priced all at once: beside definitions that price one list after another, straight from the formula."""

from dataclasses import dataclass

import pytest
import torch
from torch.nn.functional import logsigmoid

from rlhf_losses.feedback import Rankings, Ratings, Steps, StepwiseRankings
from rlhf_losses.feedback.ragged import Ragged
from rlhf_losses.hooks.builtins import provide_losses
from rlhf_losses.losses import (
    AccumulatedPairs,
    Aggregated,
    BestOfN,
    GradedLoss,
    LambdaNdcg,
    ListNet,
    ListwiseLoss,
    PlackettLuce,
    Pqm,
)
from rlhf_losses.testing import check_loss


@dataclass(frozen=True)
class SlowPlackettLuce(ListwiseLoss):
    """Every answer against all that are not better."""

    top: int | None = None

    def per_list(self, scores, ranks):
        costs = []
        for score, rank in zip(scores, ranks, strict=True):
            if self.top is None or int((ranks < rank).sum()) < self.top:
                costs.append((scores[ranks >= rank] - score).logsumexp(dim=0))
        return torch.stack(costs).sum()


@dataclass(frozen=True)
class SlowBestOfN(ListwiseLoss):
    """A choice by softmax."""

    temperature: float = 1.0

    def per_list(self, scores, ranks):
        leads = (scores - scores[ranks == ranks.min()].max()) / self.temperature
        return leads.logsumexp(dim=0) - leads[ranks == ranks.min()].logsumexp(dim=0)


@dataclass(frozen=True)
class SlowAccumulatedPairs(ListwiseLoss):
    """Pair after pair."""

    def per_list(self, scores, ranks):
        costs = []
        for i in range(len(scores)):
            for j in range(i):
                score_difference = (scores[i] - scores[j]) * (-1 if ranks[i] > ranks[j] else 1)
                costs.append(
                    -(logsigmoid(score_difference) + logsigmoid(-score_difference)) / 2
                    if ranks[i] == ranks[j]
                    else -logsigmoid(score_difference)
                )
        return torch.stack(costs).mean()


@dataclass(frozen=True)
class SlowListNet(GradedLoss):
    """Cross-entropy of two softmaxes."""

    temperature: float = 1.0

    def per_list(self, scores, grades):
        shares = (grades.to(scores.dtype) / self.temperature).softmax(dim=0)
        return -(shares * scores.log_softmax(dim=0)).sum()


@dataclass(frozen=True)
class SlowLambdaNdcg(GradedLoss):
    """Pair after pair, with the places counted."""

    top: int | None = None
    gain: str = "exponential"

    def per_list(self, scores, grades):
        grades = grades.to(scores.dtype)
        gains = grades if self.gain == "linear" else 2**grades - 1
        places = [
            int(((scores > s) | ((scores == s) & (grades < g))).sum()) for s, g in zip(scores, grades, strict=True)
        ]
        # Answers with the same score and grade share no place; which of them stands first changes nothing.
        places = [place + places[:i].count(place) for i, place in enumerate(places)]
        discounts = torch.tensor([self._discount(place) for place in places])
        ideal = sum(float(gain) * self._discount(i) for i, gain in enumerate(sorted(gains, reverse=True)))
        total = scores.sum() * 0
        for i in range(len(scores)):
            for j in range(len(scores)):
                if grades[i] > grades[j]:
                    worth = (gains[i] - gains[j]) * (discounts[i] - discounts[j]).abs() / ideal
                    total = total - worth * logsigmoid(scores[i] - scores[j])
        return total

    def _discount(self, place):
        return 1 / float(torch.log2(torch.tensor(2.0 + place))) if self.top is None or place < self.top else 0.0


TWINS = [
    (PlackettLuce(), SlowPlackettLuce()),
    (PlackettLuce(top=1), SlowPlackettLuce(top=1)),
    (PlackettLuce(top=3), SlowPlackettLuce(top=3)),
    (BestOfN(), SlowBestOfN()),
    (BestOfN(temperature=0.3), SlowBestOfN(temperature=0.3)),
    (AccumulatedPairs(), SlowAccumulatedPairs()),
    (ListNet(), SlowListNet()),
    (ListNet(temperature=2.0), SlowListNet(temperature=2.0)),
    (LambdaNdcg(), SlowLambdaNdcg()),
    (LambdaNdcg(top=2, gain="linear"), SlowLambdaNdcg(top=2, gain="linear")),
]


def ragged(seed, lists=12, longest=17, ranks=6):
    """Return lists of random lengths with ties, over scores in a random order of their own."""
    draw = torch.Generator().manual_seed(seed)
    sizes = torch.randint(2, longest, (lists,), generator=draw)
    count = int(sizes.sum())
    order = torch.randperm(count, generator=draw)
    return Rankings(order, torch.randint(1, ranks, (count,), generator=draw), sizes), draw


def rated(lists, draw):
    """Return the same lists with ratings as grades."""
    ratings = torch.randint(0, 5, (len(lists.candidates),), generator=draw).float()
    return Ratings(lists.candidates, ratings, lists.sizes).to_rankings()


def priced(loss, scores, lists):
    leaf = scores.clone().requires_grad_()
    costs = loss.per_item_loss(leaf, lists)
    # Each list weighs differently, so that a gradient that belongs to another list is seen.
    weights = torch.arange(1, len(costs) + 1, dtype=costs.dtype)
    (gradient,) = torch.autograd.grad((weights * costs).sum(), leaf)
    return costs.detach(), gradient


def names(value):
    return value.name() if isinstance(value, type) else str(value)


@pytest.mark.parametrize("spread", [1.0, 30.0, 1e4])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("fast", "slow"), TWINS, ids=names)
def test_all_lists_at_once_cost_what_they_cost_one_by_one(fast, slow, seed, spread):
    lists, draw = ragged(seed)
    if isinstance(slow, GradedLoss):
        lists = rated(lists, draw)
    scores = spread * torch.randn(len(lists.candidates), generator=draw, dtype=torch.float64)
    scores[::5] = spread
    costs, gradient = priced(fast, scores, lists)
    expected, slope = priced(slow, scores, lists)
    torch.testing.assert_close(costs, expected, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(gradient, slope, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("spread", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("fast", [fast for fast, _ in TWINS], ids=names)
def test_lists_are_finite_in_float32_at_large_scores_and_at_ties(fast, spread):
    lists, draw = ragged(7, lists=20, longest=40)
    scores = spread * torch.randn(len(lists.candidates), generator=draw).sign()
    costs, gradient = priced(fast, scores, lists)
    exact, slope = priced(fast, scores.double(), lists)
    assert costs.dtype == torch.float32
    torch.testing.assert_close(costs.double(), exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient.double(), slope, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("slow", {slow: None for _, slow in TWINS}, ids=names)
def test_a_loss_written_for_one_list_keeps_the_contract(slow):
    check_loss(slow)


def test_beside_a_large_score_the_number_of_rivals_is_not_lost():
    # The first choice is certain; the other two are equal, whatever the first one is.
    lists = Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[3])
    scores = torch.tensor([1e9, -1e9, -1e9])
    assert PlackettLuce()(scores, lists).item() == pytest.approx(torch.tensor(2.0).log().item())


def naive_pqm(scores, values, margin):
    """Return the cost of one answer, step by step."""
    right, wrong = scores[values > 0], scores[values <= 0] + margin
    start = scores.new_zeros(1)
    costs = [torch.cat([start, wrong]).logsumexp(dim=0)] if len(wrong) else []
    for t in range(len(right)):
        costs.append((torch.cat([start, right[: t + 1], wrong]) - right[t]).logsumexp(dim=0))
    return torch.stack(costs).mean()


@pytest.mark.parametrize("spread", [1.0, 1e4])
@pytest.mark.parametrize("seed", range(3))
def test_all_answers_at_once_cost_what_pqm_costs_one_by_one(seed, spread):
    draw = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, 12, (15,), generator=draw)
    values = torch.randint(0, 2, (int(sizes.sum()),), generator=draw).float()
    values[: int(sizes[0])] = seed % 2  # an answer that is all right, or all wrong
    steps = Steps(torch.randperm(len(values), generator=draw), values, sizes)
    scores = spread * torch.randn(len(values), generator=draw, dtype=torch.float64)
    costs, gradient = priced(Pqm(), scores, steps)
    leaf = scores.clone().requires_grad_()
    parts = zip(leaf[steps.steps].split(sizes.tolist()), values.split(sizes.tolist()), strict=True)
    expected = torch.stack([naive_pqm(*one, margin=4.0) for one in parts])
    (slope,) = torch.autograd.grad((torch.arange(1, 16) * expected).sum(), leaf)
    torch.testing.assert_close(costs, expected.detach(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gradient, slope, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("by", ["mean", "sum", "minimum", "soft_minimum"])
def test_all_answers_at_once_score_what_each_of_them_scores(by):
    draw = torch.Generator().manual_seed(0)
    counts = torch.randint(1, 6, (20,), generator=draw)
    said = StepwiseRankings(torch.arange(int(counts.sum())), counts, torch.tensor([1, 2] * 10), torch.tensor([2] * 10))
    scores = torch.randn(int(counts.sum()), generator=draw, dtype=torch.float64)
    loss = Aggregated(by=by, temperature=0.5)
    expected = [loss.of_steps(steps).item() for steps in scores.split(counts.tolist())]
    assert loss.per_answer(scores, said).tolist() == pytest.approx(expected)
    one = scores[: counts[0]]
    direct = {
        "mean": one.mean(),
        "sum": one.sum(),
        "minimum": one.min(),
        "soft_minimum": -0.5 * (-one / 0.5).exp().mean().log(),
    }
    assert expected[0] == pytest.approx(direct[by].item())


class TestGroups:
    GROUPS = Ragged(torch.tensor([3, 0, 1, 2]))
    VALUES = torch.tensor([1.0, -2.0, 5.0, 7.0, 0.0, 0.5])

    def parts(self):
        return self.VALUES.split(self.GROUPS.sizes.tolist())

    def test_sums_and_extremes(self):
        assert self.GROUPS.sum(self.VALUES).tolist() == [float(part.sum()) for part in self.parts()]
        assert self.GROUPS.highest(self.VALUES)[[0, 2, 3]].tolist() == [5.0, 7.0, 0.5]
        assert self.GROUPS.highest(torch.tensor([-3, -2, -9, 4, -8, -7]))[[0, 2, 3]].tolist() == [-2, 4, -7]

    def test_logarithms_of_sums(self):
        full = Ragged(self.GROUPS.sizes[self.GROUPS.sizes > 0])
        expected = [part.logsumexp(0).item() for part in self.parts() if len(part)]
        assert full.logsumexp(self.VALUES).tolist() == pytest.approx(expected)
        shares = torch.cat([part.log_softmax(0) for part in self.parts()])
        torch.testing.assert_close(self.GROUPS.log_softmax(self.VALUES), shares)

    def test_running_logarithms_of_sums(self):
        highest, rest = self.GROUPS.running_logsumexp(self.VALUES)
        torch.testing.assert_close(highest + rest, torch.cat([part.logcumsumexp(0) for part in self.parts()]))
        torch.testing.assert_close(highest, torch.cat([part.cummax(0).values for part in self.parts() if len(part)]))

    def test_places_and_pairs(self):
        assert self.GROUPS.of.tolist() == [0, 0, 0, 2, 3, 3]
        assert self.GROUPS.places.tolist() == [0, 1, 2, 0, 0, 1]
        first, second = self.GROUPS.pairs()
        assert list(zip(first.tolist(), second.tolist(), strict=True)) == [(0, 1), (0, 2), (1, 2), (4, 5)]

    def test_order(self):
        assert self.GROUPS.order(self.VALUES).tolist() == [1, 0, 2, 3, 4, 5]
        assert self.GROUPS.order(torch.zeros(6), -self.VALUES).tolist() == [2, 0, 1, 3, 5, 4]
        assert Ragged(torch.tensor([], dtype=torch.long)).order(torch.tensor([])).tolist() == []


def test_every_loss_that_reads_lists_has_a_slow_twin():
    assert {kind for kind in provide_losses() if kind.feedback_type is Rankings} == {type(fast) for fast, _ in TWINS}
