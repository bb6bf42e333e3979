"""Rewards at the end of each step compared to the same reward at the end of the completion.

    python -m benchmarks.ppo.step_rewards --seeds 8        # results/ppo/step_rewards.csv and .png
    python -m benchmarks.ppo.step_rewards --draw           # tables and figure from the CSV file

For each seed, a reward model is trained on labelled steps, and policies are trained on its scores of the steps of a
story: each score is assigned to the end of its step, or their sum to the end of the story. Scores are divided by the
number of steps, so the reward of a story is their mean; with `--reward sum` they are not, and more steps can increase
the reward. The critic starts from the reward model, or from the language model with a head of zeros. The gold reward is
logged with weight 0.

The tables have the mean gold reward of the completions of five consecutive rollouts, the paired difference with a 95 %
t-interval over seeds, and the ratio of the completions needed to reach a gold reward: the geometric mean over seeds,
by step to at the end, with its interval.

The tables and the figure are on the page docs/measured.md.
"""

import argparse
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._lib.policy_training import COMPLETIONS_PER_ROLLOUT, train_policy
from benchmarks._lib.study import add_study_arguments, argument_parser, run_study
from benchmarks._lib.tables import format_interval, print_markdown, seed_matrix, t_interval
from rlhf_losses import segment_hinge
from rlhf_losses.ppo import StepMeanRewards, StepRewards
from rlhf_losses.sandbox import SyntheticTask, build_synthetic_task
from rlhf_losses.sandbox.loop import train_reward_model
from rlhf_losses.scoring import Scorer

WINDOW = 5
"""Number of rollouts in a mean of the gold reward."""
BY_STEP, AT_THE_END = "by step", "at the end"
CRITICS = {"reward model": "critic from the reward model", "nothing": "critic with a zero head"}
GOLD_LEVELS = (0.4, 0.6, 0.8)


def main() -> None:
    """Train the policies of each seed, print the tables, and plot."""
    parser = argument_parser(__doc__)
    parser.add_argument("--seeds", type=int, default=8, help="number of seeds")
    parser.add_argument("--rollouts", type=int, default=20, help="rollouts of 32 completions")
    parser.add_argument("--beta", type=float, default=0.05, help="KL coefficient")
    parser.add_argument("--reward", choices=["mean", "sum"], default="mean", help="reward of a story from its steps")
    parser.add_argument("--critics", nargs="+", choices=list(CRITICS), default=list(CRITICS))
    add_study_arguments(parser, "ppo")
    args = parser.parse_args()
    run_study("step_rewards", args, lambda: (measure(seed, args) for seed in range(args.seeds)), report, plot)


