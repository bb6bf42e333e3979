"""Calibration, length dependence, best of n, spread, slices and agreement of scored datasets."""

from itertools import combinations

import numpy as np
import pytest
import torch
from datasets import Dataset
from scipy import stats
from scored_datasets import pair, scored_data
from sklearn.metrics import brier_score_loss
from torchmetrics.functional.classification import binary_calibration_error

from rlhf_losses.cli.evaluation_tables import format_evaluation
from rlhf_losses.errors import InvalidArgumentError
from rlhf_losses.evaluation.annotated_agreement import accuracy_ceiling, agreement_of_pairs
from rlhf_losses.evaluation.best_of_n_curve import best_of_n_curve, expected_best_of_n
from rlhf_losses.evaluation.calibration import calibration, error_by_chance
from rlhf_losses.evaluation.items import compared_pairs, count_ties, items_of
from rlhf_losses.evaluation.length_dependence import length_dependence
from rlhf_losses.evaluation.result import Evaluation
from rlhf_losses.evaluation.score_spread import score_spread
from rlhf_losses.evaluation.scored_data import DroppedRows
from rlhf_losses.evaluation.scored_rows import scored_rows
from rlhf_losses.evaluation.slices import require_slice_columns, require_slice_values, slices_of
from rlhf_losses.hooks import loss_registry
from rlhf_losses.inspection import inspect_dataset
from rlhf_losses.metrics import agreement


def labelled(scores, labels):
    rows = [{"prompt": f"{i}?", "completion": "a", "label": label} for i, label in enumerate(labels)]
    (items,) = items_of(scored_data(rows, scores), rated_steps=False)
    return items


def test_calibration_of_labels_is_that_of_torchmetrics_and_scikit_learn():
    random = np.random.default_rng(0)
    scores = random.normal(size=200) * 2
    labels = random.random(200) < 1 / (1 + np.exp(-scores / 2))
    found = calibration(labelled(scores.tolist(), labels.tolist()))
    probabilities = torch.sigmoid(torch.tensor(scores))
    expected = binary_calibration_error(probabilities, torch.tensor(labels).long(), n_bins=10, norm="l1")
    assert found.calibration_error == pytest.approx(float(expected), abs=1e-6)
    assert found.brier == pytest.approx(brier_score_loss(labels, probabilities.numpy()), abs=1e-6)
    squares = (probabilities.double().numpy() - labels) ** 2
    interval = stats.ttest_1samp(squares, 0).confidence_interval()
    assert (found.brier_score.low, found.brier_score.high) == pytest.approx(tuple(interval), abs=1e-6)
    assert sum(one.observed.count for one in found.bins) == 200
    assert found.temperature == pytest.approx(2, rel=0.5)
    assert found.calibration_error_at_temperature < found.calibration_error


def test_a_calibrated_model_has_an_error_by_chance():
    """With one probability the error is the distance of a binomial share from it."""
    error = error_by_chance(np.full(400, 0.75), lowest=0.5)
    assert error == pytest.approx(stats.norm.ppf(0.975) * (0.75 * 0.25 / 400) ** 0.5, rel=0.25)


def test_pairs_are_calibrated_if_differences_are_log_odds():
    """Three of four pairs with a difference of ln 3 are right."""
    rows = [pair(f"{i}?", "a", "b") for i in range(4)]
    difference = float(np.log(3))
    items = compared_pairs(scored_data(rows, [difference, 0, difference, 0, difference, 0, 0, difference]))
    found = calibration(items)
    assert found.calibration_error == pytest.approx(0, abs=1e-6)
    assert found.brier == pytest.approx(0.75 * 0.25)
    assert found.temperature == pytest.approx(1, abs=1e-4)
    assert [(one.probability, one.observed.value) for one in found.bins] == [pytest.approx((0.75, 0.75))]


def test_scores_that_contradict_the_annotations_have_an_infinite_temperature():
    found = calibration(compared_pairs(scored_data([pair("1?", "a", "b"), pair("2?", "a", "b")], [0.0, 2.0, 0.0, 1.0])))
    assert found.temperature == np.inf
    assert found.to_dict()["temperature"] is None


