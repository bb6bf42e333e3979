"""Metrics are means over all items since the last log, over all processes."""

import pytest
import torch

from rlhf_losses.metrics import Tally
from rlhf_losses.training.metric_totals import MetricTotals


def test_means_weigh_every_item_of_all_passes_equally():
    totals = MetricTotals()
    totals.add({"accuracy": Tally(3.0, 4.0)}, torch.tensor([1.0, 2.0, 3.0, 4.0]))
    totals.add({"accuracy": Tally(0.0, 1.0)}, torch.tensor([0.0]))
    totals.end_batch()
    means = totals.compute()
    assert means["accuracy"] == pytest.approx(3 / 5)
    assert means["mean_reward"] == pytest.approx(10 / 5)


def test_extremes_are_those_of_all_batches_and_processes():
    totals = MetricTotals()
    for scores in ([1.0, 5.0], [3.0, 4.0]):
        totals.add({}, torch.tensor(scores))
        totals.end_batch()
    own = totals.compute()
    assert (own["min_reward"], own["max_reward"]) == (1.0, 5.0)
    other_process = torch.tensor([[-2.0, 4.5]])
    both = totals.compute(all_gather=lambda rows: torch.cat([rows, other_process]))
    assert (both["min_reward"], both["max_reward"]) == (-2.0, 5.0)


def test_a_batch_without_scores_counts_0_times_with_the_same_names():
    totals = MetricTotals()
    totals.add({"accuracy": Tally()}, torch.zeros(0))
    totals.end_batch()
    assert totals.compute() == {}
    sums = []
    totals.compute(lambda tensor: sums.append(tensor) or tensor)
    assert sums[0].tolist() == [[0.0, 0.0]] * 2  # accuracy and mean_reward


def test_totals_of_processes_are_added_before_the_division():
    totals = MetricTotals()
    totals.add({"accuracy": Tally(1.0, 1.0)}, torch.tensor([2.0]))
    totals.end_batch()
    other = torch.tensor([[0.0, 3.0], [6.0, 1.0]])
    means = totals.compute(lambda tensor: tensor + other)
    assert means == {"accuracy": 0.25, "accuracy_count": 4.0, "mean_reward": 4.0, "min_reward": 2.0, "max_reward": 2.0}


def test_totals_continue_from_their_state():
    whole, first, second = MetricTotals(), MetricTotals(), MetricTotals()
    batches = [(torch.tensor([1.5, -2.0]), Tally(1.0, 2.0)), (torch.tensor([0.5]), Tally(1.0, 1.0))]
    for scores, tally in batches:
        labelled = torch.stack([scores, torch.ones_like(scores)], dim=1)
        for totals in (whole, first if tally.count == 2 else second):
            totals.add({"accuracy": tally}, scores, labelled)
            totals.end_batch()
    resumed = MetricTotals()
    for totals in (first, second):
        resumed.add_state(totals.state_dict())
    assert resumed.compute() == whole.compute()
    assert whole.compute()["min_reward"] == -2.0


def test_metrics_of_labels_use_the_scores_of_all_batches_and_processes():
    totals, labelled = MetricTotals(), torch.tensor([[3.0, 1.0], [1.0, 1.0], [2.0, -1.0]])
    for rows in labelled.split([2, 1]):
        totals.add({}, rows[:, 0], rows)
    totals.end_batch()
    assert totals.compute()["auc"] == 1 / 2  # of a positive and a negative score, 3 is above 2 and 1 is not
    other = torch.tensor([[1.5, -1.0]])
    together = totals.compute(lambda sums: 2 * sums, lambda rows: torch.cat([rows, other]))
    assert together["auc"] == 2 / 4
    assert together["base_rate"] == 2 / 4


def test_nothing_is_left_after_clear():
    totals = MetricTotals()
    totals.add({"accuracy": Tally(1.0, 1.0)}, torch.tensor([2.0]), torch.tensor([[2.0, 1.0]]))
    totals.end_batch()
    totals.clear()
    assert totals.compute() == {}
