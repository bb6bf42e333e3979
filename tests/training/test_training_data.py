"""The data of a run: what is logged about them before a model is loaded."""

import logging

import pytest
from datasets import Dataset

from rlhf_losses import RewardConfig, bradley_terry, centering, independent_classification
from rlhf_losses.errors import FeedbackMismatchError
from rlhf_losses.training.training_data import TrainingData

PAIRS = {"prompt": ["Tell of Tom."] * 10, "chosen": ["The dog."] * 10, "rejected": [" A cat."] * 10}


def logged(caplog, columns, loss=bradley_terry, streaming=False):
    data = Dataset.from_dict(columns)
    with caplog.at_level(logging.INFO, "rlhf_losses"):
        TrainingData(
            loss.as_objective(), RewardConfig(bf16=False), data.to_iterable_dataset() if streaming else data, None
        )
    return caplog.text


@pytest.mark.parametrize("streaming", [False, True])
def test_answers_that_all_begin_without_white_space_give_a_warning(caplog, streaming):
    text = logged(caplog, PAIRS, streaming=streaming)
    rows = "the first 10 rows" if streaming else "10 rows"
    assert f"meet without white space in 10 of {rows}, as in 'Tell of Tom.The dog.'" in text


def test_all_rows_are_counted(caplog):
    """Also in a dataset with more rows than a sample would have."""
    columns = {name: values * 99 + [f" {values[0]}"] for name, values in PAIRS.items()}
    assert "meet without white space in 990 of 991 rows" in logged(caplog, columns)


def test_rows_with_missing_texts_are_named(caplog):
    columns = {**PAIRS, "prompt": ["Q "] * 9 + [None], "rejected": ["", *PAIRS["rejected"][1:]]}
    text = logged(caplog, columns)
    assert "train data: 1 of 10 rows has an empty answer: row 0. " in text
    assert "train data: 1 of 10 rows has no prompt, but other rows have one: row 9. " in text


@pytest.mark.parametrize("streaming", [False, True])
@pytest.mark.parametrize(
    ("column", "values", "warned"),
    [("checked", ["a", "b"], True), ("preferred", [1, 2], True), ("turn", [1, 2], False), ("split", ["a", "b"], False)],
)
def test_an_unread_column_of_winners_gives_a_warning(caplog, streaming, column, values, warned):
    text = logged(caplog, {**PAIRS, column: values * 5}, streaming=streaming)
    remedy = f"rename_columns(dataset, {{'response_a': 'chosen', 'response_b': 'rejected', 'winner': '{column}'}})"
    assert (remedy in text) is warned
    assert ("those of a winner" in text) is warned
    assert (
        "winner"
        not in logged(caplog, {**PAIRS, column: values * 5, "preference": [1.0] * 10}, streaming=streaming)[len(text) :]
    )


def test_a_few_such_answers_give_none(caplog):
    columns = {**PAIRS, "chosen": ["The dog."] * 8 + [" The dog."] * 2}
    assert "white space" not in logged(caplog, columns)


@pytest.mark.parametrize("streaming", [False, True])
def test_the_use_of_optional_columns_is_logged_for_each_term(caplog, streaming):
    columns = {**PAIRS, "margin": [0, 3] * 5, "other": [1] * 10}
    text = logged(caplog, columns, bradley_terry + independent_classification + centering, streaming)
    values = "" if streaming else r" (0 to 3, mean 1.5; 0 in 5 (50.0 %) of 10 rows)"
    assert f"bradley_terry: the column margin is subtracted from the score difference, in score units{values}." in text
    assert text.count("the column") == 1


def test_prompts_of_the_training_data_in_the_evaluation_data_give_a_warning(caplog, tmp_path):
    args = RewardConfig(str(tmp_path), bf16=False, use_cpu=True, report_to="none")
    other = {**PAIRS, "prompt": ["Tell of Tom."] * 4 + ["Tell of Ann."] * 6}
    TrainingData(
        bradley_terry.as_objective(),
        args,
        Dataset.from_dict(PAIRS),
        {"old": Dataset.from_dict(other), "new": Dataset.from_dict({**PAIRS, "prompt": ["Tell of Ann."] * 10})},
    )
    assert "old data: 1 of 2 prompts are in the training data too" in caplog.text
    assert "new data" not in caplog.text


def test_data_that_have_to_be_converted_are_named(tmp_path):
    args = RewardConfig(str(tmp_path), bf16=False, use_cpu=True, report_to="none")
    sides = {"prompt": ["p"], "response_a": ["a"], "response_b": ["b"]}
    for columns, remedy in (
        ({**sides, "winner": ["a"]}, r"compared_answers.*Use rlhf_losses\.convert_dataset\(dataset\)"),
        (sides, "two answers without a winner.*rlhf-losses score"),
    ):
        with pytest.raises(FeedbackMismatchError, match=remedy):
            TrainingData(bradley_terry.as_objective(), args, Dataset.from_dict(columns), None)
