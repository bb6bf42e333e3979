"""The accuracy after a training has the interval of scipy, and chance is named as chance."""

from dataclasses import replace

import pytest
from scipy.stats import binomtest
from scored_datasets import scored_data

from rlhf_losses.evaluation.result import Evaluation
from rlhf_losses.evaluation.scored_data import DroppedRows
from rlhf_losses.training.accuracy_summary import (
    describe_accuracies,
    summarize_accuracy,
    summarize_evaluation,
    wilson_interval,
)


@pytest.mark.parametrize(("right", "count"), [(0, 7), (5, 9), (70, 100), (100, 100)])
def test_the_interval_is_that_of_scipy(right, count):
    expected = binomtest(right, count).proportion_ci(method="wilson")
    assert wilson_interval(right / count, count) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_each_evaluation_set_counts_and_the_latest_evaluation():
    log = [{"eval_math_accuracy": 0.1}, {"accuracy": 1.0}, {"eval_math_accuracy": 0.9}, {"eval_code_accuracy": 0.5}]
    math, code = summarize_accuracy(log, {"eval_math_": 50, "eval_code_": 50})
    assert (math.name, math.accuracy) == ("Accuracy on math", 0.9)
    assert describe_accuracies([math])[0].endswith(").")
    assert (
        "no better than chance (0.500). Try a learning_rate that is 3 to 10 times larger"
        in describe_accuracies([code])[0]
    )


def test_an_accuracy_above_chance_on_few_rows_is_not_clearly_better():
    (summary,) = summarize_accuracy([{"eval_accuracy": 1.0}], {"eval_": 3})
    assert "This is not clearly better than chance (0.500)" in describe_accuracies([summary])[0]


def test_training_accuracy_is_that_of_the_rows_in_the_last_fifth_of_the_logs():
    log = [{"accuracy": 0.5, "step": 10 * n} for n in range(1, 9)]
    log += [{"accuracy": 0.675, "step": 90}, {"accuracy": 0.75, "step": 94}, {"train_loss": 1.0, "step": 94}]
    (summary,) = summarize_accuracy(log, rows_per_step=8)
    rows = (94 - 80) * 8
    expected = binomtest(round(10 * 8 * 0.675 + 4 * 8 * 0.75), rows).proportion_ci(method="wilson")
    assert summary.accuracy == pytest.approx((10 * 0.675 + 4 * 0.75) / 14)
    assert (summary.low, summary.high) == pytest.approx((expected.low, expected.high))
    assert summary.name == "Training accuracy in the last 2 logs (112 rows)"
    assert summarize_accuracy(log[:9], rows_per_step=8) == summarize_accuracy(log) == []


def test_rows_count_once_and_ties_do_not_count():
    (held_out,) = summarize_accuracy([{"eval_accuracy": 0.75, "eval_accuracy_count": 57.0}], {"eval_": 75})
    assert (held_out.low, held_out.high) == wilson_interval(0.75, 57)
    (lists,) = summarize_accuracy([{"eval_accuracy": 0.75, "eval_accuracy_count": 600.0}], {"eval_": 100})
    assert (lists.low, lists.high) == wilson_interval(0.75, 100)
    log = [{"accuracy": 0.9, "accuracy_count": 60.0, "step": 8 * n} for n in range(1, 16)]
    for train_rows, expected in ((237, 180), (100, 100)):
        (trained,) = summarize_accuracy(log, rows_per_step=8, train_rows=train_rows)
        assert (trained.low, trained.high) == wilson_interval(trained.accuracy, expected)
        assert trained.name == f"Training accuracy in the last 3 logs ({expected} rows)"


def test_chance_is_the_share_of_the_more_frequent_label():
    (summary,) = summarize_accuracy([{"eval_accuracy": 0.87, "eval_base_rate": 0.87}], {"eval_": 200})
    assert "no better than chance (0.870)" in describe_accuracies([summary])[0]


def test_rated_answers_have_their_accuracy_within_prompts_and_their_rank_correlation():
    rows = [{"prompt": f"{n // 2}", "completion": f"{n}", "rating": n % 2 + n // 2 % 3} for n in range(40)]
    scores = [-100.0 * (n // 2 % 3) + n % 2 for n in range(40)]  # right within prompts, wrong between them
    for differences in (False, True):
        found = Evaluation.of(scored_data(rows, scores), DroppedRows(given=40), {}, False, None, differences)
        lines = describe_accuracies(summarize_evaluation(found))
        assert lines[0].startswith(
            "Accuracy within prompts on the evaluation data: 1.000 (95 % interval 0.839 to 1.000)."
        )
        assert len(lines) == 1 + (not differences)
    value = f"{found['spearman']:.3f}"
    _, line = describe_accuracies(summarize_evaluation(replace(found, trained_on_differences=False)))
    assert line.startswith(f"Rank correlation with the ratings of the evaluation data: {value} (95 % interval ")
    assert "This is no better than chance (0.000). Try a learning_rate" in line
    assert summarize_evaluation(None) == []
