"""A scorer is a reward function of TRL's own trainers."""

import math

import pytest
import torch
import trl
from datasets import Dataset
from one_by_one import OneByOne, TokensComputed

from rlhf_losses.scoring import Scorer

TRAINERS = [(trl.GRPOTrainer, trl.GRPOConfig), (trl.RLOOTrainer, trl.RLOOConfig)]
TEXTS = [f"{i} birds count to {i}." for i in range(8)]
PROMPTS = {"texts": TEXTS, "conversations": [[{"role": "user", "content": text}] for text in TEXTS]}


@pytest.fixture
def scorer(reward_model, tokenizer):
    with torch.no_grad():
        reward_model.score.weight.normal_()  # scores far enough apart to tell completions from each other
    return Scorer(reward_model, tokenizer)


@pytest.mark.parametrize("form", PROMPTS)
@pytest.mark.parametrize(("trainer_class", "config_class"), TRAINERS, ids=["grpo", "rloo"])
def test_the_trainer_optimises_the_scores_that_the_scorer_gives(
    trainer_class, config_class, form, scorer, tokenizer, language_model, settings, tmp_path
):
    """They are those of the plain model for each text by itself, and the tokens of a prompt are computed once."""
    alone, computed = OneByOne(scorer.model, tokenizer, tmp_path / "plain"), TokensComputed(scorer.model)
    answered = []

    def remember(prompts, completions, **_):
        answered.append((prompts, completions, computed.take()))
        return [0.0] * len(prompts)

    trainer = trainer_class(
        language_model,
        [scorer, remember],
        config_class(**settings(max_steps=2, num_generations=2, max_completion_length=6)),
        Dataset.from_dict({"prompt": PROMPTS[form]}),
    )
    trainer.train()

    logged = [entry for entry in trainer.state.log_history if "loss" in entry]
    assert len(logged) == len(answered) == 2
    for entry, (prompts, completions, tokens) in zip(logged, answered, strict=True):
        scores = alone(prompts, completions)
        mean = sum(scores) / len(scores)
        assert entry["rewards/reward_model/mean"] == pytest.approx(mean, rel=1e-5)
        assert entry["reward"] == pytest.approx(mean, rel=1e-5)
        assert len(set(scores)) > 1
        assert tokens == alone.distinct_tokens(prompts, completions)
        assert tokens < alone.tokens(prompts, completions)
        assert math.isfinite(entry["loss"])
        assert entry["grad_norm"] > 0
