"""Reward functions, tokenizers and comparisons for tests of PPO."""

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

HIGH = 132  # half of the byte tokenizer's tokens have an id from here on


def share_of_high_tokens(completion_ids, **_):
    """Score a completion by the share of its tokens with a high id: 0.5 for random tokens."""
    return [sum(token >= HIGH for token in ids) / len(ids) for ids in completion_ids]


def length(completion_ids, **_):
    return [float(len(ids)) for ids in completion_ids]


def byte_tokenizer(**changes):
    """Return a tokenizer with one token per byte."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    core = Tokenizer(models.BPE(vocab={token: i for i, token in enumerate(["<pad>", "<eos>", *alphabet])}, merges=[]))
    core.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    core.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=core, **{"pad_token": "<pad>", "eos_token": "<eos>"} | changes)


def trained(trainer):
    """Train and return a trainer; its random numbers start at its creation, so call this before creating another."""
    trainer.train()
    return trainer


def steps(trainer):
    """Return the log of every optimizer step."""
    return [entry for entry in trainer.state.log_history if "loss" in entry]


def logs_without_times(trainer):
    """Return the log of a trainer without run times."""
    times = ("runtime", "per_second", "step_time", "time/")
    return [
        {name: value for name, value in entry.items() if not any(time in name for time in times)}
        for entry in trainer.state.log_history
    ]


def weights(module):
    return {name: parameter.detach().clone() for name, parameter in module.named_parameters()}


def assert_same(ours, theirs, **tolerance):
    assert ours.keys() == theirs.keys()
    for name in ours:
        torch.testing.assert_close(ours[name], theirs[name], msg=lambda text, name=name: f"{name}: {text}", **tolerance)
