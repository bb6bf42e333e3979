"""The rows of the training data on a model card add up."""

import pytest
from datasets import Dataset

from rlhf_losses import RewardConfig
from rlhf_losses.cards.provenance import Provenance
from rlhf_losses.hooks import as_loss
from rlhf_losses.training.run_card import data_sentences
from rlhf_losses.training.training_data import TrainingData

PAIRS = [{"prompt": "a ", "chosen": "b", "rejected": "c"}] * 4
RATINGS = [{"prompt": f"{i // 2} ", "completion": str(i), "rating": float(i)} for i in range(6)]


@pytest.mark.parametrize(
    ("rows", "loss", "provenance", "used", "expected"),
    [
        (PAIRS, "bradley_terry", Provenance(), 3, ["3 of 4 rows were used. The others are too long, or"]),
        (
            PAIRS,
            "bradley_terry",
            Provenance(rows=6, converter="judge_bench", without_feedback=2),
            4,
            [
                "The 6 rows of the dataset (2 without feedback) were converted to 4.",
                "4 of 4 rows were used.",
                "The converter was `judge_bench`.",
            ],
        ),
        (RATINGS, "bradley_terry", Provenance(rows=6), 3, ["grouped by prompt, to 3 rows.", "3 of 3 rows were used"]),
    ],
)
def test_rows_on_a_card(rows, loss, provenance, used, expected, tmp_path):
    args = RewardConfig(str(tmp_path), bf16=False, use_cpu=True, report_to="none")
    data = TrainingData(as_loss(loss).as_objective(), args, Dataset.from_list(rows), None)
    text = " ".join(data_sentences(data, provenance, used))
    assert text.startswith("It was trained on ")
    for sentence in expected:
        assert sentence in text
    assert "-" not in text
