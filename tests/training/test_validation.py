"""Checks before training that need no model."""

import pytest
from datasets import Dataset

from rlhf_losses import RewardConfig, parse_loss
from rlhf_losses.training.validation import warn_about_small_steps

PAIRS = Dataset.from_dict({"text_ids": [[[1], [2]]] * 4})


@pytest.mark.parametrize(
    ("loss", "batch_size", "steps", "needed"),
    [
        ("bradley_terry + length_decorrelation", 8, 1, 32),
        ("bradley_terry + length_decorrelation", 8, 2, 16),
        ("bradley_terry + length_decorrelation", 32, 1, None),
        ("bradley_terry + batch_sum_to_zero", 1, 1, None),
        ("bradley_terry", 1, 1, None),
    ],
)
def test_a_statistic_of_few_answers_is_named_with_the_batch_size_that_is_enough(
    tmp_path, caplog, loss, batch_size, steps, needed
):
    args = RewardConfig(
        str(tmp_path),
        per_device_train_batch_size=batch_size,
        gradient_accumulation_steps=steps,
        use_cpu=True,
        bf16=False,
        report_to="none",
    )
    warn_about_small_steps(parse_loss(loss).as_objective(), args, PAIRS)
    assert ("mostly noise" in caplog.text) == (needed is not None)
    assert needed is None or f"Use per_device_train_batch_size={needed}." in caplog.text
