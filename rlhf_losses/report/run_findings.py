"""Findings about a training run: comparisons of the beginning and the end of its metrics."""

import math
from collections.abc import Callable, Iterator

import numpy as np

from rlhf_losses.evaluation.intervals import FloatVector
from rlhf_losses.messages.percentages import percent
from rlhf_losses.report.findings import Finding, consequence, note, problem
from rlhf_losses.report.run_charts import kl_per_completion
from rlhf_losses.report.run_files import Run
from rlhf_losses.report.run_log import MetricSeries
from rlhf_losses.report.series_ends import MIN_LOGS, Ends

LOSS_RISE, OVERFIT_GAP = 0.03, 0.1
"""Rise of the loss of an evaluation, and gap between two accuracies, from which a model counts as overfitted."""

SMALL_RISE = 0.02
"""Rise of the loss of an evaluation, relative to its smallest value, below which it is no rise."""

HELD_OUT = "held-out (during training)"
"""Name of the data of the evaluations of a run, which differ from those of an evaluation of their own."""

MANY_EPOCHS = 5.0
"""Number of epochs of a reward model from which there is a finding."""

LOW_ACCURACY = 0.6
"""Accuracy of the training below which a run whose loss does not fall has learned nothing."""

LARGE_KL, NEGATIVE_KL = 10.0, -0.5
"""Nats per completion from which the KL is large, and below which its estimate is wrong."""

LARGE_APPROX_KL, LARGE_CLIP_SHARE = 0.1, 0.3
MANY_TRUNCATED, MANY_EQUAL = 0.3, 0.5
GROWTH = 3.0
"""Factor from which the scale of scores or losses counts as growing."""


def run_findings(run: Run) -> Iterator[Finding]:
    """Yield what the metrics of a run mean.

    Args:
        run: the run.
    """
    for rule in RULES:
        yield from rule(run)


def _series(run: Run, metric: str, split: str = "train") -> MetricSeries | None:
    """Return the first series of a metric in one split; of evaluations of any set."""
    found = (one for one in run.log.find(metric) if one.meaning is not None)
    return next((one for one in found if one.meaning and one.meaning.split.startswith(split)), None)


def _ends(run: Run, metric: str) -> Ends | None:
    return _long_enough(_series(run, metric))


def _long_enough(series: MetricSeries | None) -> Ends | None:
    """Return the ends of a series, or None if there are few values."""
    return None if series is None or len(series.finite) < MIN_LOGS else Ends.of(series.finite)


