"""Metrics, the sanity check of the first rollout, and the times of phases, without a trainer."""

from collections import defaultdict, deque

import pytest
import torch
from peft import LoraConfig, get_peft_model
from ppo_runs import byte_tokenizer
from tiny_llama import tiny_classifier, tiny_policy
from torch import tensor
from torch.testing import assert_close

from rlhf_losses.ppo.formulas import explained_variance, single_process
from rlhf_losses.ppo.monitoring import (
    PPOMonitor,
    SanityCheck,
    describe_tokenizers,
    format_completion,
    kl_metrics,
    ratio_metrics,
    rollout_metrics,
    uses_reference_adapter,
)
from rlhf_losses.ppo.phase_timer import PhaseTimer
from rlhf_losses.ppo.reward_functions import StepRewards
from rlhf_losses.ppo.rewards import PerTokenRewards, RawRewards, RewardPipeline
from rlhf_losses.ppo.rollout import Rollout
from rlhf_losses.scoring import RewardModelMetadata, Scorer

MASK = tensor([[1, 1, 1], [1, 0, 0]])


def make_monitor(**options):
    metrics = {"train": defaultdict(list), "eval": defaultdict(list)}
    return PPOMonitor(metrics, deque([9.0, 9.0], maxlen=2), **options)


# Metrics


def test_objective_is_the_reward_minus_the_kl_penalty():
    rewards, kl = tensor([[0.0, 0.5, 2.0], [1.0, 7.0, 7.0]]), tensor([[0.1, 0.2, 0.3], [0.5, 7.0, 7.0]])
    values, returns = torch.randn(2, 2, 3, generator=torch.Generator().manual_seed(0))
    metrics = rollout_metrics(rewards, 0.3 * kl, values, returns, MASK, single_process)
    kls = kl_metrics(kl, 0.3, MASK, single_process)
    per_completion, reward = kls["kl_per_completion"].item(), (0.5 + 2.0 + 1.0) / 2
    assert metrics["objective/rlhf_reward"].item() == pytest.approx(reward - 0.3 * per_completion)
    assert per_completion == pytest.approx((0.1 + 0.2 + 0.3 + 0.5) / 2)
    assert per_completion == pytest.approx(kls["kl"].item() * MASK.sum().item() / len(MASK))
    assert metrics["value/mean"].item() == pytest.approx(values[MASK.bool()].mean().item())
    assert_close(metrics["value/explained_variance"], explained_variance(values, returns, MASK))


def test_ratio_is_one_and_approx_kl_zero_for_equal_policies():
    logps = torch.randn(2, 3, generator=torch.Generator().manual_seed(0))
    same = ratio_metrics(logps, torch.where(MASK.bool(), logps, torch.nan), MASK, single_process)
    assert (same["ratio"], same["approx_kl"]) == (1, 0)
    moved = ratio_metrics(logps, logps - 0.5, MASK, single_process)
    assert moved["ratio"].item() == pytest.approx(torch.tensor(0.5).exp().item())
    assert moved["approx_kl"].item() == pytest.approx(torch.tensor(0.5).expm1().item() - 0.5)


def rollout(**more):
    data = {"completion_ids": tensor([[3, 4, 1], [1, 0, 0]]), "completion_mask": MASK}
    zeros = {name: torch.zeros(2, 3) for name in ("values", "returns", "advantages")}
    return Rollout.view(data | zeros | more, [1])


def test_rollout_metrics_are_recorded_without_those_of_groups():
    monitor = make_monitor()
    monitor.metrics["train"]["frac_reward_zero_std"].append(1.0)
    rewards, kl = PerTokenRewards(MASK.float(), MASK.bool()), torch.full((2, 3), 0.25)
    advantages = tensor([[1.0, 2.0, 6.0], [5.0, 0.0, 0.0]])
    found = monitor.record_rollout(rollout(advantages=advantages), rewards, kl, coefficient=0.1, training=True)
    assert found == pytest.approx(0.25 * 4 / 2)
    log = monitor.metrics["train"]
    assert log["objective/rlhf_reward"] == [pytest.approx(2.0 - 0.1 * found)]
    assert log["kl_coefficient"] == [pytest.approx(0.1)]
    assert "frac_reward_zero_std" not in log
    assert not monitor.metrics["eval"]
    assert list(monitor.advantages) == [3.0, 5.0]


def test_without_a_reference_kl_is_not_recorded():
    monitor = make_monitor()
    rewards = PerTokenRewards(MASK.float(), MASK.bool())
    assert monitor.record_rollout(rollout(), rewards, torch.zeros(2, 3), coefficient=0.0, training=False) == 0
    assert set(monitor.metrics["eval"]) == {"objective/rlhf_reward", "value/mean", "value/explained_variance"}


def test_shares_of_micro_batches_are_recorded_as_losses_of_the_step():
    monitor = make_monitor()
    old, values = torch.full((2, 3), -1.0), tensor([[0.0, 0.1, 0.5], [0.9, 9.0, 9.0]])
    found = monitor.record_loss(
        tensor(0.5), tensor(1.5), rollout=rollout(old_per_token_logps=old), values=values, logps=old + 0.1,
        cliprange_value=0.2, accumulation_steps=4, training=True,
    )  # fmt: skip
    log = monitor.metrics["train"]
    assert (log["loss/policy"], log["loss/value"]) == ([2.0], [6.0])
    assert log["value/clip_ratio"] == [0.5]
    assert [found] == log["approx_kl"] == [pytest.approx(torch.tensor(0.1).expm1().item() - 0.1, rel=1e-4)]


