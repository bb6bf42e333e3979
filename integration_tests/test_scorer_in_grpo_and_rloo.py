"""A `Scorer` is a reward function of TRL's GRPO and RLOO trainers."""

import math

import pytest
import torch
import trl
from datasets import Dataset
from reference_scorer import ReferenceScorer, TokensComputed

from rlhf_losses.scoring import Scorer

TRAINERS = [(trl.GRPOTrainer, trl.GRPOConfig), (trl.RLOOTrainer, trl.RLOOConfig)]
TEXTS = [f"{i} birds count to {i}." for i in range(8)]
PROMPTS = {"texts": TEXTS, "conversations": [[{"role": "user", "content": text}] for text in TEXTS]}


@pytest.fixture
def scorer(reward_model, tokenizer):
    with torch.no_grad():
        reward_model.score.weight.normal_()  # larger differences between the scores of completions
    return Scorer(reward_model, tokenizer)


@pytest.mark.upstream
@pytest.mark.parametrize("form", PROMPTS)
@pytest.mark.parametrize(("trainer_class", "config_class"), TRAINERS, ids=["grpo", "rloo"])
def test_the_reward_of_the_trainer_is_the_score_of_the_plain_model(
    trainer_class, config_class, form, scorer, tokenizer, language_model, settings, tmp_path
):
    """The plain model scores one text at a time. The scorer computes the tokens of a prompt once."""
    alone, computed = ReferenceScorer(scorer.model, tokenizer, tmp_path / "plain"), TokensComputed(scorer.model)
    rollouts = []

    def record(prompts, completions, **_):
        rollouts.append((prompts, completions, computed.take()))
        return [0.0] * len(prompts)

    trainer = trainer_class(
        language_model,
        [scorer, record],
        config_class(**settings(max_steps=2, num_generations=2, max_completion_length=6)),
        Dataset.from_dict({"prompt": PROMPTS[form]}),
    )
    trainer.train()

    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(logged) == len(rollouts) == 2
    for entry, (prompts, completions, tokens) in zip(logged, rollouts, strict=True):
        scores = alone(prompts, completions)
        mean = sum(scores) / len(scores)
        assert entry["rewards/reward_model/mean"] == pytest.approx(mean, rel=1e-5)
        assert entry["reward"] == pytest.approx(mean, rel=1e-5)
        assert len(set(scores)) > 1
        assert tokens == alone.distinct_tokens(prompts, completions)
        assert tokens < alone.tokens(prompts, completions)
        assert math.isfinite(entry["loss"])
        assert entry["grad_norm"] > 0