def _late(run: Run, metric: str) -> float | None:
    """Return the mean of the second half of a metric, or None if there are few values."""
    values = np.array([]) if (one := _series(run, metric)) is None else one.finite
    return float(values[len(values) // 2 :].mean()) if len(values) >= MIN_LOGS else None


def _what_was_read(run: Run) -> Iterator[Finding]:
    axis = run.log.axis
    for one in run.log.series.values():
        bad = one.steps[~np.isfinite(one.values)]
        if len(bad):
            share = f"{len(bad)} of {len(one.values)} logs, first at {axis} {bad[0]:g}"
            yield problem(f"Not finite: {one.name} is NaN or infinite in {share}.")
    replaced = run.log.replaced
    if replaced:
        yield note(
            f"Logged again: {len(replaced)} steps from {min(replaced):g} to {max(replaced):g}, as after a resume. "
            "The last values are shown."
        )
    longest = max(len(one.values) for one in run.log.series.values())
    if longest < MIN_LOGS:
        yield note(f"Too short to judge: no metric has more than {longest} values. Log more often (logging_steps).")


def _overfitting(run: Run) -> Iterator[Finding]:
    train, held_out = _series(run, "loss"), _series(run, "loss", "eval")
    if train is None or _series(run, "reward") is not None:
        return
    if held_out is None or len(held_out.finite) < 3:
        if _series(run, "margin") is not None or _series(run, "accuracy") is not None:
            yield note(
                "Whether the model is overfitted is unknown: the log has no losses of an evaluation over steps. "
                "Set eval_strategy=steps with an evaluation dataset."
            )
        return
    finite = np.isfinite(held_out.values)
    steps, values = held_out.steps[finite], held_out.values[finite]
    best = int(values.argmin())
    since = train.finite[train.steps[np.isfinite(train.values)] >= steps[best]]
    first, second = (float(half.mean()) if len(half) else math.nan for half in np.array_split(since, 2))
    rise = values[-1] - values[best]
    if rise > LOSS_RISE and second < first:
        earliest = " This is the first evaluation, so the best step can be an earlier one." if best == 0 else ""
        yield problem(
            f"Overfitted: since {run.log.axis} {steps[best]:g} the {HELD_OUT} loss rises from {values[best]:z.3f} to "
            f"{values[-1]:z.3f}, while the training loss falls (means of the two halves since then: {first:z.3f} and "
            f"{second:z.3f}). Use the checkpoint of this step, or fewer epochs.{earliest}"
        )
    elif SMALL_RISE * abs(values[best]) < rise <= LOSS_RISE:
        yield note(
            f"Small rise: the {HELD_OUT} loss goes from {values[best]:.3g} at {run.log.axis} {steps[best]:g} to "
            f"{values[-1]:.3g} at the end. A rise of this size is no overfitting yet."
        )
    elif rise <= LOSS_RISE < values[0] - values[-1] and not _has_learned_nothing(run):
        yield note(
            f"Not overfitted: the {HELD_OUT} loss falls from {values[0]:z.3f} to {values[-1]:z.3f}, and its smallest "
            f"value is {values[best]:z.3f}. A bias that the held-out data share with the training data does not show "
            "in it."
        )


def _accuracy(run: Run) -> Iterator[Finding]:
    train, last = _ends(run, "accuracy"), held_out_accuracy(run)
    if train is None or _series(run, "reward") is not None:
        return
    if last is not None and train.last - last > OVERFIT_GAP:
        yield consequence(
            f"Lower accuracy on held-out data: it is {percent(last)} {HELD_OUT.removeprefix('held-out ')}, and that of "
            f"the training {percent(train.last)} at the end. Use more data or fewer epochs."
        )
    held = "." if last is None else f"; the last {HELD_OUT} one is {percent(last)}."
    yield note(f"The training accuracy goes {train.in_percent}{held}")


def held_out_accuracy(run: Run) -> float | None:
    """Return the last accuracy on the held-out data during the training, or None if it was not logged.

    Args:
        run: the run.
    """
    found = _series(run, "accuracy", "eval")
    return None if found is None or not len(found.finite) else float(found.finite[-1])


def _epochs(run: Run) -> Iterator[Finding]:
    epoch = _series(run, "epoch")
    if epoch is None or _series(run, "reward") is not None or not len(epoch.finite):
        return
    if epoch.finite.max() > MANY_EPOCHS:
        yield note(
            f"Many epochs: the model has seen each row {epoch.finite.max():.3g} times, so it can remember the rows. "
            f"Look at the {HELD_OUT} loss."
        )


def _has_learned_nothing(run: Run) -> bool:
    loss, accuracy = _ends(run, "loss"), _ends(run, "accuracy")
    return loss is not None and accuracy is not None and accuracy.last < LOW_ACCURACY and loss.direction >= 0


def _learning(run: Run) -> Iterator[Finding]:
    loss, accuracy = _ends(run, "loss"), _ends(run, "accuracy")
    if loss is None or accuracy is None or _series(run, "reward") is not None:
        return
    if _has_learned_nothing(run):
        yield problem(
            f"Nothing is learned: at the end the training loss is {loss.last:.3g} (equal scores have a Bradley–Terry "
            f"loss of ln 2 = 0.693), and the training accuracy {percent(accuracy.last)}. Check the learning rate, the "
            "labels, whether texts are cut off, and whether the padding token is also the end token."
        )


def _scale(run: Run) -> Iterator[Finding]:
    margin, accuracy = _series(run, "margin"), _ends(run, "accuracy")
    if margin is None or accuracy is None or len(margin.finite) < 2 * MIN_LOGS:
        return
    middle, last = (float(part.mean()) for part in np.array_split(margin.finite, 4)[1::2])
    flat = np.array_split(_finite(run, "accuracy"), 4)
    if middle > 0 and last > GROWTH * middle and abs(flat[3].mean() - flat[1].mean()) < 0.02:
        yield note(
            f"Inflation: the margin grows from {middle:.3g} to {last:.3g} in the second half, while the accuracy "
            "stays. "
            "Add a term that keeps the scores small, such as centering, or train for fewer steps."
        )


def _finite(run: Run, metric: str) -> FloatVector:
    one = _series(run, metric)
    return np.array([]) if one is None else one.finite


def _reward(run: Run) -> Iterator[Finding]:
    reward = _ends(run, "reward")
    if reward is None:
        return
    after, held_out = _ends(run, "objective/rlhf_reward"), _ends(run, "held_out_reward")
    if reward.direction > 0:
        yield note(f"The reward rises {reward}. Whether the completions are better, only reading them can tell.")
    elif reward.direction < 0:
        yield problem(f"The reward falls {reward}. Lower the learning rate, or check the sign of the reward.")
    else:
        yield note(
            f"The reward does not clearly change: {reward}, a change of {reward.change:+.3g} ± {reward.noise:.2g}."
        )
    if reward.direction > 0 and after is not None and after.direction < 0:
        yield problem(f"The reward less the KL penalty falls {after}: the policy pays more KL than it gains.")
    if reward.direction > 0 and held_out is not None and held_out.direction < 0:
        yield problem(f"The reward on held-out prompts falls {held_out} while that of the training rises {reward}.")
    spread = _ends(run, "reward_std")
    if spread is not None and spread.first > 0 and spread.last < 0.05 * spread.first:
        yield problem(f"The standard deviation of the reward falls {spread}: nothing is left to learn from.")
    equal = _late(run, "frac_reward_zero_std")
    if equal is not None and equal > MANY_EQUAL:
        yield problem(
            f"Equal rewards: in {percent(equal)} of the prompts all completions have the same reward (mean of the "
            "second half), so they teach nothing. Use harder or easier prompts, more completions, or a finer reward."
        )


def _kl(run: Run) -> Iterator[Finding]:
    kl = _long_enough(kl_per_completion(run))
    if kl is None:
        if _ends(run, "reward") is not None:
            yield note(
                "How far the policy is from the reference is unknown: the log has no KL per completion (a KL per "
                "token needs the mean length). It is logged with beta > 0."
            )
    elif kl.last < NEGATIVE_KL:
        yield problem(
            f"Negative KL: {kl.last:.3g} nats per completion at the end. Sample without top_k and top_p at the "
            "temperature "
            "of the loss, and mask the padding."
        )
    elif kl.last > LARGE_KL:
        yield problem(
            f"Large KL: {kl.last:.3g} nats per completion at the end, above {LARGE_KL:g}. Read completions; raise "
            "beta if "
            "they are worse than the reward says."
        )
    else:
        yield note(f"The KL per completion, in nats, goes {kl}.")


def _policy(run: Run) -> Iterator[Finding]:
    entropy = _ends(run, "entropy") or _ends(run, "entropy_per_completion")
    if entropy is not None and 0 < entropy.last < entropy.first / 2:
        yield problem(f"The entropy falls {entropy}, to less than half: completions become alike.")
    cut = _ends(run, "completions/clipped_ratio")
    if cut is not None and cut.last > MANY_TRUNCATED:
        share = f"rises {cut.in_percent}" if cut.direction > 0 else f"is {percent(cut.last)} at the end"
        yield problem(
            f"Truncated: the share of completions that reach the largest length without an end {share}. "
            "Allow longer completions, or give those without EOS a penalty."
        )
    approx_kl, clipped = _late(run, "approx_kl"), _late(run, "clip_ratio/region_mean")
    if approx_kl is not None and approx_kl > LARGE_APPROX_KL:
        yield problem(f"Large updates: the KL to the policy at rollout is {approx_kl:.3g} nats per token. {SMALLER}")
    if clipped is not None and clipped > LARGE_CLIP_SHARE:
        yield problem(f"Large updates: {percent(clipped)} of the probability ratios are clipped. {SMALLER}")


SMALLER = "Lower the learning rate, or use fewer epochs per rollout."


def _critic(run: Run) -> Iterator[Finding]:
    explained, error = _late(run, "value/explained_variance"), _ends(run, "loss/value")
    if explained is not None and explained <= 0:
        yield problem(
            f"Critic: it explains {explained:z.2f} of the variance of the returns in the second half, no more than "
            "their "
            "mean would. Raise critic_learning_rate, or train it alone first with critic_warmup_steps."
        )
    elif explained is not None:
        yield note(f"The critic explains {explained:z.2f} of the variance of the returns in the second half.")
    if error is not None and error.first > 0 and error.last > GROWTH * error.first:
        yield problem(f"The value loss grows {error}. Normalize the rewards, or lower the learning rate of the critic.")


RULES: tuple[Callable[[Run], Iterator[Finding]], ...] = (
    _what_was_read, _learning, _overfitting, _epochs, _accuracy, _scale, _reward, _kl, _policy, _critic
)  # fmt: skip
