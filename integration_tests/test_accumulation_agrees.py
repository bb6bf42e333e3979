"""One batch of eight equals eight batches of one, and two processes equal one, also with ragged items."""

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from ragged import RAGGED, trained_in_processes
from thorough_cases import every_nth

from rlhf_losses import RewardConfig, RewardTrainer, Scorer
from rlhf_losses.scoring import evaluate
from rlhf_losses.training.step_loss import StepLoss


def train(model: str, settings, data: Dataset, loss: str, over: str, size: int, steps: int) -> RewardTrainer:
    arguments = settings(
        per_device_train_batch_size=size, gradient_accumulation_steps=steps, average_over=over, max_steps=2
    )
    trainer = RewardTrainer(model, RewardConfig(**arguments), train_dataset=data, loss=loss)
    trainer.train()
    return trainer


COMPARED = ("loss", "grad_norm", "accuracy", "margin", "base_rate", "balanced_accuracy", "auc", "f1", "processbench")
"""Beginnings of the names of metrics that do not depend on the division of a step into batches."""


@pytest.mark.upstream
@pytest.mark.parametrize("case", every_nth(RAGGED, 2))
def test_one_batch_of_eight_equals_eight_batches_of_one(language_model, settings, case):
    data, loss, over = RAGGED[case]
    at_once = train(language_model, settings, data(), loss, over, size=8, steps=1)
    in_parts = train(language_model, settings, data(), loss, over, size=1, steps=8)

    for whole, parts in zip(at_once.state.log_history[:-1], in_parts.state.log_history[:-1], strict=True):
        for name in [name for name in whole if name.startswith(COMPARED)]:
            assert parts[name] == pytest.approx(whole[name], rel=1e-4, abs=1e-6), name
    for (name, whole), (_, parts) in zip(
        at_once.model.named_parameters(), in_parts.model.named_parameters(), strict=True
    ):
        torch.testing.assert_close(parts, whole, rtol=1e-4, atol=1e-5, msg=name)


@pytest.mark.parametrize("case", ["lists, over pairs", "steps, over prompts"])
def test_a_mean_of_micro_batch_means_would_differ(language_model, settings, case):
    """The data are ragged enough for the tests above to fail."""
    data, loss, over = RAGGED[case]
    trainer = train(language_model, settings, data(), loss, over, size=8, steps=1)
    rows = [trainer.train_dataset[i] for i in range(8)]
    step = StepLoss(trainer.objective)
    totals = {round(float(step.begin(trainer.data_collator([row])["passes"])[0]), 3) for row in rows}
    assert len(totals) > 1


@pytest.mark.parametrize("case", ["lists, over pairs", "pairs and steps"])
def test_evaluation_does_not_depend_on_the_batch_size(language_model, settings, case):
    data, loss, over = RAGGED[case]
    measured = []
    for size in (1, 5, 16):
        arguments = settings(per_device_eval_batch_size=size, average_over=over)
        trainer = RewardTrainer(
            language_model, RewardConfig(**arguments), train_dataset=data(), eval_dataset=data(), loss=loss
        )
        metrics = trainer.evaluate()
        measured.append(
            {name: value for name, value in metrics.items() if name.removeprefix("eval_").startswith(COMPARED)}
        )

    assert measured[1] == pytest.approx(measured[0], rel=1e-5)
    assert measured[2] == pytest.approx(measured[0], rel=1e-5)


TWO = ["lists, over pairs", "steps", "steps, over prompts", "ties with a trained width", "lists, and their batch"]


def test_two_processes_equal_one(language_model, tmp_path):
    found = {}
    for processes in (1, 2):
        runs = [
            {
                "data": data(),
                "loss": loss,
                "settings": {"average_over": over, "per_device_train_batch_size": 8 // processes},
            }
            for data, loss, over in (RAGGED[case] for case in TWO)
        ]
        found[processes] = trained_in_processes(language_model, tmp_path, processes, runs)

    for case, alone, together in zip(TWO, found[1], found[2], strict=True):
        for one, two in zip(alone["log"], together["log"], strict=True):
            for name in [name for name in one if name.startswith(COMPARED)]:
                assert two[name] == pytest.approx(one[name], rel=1e-4, abs=1e-6), (case, name)
        assert together["weights"] == pytest.approx(alone["weights"], rel=1e-4, abs=1e-4), case


@pytest.mark.upstream
@pytest.mark.parametrize("budget", [None, 60])
def test_the_means_of_a_step_are_those_of_its_scores_with_dropout(language_model, settings, budget):
    """The means are measured without gradients, before the passes that have them."""
    data, loss, _ = RAGGED["lists, and their batch"]
    arguments = settings(
        per_device_train_batch_size=4,
        gradient_accumulation_steps=2,
        max_tokens_per_forward=budget,
        disable_dropout=False,
    )
    lora = LoraConfig(r=4, lora_dropout=0.3, init_lora_weights=False, target_modules=["q_proj", "up_proj"])
    trainer = RewardTrainer(
        language_model, RewardConfig(**arguments), train_dataset=data(), loss=loss, peft_config=lora
    )
    rows = [trainer.train_dataset[i] for i in range(8)]
    batches = [trainer.data_collator(rows[:4]), trainer.data_collator(rows[4:])]
    trainer.model.train()
    totals = trainer._get_num_items_in_batch(batches, torch.device("cpu"))
    scores = []
    for batch in batches:
        scores += trainer.compute_loss(trainer.model, batch, return_outputs=True, num_items_in_batch=totals)[1][
            "scores"
        ]
    expected = torch.cat(scores).double().mean()
    assert trainer.step_loss.means[1].item() == pytest.approx(expected.item(), rel=1e-5)
    passes = [one for batch in batches for one in batch["passes"]]
    trainer.step_loss.measure(trainer._scores_without_gradient(passes))
    assert trainer.step_loss.means[1].item() != pytest.approx(expected.item(), rel=1e-5)  # another dropout mask


def test_scorer_and_trainer_give_the_same_loss_for_a_batch_of_all_rows(language_model, settings, tmp_path):
    """The trainer evaluates all rows in one batch here; `evaluate` always does."""
    data, loss, _ = RAGGED["lists, and their batch"]
    arguments = settings(output_dir=str(tmp_path), per_device_eval_batch_size=16, max_steps=1)
    trainer = RewardTrainer(
        language_model, RewardConfig(**arguments), train_dataset=data(), eval_dataset=data(), loss=loss
    )
    trainer.train()
    scorer = Scorer.from_pretrained(trainer.save_merged())
    measured = evaluate(scorer, data(), trainer.loss)
    assert measured["loss"] == pytest.approx(trainer.evaluate()["eval_loss"], rel=1e-4)