def measure(seed: int, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return the logs of every policy of a seed."""
    rows: list[dict[str, Any]] = []
    with tempfile.TemporaryDirectory() as folder:
        task = build_synthetic_task(seed)
        scorer = train_reward_model(task, segment_hinge, Path(folder) / "reward")
        for critic in args.critics:
            for placement in (BY_STEP, AT_THE_END):
                logs = train(task, scorer, critic, placement, Path(folder) / critic / placement, args)
                rows += [{"critic": critic, "placement": placement, "seed": seed, **log} for log in logs]
                print(rows[-1], flush=True)
    return rows


def train(
    task: SyntheticTask, scorer: Scorer, critic: str, placement: str, folder: Path, args: argparse.Namespace
) -> list[dict[str, float]]:
    """Train a policy and return the metrics of each rollout."""
    by_step = StepMeanRewards(scorer) if args.reward == "mean" else StepRewards(scorer)

    def at_the_end(**columns: Any) -> list[float]:
        return by_step(**columns)

    reward = by_step if placement == BY_STEP else at_the_end
    trainer = train_policy(
        task,
        [reward, task.gold_rewards],
        folder,
        args.rollouts,
        critic=scorer.model if critic == "reward model" else critic_of_zeros(task),
        reward_weights=[1.0, 0.0],
        beta=args.beta,
        learning_rate=1.5e-3,
        logging_steps=1,
    )
    logs = [entry for entry in trainer.state.log_history if "objective/rlhf_reward" in entry]
    return [
        {
            "completions": (index + 1) * COMPLETIONS_PER_ROLLOUT,
            "gold": entry["rewards/gold_rewards/mean"],
            "proxy": entry[f"rewards/{reward.__name__}/mean"],
            "kl": entry["kl_per_completion"],
            "tokens": entry["completions/mean_length"],
            "explained_variance": entry["value/explained_variance"],
        }
        for index, entry in enumerate(logs)
    ]


def critic_of_zeros(task: SyntheticTask) -> Any:
    """Return a critic with the layers of the language model whose values are 0."""
    critic = task.reward_model()
    critic.score.weight.data.zero_()
    return critic


def gold_curves(results: pd.DataFrame) -> dict[str, np.ndarray]:
    """Return the gold reward of each placement, averaged over windows of rollouts, of shape (seed, window)."""
    return {
        placement: moving_average(seed_matrix(of_placement, "gold"))
        for placement, of_placement in results.groupby("placement", sort=False)
    }


def moving_average(gold: np.ndarray) -> np.ndarray:
    """Return the mean over each `WINDOW` consecutive rollouts.

    Examples:
        >>> moving_average(np.array([[1.0, 2.0, 3.0, 4.0, 5.0, 6.0]]))
        array([[3., 4.]])
    """
    windows = np.lib.stride_tricks.sliding_window_view(gold, min(WINDOW, gold.shape[1]), axis=1)
    return windows.mean(axis=-1)


def num_completions(window: int) -> int:
    """Return the number of completions at the end of a window."""
    return (window + WINDOW) * COMPLETIONS_PER_ROLLOUT


def report(results: pd.DataFrame) -> None:
    """Print the gold reward over completions, and the completions over gold rewards."""
    for critic, of_critic in results.groupby("critic", sort=False):
        curves = gold_curves(of_critic)
        step, end = curves[BY_STEP], curves[AT_THE_END]
        print(f"\n{CRITICS[critic]}\n")
        print_markdown(["completions", BY_STEP, AT_THE_END, "difference"], _gold_lines(step, end), text_columns=0)
        print()
        print_markdown(["to a gold of", "ratio", "seeds", "completions of each seed"], _ratio_lines(step, end), 0)
        print()
        columns = ["gold", "proxy", "kl", "tokens"]
        print_markdown(["last rollout by seed", *columns], _last_lines(of_critic, columns))


def _gold_lines(step: np.ndarray, end: np.ndarray) -> Iterator[list[object]]:
    for window in dict.fromkeys(np.linspace(0, step.shape[1] - 1, 8).astype(int).tolist()):
        pair = step[:, window], end[:, window]
        means = [f"{gold.mean():.3f}" for gold in pair]
        yield [num_completions(window), *means, format_interval(pair[0] - pair[1])]
    yield ["all", f"{step.mean():.3f}", f"{end.mean():.3f}", format_interval((step - end).mean(1))]


def _ratio_lines(step: np.ndarray, end: np.ndarray) -> Iterator[list[object]]:
    for gold in GOLD_LEVELS:
        of_step, of_end = completions_to_reach(step, gold), completions_to_reach(end, gold)
        both = ~np.isnan(of_step) & ~np.isnan(of_end)
        by_seed = " ".join(f"{a:.0f}/{b:.0f}" for a, b in zip(of_step, of_end, strict=True))
        yield [gold, geometric_mean_ratio(of_step[both], of_end[both]), both.sum(), by_seed]


def _last_lines(results: pd.DataFrame, columns: list[str]) -> Iterator[list[object]]:
    last = results[results.completions == results.completions.max()]
    for placement, rows in last.groupby("placement", sort=False):
        yield [placement, *(" ".join(f"{value:.3g}" for value in rows[column]) for column in columns)]


def completions_to_reach(gold: np.ndarray, level: float) -> np.ndarray:
    """Return the completions until the gold reward of each seed reaches a level, interpolated linearly, or NaN.

    Examples:
        >>> completions_to_reach(np.array([[0.0, 0.5, 1.0], [0.0, 0.1, 0.2]]), 0.75)
        array([208.,  nan])
    """
    return np.array([_crossing(curve, level) for curve in gold])


def _crossing(curve: np.ndarray, level: float) -> float:
    if not (curve >= level).any():
        return float("nan")
    after = int(np.argmax(curve >= level))
    if after == 0:
        return float(num_completions(0))
    fraction = (level - curve[after - 1]) / (curve[after] - curve[after - 1])
    return float(num_completions(0) + (after - 1 + fraction) * COMPLETIONS_PER_ROLLOUT)


def geometric_mean_ratio(numerator: np.ndarray, denominator: np.ndarray) -> str:
    """Return the geometric mean of the ratio with its 95 % t-interval, or an empty text without values.

    Examples:
        >>> geometric_mean_ratio(np.array([1.0, 1.0]), np.array([2.0, 2.0]))
        '0.50 [0.50, 0.50]'
    """
    if not len(numerator):
        return ""
    mean, half = t_interval(np.log(numerator / denominator))
    low, middle, high = np.exp([mean - half, mean, mean + half])
    return f"{middle:.2f} [{low:.2f}, {high:.2f}]"


def plot(results: pd.DataFrame, file: Path) -> None:
    """Plot gold over completions, a panel per critic: thin lines for seeds, thick lines for their mean."""
    from matplotlib.figure import Figure

    by_critic = list(results.groupby("critic", sort=False))
    figure = Figure(figsize=(4.8 * len(by_critic), 4), layout="constrained")
    axes = figure.subplots(1, len(by_critic), sharey=True, squeeze=False)[0]
    for axis, (critic, of_critic) in zip(axes, by_critic, strict=True):
        for (placement, gold), color in zip(gold_curves(of_critic).items(), ("tab:blue", "tab:orange"), strict=True):
            x = [num_completions(window) for window in range(gold.shape[1])]
            axis.plot(x, gold.T, color=color, alpha=0.25, linewidth=0.8)
            axis.plot(x, gold.mean(0), color=color, linewidth=2, label=f"reward {placement}")
        axis.set_title(CRITICS[critic], fontsize=10)
        axis.set_xlabel("completions of the training")
        axis.grid(alpha=0.3)
    axes[0].set_ylabel("gold reward, mean of five rollouts (−1 to 1)")
    axes[0].legend(title=f"mean of {results.seed.nunique()} seeds", loc="lower right")
    figure.savefig(file, dpi=130)


if __name__ == "__main__":
    main()
