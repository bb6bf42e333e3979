"""The synthetic task has distinct prompts, well-formed stories and an initial policy that can be improved."""

import dataclasses
import re

import torch

from rlhf_losses.losses import bradley_terry
from rlhf_losses.sandbox import Preferences
from rlhf_losses.sandbox.gold_reward import split_sentences
from rlhf_losses.sandbox.synthetic_task import MAX_COMPLETION_LENGTH


def completions(samples) -> list[str]:
    """Return all completions, one after the other."""
    return [completion for sample in samples for completion in sample.completions]


def test_prompts_are_distinct_and_heldout_prompts_are_not_train_prompts(task):
    prompts = (*task.train_prompts, *task.heldout_prompts)
    assert len(set(prompts)) == len(prompts) == 192 + 64


def test_stories_end_before_the_length_limit(task, samples):
    lengths = [len(ids) for ids in task.tokenizer(completions(samples))["input_ids"]]
    assert sum(length < MAX_COMPLETION_LENGTH for length in lengths) > 0.98 * len(lengths)


def test_stories_consist_of_sentences(samples):
    sentences = [one for text in completions(samples) for one in split_sentences(text)]
    well_formed = [one for one in sentences if re.fullmatch(r" [A-Z][a-z]+,?( [a-z]+,?| [A-Z][a-z]+){2,12}\.", one)]
    assert len(well_formed) > 0.95 * len(sentences)


def test_the_initial_policy_has_medium_reward_and_can_be_improved(task, samples):
    golds = task.sample_rewards(samples)
    assert golds.shape == (64, 4)
    assert abs(golds.mean()) < 0.2
    assert golds.std() > 0.3
    assert golds.max(dim=1).values.mean() > golds.mean() + 0.3


def test_equal_seeds_give_equal_samples(task, samples):
    assert task.sample(task.heldout_prompts, count=4, seed=1) == samples
    assert task.sample(task.heldout_prompts, count=4, seed=2) != samples


def test_sampling_leaves_the_random_state_unchanged(task):
    torch.manual_seed(7)
    untouched = torch.rand(3)
    torch.manual_seed(7)
    task.sample(task.heldout_prompts[:2], count=1)
    assert torch.equal(torch.rand(3), untouched)


def test_training_a_policy_does_not_change_the_task(task):
    policy = task.policy()
    with torch.no_grad():
        policy.lm_head.weight.zero_()
    assert task.language_model.lm_head.weight.abs().sum() > 0


def test_sampling_from_a_policy_samples_from_that_policy(task):
    policy = task.policy()
    with torch.no_grad():
        policy.lm_head.weight.zero_()  # all tokens have the same probability
    samples = task.sample(task.heldout_prompts[:8], count=2, policy=policy)
    assert task.sample_rewards(samples).mean() < -0.8


def test_a_linear_model_of_word_counts_predicts_the_gold_reward(task):
    """It ranks held-out stories as the gold reward does, so a reward model can learn the ranking."""
    train = task.sample(task.train_prompts, count=4, seed=3)
    heldout = task.sample(task.heldout_prompts, count=4, seed=4)
    features, targets = word_shares(task, train), task.sample_rewards(train).flatten()
    ridge = features.T @ features + 0.3 * torch.eye(features.shape[1])
    predicted = (word_shares(task, heldout) @ torch.linalg.solve(ridge, features.T @ targets)).view(-1, 4)
    i, j = torch.triu_indices(4, 4, offset=1)
    golds = task.sample_rewards(heldout)
    difference, gold_difference = predicted[:, i] - predicted[:, j], golds[:, i] - golds[:, j]
    decided = gold_difference != 0
    assert (difference * gold_difference > 0)[decided].float().mean() > 0.9


def word_shares(task, samples) -> torch.Tensor:
    """Return how often each word is in each completion."""
    shares = torch.zeros(sum(len(sample.completions) for sample in samples), len(task.tokenizer))
    for row, ids in enumerate(task.tokenizer(completions(samples))["input_ids"]):
        shares[row] += torch.bincount(torch.tensor(ids), minlength=shares.shape[1])
    return shares


def test_feedback_has_train_prompts_and_the_columns_of_the_loss(task):
    dataset = task.feedback(bradley_terry, count=2)
    assert dataset.column_names == ["prompt", "chosen", "rejected"]
    assert set(dataset["prompt"]) <= set(task.train_prompts)


def test_gold_rewards_has_the_signature_of_a_reward_function(task):
    arguments = {"prompts": ["Once."] * 2, "completions": [" They sang.", ""], "completion_ids": [[1], []]}
    assert task.gold_rewards(**arguments) == [(1.0 - 1.0 - 1.0) / 3, -1.0]


def test_a_task_can_have_other_preferences(task):
    other = dataclasses.replace(task, preferences=Preferences(lambda sentence: float("fox" in sentence)))
    assert other.gold_rewards(["Once."], [" A fox sang. They sang. It rained."]) == [1 / 3]
    assert other.annotator().rate("Once.", " A fox sang. They sang. It rained.") == 1 / 3