def pairs_by_length(count, weight, seed=0):
    """Return pairs of which half have the longer answer as the better one, with score = quality + weight * length."""
    random = np.random.default_rng(seed)
    rows, scores = [], []
    for i in range(count):
        lengths = random.integers(5, 50, size=2)
        rows.append(pair(f"{i}?", "a" * lengths[0], "b" * lengths[1]))
        scores += [1 + random.normal() + weight * lengths[0], random.normal() + weight * lengths[1]]
    return scored_data(rows, scores)


def test_a_length_bias_has_a_warning_and_an_honest_model_has_none():
    biased, honest = (pairs_by_length(150, weight) for weight in (0.2, 0.0))
    found, clean = (length_dependence(data, compared_pairs(data)) for data in (biased, honest))
    assert "Length bias: longer answers have higher scores than the annotations explain" in found.warning
    assert found.accuracy_longer_better.value > found.accuracy_shorter_better.value + 0.5
    assert clean.warning is None
    assert abs(clean.partial_correlation.value) < 0.2
    assert clean.accuracy_longer_better.count + clean.accuracy_shorter_better.count == clean.longer_is_better.count


def test_lengths_that_the_annotations_explain_are_no_bias():
    """Annotators prefer longer answers; the scores are those of the annotators alone."""
    random = np.random.default_rng(0)
    rows, scores = [], []
    for i in range(200):
        short = int(random.integers(5, 20))
        rows.append(pair(f"{i}?", "a" * (short + int(random.integers(10, 20))), "b" * short))
        scores += [1 + 0.3 * random.normal(), 0.3 * random.normal()]
    data = scored_data(rows, scores)
    found = length_dependence(data, compared_pairs(data))
    assert found.correlation.value > 0.8
    assert abs(found.partial_correlation.value) < 0.2
    assert found.longer_is_better.value == 1
    assert found.warning is None


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_the_best_of_n_is_the_mean_over_all_choices(n):
    random = np.random.default_rng(4)
    scores, values = random.integers(0, 3, size=(4, 5)).astype(float), random.normal(size=(4, 5))

    def best(row, chosen):
        highest = max(scores[row, i] for i in chosen)
        return np.mean([values[row, i] for i in chosen if scores[row, i] == highest])

    expected = [np.mean([best(row, chosen) for chosen in combinations(range(5), n)]) for row in range(4)]
    assert expected_best_of_n(scores, values, n) == pytest.approx(expected)


def test_the_curve_goes_from_chance_to_the_choice_of_the_model():
    rows = [{"prompt": "1?", "completions": ["a", "b", "c"], "ranks": [1, 2, 3]}]
    rows.append({"prompt": "2?", "completions": ["a", "b"], "ranks": [1, 2]})
    rows.append({"prompt": "3?", "completions": ["a", "b"], "ranks": [1, 1]})  # equally good: no choice
    curve = best_of_n_curve(scored_data(rows, [0.0, 2.0, 1.0, 5.0, 4.0, 1.0, 2.0]))
    assert [one.n for one in curve] == [1, 2, 3]
    assert [one.quality.value for one in curve] == pytest.approx([0.5, (0.5 * 2 / 3 + 0 + 1) / 2, (0.5 + 1) / 2])
    assert [one.oracle for one in curve] == pytest.approx([0.5, ((1 + 1 + 0.5) / 3 + 1) / 2, 1])
    assert curve[-1].best_chosen.value == 0.5
    assert {one.chance for one in curve} == {0.5}


def test_the_spread_is_divided_into_within_and_between_prompts():
    rows = [pair("1?", "a", "b"), pair("1?", "a", "c"), pair("2?", "a", "b"), pair("3?", "a", "b")]
    found = score_spread(scored_data(rows, [1.0, 3.0, 1.0, 2.0, 5.0, 5.0, 0.0, 4.0]))
    scores = np.array([1.0, 3.0, 2.0, 5.0, 5.0, 0.0, 4.0])  # the answer "a" to the first prompt counts once
    within = (np.var([1, 3, 2]) * 3 + 0 * 2 + np.var([0, 4]) * 2) / 7
    assert (found.prompts, found.equal) == (3, pytest.approx(1 / 3))
    assert found.within == pytest.approx(within**0.5)
    assert found.share_within == pytest.approx(within / np.var(scores))


