"""The critic is a copy of a reward model, of the policy, or of a given model, with the policy's adapters."""

import pytest
import torch
from peft import LoraConfig, get_peft_model
from tiny_llama import tiny_classifier, tiny_policy
from tokenizers import Tokenizer, models
from torch import nn
from torch.testing import assert_close
from transformers import PreTrainedTokenizerFast

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.ppo import PPOConfig, StepRewards
from rlhf_losses.ppo.critic_init import (
    add_adapters,
    build_critic,
    choose_critic,
    critic_from_classifier,
    plain_copy,
)
from rlhf_losses.ppo.settings_checks import check_single_value
from rlhf_losses.scoring import Ensemble, RewardModelMetadata, Scorer

pytestmark = pytest.mark.upstream

IDS = torch.tensor([[3, 4, 5, 6]])


def with_random_adapters(model, **settings):
    """Return a model with adapters that are not zero."""
    model = get_peft_model(model, LoraConfig(target_modules=["q_proj"], **settings)).eval()
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lora_B" in name:
                parameter.normal_()
    return model


def word_tokenizer(first="a"):
    """Return a tokenizer with twenty tokens; other arguments give other tokens."""
    words = ["<pad>", "<eos>", *(f"{first}{number}" for number in range(18))]
    core = Tokenizer(models.WordLevel({word: i for i, word in enumerate(words)}, unk_token="<pad>"))
    return PreTrainedTokenizerFast(tokenizer_object=core, pad_token="<pad>", eos_token="<eos>")


def values(critic):
    with torch.no_grad():
        return critic(IDS, torch.ones_like(IDS), 2)[:, :-1]


def test_default_critic_is_a_copy_of_the_policy_with_zero_values():
    model = tiny_policy()
    critic = choose_critic(None, model, tokenizer=None, reward_funcs=[lambda **_: []])
    assert_close(values(critic), torch.zeros(1, 2))
    for (name, theirs), (_, ours) in zip(
        model.model.named_parameters(), critic.backbone.named_parameters(), strict=True
    ):
        assert_close(ours, theirs, rtol=0, atol=0, msg=name)
        assert ours is not theirs


def test_adapters_of_a_reward_model_are_merged_into_the_critic():
    model = with_random_adapters(tiny_classifier(), task_type="SEQ_CLS")
    critic = choose_critic(model, tiny_policy(), tokenizer=None, reward_funcs=[])
    with torch.no_grad():
        assert_close(values(critic)[:, -1], model(IDS[:, :-1]).logits[:, 0])
    assert not [name for name, _ in critic.named_parameters() if "lora" in name]
    assert [name for name, _ in model.named_parameters() if "lora" in name]


@pytest.mark.parametrize(
    "targets", [["q_proj", "down_proj"], r"model\.layers\.1\.self_attn\.v_proj", "all-linear"], ids=str
)
def test_critic_has_adapters_in_the_same_layers_as_the_policy(targets):
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


def test_adapters_in_a_bfloat16_critic_are_trained_in_float32():
    critic = critic_from_classifier(tiny_classifier().bfloat16())
    add_adapters(critic, LoraConfig(target_modules=["q_proj"]))
    assert {p.dtype for p in critic.parameters() if p.requires_grad} == {torch.float32}
    assert {p.dtype for p in critic.parameters() if not p.requires_grad} == {torch.bfloat16}
    assert values(critic).isfinite().all()


def test_plain_copy_is_independent_of_the_model():
    model = tiny_classifier()
    copied = plain_copy(model)
    with torch.no_grad():
        model.score.weight.add_(1.0)
    assert_close(copied.score.weight + 1.0, model.score.weight)


def test_critic_with_several_labels_is_refused(tmp_path):
    model = tiny_classifier(labels=3)
    model.save_pretrained(tmp_path)
    for critic in (model, str(tmp_path)):
        with pytest.raises(UnsupportedModelError, match=r"num_labels=3, but the value .*one number\. .*num_labels=1"):
            check_single_value(critic)


