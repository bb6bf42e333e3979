"""The first line of a PPO run says what a rollout serves; the last ones are its gain, its KL and a next step."""

import pytest
from scipy.stats import sem

from rlhf_losses.messages.setting_names import command_flags
from rlhf_losses.ppo.rollout_steps import describe_rollouts
from rlhf_losses.ppo.run_summary import describe_gain, summarize_run
from rlhf_losses.report.log_rows import LogRows
from rlhf_losses.report.run_files import Run
from rlhf_losses.report.run_findings import run_findings
from rlhf_losses.report.run_log import RunLog


def log(rewards, kl=None):
    extra = {} if kl is None else {"kl_per_completion": kl}
    return [{"reward": value, **extra} for value in rewards] + [{"train_runtime": 1.0}]


def test_the_first_and_the_last_fifth_are_compared():
    rewards = [0.0, 1.0, *[7.0] * 6, 3.0, 4.0]
    summary = summarize_run(log(rewards, kl=2.5))
    reward = summary.reward
    assert (reward.count, reward.first, reward.last, reward.change, summary.kl) == (2, 0.5, 3.5, 3.0, 2.5)
    assert reward.error == pytest.approx((sem([0.0, 1.0]) ** 2 + sem([3.0, 4.0]) ** 2) ** 0.5)


@pytest.mark.parametrize(
    ("rewards", "advice"),
    [
        ([0.0, 0.1, *[0.5] * 6, 1.0, 1.1], "Read completions before you rely on it"),
        ([1.0, 1.1, *[0.5] * 6, 0.0, 0.1], "The reward has fallen. Try a smaller learning_rate"),
        ([0.0, 1.0, *[0.5] * 6, 0.1, 1.1], "within the noise of the run. Try more steps"),
    ],
)
def test_the_advice_follows_from_the_gain_and_its_noise(rewards, advice):
    summary = summarize_run(log(rewards))
    described = describe_gain(summary)
    assert advice in described
    assert "KL" not in described
    assert "log_completions=True" in described
    assert "log_completions" not in describe_gain(summary, log_completions=True)
    verdicts = {1: "The reward rises", -1: "The reward falls", 0: "The reward does not clearly change"}
    run = Run("run", None, RunLog.of(LogRows(tuple(log(rewards)))))
    assert any(one.text.startswith(verdicts[summary.reward.direction]) for one in run_findings(run))


def test_short_runs_have_no_interval_and_runs_without_rewards_no_summary():
    summary = summarize_run(log([1.0, 2.0, 3.0]))
    assert (summary.reward.count, summary.reward.error) == (1, None)
    described = describe_gain(summary)
    assert described.startswith("Mean reward: 1 in the first log with a reward, 3 in the last one (+2).")
    assert "fewer than 5 logs with a reward, which are too few to tell a gain from noise" in described
    assert summarize_run(log([1.0] * 4)).reward.error is None
    assert summarize_run(log([1.0] * 5)).reward.error == summarize_run(log([1.0] * 10)).reward.error == 0
    assert summarize_run(log([1.0])) is None


def test_the_first_line_says_which_logs_have_no_reward():
    with command_flags(["--logging_steps"]):
        described = describe_rollouts(8, 4, max_steps=10, logging_steps=2)
    rollouts, logs = described.split(" Its reward is in the log of the first of these steps, so ")
    assert rollouts == "A rollout of 8 completions serves 4 optimizer steps: 10 steps are 3 rollouts."
    assert logs == "with --logging_steps 2 other logs have none. With --logging_steps 4 every log has one."
    assert describe_rollouts(8, 1, 10, logging_steps=1).endswith("serves 1 optimizer step: 10 steps are 10 rollouts.")
    assert describe_rollouts(8, 4, 4, logging_steps=4).endswith("4 steps are 1 rollout.")


def test_completions_without_an_end_are_named():
    def described(shares):
        log = [{"reward": 1.0, "completions/clipped_ratio": share} for share in shares]
        return describe_gain(summarize_run(log))

    assert "75.0 % of the completions reach max_completion_length without an end" in described([0.25, 0.75])
    assert "without an end" not in described([0.25, 0.25])
