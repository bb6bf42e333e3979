"""A rollout of TRL as a read-only view with names."""

import dataclasses

import pytest
import torch
from torch import tensor
from torch.testing import assert_close

from rlhf_losses.ppo.rollout import Rollout

DATA = {
    "prompt_ids": tensor([[0, 5], [5, 6]]),
    "prompt_mask": tensor([[0, 1], [1, 1]]),
    "completion_ids": tensor([[7, 8, 2], [9, 2, 0]]),
    "completion_mask": tensor([[1, 1, 1], [1, 1, 0]]),
    "num_items_in_batch": tensor(5),
}


def test_sequences_are_prompts_followed_by_completions():
    rollout = Rollout.view(DATA)
    assert rollout.input_ids.tolist() == [[0, 5, 7, 8, 2], [5, 6, 9, 2, 0]]
    assert rollout.attention_mask.tolist() == [[0, 1, 1, 1, 1], [1, 1, 1, 1, 0]]
    assert rollout.num_tokens == 3
    assert rollout.num_tokens_in_rollout == 5


def test_tool_output_is_not_an_action():
    assert Rollout.view(DATA).action_mask.tolist() == [[True, True, True], [True, True, False]]
    with_tools = Rollout.view(DATA | {"tool_mask": tensor([[1, 0, 1], [1, 1, 1]])})
    assert with_tools.action_mask.tolist() == [[True, False, True], [True, True, False]]


def test_completions_end_with_one_of_the_end_tokens():
    assert Rollout.view(DATA, [2]).ended.tolist() == [True, True]
    assert Rollout.view(DATA, [8, 3]).ended.tolist() == [False, False]
    cut = Rollout.view(DATA | {"completion_mask": tensor([[1, 1, 0], [1, 1, 0]])}, [2])
    assert cut.ended.tolist() == [False, True]


def test_log_probabilities_are_none_if_trl_did_not_compute_them():
    rollout = Rollout.view(DATA)
    assert rollout.logps is rollout.ref_logps is None
    logps = torch.zeros(2, 3)
    both = Rollout.view(DATA | {"old_per_token_logps": logps, "ref_per_token_logps": logps - 1})
    assert_close(both.logps - both.ref_logps, torch.ones(2, 3))


def test_view_is_read_only_and_shows_later_additions():
    data = dict(DATA)
    rollout = Rollout.view(data)
    with pytest.raises(KeyError):
        _ = rollout.values
    data["values"] = torch.ones(2, 3)
    assert rollout.values is data["values"]
    with pytest.raises(dataclasses.FrozenInstanceError):
        rollout.data = {}
    with pytest.raises(TypeError):
        rollout.data["values"] = None
