"""Arguments of TRL's PPOTrainer: names of old releases, and what is refused."""

import copy

import pytest
import torch
from datasets import Dataset
from peft import LoraConfig, get_peft_model
from ppo_runs import byte_tokenizer
from tiny_llama import tiny_classifier, tiny_policy
from torch.optim import SGD
from transformers import DataCollatorForTokenClassification, DataCollatorWithPadding

from rlhf_losses import PPOConfig as OwnConfig
from rlhf_losses.compat.trl import PPOConfig, PPOTrainer
from rlhf_losses.compat.trl.ppo_trainer import choose_reference
from rlhf_losses.errors import (
    FeedbackMismatchError,
    InvalidArgumentError,
    InvalidFeedbackError,
    InvalidSettingError,
    UnsupportedModelError,
)

pytestmark = pytest.mark.upstream


@pytest.fixture(scope="module")
def tokenizer():
    return byte_tokenizer()


@pytest.fixture
def arguments(tokenizer, tmp_path):
    """Return the arguments of a trainer, with tiny models in memory."""
    size = len(tokenizer)
    plain = {"report_to": "none", "use_cpu": True, "bf16": False, "response_length": 4, "num_sample_generations": 0}
    return {
        "args": PPOConfig(str(tmp_path), **plain, per_device_train_batch_size=2),
        "processing_class": tokenizer,
        "model": tiny_policy(vocab_size=size),
        "ref_model": None,
        "reward_model": tiny_classifier(vocab_size=size),
        "train_dataset": Dataset.from_dict({"input_ids": [[5, 6], [7]]}),
        "value_model": tiny_classifier(1, vocab_size=size),
    }


def test_the_reference_is_a_copy_of_the_policy_and_the_critic_one_of_the_value_model(arguments):
    trainer = PPOTrainer(**arguments)
    reference, policy = trainer.accelerator.unwrap_model(trainer.ref_model), arguments["model"]
    assert reference is not policy
    assert reference.lm_head.weight.equal(policy.lm_head.weight)
    assert trainer.critic.head.weight.equal(arguments["value_model"].score.weight)
    assert trainer.critic.head.weight is not arguments["value_model"].score.weight


def test_names_of_trl_0_12(arguments):
    old = {"args": "config", "processing_class": "tokenizer", "model": "policy", "ref_model": "ref_policy"}
    trainer = PPOTrainer(**{old.get(name, name): value for name, value in arguments.items()})
    assert trainer.model is arguments["model"]


def test_without_a_value_model_the_critic_starts_from_the_reward_model(arguments):
    trainer = PPOTrainer(**arguments | {"value_model": None})
    assert trainer.critic.head.weight.equal(arguments["reward_model"].score.weight)


def test_a_stop_token_ends_completions(arguments, tmp_path):
    arguments["args"].stop_token_id = 9
    policy = arguments["model"]
    with torch.no_grad():
        policy.lm_head.weight.zero_()
        policy.lm_head.weight[9] = 100.0
        policy.model.norm.weight.fill_(1.0)
    trainer = PPOTrainer(**arguments)
    assert policy.generation_config.eos_token_id == 9
    assert 9 in trainer._end_token_ids()


def test_a_stop_token_that_no_policy_writes_is_refused(arguments):
    arguments["args"].stop_token_id = 999
    with pytest.raises(InvalidSettingError, match=r"stop_token_id=999 is no token of the policy, which has 258"):
        PPOTrainer(**arguments)


def test_tables_of_embeddings_may_be_filled_up(arguments, tokenizer):
    size = len(tokenizer) + 64
    arguments["reward_model"] = arguments["value_model"] = tiny_classifier(vocab_size=size)
    assert PPOTrainer(**arguments).critic.backbone.embed_tokens.num_embeddings == size


def test_several_reward_models(arguments, tokenizer):
    models = [tiny_classifier(seed, vocab_size=len(tokenizer)) for seed in range(2)]
    trainer = PPOTrainer(**arguments | {"reward_model": models})
    assert [one.model for one in trainer.reward_funcs] == models


def test_names_without_a_place_say_so():
    with pytest.raises(ImportError, match="the critic is a model of its own"):
        from rlhf_losses.compat.trl import AutoModelForCausalLMWithValueHead  # noqa: F401


def test_trls_collator_is_accepted(arguments, tokenizer):
    assert PPOTrainer(**arguments, data_collator=DataCollatorWithPadding(tokenizer)).model is arguments["model"]


def test_the_learning_rate_is_constant_on_each_rollout(arguments):
    arguments["args"].total_episodes = 4  # two rollouts with four epochs each
    trainer = PPOTrainer(**arguments)
    trainer.create_optimizer_and_scheduler(num_training_steps=trainer.args.max_steps)
    for of_a_group in trainer.lr_scheduler.lr_lambdas:
        assert [of_a_group(step) for step in range(8)] == [1.0] * 4 + [0.5] * 4


def of_value_model(arguments):
    return {"optimizers": (SGD(arguments["value_model"].parameters(), 0.1), None)}


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        (lambda _: {"args": OwnConfig("x", use_cpu=True)}, InvalidArgumentError, "`args` .*rlhf_losses.compat.trl"),
        (lambda _: {"model": "gpt2"}, InvalidArgumentError, "`model` has the type str.*AutoModelForCausalLM"),
        (lambda _: {"reward_model": None}, InvalidArgumentError, "`reward_model` is None.*nothing to maximize.*Pass"),
        (lambda _: {"processing_class": None}, InvalidArgumentError, "`processing_class` is None"),
        (lambda _: {"train_dataset": None}, InvalidArgumentError, "`train_dataset` is None"),
        (lambda a: {"ref_model": a["model"]}, InvalidSettingError, "ref_model is set.*the policy itself"),
        (lambda a: {"model_": a["model"]}, InvalidArgumentError, "the argument model_.*Did you mean 'model'"),
        (lambda _: {"reward_model": tiny_classifier()}, UnsupportedModelError, "embeddings of 20 .*Scorer.from_pretr"),
        (
            lambda _: {"value_model": tiny_classifier()},
            UnsupportedModelError,
            "20 tokens .*resize_token_embeddings.258",
        ),
        (
            lambda _: {"train_dataset": Dataset.from_dict({"query": ["a"]})},
            FeedbackMismatchError,
            'columns query .*rename_column."query", "prompt"',
        ),
        (lambda _: {"train_dataset": Dataset.from_dict({"input_ids": []})}, InvalidFeedbackError, "has no rows"),
        (
            lambda a: {"data_collator": DataCollatorForTokenClassification(a["processing_class"])},
            InvalidArgumentError,
            "`data_collator` .*Omit it",
        ),
        (
            lambda a: {"model": a["model"].requires_grad_(False)},
            InvalidArgumentError,
            r"All weights of `model` are frozen.*requires_grad_\(True\)",
        ),
        (of_value_model, InvalidSettingError, "not those of the policy.*Pass an optimizer of the policy"),
    ],
)
def test_wrong_arguments_are_refused(arguments, changes, error, message):
    with pytest.raises(error, match=message):
        PPOTrainer(**arguments | changes(arguments))


def test_the_reference_of_adapters_is_their_base(tokenizer):
    base = tiny_policy()
    same, other, adapters = copy.deepcopy(base), tiny_policy(seed=1), LoraConfig(r=2, target_modules=["q_proj"])
    assert choose_reference(base, same, adapters) is None
    with pytest.raises(InvalidSettingError, match=r"ref_model has other weights.*Omit ref_model"):
        choose_reference(base, other, adapters)
    assert choose_reference(get_peft_model(base, adapters), None, None) is None
