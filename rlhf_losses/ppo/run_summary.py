"""The gain of a PPO run in reward, from its log."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from math import sqrt
from statistics import fmean, variance
from typing import Any

from rlhf_losses.setting_names import setting

SHARE = 5
"""The first and the last fifth of the logs are compared."""


@dataclass(frozen=True)
class RunSummary:
    """Mean reward at the beginning and at the end of a run.

    Attributes:
        logs: number of logs in each of the two parts.
        first: mean reward in the first part.
        last: mean reward in the last part.
        error: standard error of the difference; None with a single log in each part.
        kl: KL to the reference in the last part, in nats per completion; None without a KL penalty.
    """

    logs: int
    first: float
    last: float
    error: float | None
    kl: float | None

    @property
    def gain(self) -> float:
        """Difference of the mean rewards."""
        return self.last - self.first


def summarize_run(log: Iterable[Mapping[str, Any]]) -> RunSummary | None:
    r"""Compare the rewards at the beginning and at the end of a run.

    The standard error of the difference of two means of $n$ logs is $\sqrt{(s_1^2 + s_2^2) / n}$.

    Args:
        log: `trainer.state.log_history`.

    Returns:
        The comparison, or None if the rewards were logged less than twice.

    Examples:
        >>> summarize_run([{"reward": 1.0}, {"reward": 2.0, "kl_per_completion": 0.5}])
        RunSummary(logs=1, first=1.0, last=2.0, error=None, kl=0.5)
    """
    logged = [entry for entry in log if "reward" in entry]
    if len(logged) < 2:
        return None
    count = max(len(logged) // SHARE, 1)
    first, last = _values(logged[:count], "reward"), _values(logged[-count:], "reward")
    error = None if count < 2 else sqrt((variance(first) + variance(last)) / count)
    kl = _values(logged[-count:], "kl_per_completion")
    return RunSummary(count, fmean(first), fmean(last), error, fmean(kl) if kl else None)


def describe_gain(summary: RunSummary) -> str:
    """Return the gain of a run, its KL and a next step as text.

    Args:
        summary: the comparison of its beginning and its end.

    Examples:
        >>> print(describe_gain(RunSummary(logs=4, first=0.5, last=1.5, error=0.1, kl=3.0)))
        Mean reward: 0.5 in the first 4 logs, 1.5 in the last 4 (+1 ± 0.2), at a KL of 3 nats per completion.
        Read completions before you rely on it, with log_completions=True: a policy can find texts with too high scores.
    """
    logs = "log with a reward" if summary.logs == 1 else f"{summary.logs} logs"
    last = "one" if summary.logs == 1 else str(summary.logs)
    noise = "" if summary.error is None else f" ± {2 * summary.error:.2g}"
    kl = "" if summary.kl is None else f", at a KL of {summary.kl:.3g} nats per completion"
    reward = f"Mean reward: {summary.first:.4g} in the first {logs}, {summary.last:.4g} in the last {last}"
    return f"{reward} ({summary.gain:+.3g}{noise}){kl}.\n{_next_step(summary)}"


def _next_step(summary: RunSummary) -> str:
    read = setting("log_completions", "true", python="log_completions=True")
    if summary.error is None:
        more, often = setting("max_steps"), setting("logging_steps")
        return (
            f"The run has fewer than {2 * SHARE} logs with a reward, which are too few to tell a gain from noise. Set "
            f"a larger {more} or a smaller {often}, and read completions with {read}."
        )
    if summary.gain > 2 * summary.error:
        return f"Read completions before you rely on it, with {read}: a policy can find texts with too high scores."
    rate, beta = setting("learning_rate"), setting("beta")
    if summary.gain < -2 * summary.error:
        return f"The reward has fallen. Try a smaller {rate}, and read completions with {read}."
    return (
        f"This is within the noise of the run. Try more steps, a larger {rate} or a smaller {beta}, and read "
        f"completions with {read}."
    )


def _values(log: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [float(entry[name]) for entry in log if name in entry]
