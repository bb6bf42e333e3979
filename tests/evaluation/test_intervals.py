"""Intervals: equal to those of scipy for independent items, and wider for items that depend on each other."""

import math

import numpy as np
import pytest
from scipy import stats

from rlhf_losses.evaluation.intervals import bootstrap_estimate, mean_estimate, share_estimate, wilson
from rlhf_losses.evaluation.rank_statistics import partial_correlation, pearson, rank_correlation


@pytest.mark.parametrize(("right", "count"), [(0, 7), (3, 10), (118, 419), (10, 10)])
def test_the_interval_of_a_share_is_that_of_wilson(right, count):
    expected = stats.binomtest(right, count).proportion_ci(method="wilson")
    values = np.repeat([1.0, 0.0], [right, count - right])
    found = share_estimate(values, np.arange(count))
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high))
    assert (found.value, found.count) == (right / count, count)


def test_copies_of_the_items_of_a_prompt_do_not_narrow_an_interval():
    values = np.array([1.0, 0, 1, 1, 0, 1, 1, 1])
    alone, copied = (
        share_estimate(values, np.arange(8)),
        share_estimate(np.repeat(values, 6), np.repeat(np.arange(8), 6)),
    )
    assert copied.value == alone.value
    assert copied.high - copied.low >= (alone.high - alone.low) * 0.95


def test_prompts_whose_items_are_all_right_count_once_each():
    found = share_estimate(np.ones(30), np.repeat(np.arange(5), 6))
    assert (found.low, found.high) == pytest.approx(wilson(1.0, 5))


def test_the_interval_of_a_share_covers_the_truth_for_dependent_items():
    """Items of a prompt are all right or all wrong: 95 % of the intervals contain the truth, here at least 90 %."""
    random = np.random.default_rng(0)
    prompts, truth = np.repeat(np.arange(40), 5), 0.7
    covered = []
    for _ in range(200):
        found = share_estimate((random.random(40) < truth).astype(float)[prompts], prompts)
        covered.append(found.low <= truth <= found.high)
    assert np.mean(covered) > 0.9


def test_the_interval_of_a_mean_is_that_of_the_t_distribution():
    values = np.array([1.0, 4.0, 2.0, 8.0, 5.0])
    low, high = stats.ttest_1samp(values, 0).confidence_interval()
    found = mean_estimate(values, np.arange(5))
    assert (found.low, found.high) == pytest.approx((low, high))


def test_a_bootstrap_draws_whole_prompts():
    values = np.array([0.0, 0.0, 0.0, 1.0, 1.0, 1.0])
    drawn = []
    found = bootstrap_estimate(
        lambda items: drawn.append(values[items]) or float(values[items].mean()), np.repeat([7, 3], 3)
    )
    assert {tuple(np.sort(one)) for one in drawn} == {(0, 0, 0, 0, 0, 0), (0, 0, 0, 1, 1, 1), (1, 1, 1, 1, 1, 1)}
    assert (found.value, found.low, found.high) == (0.5, 0.0, 1.0)


def test_without_items_or_with_one_cluster_an_interval_is_unknown():
    assert math.isnan(share_estimate(np.array([]), np.array([], dtype=int)).value)
    assert math.isnan(mean_estimate(np.ones(3), np.zeros(3, dtype=int)).low)
    assert share_estimate(np.ones(1), np.zeros(1, dtype=int)).to_dict()["count"] == 1
    assert bootstrap_estimate(lambda _: math.nan, np.arange(3)).to_dict()["value"] is None


def test_correlations_are_those_of_scipy():
    random = np.random.default_rng(1)
    first, second = random.normal(size=(2, 30))
    second += first
    expected = stats.pearsonr(first, second)
    found = pearson(first, second, np.arange(30))
    assert found.value == pytest.approx(expected.statistic)
    assert (found.low, found.high) == pytest.approx(tuple(expected.confidence_interval()))
    ranks = rank_correlation(first, second, np.arange(30))
    assert ranks.value == pytest.approx(stats.spearmanr(first, second).statistic)


def test_a_partial_correlation_is_the_formula_of_three_correlations():
    random = np.random.default_rng(2)
    given = random.normal(size=50)
    first, second = random.normal(size=(2, 50)) + given
    (_, xy, xz), (_, _, yz), _ = np.corrcoef([first, second, given])
    expected = (xy - xz * yz) / math.sqrt((1 - xz**2) * (1 - yz**2))
    assert partial_correlation(first, second, given, np.arange(50)).value == pytest.approx(expected)


@pytest.mark.parametrize("correlation", [pearson, rank_correlation])
def test_correlations_of_copies_have_the_interval_of_their_clusters(correlation):
    rng = np.random.default_rng(0)
    first, noise, clusters = rng.normal(size=40), rng.normal(size=40), np.arange(40)
    second = first + noise
    alone = correlation(first, second, clusters)
    twice, often = (correlation(np.repeat(first, n), np.repeat(second, n), np.repeat(clusters, n)) for n in (2, 20))
    assert (twice.value, twice.low, twice.high) == pytest.approx((often.value, often.low, often.high), abs=1e-3)
    assert often.high - often.low == pytest.approx(alone.high - alone.low, rel=0.3)
    assert correlation(np.repeat(first, 20), np.repeat(second, 20), np.arange(800)).low > often.low


def test_the_intervals_of_correlations_in_clusters_cover_the_truth():
    rng, covered = np.random.default_rng(0), 0
    clusters = np.repeat(np.arange(15), 5)

    def correlated():
        return np.repeat(rng.normal(size=15), 5) * 0.6 + rng.normal(size=75) * 0.8

    for _ in range(200):
        first = correlated()
        found = pearson(first, 0.6 * first + 0.8 * correlated(), clusters)
        covered += found.low <= 0.6 <= found.high
    assert 0.9 <= covered / 200 <= 0.99