def test_slices_by_column_margin_and_length_divide_the_items():
    rows = [pair("1?", "aa", "b", margin=1.0, subset="x"), pair("2?", "a", "bbb", margin=2.0, subset="y")]
    rows.append(pair("3?", "a", "b", margin=2.0, subset=None))
    data = scored_data(rows, [1.0, 0.0, 0.0, 1.0, 1.0, 0.0], by=["subset"])
    slices = slices_of(data, compared_pairs(data))
    assert [one.metrics["longer_is_better"] for one in slices if one.by == "subset"] == [0.5, 1.0, 0.0]  # null, x, y
    found = {(one.by, one.value): one.estimate.value for one in slices}
    assert found == {
        ("subset", "x"): 1.0,
        ("subset", "y"): 0.0,
        ("subset", "null"): 1.0,
        ("margin", "1"): 1.0,
        ("margin", "2"): 0.5,
        ("length_ratio", "0 to 0.5"): 0.0,
        ("length_ratio", "0.8 to 1.25"): 1.0,
        ("length_ratio", "1.25 to 2"): 1.0,
    }


def test_many_numbers_are_divided_at_their_quartiles():
    rows = [pair(f"{i}?", "a", "b", year=2000 + i) for i in range(20)]
    data = scored_data(rows, [1.0, 0.0] * 20, by=["year"])
    found = [one for one in slices_of(data, compared_pairs(data)) if one.by == "year"]
    assert [(one.value, one.items) for one in found] == [
        ("up to 2004", 5), ("2004 to 2009", 5), ("2009 to 2014", 5), ("above 2014", 5),
    ]  # fmt: skip


def test_slices_of_steps_have_the_metrics_of_steps():
    rows = [
        {"prompt": f"{i}?", "completions": ["a", "b"], "labels": [True, i > 1], "category": "xxyy"[i]} for i in range(4)
    ]
    data = scored_data(rows, [1.0, -1.0, 1.0, 1.0, 1.0, 1.0, -1.0, 1.0], by=["category"])
    (items,) = items_of(data, rated_steps=False)
    found = {one.value: one.metrics for one in slices_of(data, items) if one.by == "category"}
    assert found["x"]["processbench_error"] == 0.5
    assert found["y"]["processbench_correct"] == 0.5
    assert found["x"]["negative_f1"] == pytest.approx(2 / 3)
    whole = agreement(data.scores, items.feedback)["accuracy"].mean
    assert whole == pytest.approx(np.mean([found["x"]["accuracy"], found["y"]["accuracy"]]))


def test_columns_that_have_no_slices_are_refused():
    with pytest.raises(InvalidArgumentError, match="'subset' is no column of the data, which have prompt, chosen"):
        require_slice_columns(["prompt", "chosen"], ["subset"])
    with pytest.raises(InvalidArgumentError, match=r"which have reviewer, winner\. Did you mean 'reviewer'\? Name"):
        require_slice_columns(["reviewer", "winner", "source_row"], ["reviewr"], ["prompt", "chosen"])
    require_slice_columns(["reviewer", "winner"], ["reviewer", "chosen"], ["chosen"])
    with pytest.raises(InvalidArgumentError, match="neither a text nor a number"):
        require_slice_values("meta", ["a", {"x": 1}])
    with pytest.raises(InvalidArgumentError, match="500 different texts"):
        require_slice_values("id", [f"id {i}" for i in range(500)])
    require_slice_values("year", list(range(500)))


def test_contradictory_rows_bound_the_accuracy():
    """Three of four annotators prefer the first answer, so no scorer agrees with more than 3 of these 4 rows."""
    rows = [pair("1?", "a", "b")] * 3 + [pair("1?", "b", "a"), pair("2?", "c", "d")]
    data = scored_data(rows, [1.0, 0.0] * 3 + [0.0, 1.0] + [1.0, 0.0])
    items = compared_pairs(data)
    ceiling = accuracy_ceiling(data, items)
    assert ceiling.share == pytest.approx(4 / 5)
    assert (ceiling.repeated, ceiling.different) == (1, 2)
    assert "1 of 2 different comparisons" in format_evaluation(Evaluation.of(data, DroppedRows(given=5), {}, False))
    assert items.metrics()["accuracy"] == pytest.approx(4 / 5)
    assert agreement_of_pairs(data, items).tolist() == [0.75, 0.75, 0.75, 0.75, 1.0]


