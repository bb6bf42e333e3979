"""Known errors of other reward-model trainers; `tests/losses/test_regressions.py` has those of losses."""

import numpy as np
import pytest
import torch
from datasets import Dataset

from rlhf_losses import RewardConfig, RewardTrainer
from rlhf_losses.layouts import PaddedLayout
from rlhf_losses.models.scores import score_batch

pytestmark = pytest.mark.upstream


def test_scores_are_computed_at_eos_also_where_padding_is_eos(reward_model, tokenizer):
    eos = tokenizer.eos_token_id
    reward_model.config.pad_token_id = eos
    text, ended = [5, 6, 7], [5, 6, 7, eos]
    with torch.no_grad():
        naive = [reward_model(input_ids=torch.tensor([ids])).logits.item() for ids in (text, ended)]
        padded = PaddedLayout(eos).batch([ended, [9] * 8 + [eos]], [0, 1], [3, 8])
        alone = PaddedLayout(eos).batch([ended], [0], [3])
        ours, again = score_batch(reward_model, padded)[0].item(), score_batch(reward_model, alone)[0].item()
    assert naive[0] == pytest.approx(naive[1], abs=1e-6)
    assert ours == pytest.approx(again, abs=1e-6)
    assert ours != pytest.approx(naive[1], abs=1e-6)


def test_compute_metrics_receives_every_row_with_its_scores(language_model, settings):
    rows = Dataset.from_list([{"prompt": f"{i}? ", "chosen": "yes" * (i + 1), "rejected": "no"} for i in range(10)])
    calls = []

    def compute_metrics(predictions):
        calls.append(predictions)
        return {"rows": float(len(predictions.predictions))}

    trainer = RewardTrainer(
        language_model, RewardConfig(**settings(per_device_eval_batch_size=4)), rows, eval_dataset=rows,
        compute_metrics=compute_metrics,
    )  # fmt: skip
    # The last batch has two rows, and each row has two scores.
    assert trainer.evaluate()["eval_rows"] == 10
    (received,) = calls
    assert received.predictions.shape == (10, 2)
    assert np.isfinite(received.predictions).all()
    assert (received.label_ids == 2).all()
    accuracy = (received.predictions[:, 0] > received.predictions[:, 1]).mean()
    assert trainer.evaluate()["eval_accuracy"] == pytest.approx(accuracy)
