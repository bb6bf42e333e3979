"""Checks before the training state the problem and a remedy."""

import pytest
from datasets import Dataset
from ppo_runs import byte_tokenizer
from tiny_llama import tiny_classifier, tiny_policy
from tokenizers import processors

from rlhf_losses.errors import InvalidFeedbackError, InvalidSettingError, UnsupportedModelError
from rlhf_losses.ppo import PPOConfig, StepRewards
from rlhf_losses.ppo.reward_functions import find_scorers
from rlhf_losses.ppo.settings_checks import check_embeddings, check_prompt_lengths, check_reward_model_lengths
from rlhf_losses.scoring import Ensemble, RewardModelMetadata, Scorer


@pytest.fixture
def config(tmp_path):
    def make(**changes):
        plain = {"bf16": False, "use_cpu": True, "report_to": "none", "per_device_train_batch_size": 2}
        return PPOConfig(str(tmp_path), **plain | changes)

    return make


def prompts(*texts):
    return Dataset.from_dict({"prompt": list(texts)})


def short_scorer(tokenizer, **metadata):
    """Return a reward model with a context of 32 tokens, one of which is EOS."""
    model = tiny_classifier(vocab_size=258, max_position_embeddings=32)
    return Scorer(model, tokenizer, RewardModelMetadata("", [], **metadata))


def test_completions_beyond_the_context_of_a_reward_model_are_refused(config):
    tokenizer = byte_tokenizer()
    scorer = short_scorer(tokenizer, segmentation="sentences")
    expected = r"max_completion_length=32 .*'reward_model'.*context of 32.*: max_completion_length=31"
    for function in (scorer, Ensemble([scorer]), StepRewards(scorer)):
        with pytest.raises(InvalidSettingError, match=expected):
            check_reward_model_lengths(find_scorers([function]), tokenizer, [], config(max_completion_length=32))
        check_reward_model_lengths(find_scorers([function]), tokenizer, [], config(max_completion_length=31))


def test_prompts_truncated_for_a_reward_model_are_reported(config, caplog):
    tokenizer = byte_tokenizer()
    data = [prompts("a short one ", "x" * 40), None, {"more": prompts("y" * 30)}]
    with caplog.at_level("WARNING", "rlhf_losses"):
        check_reward_model_lengths([short_scorer(tokenizer)], tokenizer, data, config(max_completion_length=8))
    (record,) = caplog.records
    message = record.getMessage()
    assert "2 of 3 prompts may be truncated" in message
    assert "'reward_model', whose limit is 32" in message
    assert "with a completion of 8 they have up to 49." in message
    assert "Shorten these prompts, or lower max_completion_length." in message


def test_context_of_a_reward_model_with_other_tokens_is_a_warning(config, caplog):
    other = byte_tokenizer()
    other.get_vocab = dict
    with caplog.at_level("WARNING", "rlhf_losses"):
        check_reward_model_lengths([short_scorer(other)], byte_tokenizer(), [], config(max_completion_length=33))
    assert "This is an estimate, because its tokens differ from those of the policy." in caplog.text


def test_a_tokenizer_that_ends_every_prompt_is_refused(config):
    """A reward model is saved with such a tokenizer; a chat template ends prompts by itself."""
    policy, tokenizer = tiny_policy(vocab_size=258), byte_tokenizer()
    check_embeddings(policy, tokenizer, [prompts("abc")], config())
    ending = processors.TemplateProcessing(single="$A <eos>", special_tokens=[("<eos>", 1)])
    tokenizer.backend_tokenizer.post_processor = ending
    with pytest.raises(UnsupportedModelError, match=r"adds EOS \('<eos>'\).*policy's own tokenizer"):
        check_embeddings(policy, tokenizer, [prompts("abc")], config())
    tokenizer.chat_template = "{% for m in messages %}{{ m['content'] }}{% endfor %}"
    chats = Dataset.from_dict({"prompt": [[{"role": "user", "content": "abc"}]]})
    check_embeddings(policy, tokenizer, [chats], config())


def test_prompts_that_fit_with_their_completion_are_accepted(config):
    policy, args = tiny_policy(vocab_size=258, max_position_embeddings=32), config(max_completion_length=22)
    check_prompt_lengths(policy, byte_tokenizer(), [prompts("x" * 10)], args)
    with pytest.raises(InvalidFeedbackError, match=r"1 of 2 prompts .* 10 tokens \(the longest 11\).*context of 32"):
        check_prompt_lengths(policy, byte_tokenizer(), [prompts("x" * 11, "x" * 10)], args)
    check_prompt_lengths(policy, byte_tokenizer(), [prompts("x" * 11).to_iterable_dataset()], args)
