"""The world is readable, varied, and leaves room to improve."""

import dataclasses
import re

import torch

from rlhf_losses.losses import bradley_terry
from rlhf_losses.sandbox import gold
from rlhf_losses.sandbox.annotators import Taste
from rlhf_losses.sandbox.world import MAX_COMPLETION_LENGTH


def completions(samples) -> list[str]:
    """Return all completions, one after the other."""
    return [completion for sample in samples for completion in sample.completions]


def test_prompts_are_different_and_held_out_ones_are_not_trained_on(world):
    prompts = (*world.train_prompts, *world.heldout_prompts)
    assert len(set(prompts)) == len(prompts) == 192 + 64


def test_stories_end_by_themselves(world, samples):
    lengths = [len(ids) for ids in world.tokenizer(completions(samples))["input_ids"]]
    assert sum(length < MAX_COMPLETION_LENGTH for length in lengths) > 0.98 * len(lengths)


def test_stories_are_made_of_sentences(samples):
    sentences = [one for text in completions(samples) for one in gold.split_sentences(text)]
    well_formed = [one for one in sentences if re.fullmatch(r" [A-Z][a-z]+,?( [a-z]+,?| [A-Z][a-z]+){2,12}\.", one)]
    assert len(well_formed) > 0.95 * len(sentences)


def test_the_policy_starts_in_the_middle_with_room_above(world, samples):
    golds = world.gold(samples)
    assert golds.shape == (64, 4)
    assert abs(golds.mean()) < 0.2
    assert golds.std() > 0.3
    assert golds.max(dim=1).values.mean() > golds.mean() + 0.3


def test_the_same_seed_samples_the_same_stories(world, samples):
    assert world.sample(world.heldout_prompts, count=4, seed=1) == samples
    assert world.sample(world.heldout_prompts, count=4, seed=2) != samples


def test_sampling_draws_nothing_from_the_callers_generator(world):
    torch.manual_seed(7)
    untouched = torch.rand(3)
    torch.manual_seed(7)
    world.sample(world.heldout_prompts[:2], count=1)
    assert torch.equal(torch.rand(3), untouched)


def test_training_a_copy_of_the_policy_leaves_the_world_as_it_is(world):
    policy = world.policy()
    with torch.no_grad():
        policy.lm_head.weight.zero_()
    assert world.language_model.lm_head.weight.abs().sum() > 0


def test_sampling_from_a_policy_samples_from_that_policy(world):
    policy = world.policy()
    with torch.no_grad():
        policy.lm_head.weight.zero_()  # every token is as likely as any other
    babble = world.sample(world.heldout_prompts[:8], count=2, policy=policy)
    assert world.gold(babble).mean() < -0.8


def test_gold_can_be_told_from_the_words(world):
    """A linear model of word counts ranks held-out stories as gold does, so a reward model can learn to."""
    train = world.sample(world.train_prompts, count=4, seed=3)
    heldout = world.sample(world.heldout_prompts, count=4, seed=4)
    features, targets = word_shares(world, train), world.gold(train).flatten()
    ridge = features.T @ features + 0.3 * torch.eye(features.shape[1])
    told = (word_shares(world, heldout) @ torch.linalg.solve(ridge, features.T @ targets)).view(-1, 4)
    i, j = torch.triu_indices(4, 4, offset=1)
    score_difference, gold_lead = told[:, i] - told[:, j], (golds := world.gold(heldout))[:, i] - golds[:, j]
    differ = gold_lead != 0
    assert (score_difference * gold_lead > 0)[differ].float().mean() > 0.9


def word_shares(world, samples) -> torch.Tensor:
    """Return how often each word is in each completion."""
    shares = torch.zeros(sum(len(sample.completions) for sample in samples), len(world.tokenizer))
    for row, ids in enumerate(world.tokenizer(completions(samples))["input_ids"]):
        shares[row] += torch.bincount(torch.tensor(ids), minlength=shares.shape[1])
    return shares


def test_feedback_is_about_train_prompts_in_the_shape_that_the_loss_reads(world):
    told = world.feedback(bradley_terry, count=2)
    assert told.column_names == ["prompt", "chosen", "rejected"]
    assert set(told["prompt"]) <= set(world.train_prompts)


def test_gold_is_a_reward_function(world):
    told = {"prompts": ["Once."] * 2, "completions": [" They sang.", ""], "completion_ids": [[1], []]}
    assert world.gold_rewards(**told) == [(1.0 - 1.0 - 1.0) / 3, -1.0]


def test_a_world_has_a_taste_of_its_own(world):
    other = dataclasses.replace(world, taste=Taste(lambda sentence: float("fox" in sentence)))
    assert other.gold_rewards(["Once."], [" A fox sang. They sang. It rained."]) == [1 / 3]
    assert other.annotator().read("Once.", " A fox sang. They sang. It rained.") == 1 / 3
