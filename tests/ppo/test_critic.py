"""The critic says what it expects before each token, from what stands to the left of it."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_llama import tiny_classifier
from torch import nn, tensor
from torch.testing import assert_close
from transformers import GPT2Config, GPT2ForSequenceClassification

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.ppo.critic import Critic, clipped_value_error
from rlhf_losses.ppo.critic_init import critic_from_classifier


def gpt2():
    torch.manual_seed(0)
    return GPT2ForSequenceClassification(
        GPT2Config(vocab_size=20, n_positions=32, n_embd=16, n_layer=2, n_head=2, num_labels=1, pad_token_id=0)
    )


@pytest.fixture(params=[tiny_classifier, gpt2], ids=["llama", "gpt2"])
def critic(request) -> Critic:
    return critic_from_classifier(request.param().eval())


PROMPT, COMPLETION = [3, 4, 5], [6, 7, 8]


def values(critic, ids, attention=None, length=3):
    attention = torch.ones_like(ids) if attention is None else attention
    with torch.no_grad():
        return critic(ids, attention, length=length)[:, :-1]


def test_the_value_of_a_token_is_read_at_the_token_before_it(critic):
    ids = tensor([PROMPT + COMPLETION])
    everywhere = values(critic, ids, length=5)
    assert_close(values(critic, ids), everywhere[:, -3:])
    prompt_only = values(critic, tensor([[*PROMPT, 9]]), length=1)
    assert_close(everywhere[:, 2:3], prompt_only)


def test_a_value_does_not_depend_on_its_token_nor_on_later_ones(critic):
    before = values(critic, tensor([PROMPT + COMPLETION]))
    after = values(critic, tensor([[*PROMPT, 6, 15, 16]]))
    assert_close(after[:, :2], before[:, :2])
    assert not torch.allclose(after[:, 2], before[:, 2])


def test_padding_before_the_prompt_and_after_the_completion_does_not_change_values(critic):
    alone = values(critic, tensor([PROMPT + COMPLETION]))
    padded = tensor([[0, 0, *PROMPT, *COMPLETION, 0], [1, 2, *PROMPT, *COMPLETION, 9]])
    attention = tensor([[0, 0, 1, 1, 1, 1, 1, 1, 0], [1] * 9])
    assert_close(values(critic, padded, attention, length=4)[:1, :3], alone, rtol=1e-4, atol=1e-5)


def test_values_are_those_of_the_reward_model_it_was_made_of():
    model = tiny_classifier()
    ids = tensor([PROMPT + COMPLETION])
    scores_so_far = [model(ids[:, :end]).logits.item() for end in (3, 4, 5)]
    assert_close(values(critic_from_classifier(model), ids), tensor([scores_so_far]))


def test_the_head_computes_in_float32_under_autocast(critic):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert values(critic, tensor([PROMPT + COMPLETION])).dtype == torch.float32


def test_what_a_critic_saves_another_one_loads(tmp_path):
    saved, loaded = (critic_from_classifier(tiny_classifier(seed)) for seed in (1, 2))
    saved.save(tmp_path / "critic")
    loaded.load(tmp_path / "critic")
    for (name, theirs), (_, ours) in zip(saved.named_parameters(), loaded.named_parameters(), strict=True):
        assert_close(ours, theirs, rtol=0, atol=0, msg=name)


def test_parameters_of_another_critic_are_refused(tmp_path):
    critic_from_classifier(gpt2()).save(tmp_path)
    with pytest.raises(UnsupportedModelError, match=r"parameters of another critic.*Resume with the model"):
        critic_from_classifier(tiny_classifier()).load(tmp_path)


def test_a_checkpoint_without_a_critic_is_refused(tmp_path):
    with pytest.raises(
        UnsupportedModelError, match=r"There is no .*critic\.safetensors.*Resume from a checkpoint of PPO"
    ):
        critic_from_classifier(tiny_classifier()).load(tmp_path)


def test_a_classifier_that_is_not_read_at_every_token_makes_no_critic():
    model = tiny_classifier()
    model.score = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 1))
    with pytest.raises(UnsupportedModelError, match=r"no linear layer called score.*Take one of those"):
        critic_from_classifier(model)


@given(st.integers(0, 2**16), st.sampled_from([0.0, 0.2, 1.0, 100.0]))
def test_the_value_error_is_the_larger_of_two_squares(seed, cliprange):
    generator = torch.Generator().manual_seed(seed)
    new, old, returns = torch.randn(3, 2, 4, generator=generator, dtype=torch.float64)
    errors = clipped_value_error(new, old, returns, cliprange)
    for place in [(row, column) for row in range(2) for column in range(4)]:
        v, v_old, r = (float(tensor[place]) for tensor in (new, old, returns))
        near = v_old + max(-cliprange, min(cliprange, v - v_old))
        assert errors[place].item() == pytest.approx(0.5 * max((v - r) ** 2, (near - r) ** 2))


def test_a_value_error_is_half_the_square():
    near, returns = tensor([[0.1]]), tensor([[1.0]])
    assert_close(
        clipped_value_error(near, torch.zeros(1, 1), returns, cliprange=0.2), tensor([[0.5 * (0.1 - 1.0) ** 2]])
    )


def test_a_value_that_moved_too_far_towards_its_return_has_no_gradient():
    value = tensor([[0.7]], requires_grad=True)
    error = clipped_value_error(value, torch.zeros(1, 1), tensor([[1.0]]), cliprange=0.2)
    assert_close(error, tensor([[0.5 * (0.2 - 1.0) ** 2]]))
    assert_close(torch.autograd.grad(error.sum(), value)[0], tensor([[0.0]]))


def test_a_value_that_moved_away_from_its_return_is_pulled_back():
    value = tensor([[-0.7]], requires_grad=True)
    error = clipped_value_error(value, torch.zeros(1, 1), tensor([[1.0]]), cliprange=0.2)
    assert_close(torch.autograd.grad(error.sum(), value)[0], tensor([[-0.7 - 1.0]]))
