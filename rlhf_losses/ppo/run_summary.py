"""The gain of a PPO run in reward, from its log."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from rlhf_losses.messages.percentages import percent
from rlhf_losses.messages.setting_names import setting
from rlhf_losses.report.run_findings import MANY_TRUNCATED
from rlhf_losses.report.series_ends import MIN_LOGS, Ends


@dataclass(frozen=True)
class RunSummary:
    """The reward at the beginning and at the end of a run, and the KL at its end.

    Attributes:
        reward: mean rewards of the first and the last fifth of the logs.
        kl: KL to the reference in the last fifth, in nats per completion; None without a KL penalty.
        truncated: shares of the completions that reach the largest length without an end; None if it was not logged.
    """

    reward: Ends
    kl: float | None
    truncated: Ends | None = None


def summarize_run(log: Iterable[Mapping[str, Any]]) -> RunSummary | None:
    """Compare the rewards at the beginning and at the end of a run, as its report does.

    Args:
        log: `trainer.state.log_history`.

    Returns:
        The comparison, or None if the rewards were logged less than twice.

    Examples:
        >>> summarize_run([{"reward": 1.0}, {"reward": 2.0, "kl_per_completion": 0.5}])
        RunSummary(reward=Ends(count=1, first=1.0, last=2.0, error=None), kl=0.5, truncated=None)
    """
    entries = list(log)
    reward, kls = Ends.of(_values(entries, "reward")), _values(entries, "kl_per_completion")
    if reward is None:
        return None
    kl = Ends.of(kls)
    truncated = Ends.of(_values(entries, "completions/clipped_ratio"))
    return RunSummary(reward, kl.last if kl is not None else kls[-1] if kls else None, truncated)


def describe_gain(summary: RunSummary, log_completions: bool = False) -> str:
    """Return the gain of a run, its KL and a next step as text.

    Args:
        summary: the comparison of its beginning and its end.
        log_completions: whether the run has logged its completions.

    Examples:
        >>> print(describe_gain(RunSummary(Ends(count=4, first=0.5, last=1.5, error=0.1), kl=3.0)))
        Mean reward: 0.5 in the first 4 logs, 1.5 in the last 4 (+1 ± 0.2), at a KL of 3 nats per completion.
        Read completions before you rely on it, with log_completions=True: a policy can find texts with too high scores.
    """
    reward = summary.reward
    logs = "log with a reward" if reward.count == 1 else f"{reward.count} logs"
    last = "one" if reward.count == 1 else str(reward.count)
    noise = "" if reward.noise is None else f" ± {reward.noise:.2g}"
    kl = "" if summary.kl is None else f", at a KL of {summary.kl:.3g} nats per completion"
    means = f"Mean reward: {reward.first:.4g} in the first {logs}, {reward.last:.4g} in the last {last}"
    lines = [f"{means} ({reward.change:+.3g}{noise}){kl}.", _describe_truncated(summary.truncated)]
    return "\n".join([*filter(None, lines), _next_step(reward, log_completions)])


def _describe_truncated(truncated: Ends | None) -> str:
    if truncated is None or truncated.last <= MANY_TRUNCATED:
        return ""
    longest, penalty = setting("max_completion_length"), setting("missing_eos_penalty")
    return (
        f"At the end, {percent(truncated.last)} of the completions reach {longest} without an end (at the beginning "
        f"{percent(truncated.first)}). Allow longer ones, or set {penalty}."
    )


def _next_step(reward: Ends, log_completions: bool) -> str:
    completions = "the logged completions" if log_completions else "completions"
    how = "" if log_completions else f" with {setting('log_completions', 'true', python='log_completions=True')}"
    read = f"read {completions}{how}"
    if reward.noise is None:
        more, often = setting("max_steps"), setting("logging_steps")
        return (
            f"The run has fewer than {MIN_LOGS} logs with a reward, which are too few to tell a gain from noise. Set "
            f"a larger {more} or a smaller {often}, and {read}."
        )
    if reward.direction > 0:
        return (
            f"Read {completions} before you rely on it{how and ','}{how}: a policy can find texts with too high scores."
        )
    rate, beta = setting("learning_rate"), setting("beta")
    if reward.direction < 0:
        return f"The reward has fallen. Try a smaller {rate}, and {read}."
    return f"This is within the noise of the run. Try more steps, a larger {rate} or a smaller {beta}, and {read}."


def _values(log: Sequence[Mapping[str, Any]], name: str) -> list[float]:
    return [float(entry[name]) for entry in log if name in entry]
