"""With `bradley_terry`, losses, gradients, metrics and saved files are those of TRL."""

from pathlib import Path

import pytest
import torch
import trl
from datasets import Dataset
from peft import LoraConfig
from safetensors.torch import load_file

from rlhf_losses import RewardConfig, RewardTrainer, bradley_terry, centering

pytestmark = pytest.mark.upstream

METRICS = ("loss", "grad_norm", "learning_rate", "accuracy", "margin", "mean_reward")
EXTREMES = ("min_reward", "max_reward")
"""Extremes over all batches here, and means of the extremes of batches in TRL."""


def logged(trainer: trl.RewardTrainer) -> list[dict[str, float]]:
    return [{name: entry[name] for name in (*METRICS, "num_tokens")} for entry in trainer.state.log_history[:-1]]


def assert_same_run(ours: RewardTrainer, theirs: trl.RewardTrainer) -> None:
    ours.train()
    theirs.train()
    for our_step, their_step in zip(logged(ours), logged(theirs), strict=True):
        assert our_step == pytest.approx(their_step, rel=2e-4, abs=1e-6)
    for (name, our_weight), (_, their_weight) in zip(weights(ours), weights(theirs), strict=True):
        torch.testing.assert_close(our_weight, their_weight, rtol=2e-4, atol=2e-5, msg=name)


def weights(trainer: trl.RewardTrainer) -> list[tuple[str, torch.Tensor]]:
    """Return all weights but PEFT's frozen copy of a trained module, which is the trained one here."""
    return [
        (name, weight)
        for name, weight in trainer.model.named_parameters()
        if weight.requires_grad or "original_module" not in name
    ]


@pytest.mark.parametrize("columns", [["margin"], []], ids=["with margin", "without margin"])
@pytest.mark.parametrize("steps", [1, 2], ids=["one micro-batch", "two micro-batches"])
def test_bradley_terry_trains_as_trl_does(language_model, pairs, settings, columns, steps):
    data = pairs if columns else pairs.remove_columns("margin")
    arguments = settings(gradient_accumulation_steps=steps)
    theirs = trl.RewardTrainer(language_model, trl.RewardConfig(**arguments), train_dataset=data)
    ours = RewardTrainer(language_model, RewardConfig(**arguments), train_dataset=data, loss="bradley_terry")

    assert_same_run(ours, theirs)


def test_the_centering_coefficient_is_a_term_of_the_loss(language_model, pairs, settings):
    theirs = trl.RewardTrainer(
        language_model, trl.RewardConfig(**settings(center_rewards_coefficient=0.3)), train_dataset=pairs
    )
    ours = RewardTrainer(
        language_model, RewardConfig(**settings()), train_dataset=pairs, loss=bradley_terry + 0.3 * centering
    )

    assert_same_run(ours, theirs)


def test_a_trl_configuration_with_centering_has_the_same_effect(language_model, pairs, settings):
    arguments = settings(center_rewards_coefficient=0.3)
    ours = RewardTrainer(language_model, RewardConfig(**arguments), train_dataset=pairs)

    assert ours.loss == bradley_terry + 0.3 * centering


def test_lora_trains_as_in_trl_with_the_head_in_modules_to_save(language_model, pairs, settings):
    def lora(**options):
        return LoraConfig(r=4, lora_alpha=8, lora_dropout=0.0, **options)

    theirs = trl.RewardTrainer(
        language_model,
        trl.RewardConfig(**settings()),
        train_dataset=pairs,
        peft_config=lora(task_type="SEQ_CLS", modules_to_save=["score"]),
    )
    ours = RewardTrainer(language_model, RewardConfig(**settings()), train_dataset=pairs, peft_config=lora())

    assert_same_run(ours, theirs)


def test_evaluation_metrics_equal_those_of_trl(language_model, pairs, settings):
    theirs = trl.RewardTrainer(
        language_model, trl.RewardConfig(**settings()), train_dataset=pairs, eval_dataset=pairs
    ).evaluate()
    ours = RewardTrainer(language_model, RewardConfig(**settings()), train_dataset=pairs, eval_dataset=pairs).evaluate()

    shared = [name for name in theirs if not name.endswith(("runtime", "per_second", "preparation_time"))]
    shared = [name for name in shared if not name.endswith(EXTREMES)]
    assert {name: ours[name] for name in shared} == pytest.approx({name: theirs[name] for name in shared}, rel=1e-4)
    assert ours["eval_min_reward"] <= theirs["eval_min_reward"] <= theirs["eval_max_reward"] <= ours["eval_max_reward"]


def test_conversations_and_implicit_prompts_train_as_in_trl(language_model, settings):
    question = [{"role": "user", "content": "Is the sky blue?"}]
    rows = [
        {
            "chosen": [*question, {"role": "assistant", "content": f"Yes, {i} times."}],
            "rejected": [*question, {"role": "assistant", "content": "No."}],
        }
        for i in range(8)
    ]
    arguments = settings()
    theirs = trl.RewardTrainer(language_model, trl.RewardConfig(**arguments), train_dataset=Dataset.from_list(rows))
    ours = RewardTrainer(language_model, RewardConfig(**arguments), train_dataset=Dataset.from_list(rows))

    assert_same_run(ours, theirs)


def test_the_saved_files_are_those_of_trl_and_the_metadata(language_model, pairs, settings, tmp_path):
    theirs = trl.RewardTrainer(
        language_model, trl.RewardConfig(**settings(output_dir=str(tmp_path / "theirs"))), train_dataset=pairs
    )
    ours = RewardTrainer(
        language_model, RewardConfig(**settings(output_dir=str(tmp_path / "ours"))), train_dataset=pairs
    )
    theirs.train()
    ours.train()
    theirs.save_model(str(tmp_path / "theirs"))
    ours.save_model(str(tmp_path / "ours"))

    def files(folder: str) -> set[str]:
        return {path.name for path in Path(tmp_path, folder).iterdir()}

    assert files("ours") == files("theirs") | {"reward_model.json", "README.md"}
    our_weights = load_file(tmp_path / "ours" / "model.safetensors")
    their_weights = load_file(tmp_path / "theirs" / "model.safetensors")
    assert our_weights.keys() == their_weights.keys()
    for name, weight in our_weights.items():
        torch.testing.assert_close(weight, their_weights[name], rtol=2e-4, atol=2e-5)
