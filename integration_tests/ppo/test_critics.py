"""Warm-up of the critic, shared critic, and the files of a standardized critic."""

import pytest
import torch
from peft import LoraConfig
from ppo_runs import assert_same, length, steps, trained, weights

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.feedback.base import Answer
from rlhf_losses.ppo.critic import predict_values
from rlhf_losses.ppo.rollout import Rollout
from rlhf_losses.scoring import Scorer, fit_reference

pytestmark = pytest.mark.upstream


def test_warmup_trains_the_critic_only(make_trainer):
    trainer = make_trainer(changes={"critic_warmup_steps": 2, "max_steps": 2, "weight_decay": 0.1})
    policy, critic = weights(trainer.model), weights(trainer.critic)
    trainer.train()
    assert_same(weights(trainer.model), policy, rtol=0, atol=0)
    assert not torch.equal(trainer.critic.head.weight, critic["head.weight"])

    trainer = trained(make_trainer(changes={"critic_warmup_steps": 2, "max_steps": 3}))
    assert not torch.equal(trainer.model.lm_head.weight, policy["lm_head.weight"])
    assert all(entry["loss/value"] > 0 for entry in steps(trainer))


@pytest.mark.parametrize("peft_config", [None, LoraConfig(r=4, target_modules=["q_proj"])], ids=["full", "lora"])
def test_shared_critic_has_no_transformer_of_its_own(make_trainer, peft_config):
    trainer = make_trainer(peft_config=peft_config, changes={"shared_critic": True, "learning_rate": 1e-2})
    assert {name for name, _ in trainer.critic.named_parameters()} == {"head.weight"}
    trainer.train()
    entries = steps(trainer)
    assert all(entry["ratio"] == pytest.approx(1, abs=1e-5) for entry in entries)
    assert entries[0]["value/mean"] == pytest.approx(0, abs=1e-6)
    assert abs(entries[-1]["value/mean"]) > 1e-6


def test_value_loss_of_a_shared_critic_trains_the_policy(make_trainer):
    changes = {"shared_critic": True, "max_steps": 1, "beta": 0.0}
    trainer = make_trainer(length, changes=changes)
    trainer.critic.head.weight.data.fill_(0.1)
    rollout = trainer._generate_and_score_completions([{"prompt": "a"}, {"prompt": "bcd"}])
    rollout["advantages"].zero_()
    trainer._compute_loss(trainer.model, rollout).backward()
    assert trainer.model.model.layers[0].mlp.up_proj.weight.grad.abs().sum() > 0
    values = predict_values(trainer.critic, Rollout.view(rollout), batch_size=2)[:, :-1]
    torch.testing.assert_close(values, rollout["values"])


def test_critic_and_shared_critic_exclude_each_other(make_trainer):
    with pytest.raises(InvalidSettingError, match=r"shared_critic=True are both set.*Omit one of them"):
        make_trainer(critic="any", changes={"shared_critic": True})


def test_saved_adapter_of_a_standardized_critic_returns_its_values(make_trainer, reward_model, tokenizer, tmp_path):
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
    saved = Scorer.from_pretrained(tmp_path / "run" / "checkpoint-3" / "critic" / "adapter")
    standardized = saved.with_transforms("standardize")
    trainer.critic.eval()
    for text, score in zip(texts, standardized.score(texts), strict=True):
        ids = torch.tensor([standardized.encoder.encode(Answer(None, (text,))).ids])
        value = trainer.critic(ids, torch.ones_like(ids), 1)[0, -1].item()
        assert score == pytest.approx(value, abs=1e-4)
    assert abs(standardized.metadata.transforms["standardize"]["mean"]) > 1e-3
