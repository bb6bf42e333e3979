"""The data of a run: what is logged about them before a model is loaded."""

import logging

import pytest
from datasets import Dataset

from rlhf_losses import RewardConfig, bradley_terry
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
