"""Vectorized listwise losses equal reference implementations that compute one list after another."""

from dataclasses import dataclass

import pytest
import torch
from torch.nn.functional import logsigmoid

from rlhf_losses.feedback import Rankings, Ratings, Steps, StepwiseRankings
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
    """Softmax of each answer over the answers that are not better."""

    top: int | None = None

    def per_list(self, scores, ranks):
        losses = []
        for score, rank in zip(scores, ranks, strict=True):
            if self.top is None or int((ranks < rank).sum()) < self.top:
                losses.append((scores[ranks >= rank] - score).logsumexp(dim=0))
        return torch.stack(losses).sum()


@dataclass(frozen=True)
class SlowBestOfN(ListwiseLoss):
    """Softmax of the best answers."""

    temperature: float = 1.0

    def per_list(self, scores, ranks):
        relative = (scores - scores[ranks == ranks.min()].max()) / self.temperature
        return relative.logsumexp(dim=0) - relative[ranks == ranks.min()].logsumexp(dim=0)


@dataclass(frozen=True)
class SlowAccumulatedPairs(ListwiseLoss):
    """Pair after pair."""

    def per_list(self, scores, ranks):
        losses = []
        for i in range(len(scores)):
            for j in range(i):
                difference = (scores[i] - scores[j]) * (-1 if ranks[i] > ranks[j] else 1)
                losses.append(
                    -(logsigmoid(difference) + logsigmoid(-difference)) / 2
                    if ranks[i] == ranks[j]
                    else -logsigmoid(difference)
                )
        return torch.stack(losses).mean()


@dataclass(frozen=True)
class SlowListNet(GradedLoss):
    """Cross-entropy of two softmaxes."""

    temperature: float = 1.0

    def per_list(self, scores, grades):
        target = (grades.to(scores.dtype) / self.temperature).softmax(dim=0)
        return -(target * scores.log_softmax(dim=0)).sum()


@dataclass(frozen=True)
class SlowLambdaNdcg(GradedLoss):
    """Pair after pair, with explicit positions."""

    top: int | None = None
    gain: str = "exponential"

    def per_list(self, scores, grades):
        grades = grades.to(scores.dtype)
        gains = grades if self.gain == "linear" else 2**grades - 1
        positions = [
            int(((scores > s) | ((scores == s) & (grades < g))).sum()) for s, g in zip(scores, grades, strict=True)
        ]
        # Answers with equal scores and grades have different positions; their order does not matter.
        positions = [position + positions[:i].count(position) for i, position in enumerate(positions)]
        discounts = torch.tensor([self._discount(position) for position in positions])
        ideal = sum(float(gain) * self._discount(i) for i, gain in enumerate(sorted(gains, reverse=True)))
        total = scores.sum() * 0
        for i in range(len(scores)):
            for j in range(len(scores)):
                if grades[i] > grades[j]:
                    weight = (gains[i] - gains[j]) * (discounts[i] - discounts[j]).abs() / ideal
                    total = total - weight * logsigmoid(scores[i] - scores[j])
        return total

    def _discount(self, position):
        in_top = self.top is None or position < self.top
        return 1 / float(torch.log2(torch.tensor(2.0 + position))) if in_top else 0.0


IMPLEMENTATIONS = [
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
    """Return lists of random lengths with ties, with candidates in random order."""
    draw = torch.Generator().manual_seed(seed)
    sizes = torch.randint(2, longest, (lists,), generator=draw)
    count = int(sizes.sum())
    order = torch.randperm(count, generator=draw)
    return Rankings(order, torch.randint(1, ranks, (count,), generator=draw), sizes), draw


def rated(lists, draw):
    """Return the same lists with ratings as grades."""
    ratings = torch.randint(0, 5, (len(lists.candidates),), generator=draw).float()
    return Ratings(lists.candidates, ratings, lists.sizes).to_rankings()


def values_and_gradient(loss, scores, lists):
    leaf = scores.clone().requires_grad_()
    values = loss.per_item_loss(leaf, lists)
    # Each list has another weight, so that the gradient of a wrong list differs.
    weights = torch.arange(1, len(values) + 1, dtype=values.dtype)
    (gradient,) = torch.autograd.grad((weights * values).sum(), leaf)
    return values.detach(), gradient


def names(value):
    return value.name() if isinstance(value, type) else str(value)


@pytest.mark.parametrize("spread", [1.0, 30.0, 1e4])
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize(("fast", "slow"), IMPLEMENTATIONS, ids=names)
def test_all_lists_at_once_have_the_values_of_single_lists(fast, slow, seed, spread):
    lists, draw = ragged(seed)
    if isinstance(slow, GradedLoss):
        lists = rated(lists, draw)
    scores = spread * torch.randn(len(lists.candidates), generator=draw, dtype=torch.float64)
    scores[::5] = spread
    values, gradient = values_and_gradient(fast, scores, lists)
    expected, expected_gradient = values_and_gradient(slow, scores, lists)
    torch.testing.assert_close(values, expected, rtol=1e-7, atol=1e-7)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-7, atol=1e-7)


