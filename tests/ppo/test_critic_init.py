"""Whoever plays the critic plays it on a copy."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_llama import tiny_classifier, tiny_policy
from torch.testing import assert_close

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.ppo.critic_init import add_adapters, choose_critic, critic_from_classifier, plain_copy
from rlhf_losses.ppo.settings_checks import require_one_value

IDS = torch.tensor([[3, 4, 5, 6]])


def moved_adapters(model, **settings):
    """Put adapters that are not zero into a model."""
    model = get_peft_model(model, LoraConfig(target_modules=["q_proj"], **settings)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    return model


def values(critic):
    with torch.no_grad():
        return critic(IDS, torch.ones_like(IDS), length=2)[:, :-1]


def test_without_a_reward_model_the_critic_starts_from_the_policy_and_says_zero():
    model = tiny_policy()
    critic = choose_critic(None, model, tokenizer=None, reward_funcs=[lambda **_: []])
    assert_close(values(critic), torch.zeros(1, 2))
    for (name, theirs), (_, ours) in zip(
        model.model.named_parameters(), critic.backbone.named_parameters(), strict=True
    ):
        assert_close(ours, theirs, rtol=0, atol=0, msg=name)
        assert ours is not theirs


def test_the_adapters_of_a_reward_model_are_merged_into_the_critic():
    model = moved_adapters(tiny_classifier(), task_type="SEQ_CLS")
    critic = choose_critic(model, tiny_policy(), tokenizer=None, reward_funcs=[])
    with torch.no_grad():
        assert_close(values(critic)[:, -1], model(IDS[:, :-1]).logits[:, 0])
    assert not [name for name, _ in critic.named_parameters() if "lora" in name]
    assert [name for name, _ in model.named_parameters() if "lora" in name]


@pytest.mark.parametrize(
    "targets", [["q_proj", "down_proj"], r"model\.layers\.1\.self_attn\.v_proj", "all-linear"], ids=str
)
def test_adapters_written_for_the_policy_find_the_same_layers_in_the_critic(targets):
    model = get_peft_model(
        tiny_policy(), LoraConfig(target_modules=targets, task_type="CAUSAL_LM", modules_to_save=["norm"])
    )
    critic = choose_critic(None, model, tokenizer=None, reward_funcs=[])
    add_adapters(critic, model.peft_config["default"])

    def adapted(module):
        return {
            name.split(".lora_A")[0].removeprefix("base_model.model.")
            for name in module.state_dict()
            if "lora_A" in name
        }

    assert adapted(critic) == adapted(model)
    trained = {name for name, p in critic.named_parameters() if p.requires_grad}
    assert trained == {"head.weight"} | {name for name, _ in critic.named_parameters() if "lora_" in name}


def test_adapters_in_a_half_precision_backbone_are_trained_in_float32():
    critic = critic_from_classifier(tiny_classifier().bfloat16())
    add_adapters(critic, LoraConfig(target_modules=["q_proj"]))
    assert {p.dtype for p in critic.parameters() if p.requires_grad} == {torch.float32}
    assert {p.dtype for p in critic.parameters() if not p.requires_grad} == {torch.bfloat16}
    assert values(critic).isfinite().all()


def test_the_copy_of_a_model_does_not_change_with_it():
    model = tiny_classifier()
    copied = plain_copy(model)
    with torch.no_grad():
        model.score.weight.add_(1.0)
    assert_close(copied.score.weight + 1.0, model.score.weight)


def test_a_critic_with_several_labels_is_refused(tmp_path):
    model = tiny_classifier(labels=3)
    model.save_pretrained(tmp_path)
    for critic in (model, str(tmp_path)):
        with pytest.raises(
            UnsupportedModelError, match=r"num_labels=3, but the value of a state is one number\. .*num_labels=1"
        ):
            require_one_value(critic)


def test_a_critic_with_a_vocabulary_of_another_size_is_refused():
    other = tiny_classifier(vocab_size=21)
    with pytest.raises(
        UnsupportedModelError, match=r"vocabulary of 21 tokens and the policy one of 20.*policy's tokenizer"
    ):
        choose_critic(other, tiny_policy(), tokenizer=None, reward_funcs=[])


def test_a_critic_that_has_none_of_the_adapted_layers_is_refused():
    critic = critic_from_classifier(tiny_classifier())
    with pytest.raises(UnsupportedModelError, match=r"a LlamaModel, cannot take the same: .*c_attn.* Give a critic"):
        add_adapters(critic, LoraConfig(target_modules=["c_attn"]))