@pytest.mark.parametrize(("answers", "ceiling"), [(["ab", "bc", "ac"], None), (["ab", "bc", "ca"], 2 / 3)])
def test_without_repeated_texts_only_a_cycle_bounds_the_accuracy(answers, ceiling):
    data = scored_data([pair("1?", better, worse) for better, worse in answers], [0.0] * 6)
    found = Evaluation.of(data, DroppedRows(given=3), {}, False)
    assert found.get("accuracy_ceiling") == found.to_dict()["agreements"][0]["accuracy_ceiling"] == ceiling


def test_equal_answers_are_half_right_in_the_accuracy_and_in_its_ceiling():
    rows = [pair("1?", "a", "b"), pair("2?", "c", "d"), pair("3?", "e", "e")]
    data = scored_data(rows, [1.0, 0.0, 1.0, 0.0, 2.0, 2.0])
    inspected = inspect_dataset(Dataset.from_list(rows), loss_registry()).to_dict()["feedback"]["Pairs"]
    accuracy = (1 + 1 + 0.5) / 3
    assert compared_pairs(data).metrics()["accuracy"] == pytest.approx(accuracy)
    assert accuracy_ceiling(data, compared_pairs(data)).share == inspected["accuracy_ceiling"] == accuracy


def test_the_preferred_answer_of_a_preference_below_one_half_is_the_rejected_one():
    rows = [
        pair("1?", "a", "b", preference=0.2),
        pair("2?", "a", "b", preference=0.5),
        pair("3?", "a", "b", preference=0.9),
    ]
    items = compared_pairs(scored_data(rows, [0.0, 1.0, 0.0, 1.0, 2.0, 1.0]))
    assert items.outcome.tolist() == [1.0, 1.0]
    assert items.preference.tolist() == pytest.approx([0.8, 0.9])


def test_ratings_in_rows_of_their_own_are_compared_within_a_prompt():
    rated = [("1?", "a", 1.0, "ann"), ("2?", "b", 5.0, "ann"), ("1?", "c", 3.0, "bob"), ("1?", "a", 4.0, "bob")]
    rated += [(None, "d", 1.0, "bob"), (None, "e", 2.0, "bob"), ("2?", "f", 5.0, "ann")]
    names = ("prompt", "completion", "rating", "by")
    rows = [dict(zip(names, row, strict=True)) for row in rated]
    data = scored_data(rows, [0.0, 9.0, 2.0, 0.0, 1.0, 2.0, 8.0], by=["by"])
    pairs, ratings = items_of(data, rated_steps=False)
    assert (pairs.better.tolist(), pairs.worse.tolist()) == ([2], [0])
    assert pairs.margin.tolist() == [3.0 - (1.0 + 4.0) / 2]
    assert count_ties(data) == 1
    assert len(ratings) == len(rows)
    assert "by" not in {one.by for one in slices_of(data, pairs)}
    assert "by" in {one.by for one in slices_of(data, ratings)}
    written = list(scored_rows(data, [pairs, ratings]))
    assert all(one.better == () for one in written)
    assert [one.labels for one in written] == [(row["rating"],) for row in rows]


def test_answers_in_steps_are_compared_by_the_mean_over_their_steps():
    row = {"prompt": "1?", "chosen_steps": ["a", "b"], "rejected_steps": ["c"]}
    items = compared_pairs(scored_data([row], [4.0, 0.0, 1.0]))
    assert items.difference.tolist() == [1.0]


def test_steps_have_intervals_of_whole_answers():
    """The answers are found wrong, missed, called wrong although right, and right."""
    cases = [([1.0, -1.0], True), ([1.0, 1.0], True), ([-1.0, 1.0], False), ([1.0, 1.0], False)] * 20
    rows = [
        {"prompt": f"{i}?", "completions": ["a", "b"], "labels": [True, not wrong]}
        for i, (_, wrong) in enumerate(cases)
    ]
    (items,) = items_of(scored_data(rows, [score for scores, _ in cases for score in scores]), rated_steps=False)
    found = items.estimates()
    assert (found["answer_accuracy"].value, found["answer_accuracy"].count) == (0.5, 80)
    assert found["processbench_f1"].value == items.metrics()["processbench_f1"] == 0.5
    assert 0 < found["processbench_f1"].low < 0.5 < found["processbench_f1"].high < 1
    assert items.metrics()["answer_accuracy"] == 0.5
