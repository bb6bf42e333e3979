"""Metrics of labelled items equal those of scikit-learn."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import balanced_accuracy_score, f1_score, roc_auc_score

from rlhf_losses.metrics import Tally, classification_metrics, summarize

ITEMS = st.lists(st.tuples(st.sampled_from([-30.0, -2.5, -1.0, 0.5, 1.0, 40.0, 41.0]), st.booleans()), min_size=1)


def labelled(items):
    return torch.tensor([[score, 1.0 if label else -1.0] for score, label in items])


@given(ITEMS)
def test_metrics_equal_those_of_scikit_learn(items):
    scores, labels = [score for score, _ in items], [label for _, label in items]
    predicted = [score > 0 for score in scores]
    expected = {"base_rate": max(labels.count(True), labels.count(False)) / len(labels)}
    if any(labels + predicted):
        expected["f1"] = f1_score(labels, predicted)
    if not all(labels + predicted):
        expected["negative_f1"] = f1_score(labels, predicted, pos_label=False)
    if len(set(labels)) == 2:
        expected["balanced_accuracy"] = balanced_accuracy_score(labels, predicted)
        expected["auc"] = roc_auc_score(labels, scores)
    assert classification_metrics(labelled(items)) == pytest.approx(expected)


def test_a_constant_prediction_has_the_base_rate_as_accuracy_and_no_skill():
    measured = classification_metrics(labelled([(2.0, True)] * 7 + [(2.0, False)]))
    assert measured["base_rate"] == 7 / 8
    assert (measured["balanced_accuracy"], measured["auc"], measured["negative_f1"]) == (0.5, 0.5, 0.0)


def test_a_score_of_0_is_half_of_each_prediction():
    measured = classification_metrics(labelled([(0.0, True), (0.0, False)]))
    assert (measured["balanced_accuracy"], measured["f1"], measured["negative_f1"]) == (0.5, 0.5, 0.5)


def test_large_scores_keep_their_order():
    """A sigmoid in float32 is 1 for both."""
    assert classification_metrics(labelled([(41.0, True), (40.0, False)]))["auc"] == 1.0


def test_without_items_no_metric_is_defined():
    assert classification_metrics(torch.zeros(0, 2)) == {}


def test_scores_that_are_not_a_number_have_no_auc():
    assert math.isnan(classification_metrics(labelled([(math.nan, True), (0.0, False)]))["auc"])


@pytest.mark.parametrize(("error", "correct", "expected"), [(0.5, 1.0, 2 / 3), (0.0, 1.0, 0.0), (0.0, 0.0, 0.0)])
def test_processbench_f1_is_the_harmonic_mean_of_both_accuracies(error, correct, expected):
    tallies = {"processbench_error": Tally(4 * error, 4), "processbench_correct": Tally(8 * correct, 8)}
    assert summarize(tallies)["processbench_f1"] == pytest.approx(expected)


def test_processbench_f1_needs_correct_and_wrong_answers():
    assert summarize({"processbench_error": Tally(1, 2), "processbench_correct": Tally()}) == {
        "processbench_error": 0.5
    }