@pytest.mark.parametrize("spread", [0.0, 1.0, 1e4])
@pytest.mark.parametrize("fast", [fast for fast, _ in IMPLEMENTATIONS], ids=names)
def test_lists_in_float32_equal_float64_at_large_scores_and_at_ties(fast, spread):
    lists, draw = ragged(7, lists=20, longest=40)
    scores = spread * torch.randn(len(lists.candidates), generator=draw).sign()
    values, gradient = values_and_gradient(fast, scores, lists)
    exact, exact_gradient = values_and_gradient(fast, scores.double(), lists)
    assert values.dtype == torch.float32
    torch.testing.assert_close(values.double(), exact, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient.double(), exact_gradient, rtol=1e-5, atol=1e-5)


@pytest.mark.usefixtures("without_shape_checks")
@pytest.mark.parametrize("slow", {slow: None for _, slow in IMPLEMENTATIONS}, ids=names)
def test_a_loss_of_single_lists_keeps_the_contract(slow):
    check_loss(slow)


def test_the_logarithm_of_a_count_is_not_lost_to_rounding_of_large_scores():
    # The first choice is certain; the other two answers are equal.
    lists = Rankings(candidates=[0, 1, 2], ranks=[1, 2, 3], sizes=[3])
    scores = torch.tensor([1e9, -1e9, -1e9])
    assert PlackettLuce()(scores, lists).item() == pytest.approx(torch.tensor(2.0).log().item())


def naive_pqm(scores, values, margin):
    """Return the loss of one answer, step by step."""
    correct, wrong = scores[values > 0], scores[values <= 0] + margin
    start = scores.new_zeros(1)
    losses = [torch.cat([start, wrong]).logsumexp(dim=0)] if len(wrong) else []
    for t in range(len(correct)):
        losses.append((torch.cat([start, correct[: t + 1], wrong]) - correct[t]).logsumexp(dim=0))
    return torch.stack(losses).mean()


@pytest.mark.parametrize("spread", [1.0, 1e4])
@pytest.mark.parametrize("seed", range(3))
def test_pqm_of_all_answers_at_once_has_the_values_of_single_answers(seed, spread):
    draw = torch.Generator().manual_seed(seed)
    sizes = torch.randint(1, 12, (15,), generator=draw)
    values = torch.randint(0, 2, (int(sizes.sum()),), generator=draw).float()
    values[: int(sizes[0])] = seed % 2  # an answer with only correct or only wrong steps
    steps = Steps(torch.randperm(len(values), generator=draw), values, sizes)
    scores = spread * torch.randn(len(values), generator=draw, dtype=torch.float64)
    losses, gradient = values_and_gradient(Pqm(), scores, steps)
    leaf = scores.clone().requires_grad_()
    parts = zip(leaf[steps.steps].split(sizes.tolist()), values.split(sizes.tolist()), strict=True)
    expected = torch.stack([naive_pqm(*one, margin=4.0) for one in parts])
    (expected_gradient,) = torch.autograd.grad((torch.arange(1, 16) * expected).sum(), leaf)
    torch.testing.assert_close(losses, expected.detach(), rtol=1e-9, atol=1e-9)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("by", ["mean", "sum", "minimum", "soft_minimum"])
def test_all_answers_at_once_have_the_aggregated_scores_of_single_answers(by):
    draw = torch.Generator().manual_seed(0)
    counts = torch.randint(1, 6, (20,), generator=draw)
    feedback = StepwiseRankings(
        torch.arange(int(counts.sum())), counts, torch.tensor([1, 2] * 10), torch.tensor([2] * 10)
    )
    scores = torch.randn(int(counts.sum()), generator=draw, dtype=torch.float64)
    loss = Aggregated(by=by, temperature=0.5)
    expected = [loss.aggregate(steps).item() for steps in scores.split(counts.tolist())]
    assert loss.answer_scores(scores, feedback).tolist() == pytest.approx(expected)
    one = scores[: counts[0]]
    direct = {
        "mean": one.mean(),
        "sum": one.sum(),
        "minimum": one.min(),
        "soft_minimum": -0.5 * (-one / 0.5).exp().mean().log(),
    }
    assert expected[0] == pytest.approx(direct[by].item())


def test_every_listwise_loss_has_a_reference_implementation():
    listwise = {loss_class for loss_class in provide_losses() if loss_class.feedback_type is Rankings}
    assert listwise == {type(fast) for fast, _ in IMPLEMENTATIONS}
