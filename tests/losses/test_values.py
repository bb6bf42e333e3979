"""Golden values: the per-item loss of each loss, computed with the arithmetic of its formula."""

from math import erf, exp, log, log2, sqrt

import pytest
import torch

from rlhf_losses.feedback import Attributes, Labels, Lengths, Pairs, Rankings, Ratings, Steps, StepwiseRankings, Votes
from rlhf_losses.hooks import loss_registry, parse_loss
from rlhf_losses.hooks.installed_plugins import BUILT_IN


def nll(score_difference):
    """Return the negative logarithm of the sigmoid of a score difference."""
    return -log(1 / (1 + exp(-score_difference)))


def sigmoid(logit):
    """Return the probability of a logit."""
    return 1 / (1 + exp(-logit))


def strength(level, **more):
    """Return one pair with a strength of preference."""
    return Pairs(chosen=[0], rejected=[1], margin=[float(level)], **more)


def normal_nll(score_difference):
    """Return the negative logarithm of the normal distribution function of a score difference."""
    return -log((1 + erf(score_difference / sqrt(2))) / 2)


def softmax(*numbers):
    """Return each exponential divided by the sum of exponentials."""
    return [exp(number) / sum(map(exp, numbers)) for number in numbers]


ONE_PAIR = Pairs(chosen=[0], rejected=[1])
STEPWISE_PAIR = StepwiseRankings(steps=[0, 1, 2], counts=[2, 1], ranks=[1, 2], sizes=[2])
TIE = Pairs(chosen=[0], rejected=[1], tie=[1.0])
TWO_PAIRS = Pairs(chosen=[0, 2], rejected=[1, 1])
STRICT = Rankings(candidates=[0, 1, 2], ranks=[2, 1, 3], sizes=[3])
TIED = Rankings(candidates=[0, 1, 2], ranks=[2, 1, 2], sizes=[3])
TIED_AT_THE_TOP = Rankings(candidates=[0, 1, 2], ranks=[1, 1, 2], sizes=[3])
RATED = Ratings(candidates=[0, 1, 2], ratings=[2.0, 5.0, 1.0], sizes=[3])
TWO_LISTS = Rankings(candidates=[0, 1, 2, 3, 4], ranks=[1, 2, 3, 2, 1], sizes=[3, 2])

