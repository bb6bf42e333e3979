"""The critic computes the value of each token from the tokens before it."""

import pytest
import torch
from tiny_llama import tiny_classifier
from torch import nn, tensor
from torch.testing import assert_close
from transformers import GPT2Config, GPT2ForSequenceClassification

from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.ppo.critic import Critic, predict_values
from rlhf_losses.ppo.critic_init import critic_from_classifier
from rlhf_losses.ppo.rollout import Rollout

pytestmark = pytest.mark.upstream


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
        return critic(ids, attention, length)[:, :-1]


def test_value_of_a_token_is_computed_at_the_token_before_it(critic):
    ids = tensor([PROMPT + COMPLETION])
    everywhere = values(critic, ids, length=5)
    assert_close(values(critic, ids), everywhere[:, -3:])
    prompt_only = values(critic, tensor([[*PROMPT, 9]]), length=1)
    assert_close(everywhere[:, 2:3], prompt_only)


def test_value_does_not_depend_on_its_token_or_later_ones(critic):
    before = values(critic, tensor([PROMPT + COMPLETION]))
    after = values(critic, tensor([[*PROMPT, 6, 15, 16]]))
    assert_close(after[:, :2], before[:, :2])
    assert not torch.allclose(after[:, 2], before[:, 2])


def test_padding_on_either_side_does_not_change_values(critic):
    alone = values(critic, tensor([PROMPT + COMPLETION]))
    padded = tensor([[0, 0, *PROMPT, *COMPLETION, 0], [1, 2, *PROMPT, *COMPLETION, 9]])
    attention = tensor([[0, 0, 1, 1, 1, 1, 1, 1, 0], [1] * 9])
    assert_close(values(critic, padded, attention, length=4)[:1, :3], alone, rtol=1e-4, atol=1e-5)


def test_initial_values_are_the_scores_of_the_reward_model():
    model = tiny_classifier()
    ids = tensor([PROMPT + COMPLETION])
    scores_so_far = [model(ids[:, :end]).logits.item() for end in (3, 4, 5)]
    assert_close(values(critic_from_classifier(model), ids), tensor([scores_so_far]))


def test_head_computes_in_float32_under_autocast(critic):
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert values(critic, tensor([PROMPT + COMPLETION])).dtype == torch.float32


def test_saved_parameters_are_loaded(tmp_path):
    saved, loaded = (critic_from_classifier(tiny_classifier(seed)) for seed in (1, 2))
    saved.save(tmp_path / "critic")
    loaded.load(tmp_path / "critic")
    for (name, theirs), (_, ours) in zip(saved.named_parameters(), loaded.named_parameters(), strict=True):
        assert_close(ours, theirs, rtol=0, atol=0, msg=name)


def test_parameters_of_another_critic_are_refused(tmp_path):
    critic_from_classifier(gpt2()).save(tmp_path)
    with pytest.raises(
        UnsupportedModelError,
        match=r"critic\.safetensors has the parameters of another critic.*Resume with the same model",
    ):
        critic_from_classifier(tiny_classifier()).load(tmp_path)


def test_checkpoint_without_a_critic_is_refused(tmp_path):
    with pytest.raises(
        UnsupportedModelError, match=r"critic\.safetensors does not exist.*Resume from a checkpoint of PPO"
    ):
        critic_from_classifier(tiny_classifier()).load(tmp_path)


def test_classifier_without_a_linear_head_is_refused():
    model = tiny_classifier()
    model.score = nn.Sequential(nn.Linear(16, 16), nn.Linear(16, 1))
    with pytest.raises(UnsupportedModelError, match=r"no linear layer called score.*Use a classifier on"):
        critic_from_classifier(model)


def test_predicted_values_do_not_depend_on_the_batch_size(critic):
    rows = [[0, 0, *PROMPT], [1, 2, *PROMPT], [0, 9, *PROMPT]]
    data = {
        "prompt_ids": tensor(rows),
        "prompt_mask": tensor([[0, 0, 1, 1, 1], [1] * 5, [0, 1, 1, 1, 1]]),
        "completion_ids": tensor([[6, 7, 8], [6, 7, 0], [8, 0, 0]]),
        "completion_mask": tensor([[1, 1, 1], [1, 1, 0], [1, 0, 0]]),
    }
    rollout = Rollout.view(data)
    critic.train()
    together, apart = (predict_values(critic, rollout, batch_size) for batch_size in (3, 2))
    assert together.shape == (3, 4)
    assert not together.requires_grad
    assert not critic.training
    mask = torch.cat([torch.ones(3, 1), rollout.completion_mask], 1).bool()
    assert_close(apart[mask], together[mask], rtol=1e-4, atol=1e-5)


def test_parameters_are_added_to_an_optimizer_once():
    critic = critic_from_classifier(tiny_classifier())
    critic.head.weight.requires_grad_(False)
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=1.0)
    names = {name for name, parameter in critic.named_parameters() if parameter.dim() > 1}
    for _ in range(2):
        critic.add_to_optimizer(optimizer, names, weight_decay=0.1, learning_rate=0.5)
    policy, decayed, other = optimizer.param_groups
    assert policy["lr"] == 1.0
    assert [(group["lr"], group["weight_decay"]) for group in (decayed, other)] == [(0.5, 0.1), (0.5, 0.0)]
    assert all(parameter.dim() > 1 for parameter in decayed["params"])
    added = {id(parameter) for group in (decayed, other) for parameter in group["params"]}
    assert added == {id(parameter) for parameter in critic.parameters() if parameter.requires_grad}
