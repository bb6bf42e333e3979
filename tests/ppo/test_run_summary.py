"""The last lines of a PPO run are its gain, its KL and a next step."""

import pytest
from scipy.stats import sem

from rlhf_losses.ppo.run_summary import describe_gain, summarize_run


def log(rewards, kl=None):
    extra = {} if kl is None else {"kl_per_completion": kl}
    return [{"reward": value, **extra} for value in rewards] + [{"train_runtime": 1.0}]


def test_the_first_and_the_last_fifth_are_compared():
    rewards = [0.0, 1.0, *[7.0] * 6, 3.0, 4.0]
    summary = summarize_run(log(rewards, kl=2.5))
    assert (summary.logs, summary.first, summary.last, summary.gain, summary.kl) == (2, 0.5, 3.5, 3.0, 2.5)
    assert summary.error == pytest.approx((sem([0.0, 1.0]) ** 2 + sem([3.0, 4.0]) ** 2) ** 0.5)


@pytest.mark.parametrize(
    ("rewards", "advice"),
    [
        ([0.0, 0.1, *[0.5] * 6, 1.0, 1.1], "Read completions before you rely on it"),
        ([1.0, 1.1, *[0.5] * 6, 0.0, 0.1], "The reward has fallen. Try a smaller learning_rate"),
        ([0.0, 1.0, *[0.5] * 6, 0.1, 1.1], "within the noise of the run. Try more steps"),
    ],
)
def test_the_advice_follows_from_the_gain_and_its_noise(rewards, advice):
    described = describe_gain(summarize_run(log(rewards)))
    assert advice in described
    assert "KL" not in described


def test_short_runs_have_no_interval_and_runs_without_rewards_no_summary():
    summary = summarize_run(log([1.0, 2.0, 3.0]))
    assert (summary.logs, summary.error) == (1, None)
    assert describe_gain(summary).startswith("Mean reward: 1 in the first log, 3 in the last log (+2).")
    assert "too few logs to tell a gain from noise" in describe_gain(summary)
    assert summarize_run(log([1.0])) is None