# loss, scores, feedback, loss of each item
VALUES = [
    ("bradley_terry", [2.0, 0.5], ONE_PAIR, [nll(2.0 - 0.5)]),
    ("bradley_terry", [2.0, 0.5, -1.0], TWO_PAIRS, [nll(2.0 - 0.5), nll(-1.0 - 0.5)]),
    ("bradley_terry", [2.0, 2.0], ONE_PAIR, [log(2)]),
    ("bradley_terry", [2.0, 0.5], Pairs(chosen=[0], rejected=[1], margin=[0.75]), [nll(2.0 - 0.5 - 0.75)]),
    ("bradley_terry", [2.0, 0.5], Pairs(chosen=[0], rejected=[1], weight=[3.0]), [3.0 * nll(1.5)]),
    ("bradley_terry", [2.0, 0.5], Pairs(chosen=[0], rejected=[1], weight=[0.0]), [0.0]),
    (
        "bradley_terry",
        [2.0, 0.5],
        Pairs(chosen=[0], rejected=[1], preference=[0.75]),
        [0.75 * nll(1.5) + 0.25 * nll(-1.5)],
    ),
    ("bradley_terry", [2.0, 0.5], Pairs(chosen=[0], rejected=[1], preference=[0.0]), [nll(0.5 - 2.0)]),
    (
        "bradley_terry",
        [2.0, 0.5],
        Pairs(chosen=[0], rejected=[1], preference=[0.5]),
        [0.5 * nll(1.5) + 0.5 * nll(-1.5)],
    ),
    (
        "bradley_terry",
        [2.0, 0.5],
        Pairs(chosen=[0], rejected=[1], margin=[1.0], weight=[2.0], preference=[0.75]),
        [2.0 * (0.75 * nll(1.5 - 1.0) + 0.25 * nll(-(1.5 - 1.0)))],
    ),
    ("bradley_terry(label_smoothing=0.125)", [2.0, 0.5], ONE_PAIR, [0.875 * nll(1.5) + 0.125 * nll(-1.5)]),
    ("bradley_terry(temperature=2.0)", [2.0, 0.5], ONE_PAIR, [nll(1.5 / 2.0)]),
    (
        "bradley_terry(label_smoothing=0.25, temperature=0.5)",
        [2.0, 0.5],
        Pairs(chosen=[0], rejected=[1], margin=[1.0]),
        [0.75 * nll((1.5 - 1.0) / 0.5) + 0.25 * nll(-(1.5 - 1.0) / 0.5)],
    ),
    (
        "bradley_terry",
        [2.0, 0.5],
        Votes(first=[0], second=[1], votes_first=[2], votes_second=[1]),
        [2 / 3 * nll(1.5) + 1 / 3 * nll(-1.5)],
    ),
    ("bradley_terry", [1.0, 3.0, 0.0], STRICT, [nll(3.0 - 1.0), nll(1.0 - 0.0), nll(3.0 - 0.0)]),
    ("hinge", [2.0, 0.5], ONE_PAIR, [0.0]),
    ("hinge", [0.75, 0.5], ONE_PAIR, [1 - 0.25]),
    ("hinge", [0.5, 2.0], ONE_PAIR, [1 + 1.5]),
    ("hinge(margin=2.0)", [2.0, 0.5], ONE_PAIR, [2.0 - 1.5]),
    ("hinge", [2.0, 0.5], Pairs(chosen=[0], rejected=[1], margin=[1.0]), [1 - (1.5 - 1.0)]),
    ("hinge", [2.0, 0.5], Pairs(chosen=[0], rejected=[1], preference=[0.75]), [0.75 * 0.0 + 0.25 * (1 + 1.5)]),
    ("hinge", [0.75, 0.5], Pairs(chosen=[0], rejected=[1], weight=[4.0]), [4 * (1 - 0.25)]),
    ("hinge(power=2.0)", [0.75, 0.5], ONE_PAIR, [(1 - 0.25) ** 2]),
    ("hinge(power=1.5)", [0.75, 0.5, 9.0], TWO_PAIRS, [(1 - 0.25) ** 1.5, 0.0]),
    ("squared_difference", [2.0, 0.5], ONE_PAIR, [(1.5 - 1) ** 2]),
    ("squared_difference(target=0.0)", [2.0, 0.5], Pairs(chosen=[0], rejected=[1], margin=[3.0]), [(1.5 - 3) ** 2]),
    (
        "squared_difference(target=2.0)",
        [2.0, 0.5],
        Pairs(chosen=[0], rejected=[1], preference=[0.75]),
        [0.75 * (1.5 - 2) ** 2 + 0.25 * (-1.5 - 2) ** 2],
    ),
    ("thurstone", [2.0, 0.5], ONE_PAIR, [normal_nll(1.5 / sqrt(2))]),
    ("thurstone(deviation=0.5)", [0.5, 2.0], ONE_PAIR, [normal_nll(-1.5 / (sqrt(2) * 0.5))]),
    ("thurstone", [2.0, 0.5], Pairs(chosen=[0], rejected=[1], margin=[1.0]), [normal_nll((1.5 - 1.0) / sqrt(2))]),
    ("robust_bradley_terry", [2.0, 0.5], ONE_PAIR, [(0.9 * nll(1.5) - 0.1 * nll(-1.5)) / 0.8]),
    ("robust_bradley_terry(flip_rate=0.25)", [0.5, 2.0], ONE_PAIR, [(0.75 * nll(-1.5) - 0.25 * nll(1.5)) / 0.5]),
    ("robust_bradley_terry(flip_rate=0.0)", [2.0, 0.5], ONE_PAIR, [nll(1.5)]),
    ("focal_bradley_terry", [2.0, 0.5], ONE_PAIR, [(1 - 2 * (1 / (1 + exp(-1.5)) - 0.5)) ** 2 * nll(1.5)]),
    ("focal_bradley_terry", [0.5, 2.0], ONE_PAIR, [nll(-1.5)]),
    ("focal_bradley_terry(focus=0.5)", [2.0, 0.5], ONE_PAIR, [(1 - 2 * (1 / (1 + exp(-1.5)) - 0.5)) ** 0.5 * nll(1.5)]),
    ("rao_kupper", [2.0, 0.5], ONE_PAIR, [nll(1.5 - 1)]),
    ("rao_kupper", [2.0, 0.5], TIE, [-log(1 / (1 + exp(-1.5 - 1)) - 1 / (1 + exp(-1.5 + 1)))]),
    ("rao_kupper(tie_width=0.25)", [0.5, 2.0], Pairs(chosen=[0], rejected=[1], margin=[0.5]), [nll(-1.5 - 0.5 - 0.25)]),
    (
        "rao_kupper",
        [2.0, 0.5],
        Pairs(chosen=[0], rejected=[1], preference=[0.75]),
        [0.75 * nll(0.5) + 0.25 * nll(-2.5)],
    ),
    (
        "rao_kupper",
        [2.0, 0.5],
        Votes(first=[0], second=[1], votes_first=[1], votes_second=[3], ties=[4]),
        [1 / 8 * nll(0.5) + 3 / 8 * nll(-2.5) - 4 / 8 * log(1 - exp(-nll(0.5)) - exp(-nll(-2.5)))],
    ),
    ("davidson", [2.0, 0.5], ONE_PAIR, [-log(exp(2) / (exp(2) + exp(0.5) + sqrt(exp(2) * exp(0.5))))]),
    ("davidson", [2.0, 0.5], TIE, [-log(sqrt(exp(2 + 0.5)) / (exp(2) + exp(0.5) + sqrt(exp(2) * exp(0.5))))]),
    (
        "davidson(tie_odds=3.0)",
        [2.0, 0.5],
        Pairs(chosen=[0], rejected=[1], preference=[0.0], weight=[2.0]),
        [-2 * log(exp(0.5) / (exp(2) + exp(0.5) + 3 * sqrt(exp(2) * exp(0.5))))],
    ),
    # Cut points of the score difference at 1, 2 and 3, and at their negatives.
    ("ordinal_preference", [2.0, 0.5], strength(1), [-log(sigmoid(2 - 1.5) - sigmoid(1 - 1.5))]),
    ("ordinal_preference", [2.0, 0.5], strength(3), [-log(1 - sigmoid(3 - 1.5))]),
    ("ordinal_preference", [2.0, 0.5], strength(0), [-log(sigmoid(1 - 1.5) - sigmoid(-1 - 1.5))]),
    ("ordinal_preference", [2.0, 0.5], TIE, [-log(sigmoid(1 - 1.5) - sigmoid(-1 - 1.5))]),
    ("ordinal_preference", [0.5, 2.0], strength(2, preference=[0.0]), [-log(sigmoid(3 - 1.5) - sigmoid(2 - 1.5))]),
    ("ordinal_preference(levels=1)", [2.0, 0.5], strength(1, weight=[2.0]), [-2 * log(1 - sigmoid(1 - 1.5))]),
    ("independent_classification", [2.0, 0.5], ONE_PAIR, [nll(2.0) + nll(-0.5)]),
    (
        "independent_classification",
        [2.0, 0.5],
        Pairs(chosen=[0], rejected=[1], preference=[0.75], weight=[3.0], margin=[9.0]),
        [3 * (0.75 * (nll(2.0) + nll(-0.5)) + 0.25 * (nll(0.5) + nll(-2.0)))],
    ),
    ("centering", [2.0, 0.5], ONE_PAIR, [(2.0 + 0.5) ** 2]),
    ("centering", [2.0, 0.5, -1.0], TWO_PAIRS, [(2.0 + 0.5) ** 2, (-1.0 + 0.5) ** 2]),
    ("centering", [2.0, 0.5], Pairs(chosen=[0], rejected=[1], margin=[9.0], weight=[9.0]), [(2.0 + 0.5) ** 2]),
    ("score_decay", [2.0, 0.5], ONE_PAIR, [2.0**2, 0.5**2]),
    ("score_decay", [2.0, 0.5, 3.0], Labels(candidates=[1], labels=[1.0]), [2.0**2, 0.5**2, 3.0**2]),
    ("accumulated_pairs", [1.0, 3.0, 0.0], STRICT, [(nll(3 - 1) + nll(1 - 0) + nll(3 - 0)) / 3]),
    ("accumulated_pairs", [1.0, 3.0, 0.0], TIED, [(nll(3 - 1) + nll(3 - 0) + (nll(1 - 0) + nll(0 - 1)) / 2) / 3]),
    (
        "accumulated_pairs",
        [1.0, 3.0, 0.0, 2.0, -1.0],
        TWO_LISTS,
        [(nll(1 - 3) + nll(3 - 0) + nll(1 - 0)) / 3, nll(-1 - 2)],
    ),
    (
        "plackett_luce",
        [1.0, 3.0, 0.0],
        STRICT,
        [-log(exp(3) / (exp(3) + exp(1) + exp(0))) - log(exp(1) / (exp(1) + exp(0)))],
    ),
    (
        "plackett_luce",
        [1.0, 3.0, 0.0],
        TIED,
        [-log(exp(3) / (exp(3) + exp(1) + exp(0))) - log(exp(1) / (exp(1) + exp(0))) - log(exp(0) / (exp(1) + exp(0)))],
    ),
    (
        "plackett_luce",
        [1.0, 3.0, 0.0, 2.0, -1.0],
        TWO_LISTS,
        [
            -log(exp(1) / (exp(1) + exp(3) + exp(0))) - log(exp(3) / (exp(3) + exp(0))),
            -log(exp(-1) / (exp(-1) + exp(2))),
        ],
    ),
    ("plackett_luce(top=1)", [1.0, 3.0, 0.0], STRICT, [-log(softmax(3, 1, 0)[0])]),
    ("plackett_luce(top=2)", [1.0, 3.0, 0.0], STRICT, [-log(softmax(3, 1, 0)[0]) - log(softmax(1, 0)[0])]),
    ("plackett_luce(top=1)", [1.0, 3.0, 0.0], TIED_AT_THE_TOP, [-log(softmax(1, 3, 0)[0]) - log(softmax(1, 3, 0)[1])]),
    ("best_of_n", [1.0, 3.0, 0.0], STRICT, [-log(softmax(3, 1, 0)[0])]),
    ("best_of_n", [1.0, 3.0, 0.0], TIED_AT_THE_TOP, [-log(softmax(3, 1, 0)[0] + softmax(3, 1, 0)[1])]),
    ("best_of_n(temperature=0.5)", [1.0, 3.0, 0.0], STRICT, [-log(softmax(3 / 0.5, 1 / 0.5, 0)[0])]),
    (
        "list_net",
        [1.0, 3.0, 0.0],
        STRICT,
        [-sum(share * log(guess) for share, guess in zip(softmax(1, 2, 0), softmax(1, 3, 0), strict=True))],
    ),
    (
        "list_net(temperature=2.0)",
        [1.0, 3.0, 0.0],
        RATED,
        [-sum(share * log(guess) for share, guess in zip(softmax(1, 2.5, 0.5), softmax(1, 3, 0), strict=True))],
    ),
    # The order by score is 1, 0, 2, which is also the optimal one.
    (
        "lambda_ndcg",
        [1.0, 3.0, 0.0],
        STRICT,
        [
            (
                (3 - 1) * (1 - 1 / log2(3)) * nll(3 - 1)
                + (3 - 0) * (1 - 1 / log2(4)) * nll(3 - 0)
                + (1 - 0) * (1 / log2(3) - 1 / log2(4)) * nll(1 - 0)
            )
            / (3 + 1 / log2(3))
        ],
    ),
    # Here it is 2, 1, 0, and only the first position has a discount other than 0.
    (
        "lambda_ndcg(top=1, gain='linear')",
        [1.0, 1.5, 2.0],
        RATED,
        [((5 - 1) * 1 * nll(1.5 - 2.0) + (2 - 1) * 1 * nll(1.0 - 2.0) + (5 - 2) * 0) / 5],
    ),
    ("huber", [2.5, 1.0], Ratings(candidates=[1, 0], ratings=[3.0, 2.0], sizes=[2]), [2 - 0.5, 0.5**2 / 2]),
    ("huber(threshold=4.0)", [2.5], Ratings(candidates=[0], ratings=[5.0], sizes=[1]), [2.5**2 / 2]),
    ("huber(threshold=0.5)", [2.5], Ratings(candidates=[0], ratings=[5.0], sizes=[1]), [0.5 * (2.5 - 0.25)]),
    # Cut points at -1.5, -0.5, 0.5 and 1.5.
    (
        "ordinal_rating",
        [0.25, 1.0, -2.0],
        Ratings(candidates=[0, 1, 2], ratings=[3.0, 5.0, 1.0], sizes=[3]),
        [-log(sigmoid(0.5 - 0.25) - sigmoid(-0.5 - 0.25)), -log(1 - sigmoid(1.5 - 1.0)), -log(sigmoid(-1.5 + 2.0))],
    ),
    ("ordinal_rating(levels=2)", [0.25], Ratings(candidates=[0], ratings=[1.0], sizes=[1]), [nll(-0.25)]),
    ("squared_error", [2.5, 1.0], Ratings(candidates=[1, 0], ratings=[3.0, 2.0], sizes=[2]), [(1 - 3) ** 2, 0.5**2]),
    ("cross_entropy", [1.5, 1.5], Labels(candidates=[0, 1], labels=[1.0, 0.0]), [nll(1.5), nll(-1.5)]),
    ("cross_entropy", [1.5], Labels(candidates=[0], labels=[0.25]), [0.25 * nll(1.5) + 0.75 * nll(-1.5)]),
    ("pointwise_hinge", [0.25, 0.25], Labels(candidates=[0, 1], labels=[1.0, 0.0]), [1 - 0.25, 1 + 0.25]),
    ("pointwise_hinge", [0.25, 0.25], Labels(candidates=[0, 1], labels=[1.0, -1.0]), [1 - 0.25, 1 + 0.25]),
    ("pointwise_hinge(margin=0.5)", [0.25], Labels(candidates=[0], labels=[1.0]), [0.5 - 0.25]),
    ("segment_hinge", [0.25, 2.0, -2.0], Steps(steps=[0, 1, 2], values=[1, 1, 0]), [1 - 0.25, 0.0, 0.0]),
    ("segment_hinge", [0.25, 2.0], Steps(steps=[0, 1], values=[-1, -1]), [1 + 0.25, 1 + 2.0]),
    ("segment_hinge(margin=3.0)", [0.25], Steps(steps=[0], values=[1]), [3 - 0.25]),
    ("step_cross_entropy", [1.5, 1.5], Steps(steps=[0, 1], values=[1, 0]), [nll(1.5), nll(-1.5)]),
    ("step_cross_entropy", [1.5], Steps(steps=[0], values=[0.25]), [0.25 * nll(1.5) + 0.75 * nll(-1.5)]),
    (
        "pqm",
        [0.5, 2.0, -1.0],
        Steps(steps=[0, 1, 2], values=[1, 1, 0]),
        [
            -(
                log(1 / (1 + exp(-1 + 4)))
                + log(exp(0.5) / (1 + exp(0.5) + exp(-1 + 4)))
                + log(exp(2.0) / (1 + exp(0.5) + exp(2.0) + exp(-1 + 4)))
            )
            / 3
        ],
    ),
    (
        "pqm(margin=1.0)",
        [0.5, 2.0, -1.0],
        Steps(steps=[0, 1, 2], values=[1, -1, -1], sizes=[1, 2]),
        [-log(exp(0.5) / (1 + exp(0.5))), log(1 + exp(2.0 + 1) + exp(-1 + 1))],
    ),
    ("log_barrier", [2.0, -2.0], ONE_PAIR, [log(25) - log(5 - 2) - log(2 + 5)] * 2),
    (
        "log_barrier(limit=2.0, slack=0.25)",
        [1.0, 3.0],
        ONE_PAIR,
        [-log(1 - 0.5**2), -log(1 - 0.75**2) + 2 * 0.75 / (1 - 0.75**2) * (1.5 - 0.75)],
    ),
    ("batch_sum_to_zero", [2.0, 1.0], ONE_PAIR, [1.5**2 + 2 * 1.5 * (2 - 1.5), 1.5**2 + 2 * 1.5 * (1 - 1.5)]),
    # Both items have the same distance to the means, so both have the loss of the batch: 5 ** 2 / (2 * 25).
    (
        "length_decorrelation(floor=1.0)",
        [0.0, 2.0],
        Lengths(texts=[0, 1], lengths=[10, 20]),
        [5**2 / ((1 + 1.0**2) * 25)] * 2,
    ),
    (
        "multi_attribute(weights='helpfulness=2, correctness=1')",
        [3.0],
        Attributes.from_row({"attributes": {"helpfulness": 2, "correctness": 1, "verbosity": 9}}),
        [(2 / (2**2 + 1**2) * 3 - 2) ** 2, (1 / (2**2 + 1**2) * 3 - 1) ** 2],
    ),
    ("aggregated", [1.0, 3.0, 0.5], STEPWISE_PAIR, [nll((1 + 3) / 2 - 0.5)]),
    ("aggregated(by='sum')", [1.0, 3.0, 0.5], STEPWISE_PAIR, [nll(1 + 3 - 0.5)]),
    ("aggregated(by='minimum')", [1.0, 3.0, 0.5], STEPWISE_PAIR, [nll(1 - 0.5)]),
    (
        "aggregated(by='soft_minimum', temperature=2.0)",
        [1.0, 3.0, 0.5],
        STEPWISE_PAIR,
        [nll(-2 * log((exp(-1 / 2) + exp(-3 / 2)) / 2) - 0.5)],
    ),
    ("aggregated(of=hinge(margin=2.0))", [1.0, 3.0, 0.5], STEPWISE_PAIR, [2 - 1.5]),
    (
        "aggregated(of=plackett_luce)",
        [1.0, 2.0, 3.0, 4.0, 0.0],
        StepwiseRankings(steps=[0, 1, 2, 3, 4], counts=[1, 3, 1], ranks=[2, 1, 3], sizes=[3]),
        [-log(softmax(3, 1, 0)[0]) - log(softmax(1, 0)[0])],
    ),
    ("segment_rating", [0.5, -1.0], Steps(steps=[0, 1], values=[0.25, 0.5]), [(0.5 - 0.25) ** 2, (-1.0 - 0.5) ** 2]),
]