def test_losses_are_means_over_processes():
    monitor = make_monitor(all_reduce=lambda sums: sums + 3.0, num_processes=2)
    assert monitor.mean_over_processes(tensor([1.0], requires_grad=True)).tolist() == [2.0]


def test_policy_is_its_reference_while_its_adapters_are_disabled():
    policy = get_peft_model(tiny_policy(), LoraConfig(target_modules=["q_proj"]))
    assert not uses_reference_adapter(tiny_policy())
    assert not uses_reference_adapter(policy)
    with policy.disable_adapter():
        assert uses_reference_adapter(policy)
    policy.add_adapter("ref", LoraConfig(target_modules=["q_proj"]))
    policy.set_adapter("ref")
    assert uses_reference_adapter(policy)


# Sanity check


def test_sanity_check_prints_step_rewards_after_their_tokens():
    tokenizer, lines = byte_tokenizer(), []
    metadata = RewardModelMetadata("segment_hinge", ["Steps"], segmentation="sentences")
    scorer = Scorer(tiny_classifier(vocab_size=len(tokenizer)), tokenizer, metadata)
    rewards, texts = StepRewards(scorer), ["Go on. Stop!", "Hi"]
    ids = [[*tokenizer(text)["input_ids"], tokenizer.eos_token_id] for text in texts]
    scores = torch.tensor(rewards(["", ""], texts)).unsqueeze(1)
    width = max(map(len, ids))
    data = {
        "completion_ids": tensor([row + [0] * (width - len(row)) for row in ids]),
        "completion_mask": tensor([[1] * len(row) + [0] * (width - len(row)) for row in ids]),
    }
    completions = Rollout.view(data, [tokenizer.eos_token_id])
    raw = RawRewards(scores, [rewards.token_rewards(ids, tokenizer)])
    processed = RewardPipeline(tensor([1.0])).process(raw, completions)
    check = SanityCheck(lines.append, tokenizer, [rewards], tolerance=1e-4)
    check.check_rollout(completions, processed)
    printed = next(line for line in lines if line.startswith("    1. "))
    assert printed.count("[") == 2
    assert "Go on.[" in printed
    assert "] Stop!<eos>[" in printed
    count = len(lines)
    check.check_rollout(completions, processed)
    assert len(lines) == count


def test_sanity_check_detects_different_log_probabilities():
    for ratio, approx_kl, expected in ((1.00001, 0.0, ": ok"), (0.9, 0.005, "NOT OK"), (1.0, 0.01, "NOT OK")):
        lines = []
        check = SanityCheck(lines.append, byte_tokenizer(), [], tolerance=1e-4)
        check.check_ratio(ratio, approx_kl)
        assert not lines  # no rollout yet
        check.check_rollout(rollout(), PerTokenRewards(MASK.float(), MASK.bool()))
        check.check_ratio(ratio, approx_kl)
        check.check_ratio(ratio, approx_kl)
        (line,) = [line for line in lines if "First PPO epoch" in line]
        assert expected in line
        assert f"{ratio:.6f}" in line


def test_sanity_check_prints_differences_of_tokenizers_and_templates():
    ours, theirs = byte_tokenizer(), byte_tokenizer()

    def described(tokenizer):
        scorer = Scorer(tiny_classifier(vocab_size=len(ours) + 1), tokenizer)
        policy, line = describe_tokenizers([scorer], ours)
        assert "258 tokens, EOS '<eos>', padding '<pad>'" in policy
        return line

    assert described(theirs) == "reward_model: same token ids as the policy; no chat template in either."
    ours.chat_template = theirs.chat_template = "{{ messages }}"
    assert described(theirs) == "reward_model: same token ids as the policy; same chat template."
    theirs.chat_template = "{{ messages[0] }}"
    assert "different chat templates" in described(theirs)
    fewer = byte_tokenizer()
    fewer.get_vocab = dict
    assert "other token ids than the policy" in described(fewer)
    same = byte_tokenizer(pad_token="<eos>")
    assert "same token" in describe_tokenizers([], same)[1]


def test_only_the_end_of_a_long_completion_is_printed():
    ids, rewards = byte_tokenizer()("a" * 70 + "\nb")["input_ids"], [0.0] * 72
    printed = format_completion(ids, rewards, [False] * 71 + [True], byte_tokenizer())
    assert printed == "… " + "a" * 58 + "⏎b[+0.0000]"


def test_a_monitor_without_timer_measures_nothing():
    with make_monitor().phase("generation"):
        pass


def test_forward_passes_of_a_rollout_have_the_phase_of_their_model():
    seconds = iter(range(100))
    timer = PhaseTimer(defaultdict(list), lambda _: None, lambda: next(seconds))
    monitor = make_monitor(timer=timer)
    timer.on_step_begin()
    for is_reference, training, gradient in ((True, True, False), (False, True, False), (True, False, False)):
        with torch.set_grad_enabled(gradient), monitor.log_probs_phase(tiny_policy(), is_reference, training):
            pass
    with monitor.log_probs_phase(tiny_policy(), is_reference=False, training=True):
        pass  # the forward pass of a loss
    timer.on_step_end()
    assert dict(timer.total) == {"update": 3.0, "reference": 1.0, "policy": 1.0}