def test_critic_with_a_vocabulary_of_another_size_is_refused():
    for size in (19, 20 + 1024):
        other = tiny_classifier(vocab_size=size)
        with pytest.raises(
            UnsupportedModelError, match=rf"vocabulary of {size} tokens and the policy one of 20.*policy's tokenizer"
        ):
            choose_critic(other, tiny_policy(), tokenizer=None, reward_funcs=[])
    choose_critic(tiny_classifier(vocab_size=20 + 64), tiny_policy(), tokenizer=None, reward_funcs=[])


def test_critic_without_the_adapted_layers_is_refused():
    critic = critic_from_classifier(tiny_classifier())
    with pytest.raises(UnsupportedModelError, match=r"a LlamaModel.*same ones: .*c_attn.* Use a critic"):
        add_adapters(critic, LoraConfig(target_modules=["c_attn"]))


def length(completions, **_):
    return [float(len(text)) for text in completions]


INSIDE = {
    "alone": lambda scorer: scorer,
    "ensemble": lambda scorer: Ensemble([length, scorer]),
    "steps of an ensemble": lambda scorer: StepRewards(Ensemble([scorer]), "sentences"),
}


@pytest.mark.parametrize("inside", INSIDE.values(), ids=INSIDE)
def test_critic_starts_from_a_scorer_inside_an_ensemble(inside):
    scorer = Scorer(tiny_classifier(1), word_tokenizer())
    critic = choose_critic(None, tiny_policy(), word_tokenizer(), [length, inside(scorer)])
    assert_close(critic.head.weight, scorer.model.score.weight)
    assert critic.head.weight is not scorer.model.score.weight


def test_critic_starts_from_the_standardized_scores():
    metadata = RewardModelMetadata("", [], transforms={"standardize": {"mean": 2.0, "std": 4.0}})
    scorer = Scorer(tiny_classifier(1), word_tokenizer(), metadata).with_transforms("standardize")
    critic = choose_critic(None, tiny_policy(), word_tokenizer(), [scorer])
    with torch.no_grad():
        assert_close(values(critic)[0, -1], (scorer.model(IDS[:, :-1]).logits[0, 0] - 2.0) / 4.0)


def test_reward_model_with_another_vocabulary_is_not_the_critic():
    scorer = Scorer(tiny_classifier(1, hidden_size=32), word_tokenizer("b"))
    critic = choose_critic(None, tiny_policy(), word_tokenizer(), [scorer])
    assert critic.backbone.config.hidden_size == 16  # the policy's


def test_critic_can_be_a_model_or_a_path(tmp_path):
    model = tiny_classifier(1)
    model.save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    for source in (model, str(tmp_path)):
        critic = choose_critic(source, tiny_policy(), word_tokenizer(), [])
        assert_close(critic.head.weight, model.score.weight)
        assert all(parameter.requires_grad for parameter in critic.parameters())
        assert critic.backbone is not model.model


def test_critic_with_another_vocabulary_is_refused(tmp_path):
    tiny_classifier(1).save_pretrained(tmp_path)
    word_tokenizer("b").save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"another vocabulary than the policy.*policy's tokenizer"):
        choose_critic(str(tmp_path), tiny_policy(), word_tokenizer(), [])


def test_critic_without_a_trained_head_is_refused(tmp_path):
    backbone = tiny_classifier(1).model
    backbone.config.num_labels = 1
    backbone.save_pretrained(tmp_path)
    word_tokenizer().save_pretrained(tmp_path)
    with pytest.raises(UnsupportedModelError, match="no weights for score"):
        choose_critic(str(tmp_path), tiny_policy(), word_tokenizer(), [])


@pytest.mark.parametrize("disable", [True, False])
def test_dropout_is_disabled_in_the_critic_as_in_the_policy(disable, tmp_path):
    lora = LoraConfig(target_modules=["q_proj"], lora_dropout=0.5, task_type="CAUSAL_LM")
    plain = {"bf16": False, "use_cpu": True, "report_to": "none", "per_device_train_batch_size": 2}
    args = PPOConfig(str(tmp_path), disable_dropout=disable, gradient_checkpointing=False, **plain)
    critic = build_critic(None, get_peft_model(tiny_policy(), lora), word_tokenizer(), [], args)
    assert {module.p for module in critic.modules() if isinstance(module, nn.Dropout)} == {0.0 if disable else 0.5}
