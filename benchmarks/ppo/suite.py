"""PPO at its defaults compared to TRL's GRPO and RLOO on eight tasks, at equal numbers of completions.

    python -m benchmarks.ppo.suite --model FOLDER              # results/ppo/suite.csv, table and suite.png
    python -m benchmarks.ppo.suite --draw                      # table and figure from the CSV file

The table is on the page docs/measured.md.

`FOLDER` has a pretrained language model of short stories. Every trainer generates 32 completions per rollout (PPO: one
for each prompt; GRPO and RLOO: groups of eight), and has its defaults but for the learning rate. That is the best of
three, the same for all trainers, with one seed; the table has five other seeds. A study that was stopped continues with
the next run.

The table has the mean reward over a run, as a gain over the first rollout. `difference` is PPO minus the better of
GRPO and RLOO, with the lower end of its paired 90 % interval over seeds. PPO is better if that is above 0, and as good
if it is above −5 % of the gain of the other. A run collapses if its last tenth is below its start.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks._lib.policy_runs import Run, Study, add_run_arguments, grpo, ppo, read_runs, rloo, run_or_draw
from benchmarks._lib.policy_tasks import SUITE, PolicyTask
from benchmarks._lib.policy_training import COMPLETIONS_PER_ROLLOUT
from benchmarks._lib.study import add_study_arguments, argument_parser
from benchmarks._lib.tables import format_interval, print_markdown

GRID_SEED, FIRST_SEED = 0, 1

TRAINERS = {"PPO": ppo(), "GRPO": grpo(), "RLOO": rloo()}
BASELINES = ("GRPO", "RLOO")

OTHER_REWARDS = {
    "PPO, reward × 100": replace(ppo(), scale=100.0),
    "PPO, reward + 50": replace(ppo(), offset=50.0),
}
"""PPO with another scale or offset of the reward."""

OTHER_REWARD_TASKS, OTHER_REWARD_SEEDS = 2, 2
"""Number of tasks and of seeds for them."""

BETTER, AS_GOOD, NOT_SHOWN = "better", "as good", "not shown to be as good"
TOLERANCE = 0.05
"""PPO is as good as a baseline if it loses less than this share of the gain."""


def main() -> None:
    """Train what is missing, print the table, and plot."""
    parser = argument_parser(__doc__)
    add_run_arguments(parser, seeds=5)
    add_study_arguments(parser, "ppo")
    runs = run_or_draw(parser, "suite", SUITE, TRAINERS | OTHER_REWARDS, train)
    if TRAINERS.keys() <= set(runs.method):
        report(runs)
        plot(runs, parser.parse_args().output / "suite.png")
    else:
        print(f"There is no table yet: it needs runs of {', '.join(TRAINERS)}.")


def train(study: Study, tasks: list[PolicyTask], methods: list[str], seeds: int) -> None:
    """Train with the grid of learning rates, then with the other seeds at the best ones."""
    trainers = [name for name in methods if name in TRAINERS]
    study.complete(
        [Run(task.name, name, rate, GRID_SEED) for task in tasks for name in trainers for rate in task.learning_rates]
    )
    rates = best_rates(read_runs(study.file))
    others = range(FIRST_SEED, FIRST_SEED + seeds)
    study.complete(
        [Run(task.name, name, rates[task.name, name], seed) for task in tasks for name in trainers for seed in others]
    )
    if "PPO" in trainers:
        study.complete(
            [
                Run(task.name, name, rates[task.name, "PPO"], seed)
                for task in tasks[:OTHER_REWARD_TASKS]
                for name in methods
                if name in OTHER_REWARDS
                for seed in others[:OTHER_REWARD_SEEDS]
            ]
        )


def best_rates(runs: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Return the learning rate of each task and method with the largest mean reward of the grid."""
    grid = runs[runs.seed == GRID_SEED]
    best = grid.loc[grid.groupby(["task", "method"])["mean"].idxmax()]
    return {(row.task, row.method): row.learning_rate for row in best.itertuples()}


