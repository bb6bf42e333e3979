"""The data of a run: what is logged about them before a model is loaded."""

import logging

import pytest
from datasets import Dataset

from rlhf_losses import RewardConfig, bradley_terry, centering, independent_classification
from rlhf_losses.training.training_data import TrainingData

PAIRS = {"prompt": ["Tell of Tom."] * 10, "chosen": ["The dog."] * 10, "rejected": [" A cat."] * 10}


def logged(caplog, columns, loss=bradley_terry, streaming=False):
    data = Dataset.from_dict(columns)
    with caplog.at_level(logging.INFO, "rlhf_losses.training"):
        TrainingData(
            loss.as_objective(), RewardConfig(bf16=False), data.to_iterable_dataset() if streaming else data, None
        )
    return caplog.text


@pytest.mark.parametrize("streaming", [False, True])
def test_answers_that_all_begin_without_white_space_give_a_warning(caplog, streaming):
    text = logged(caplog, PAIRS, streaming=streaming)
    assert "meet without white space in 10 of 10 rows, as in 'Tell of Tom.The dog.'" in text


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
