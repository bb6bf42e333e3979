"""A `RemoteScorer` is a reward function of TRL's trainers and of PPO, also as a coroutine."""

import pytest
import trl
from datasets import Dataset
from listening_server import listening

from rlhf_losses import PPOConfig, PPOTrainer, RemoteScorer, Scorer

TRAINERS = {
    "grpo": (trl.GRPOTrainer, trl.GRPOConfig),
    "rloo": (trl.RLOOTrainer, trl.RLOOConfig),
    "ppo": (PPOTrainer, PPOConfig),
}


@pytest.fixture
def url(reward_model, tokenizer):
    from rlhf_losses.serving.application import create_app
    from rlhf_losses.serving.server_settings import ServerSettings

    with listening(create_app([("served", Scorer(reward_model, tokenizer))], ServerSettings())) as address:
        yield address


@pytest.mark.upstream
@pytest.mark.parametrize("name", TRAINERS)
def test_the_reward_of_the_trainer_is_the_score_of_the_served_model(
    name, url, reward_model, tokenizer, language_model, settings
):
    trainer_class, config_class = TRAINERS[name]
    scorer, rollouts = Scorer(reward_model, tokenizer), []

    def record(prompts, completions, **_):
        rollouts.append((prompts, completions))
        return [0.0] * len(prompts)

    remote = RemoteScorer(url)
    awaited = remote.as_async()
    awaited.__name__ = "awaited"
    trainer = trainer_class(
        model=language_model,
        reward_funcs=[remote, awaited, record],
        args=config_class(**settings(max_steps=1, num_generations=2, max_completion_length=6)),
        train_dataset=Dataset.from_dict({"prompt": [f"{i} birds count to {i}." for i in range(8)]}),
    )
    trainer.train()
    entry = next(entry for entry in trainer.state.log_history if "rewards/served/mean" in entry)
    (prompts, completions), *_ = rollouts
    scores = scorer(prompts, completions)
    for reward in ("served", "awaited"):
        assert entry[f"rewards/{reward}/mean"] == pytest.approx(sum(scores) / len(scores), rel=1e-4, abs=1e-5)
    assert len(set(scores)) > 1