@dataclass(frozen=True)
class Comparison:
    """PPO and the better baseline on a task, over seeds.

    Attributes:
        start: mean reward of the first rollouts.
        gains: mean reward over a run minus the start, for each method.
        baseline: the better baseline.
        difference: gain of PPO minus that of the baseline.
        lower: lower end of the paired 90 % interval of the difference.
        collapsed: number of runs of PPO whose last tenth is below the start or not finite.
    """

    start: float
    gains: Mapping[str, float]
    baseline: str
    difference: float
    lower: float
    collapsed: int

    @property
    def verdict(self) -> str:
        """Whether PPO is better, at least as good, or neither is shown."""
        if self.lower > 0:
            return BETTER
        return AS_GOOD if self.lower > -TOLERANCE * max(self.gains[self.baseline], 0) else NOT_SHOWN


def compare(of_task: pd.DataFrame) -> Comparison:
    """Compare PPO with the better baseline on the seeds of the table."""
    means = of_task.pivot_table(index="seed", columns="method", values="mean")
    first = np.mean([rewards[0] for rewards in of_task.rewards])
    gains = (means.mean() - first).to_dict()
    baseline = max(BASELINES, key=lambda name: gains.get(name, -np.inf))
    differences = means["PPO"] - means[baseline]
    half = stats.t.ppf(0.95, len(differences) - 1) * stats.sem(differences)
    ends = [rewards[-max(len(rewards) // 10, 1) :].mean() for rewards in of_task[of_task.method == "PPO"].rewards]
    collapsed = sum(not end >= first for end in ends)
    return Comparison(first, gains, baseline, differences.mean(), differences.mean() - half, collapsed)


def report(runs: pd.DataFrame) -> None:
    """Print the comparison of each task, and the effect of scale and offset."""
    shown = runs[runs.seed != GRID_SEED]
    comparisons = {task: compare(of_task) for task, of_task in shown.groupby("task", sort=False)}
    columns = ["task", "start", *TRAINERS, "difference", "lower end", "PPO is"]
    print_markdown(columns, [_line(task, one) for task, one in comparisons.items()])
    verdicts = [one.verdict for one in comparisons.values()]
    counts = ", ".join(f"{name} on {verdicts.count(name)}" for name in (BETTER, AS_GOOD, NOT_SHOWN))
    collapsed = sum(one.collapsed for one in comparisons.values())
    print(f"\nPPO is {counts} of {len(verdicts)} tasks; {collapsed} of its runs collapsed.\n")
    for name in OTHER_REWARDS:
        for task, of_task in shown.groupby("task", sort=False):
            means = of_task.pivot_table(index="seed", columns="method", values="mean")
            if name in means:
                difference = 100 * (means[name] - means["PPO"]).dropna() / comparisons[task].gains["PPO"]
                print(f"{name}, {task}: {format_interval(difference)} % of the gain of PPO")


def _line(task: str, comparison: Comparison) -> list[object]:
    gains = [f"{comparison.gains[name]:+.3g}" for name in TRAINERS]
    found = [f"{comparison.difference:+.3g}", f"{comparison.lower:+.3g}", comparison.verdict]
    return [task, f"{comparison.start:.3g}", *gains, *found]


def plot(runs: pd.DataFrame, file: Path) -> None:
    """Plot the reward over completions, one panel per task: mean of the seeds and each seed."""
    from matplotlib.figure import Figure

    shown = runs[runs.seed != GRID_SEED]
    tasks = list(shown.task.unique())
    figure = Figure(figsize=(16, 3.6 * -(-len(tasks) // 4)), layout="constrained")
    panels = figure.subplots(-(-len(tasks) // 4), 4, squeeze=False).ravel()
    colors = dict(zip(TRAINERS, ("tab:blue", "tab:orange", "tab:green"), strict=True))
    for panel, task in zip(panels, tasks, strict=False):
        of_task = shown[shown.task == task]
        for name, color in colors.items():
            curves = np.stack(of_task[of_task.method == name].rewards.to_list())
            completions = COMPLETIONS_PER_ROLLOUT * np.arange(1, curves.shape[1] + 1)
            smooth = pd.DataFrame(curves.T).rolling(5, min_periods=1, center=True).mean().to_numpy()
            panel.plot(completions, smooth, color=color, alpha=0.25, linewidth=0.8)
            panel.plot(completions, smooth.mean(1), color=color, linewidth=2, label=name)
        panel.set_title(task, fontsize=10)
        panel.grid(alpha=0.3)
        panel.set_xlabel("completions")
    for panel in panels[len(tasks) :]:
        panel.set_visible(False)
    panels[0].set_ylabel("reward")
    panels[0].legend(fontsize=9)
    figure.savefig(file, dpi=110)


if __name__ == "__main__":
    main()