# The losses of one pair; an objective has no per-item loss.
NAMED_OBJECTIVES = [
    ("eurus", [2.0, 0.5], ONE_PAIR, nll(1.5) + nll(2.0) + nll(-0.5)),
    (
        "eurus",
        [2.0, 0.5],
        Pairs(chosen=[0], rejected=[1], margin=[1.0], weight=[2.0]),
        2 * (nll(0.5) + nll(2.0) + nll(-0.5)),
    ),
    ("centered_bradley_terry", [2.0, 0.5], ONE_PAIR, nll(1.5) + 0.01 * (2.0 + 0.5) ** 2),
    ("centered_bradley_terry(coefficient=0.5)", [2.0, 0.5], ONE_PAIR, nll(1.5) + 0.5 * (2.0 + 0.5) ** 2),
    (
        "centered_bradley_terry",
        [2.0, 0.5],
        Pairs(chosen=[0], rejected=[1], margin=[1.0]),
        nll(1.5 - 1.0) + 0.01 * (2.0 + 0.5) ** 2,
    ),
]


@pytest.mark.parametrize(("text", "scores", "feedback", "expected"), VALUES)
def test_each_item_has_the_value_of_the_formula(text, scores, feedback, expected):
    values = parse_loss(text).per_item_loss(torch.tensor(scores, dtype=torch.float64), feedback)
    assert values.tolist() == pytest.approx(expected)


@pytest.mark.parametrize(("text", "scores", "feedback", "expected"), NAMED_OBJECTIVES)
def test_a_named_objective_has_the_value_of_the_formula(text, scores, feedback, expected):
    assert float(parse_loss(text)(torch.tensor(scores, dtype=torch.float64), feedback)) == pytest.approx(expected)


def test_every_built_in_loss_has_a_golden_value():
    built_in = {name for name, entry in loss_registry().entries.items() if entry.plugin == BUILT_IN}
    assert built_in <= {text.partition("(")[0] for text, *_ in VALUES + NAMED_OBJECTIVES}
