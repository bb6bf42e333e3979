"""Comparison of the output folders of two evaluations."""

import json
import math
from dataclasses import replace

import pytest
from scipy import stats
from scored_datasets import scored_data

from rlhf_losses.cli.evaluation_tables import format_comparisons
from rlhf_losses.errors import FeedbackMismatchError, InvalidFeedbackError, OutputExistsError, UnreadableDatasetError
from rlhf_losses.evaluation.output_folder import read_evaluation, require_new_folder, write_evaluation
from rlhf_losses.evaluation.paired_comparison import compare_evaluations, mcnemar
from rlhf_losses.evaluation.result import Evaluation
from rlhf_losses.evaluation.scored_data import DroppedRows
from rlhf_losses.evaluation.scored_rows import ScoredRow


def row(number, outcome, prompt=None):
    return ScoredRow(
        number, f"key {number}", prompt or f"{number}?", ("a\u2028b", "c"), (outcome, 0.25), (3, 1), 2, (0,), (1,),
        outcomes=(outcome,), columns={"subset": "x"},
    )  # fmt: skip


def folder(path, rows):
    write_evaluation(path, {"accuracy": 0.5}, rows)
    return read_evaluation(path)


def test_rows_are_read_as_they_were_written(tmp_path):
    rows = (row(0, 1.0), row(1, 0.5))
    found = folder(tmp_path / "new" / "run", rows)
    assert found.rows == rows
    assert found.metrics == {"accuracy": 0.5}
    with pytest.raises(OutputExistsError, match="exists"):
        require_new_folder(tmp_path / "new" / "run")


def test_a_comparison_is_paired_and_uses_the_common_rows(tmp_path):
    outcomes = [(1.0, 1.0)] * 5 + [(1.0, 0.0)] * 2 + [(0.0, 1.0)] * 7 + [(0.0, 0.5)]
    first = [row(i, one) for i, (one, _) in enumerate(outcomes)]
    second = [row(i, other) for i, (_, other) in enumerate(outcomes)]
    (found,) = compare_evaluations(
        folder(tmp_path / "a", [*first, row(100, 1.0)]), folder(tmp_path / "b", [row(200, 0.0), *second[::-1]])
    )
    assert (found.rows, found.only_in_one, found.metric) == (15, 2, "accuracy")
    assert (found.only_first_right, found.only_second_right) == (2, 7)
    assert found.p_value == pytest.approx(stats.binomtest(2, 9).pvalue)
    differences = [other - one for one, other in outcomes]
    assert found.difference.value == pytest.approx(sum(differences) / 15)
    interval = stats.ttest_1samp(differences, 0).confidence_interval()
    assert (found.difference.low, found.difference.high) == pytest.approx(tuple(interval))
    assert found.first.value == pytest.approx(7 / 15)
    json.dumps(found.to_dict(), allow_nan=False)


def test_rows_of_one_prompt_are_one_cluster(tmp_path):
    first, second = ([row(i, float((i // 4 + shift) % 3 > 0), f"{i // 4}?") for i in range(32)] for shift in (0, 1))
    (clustered,) = compare_evaluations(folder(tmp_path / "a", first), folder(tmp_path / "b", second))
    apart = [[replace(one, prompt=f"{one.row}?") for one in rows] for rows in (first, second)]
    (independent,) = compare_evaluations(folder(tmp_path / "c", apart[0]), folder(tmp_path / "d", apart[1]))
    assert clustered.difference.value == independent.difference.value
    assert clustered.difference.low < independent.difference.low


def test_ratings_are_compared_by_their_rank_correlation(tmp_path):
    ratings = [1.0, 5.0, 3.0, 4.0, 2.0, 2.0]
    scores = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], ratings)
    rows = [
        [
            replace(row(i, 0.0), scores=(one, 0.0), outcomes=(), labelled=(0,), labels=(ratings[i],))
            for i, one in enumerate(of)
        ]
        for of in scores
    ]
    (found,) = compare_evaluations(folder(tmp_path / "a", rows[0]), folder(tmp_path / "b", rows[1]))
    assert (found.metric, found.p_value) == ("spearman", None)
    assert found.second.value == pytest.approx(1.0)
    assert found.first.value == pytest.approx(stats.spearmanr(scores[0], ratings).statistic)


def test_rated_answers_are_compared_within_each_prompt_as_in_the_evaluations(tmp_path):
    answers = [
        ("1?", "a", 5.0),
        ("1?", "b", 1.0),
        ("1?", "a", 3.0),
        ("2?", "c", 2.0),
        ("2?", "d", 4.0),
        ("3?", "e", 1.0),
    ]
    rows = [{"prompt": prompt, "completion": answer, "rating": rating} for prompt, answer, rating in answers]
    evaluations = []
    for name, scores in (("a", [2.0, 1.0, 2.0, 0.0, 5.0, 9.0]), ("b", [2.0, 1.0, 2.0, 5.0, 0.0, 9.0])):
        found = Evaluation.of(scored_data(rows, scores), DroppedRows(given=len(rows)), {}, False)
        write_evaluation(tmp_path / name, found.to_dict(), found.rows)
        evaluations.append((read_evaluation(tmp_path / name), found))
    accuracy, spearman = compare_evaluations(*(one for one, _ in evaluations))
    assert (accuracy.metric, spearman.metric) == ("accuracy", "spearman")
    for one, (_, found) in zip((accuracy.first, accuracy.second), evaluations, strict=True):
        assert (one.value, one.count) == (found["accuracy"], 2)
    assert (accuracy.first.value, accuracy.second.value, accuracy.only_first_right) == (1.0, 0.5, 1)


def test_without_discordant_items_there_is_no_evidence(tmp_path):
    assert mcnemar(0, 0) == 1.0
    rows = [row(i, float(i % 3 > 0)) for i in range(12)]
    rated = [replace(one, outcomes=(), labelled=(0,), labels=(one.row % 5,)) for one in rows]
    for name, of, note in (("a", rows, "all outcomes are equal"), ("b", rated, "all scores are equal")):
        (found,) = compare_evaluations(folder(tmp_path / name, of), folder(tmp_path / f"{name}2", of))
        assert (found.difference.value, math.isnan(found.difference.low), found.note_on_equality) == (0, True, note)
        header, _, other = format_comparisons(["one", "other"], [[found]]).splitlines()
        assert note in other
        assert (header.split()[1:3], other.split()[1:3]) == (["ROWS", "ITEMS"], ["12", "12"])


def test_evaluations_of_other_data_are_refused(tmp_path):
    first, second = folder(tmp_path / "a", [row(0, 1.0)]), folder(tmp_path / "b", [row(1, 1.0)])
    with pytest.raises(FeedbackMismatchError, match="no row in common"):
        compare_evaluations(first, second)


def test_damaged_folders_are_refused_with_their_file(tmp_path):
    with pytest.raises(UnreadableDatasetError, match=r"metrics\.json' cannot be read"):
        read_evaluation(tmp_path)
    folder(tmp_path / "a", [row(0, 1.0)])
    (tmp_path / "a" / "scores.jsonl").write_text('{"row": 0}\n')
    with pytest.raises(InvalidFeedbackError, match=r"Line 1 of .*scores\.jsonl.*no valid 'scores'"):
        read_evaluation(tmp_path / "a")
    (tmp_path / "a" / "scores.jsonl").write_text('{"row":\n')
    with pytest.raises(UnreadableDatasetError, match=r"Line 1 of .*is no JSON object"):
        read_evaluation(tmp_path / "a")
