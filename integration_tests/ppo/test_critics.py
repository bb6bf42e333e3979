"""Where the critic comes from, and when it learns."""

import pytest
import torch
from peft import LoraConfig
from ppo_runs import assert_same, length, steps, trained, weights

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.feedback.base import Answer
from rlhf_losses.scoring import Scorer, StandardizedScorer, fit_reference


def test_in_the_warm_up_only_the_critic_learns(make_trainer):
    trainer = make_trainer(length, changes={"critic_warmup_steps": 2, "max_steps": 2, "weight_decay": 0.1})
    policy, critic = weights(trainer.model), weights(trainer.critic)
    trainer.train()
    assert_same(weights(trainer.model), policy, rtol=0, atol=0)
    assert not torch.equal(trainer.critic.head.weight, critic["head.weight"])

    trainer = trained(make_trainer(length, changes={"critic_warmup_steps": 2, "max_steps": 3}))
    assert not torch.equal(trainer.model.lm_head.weight, policy["lm_head.weight"])
    assert all(entry["loss/value"] > 0 for entry in steps(trainer))


@pytest.mark.parametrize("peft_config", [None, LoraConfig(r=4, target_modules=["q_proj"])], ids=["full", "lora"])
def test_a_head_on_the_policy_is_a_critic_without_a_transformer(make_trainer, peft_config):
    trainer = make_trainer(length, peft_config=peft_config, changes={"shared_critic": True, "learning_rate": 1e-2})
    assert {name for name, _ in trainer.critic.named_parameters()} == {"head.weight"}
    trainer.train()
    entries = steps(trainer)
    assert all(entry["ratio"] == pytest.approx(1, abs=1e-5) for entry in entries)
    assert entries[0]["value/mean"] == 0 != entries[-1]["value/mean"]


def test_the_value_loss_of_a_head_on_the_policy_trains_the_transformer(make_trainer):
    changes = {"shared_critic": True, "max_steps": 1, "beta": 0.0}
    trainer = make_trainer(length, changes=changes)
    trainer.critic.head.weight.data.fill_(0.1)
    rollout = trainer._generate_and_score_completions([{"prompt": "a"}, {"prompt": "bcd"}])
    rollout["advantages"].zero_()
    trainer._compute_loss(trainer.model, rollout).backward()
    assert trainer.model.model.layers[0].mlp.up_proj.weight.grad.abs().sum() > 0
    values = trainer._values_at_rollout(rollout)[:, :-1]
    torch.testing.assert_close(values, rollout["values"])


def test_a_critic_and_a_head_on_the_policy_exclude_each_other(make_trainer):
    with pytest.raises(InvalidSettingError, match=r"shared_critic=True, which makes.*Leave one of them out"):
        make_trainer(critic="any", changes={"shared_critic": True})


def test_the_adapter_of_a_critic_with_a_bias_gives_its_values_as_a_standardised_scorer(
    make_trainer, reward_model, tokenizer, tmp_path
):
    reward_model.score.weight.data.mul_(3)
    reward_model.save_pretrained(tmp_path / "reward")
    tokenizer.save_pretrained(tmp_path / "reward")
    scorer = Scorer.from_pretrained(tmp_path / "reward")
    texts = ["A first text.", "Another, which is longer.", "Third"]
    fit_reference(scorer, [""] * 3, texts)
    trainer = trained(
        make_trainer(
            scorer,
            peft_config=LoraConfig(r=4, target_modules=["q_proj", "v_proj"]),
            changes={"score_normalization": "reference", "output_dir": str(tmp_path / "run")}
            | {"save_strategy": "steps", "save_steps": 3, "learning_rate": 1e-2},
        )
    )
    assert trainer.critic.head.bias is not None
    read = StandardizedScorer(Scorer.from_pretrained(tmp_path / "run" / "checkpoint-3" / "critic" / "adapter"))
    trainer.critic.eval()
    for text, score in zip(texts, read.score(texts), strict=True):
        ids = torch.tensor([read.encode(Answer(None, (text,))).ids])
        value = trainer.critic(ids, torch.ones_like(ids), length=1)[0, -1].item()
        assert score == pytest.approx(value, abs=1e-4)
    assert abs(read.mean) > 1e-3
