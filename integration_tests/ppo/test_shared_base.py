"""Policy, critic and reward model are adapters on one frozen base, which is the reference."""

from itertools import chain

import pytest
import torch
from peft import AutoPeftModelForSequenceClassification, LoraConfig, PeftModel, get_peft_model
from ppo_runs import assert_same, steps, weights
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.ppo import scorer_on_base, weight_bytes
from rlhf_losses.scoring import Scorer

pytestmark = [pytest.mark.upstream, pytest.mark.xdist_group("shared base")]

ADAPTERS = {"r": 2, "target_modules": ["q_proj", "v_proj"]}
PROMPTS, ANSWERS = ["a", "What is it? "], ["b.", "It is a cat."]


@pytest.fixture
def base(language_model):
    return AutoModelForCausalLM.from_pretrained(language_model)


@pytest.fixture
def make_shared(make_trainer, language_model, reward_adapter):
    """Return a trainer whose models share one base, which is loaded again for each trainer."""

    def make(**changes):
        base = AutoModelForCausalLM.from_pretrained(language_model)
        scorer = scorer_on_base(base, reward_adapter)
        return make_trainer(scorer, model=base, peft_config=LoraConfig(**ADAPTERS), changes=changes)

    return make


def base_and_scorer(trainer):
    return trainer.model.get_base_model(), trainer.reward_funcs[0]


def test_scorer_on_base_has_the_scores_of_the_reward_model(base, reward_adapter):
    shared, own = scorer_on_base(base, reward_adapter), Scorer.from_pretrained(reward_adapter)
    assert shared(PROMPTS, ANSWERS) == pytest.approx(own(PROMPTS, ANSWERS), abs=1e-5)
    assert shared(PROMPTS, ANSWERS)[0] != 0


def test_all_models_share_the_weights_of_one(make_shared, base):
    trainer = make_shared()
    one = weight_bytes([base])
    base, scorer = base_and_scorer(trainer)
    models = [trainer.model, trainer.critic, scorer.model]
    assert trainer.ref_model is None
    frozen = {p.data_ptr() for module in models for p in module.parameters() if not p.requires_grad}
    adapters = sum(p.nbytes for model in models for name, p in model.named_parameters() if "lora_" in name)
    heads = 3 * 32 * 4 + 32 * 4  # of the critic and the scorer, and PEFT keeps the untrained one of the latter
    assert weight_bytes(models) <= one + adapters + heads
    assert {p.data_ptr() for name, p in base.named_parameters() if "lora_" not in name} <= frozen


def test_only_adapters_of_policy_and_critic_are_trained(make_shared):
    trainer = make_shared(learning_rate=1e-2, num_iterations=2, max_steps=4)
    base, scorer = base_and_scorer(trainer)
    frozen = {name: p.clone() for name, p in base.named_parameters() if "lora_" not in name}
    scores = scorer(PROMPTS, ANSWERS)
    before = weights(trainer.model), weights(trainer.critic)
    trainer.train()

    assert all(torch.equal(p, frozen[name]) for name, p in base.named_parameters() if name in frozen)
    assert scorer(PROMPTS, ANSWERS) == scores
    for module, old in zip((trainer.model, trainer.critic), before, strict=True):
        changed = {name for name, p in module.named_parameters() if not torch.equal(p, old[name])}
        assert changed == {name for name, p in module.named_parameters() if p.requires_grad}
    assert steps(trainer)[0]["kl"] == pytest.approx(0, abs=1e-6)
    assert steps(trainer)[-2]["kl"] != 0


def test_one_base_starts_like_four_models(make_shared, make_trainer, reward_adapter):
    separate = make_trainer(Scorer.from_pretrained(reward_adapter), peft_config=LoraConfig(**ADAPTERS))
    entries = []
    for trainer in (make_shared(), separate):
        torch.manual_seed(0)  # adapters are drawn a different number of times
        trainer.train()
        entries.append(steps(trainer)[0])
    for name in ("reward", "objective/rlhf_reward", "value/mean", "loss/value", "kl"):
        assert entries[0][name] == pytest.approx(entries[1][name], rel=1e-4, abs=1e-5), name


def test_gradient_checkpointing_does_not_change_the_result(make_shared):
    trainers = []
    for changes in ({}, {"gradient_checkpointing": True}):
        torch.manual_seed(0)
        trainers.append(make_shared(**changes))
        torch.manual_seed(0)
        trainers[-1].train()
    plain, checkpointed = trainers
    assert_same(weights(checkpointed.critic), weights(plain.critic), rtol=1e-4, atol=1e-5)
    assert_same(weights(checkpointed.model), weights(plain.model), rtol=1e-4, atol=1e-5)


def test_saved_adapters_load_with_peft(make_shared, language_model, tmp_path):
    trainer = make_shared(save_strategy="steps", save_steps=3, output_dir=str(tmp_path / "run"))
    trainer.train()
    checkpoint = tmp_path / "run" / "checkpoint-3"
    ids = torch.arange(10, 20).unsqueeze(0)

    policy = PeftModel.from_pretrained(AutoModelForCausalLM.from_pretrained(language_model), str(checkpoint))
    torch.testing.assert_close(policy(ids).logits, trainer.model(ids).logits, rtol=1e-4, atol=1e-5)

    critic = AutoPeftModelForSequenceClassification.from_pretrained(
        str(checkpoint / "critic" / "adapter"), num_labels=1
    )
    value = trainer.critic(ids, torch.ones_like(ids), 1)[:, -1:]
    torch.testing.assert_close(critic(ids).logits + trainer.critic.shift, value, rtol=1e-4, atol=1e-5)


def test_resumed_run_on_one_base_is_bitwise_equal(make_shared, tmp_path, language_model, make_trainer, reward_adapter):
    changes = {"save_strategy": "steps", "save_steps": 1, "num_iterations": 2, "max_steps": 4}
    trainer = make_shared(**changes, output_dir=str(tmp_path / "run"))
    trainer.train()
    again = AutoModelForCausalLM.from_pretrained(language_model)
    resumed = make_trainer(
        scorer_on_base(again, reward_adapter),
        model=again,
        peft_config=LoraConfig(**ADAPTERS),
        changes=changes | {"output_dir": str(tmp_path / "resumed")},
    )
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-1"))
    assert_same(weights(resumed.model), weights(trainer.model), rtol=0, atol=0)
    assert_same(weights(resumed.critic), weights(trainer.critic), rtol=0, atol=0)


def test_merged_reward_model_is_refused_as_adapter(base, language_model, tmp_path):
    AutoModelForSequenceClassification.from_pretrained(language_model, num_labels=1).save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"has no adapter_model\.safetensors.*Use the checkpoint"):
        scorer_on_base(base, tmp_path)


def test_adapter_of_a_language_model_is_refused(base, language_model, tmp_path):
    get_peft_model(AutoModelForCausalLM.from_pretrained(language_model), LoraConfig(**ADAPTERS)).save_pretrained(
        tmp_path
    )
    with pytest.raises(UnsupportedModelError, match=r"has no score head.*Use a checkpoint of RewardTrainer"):
        scorer_on_base(base, tmp_path)


def test_adapter_of_another_base_is_refused(base, reward_adapter):
    with torch.no_grad():
        for parameter in chain(base.model.layers.parameters()):
            parameter.mul_(1.5)
    with pytest.raises(UnsupportedModelError, match=r"canary|recorded"):
        scorer_on_base(base, reward_adapter)
