"""Trainers of a tiny policy, and models for them."""

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig
from ppo_runs import share_of_high_tokens
from transformers import AutoModelForCausalLM

# The package is imported in the fixtures: the oldest jaxtyping checks only what no conftest has imported.


@pytest.fixture
def prompts():
    return Dataset.from_dict({"prompt": [f"{'Say it. ' * (i % 3)}{i}:" for i in range(32)]})


@pytest.fixture
def make_trainer(language_model, tokenizer, prompts, settings):
    """Return a function that creates a trainer of the tiny policy, with changed settings and arguments."""
    from rlhf_losses.ppo import PPOConfig, PPOTrainer

    def make(reward_funcs=share_of_high_tokens, *, changes=None, **arguments):
        torch.manual_seed(0)  # TRL 1.12 draws new adapters before it sets the seed
        plain = {"max_completion_length": 8, "num_iterations": 1, "lr_scheduler_type": "constant"}
        return PPOTrainer(
            arguments.pop("model", language_model),
            reward_funcs,
            PPOConfig(**settings(**plain | (changes or {}))),
            arguments.pop("train_dataset", prompts),
            **arguments,
        )

    return make


@pytest.fixture(scope="module")
def peaked_policy(language_model, tokenizer, tmp_path_factory):
    """Return the folder of a policy with a peaked distribution over tokens, which adapters can change."""
    policy = AutoModelForCausalLM.from_pretrained(language_model)
    with torch.no_grad():
        policy.lm_head.weight.mul_(15)
    folder = str(tmp_path_factory.mktemp("policy") / "peaked")
    policy.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    return folder


@pytest.fixture
def reward_adapter(language_model, tokenizer, pairs, settings, tmp_path):
    """Return the checkpoint of a reward model whose adapter was trained on the policy's base."""
    from rlhf_losses.training import RewardConfig, RewardTrainer

    trainer = RewardTrainer(
        language_model,
        RewardConfig(**settings(output_dir=str(tmp_path / "reward"), save_strategy="steps", save_steps=3)),
        pairs,
        processing_class=tokenizer,
        peft_config=LoraConfig(r=2, target_modules=["q_proj", "v_proj"], init_lora_weights=False),
        loss="bradley_terry",
    )
    trainer.train()
    return str(tmp_path / "reward" / "checkpoint-3")
