"""What tests of PPO ask of a trainer."""

import torch

HIGH = 132  # half of the byte tokenizer's tokens have a number from here on


def share_of_high_tokens(completion_ids, **_):
    """Score a completion by how many of its tokens have a high number: 0.5 at random."""
    return [sum(token >= HIGH for token in ids) / len(ids) for ids in completion_ids]


def length(completion_ids, **_):
    return [float(len(ids)) for ids in completion_ids]


def trained(trainer):
    """Train right away: the random numbers of a run start where the trainer is made."""
    trainer.train()
    return trainer


def steps(trainer):
    """Return the log of every optimizer step."""
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def weights(module):
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def assert_same(ours, theirs, **tolerance):
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], msg=lambda text, name=name: f"{name}: {text}", **tolerance)
