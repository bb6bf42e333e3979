"""Reward models in TRL's online DPO, in its last PPO trainer, and in best-of-n sampling."""

import importlib
import importlib.metadata
import math

import pytest
import torch
from datasets import Dataset
from hypothesis import given
from hypothesis import strategies as st
from peft import LoraConfig
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.scoring import Scorer, best_of, kl_of_best_of
from rlhf_losses.training import RewardConfig, RewardTrainer

pytestmark = pytest.mark.upstream

TRL = tuple(map(int, importlib.metadata.version("trl").split(".")[:2]))


@pytest.fixture
def merged_model(language_model, tokenizer, pairs, settings, tmp_path):
    """Return the folder of a reward model that was trained with adapters and merged."""
    trainer = RewardTrainer(
        language_model,
        RewardConfig(**settings(output_dir=str(tmp_path / "reward"))),
        pairs,
        processing_class=tokenizer,
        peft_config=LoraConfig(r=2, target_modules=["q_proj"]),
        loss="bradley_terry",
    )
    trainer.train()
    return str(trainer.save_merged())


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning")
def test_online_dpo_of_trl_uses_the_scores(merged_model, language_model, tokenizer, settings):
    online_dpo = importlib.import_module("trl.experimental.online_dpo")
    scorer, scores = Scorer.from_pretrained(merged_model), []

    def record(prompts, completions, **columns):
        scores.append(scorer(prompts, completions))
        return scores[-1]

    plain = settings(max_steps=2, max_new_tokens=6, learning_rate=1e-3)
    trainer = online_dpo.OnlineDPOTrainer(
        model=AutoModelForCausalLM.from_pretrained(language_model),
        reward_funcs=record,
        args=online_dpo.OnlineDPOConfig(**plain),
        train_dataset=Dataset.from_dict({"prompt": [f"Count to {i}." for i in range(8)]}),
        processing_class=tokenizer,
    )
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(logged) == len(scores) == 2
    for entry, batch in zip(logged, scores, strict=True):
        assert entry["objective/scores"] == pytest.approx(sum(batch) / len(batch), rel=1e-4)
        first, second = batch[: len(batch) // 2], batch[len(batch) // 2 :]
        margins = [abs(a - b) for a, b in zip(first, second, strict=True)]
        assert entry["objective/scores_margin"] == pytest.approx(sum(margins) / len(margins), rel=1e-3, abs=1e-6)


@pytest.mark.skipif(TRL >= (1, 13), reason="TRL removed its PPO trainer in 1.13")
@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::UserWarning", "ignore::DeprecationWarning")
def test_last_ppo_trainer_of_trl_accepts_a_merged_reward_model(merged_model, language_model, tokenizer, settings):
    ppo = importlib.import_module("trl.experimental.ppo")
    reward, value = (AutoModelForSequenceClassification.from_pretrained(merged_model, num_labels=1) for _ in range(2))
    texts = tokenizer([f"Count to {i}." for i in range(8)])["input_ids"]
    plain = settings(learning_rate=1e-3)
    plain.pop("max_steps")
    trainer = ppo.PPOTrainer(
        args=ppo.PPOConfig(**plain, total_episodes=8, num_sample_generations=0, response_length=6),
        processing_class=tokenizer,
        model=AutoModelForCausalLM.from_pretrained(language_model),
        ref_model=AutoModelForCausalLM.from_pretrained(language_model),
        reward_model=reward,
        value_model=value,
        train_dataset=Dataset.from_dict({"input_ids": texts}),
        eval_dataset=Dataset.from_dict({"input_ids": texts}),
    )
    trainer.train()
    logged = [entry for entry in trainer.state.log_history if "objective/scores" in entry]
    assert len(logged) == 2
    assert all(math.isfinite(entry["objective/scores"]) for entry in logged)


def test_best_of_n_scores_increase_with_n(merged_model, language_model, tokenizer):
    scorer = Scorer.from_pretrained(merged_model)
    policy = AutoModelForCausalLM.from_pretrained(language_model)
    torch.manual_seed(0)
    prompts = [f"Count to {i}." for i in range(4)]
    batch = tokenizer(prompts, return_tensors="pt", padding=True, padding_side="left")
    ids = policy.generate(**batch, do_sample=True, max_new_tokens=6, num_return_sequences=16)
    texts = tokenizer.batch_decode(ids[:, batch["input_ids"].shape[1] :], skip_special_tokens=True)
    completions = [texts[i * 16 : (i + 1) * 16] for i in range(4)]
    means = []
    for n in (1, 4, 16):
        chosen = best_of(scorer, prompts, [candidates[:n] for candidates in completions])
        scores = scorer(prompts, chosen)
        best = [max(scorer([prompt] * n, c[:n])) for prompt, c in zip(prompts, completions, strict=True)]
        assert scores == pytest.approx(best, abs=1e-5)
        means.append(sum(scores))
    assert means[0] < means[1] <= means[2]


@given(st.integers(1, 6))
def test_kl_of_best_of_n_is_that_of_the_maximum_of_n(n):
    size = 4000  # of equally likely completions, the k-th best is chosen with this probability
    each = [(k / size) ** n - ((k - 1) / size) ** n for k in range(1, size + 1)]
    divergence = sum(p * math.log(p * size) for p in each if p)
    assert kl_of_best_of(n) == pytest.approx(divergence, abs=5e-3)


def test_best_of_without_completions_is_refused():
    with pytest.raises(InvalidFeedbackError, match=r"no completions to choose from.*at least one"):
        best_of(lambda **_: [], ["a"], [[]])
