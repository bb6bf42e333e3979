"""PPO at its defaults compared to TRL's GRPO and RLOO on eight tasks, at equal numbers of completions.

    python -m benchmarks.ppo.suite --model FOLDER              # results/ppo/suite.csv, table and suite.png
    python -m benchmarks.ppo.suite --model FOLDER --tuning     # the choice of the defaults, results/ppo/tuning.csv
    python -m benchmarks.ppo.suite --draw                      # table and figure from the CSV file

The choice of the defaults has other tasks, one learning rate and the gain in units of that of GRPO with as many
optimizer steps as PPO.

The tables are on the page docs/measured.md.

`FOLDER` has a pretrained language model of short stories. Every trainer generates 32 completions per rollout (PPO: one
for each prompt; GRPO and RLOO: groups of eight), and has its defaults but for the learning rate. That is the best of
three, the same for all trainers, with one seed; the table has five other seeds. A run that was stopped continues with
the next cell.

The table has the mean reward over a run, as a gain over the first rollout. `difference` is PPO minus the better of
GRPO and RLOO, with the lower end of its paired 90 % interval over seeds. PPO is better if that is above 0, and as good
if it is above −5 % of the gain of the other. A run collapses if its last tenth is below its start.
"""

import argparse
import os
import tempfile
from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass
from multiprocessing import get_context
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import trl
from datasets import Dataset, disable_progress_bars
from scipy import stats
from transformers.trainer_callback import PrinterCallback

from benchmarks._lib.policy_tasks import SUITE, TUNING, PolicyTask, initial_policy, with_affine_reward
from benchmarks._lib.study import add_study_arguments, argument_parser
from benchmarks._lib.tables import format_interval, print_markdown
from rlhf_losses.ppo import PPOConfig, PPOTrainer
from rlhf_losses.ppo.config import PUBLISHED
from rlhf_losses.sandbox.loop import CPU_SETTINGS

COMPLETIONS_PER_ROLLOUT = 32
TUNING_SEED, FIRST_SEED = 0, 1


class Method(NamedTuple):
    """A trainer with its configuration and settings that are not the defaults."""

    trainer_class: Any
    config_class: Any
    settings: Mapping[str, Any]


GROUPS = {"num_generations": 8}
METHODS = {
    "PPO": Method(PPOTrainer, PPOConfig, {}),
    "GRPO": Method(trl.GRPOTrainer, trl.GRPOConfig, GROUPS),
    "RLOO": Method(trl.RLOOTrainer, trl.RLOOConfig, GROUPS),
}
MORE_STEPS = METHODS["GRPO"]._replace(settings={**GROUPS, "num_iterations": 4})

FROM_THE_PAPER = {
    name: value
    for name, value in PUBLISHED.items()
    if name not in ("learning_rate", "temperature", "missing_eos_score")
}
"""Published settings of the algorithm; the learning rate, the policy and the reward are those of the task."""

VARIANTS: dict[str, dict[str, Any]] = {
    "defaults": {},
    "value_lam 0.95": {"value_lam": 0.95},
    "lam 1": {"lam": 1.0},
    "critic_learning_rate × 1": {"critic_learning_rate": 1.0},
    "beta 0.05": {"beta": 0.05},
    "score_normalization none": {"score_normalization": "none"},
    "adam_epsilon 1e-5": {"adam_epsilon": 1e-5},
    "published": {**FROM_THE_PAPER, "critic_learning_rate": 1.0},
}
"""Settings of PPO that the tuning compares; learning rates of the critic are multiples of that of the policy."""

REFERENCE = "GRPO, 4 iterations"
"""The unit of the tuning: GRPO with as many optimizer steps per rollout as PPO."""

BASELINES = ("GRPO", "RLOO")
BETTER, AS_GOOD, NOT_SHOWN = "better", "as good", "not shown to be as good"
TOLERANCE = 0.05
"""PPO is as good as a baseline if it loses less than this share of the gain."""

AFFINE = {"PPO, reward × 100": (100.0, 0.0), "PPO, reward + 50": (1.0, 50.0)}
"""PPO with another scale or offset of the reward."""

AFFINE_TASKS, AFFINE_SEEDS = 2, 2
"""Number of tasks and of seeds for them."""


@dataclass(frozen=True)
class Cell:
    """One training run."""

    task: str
    method: str
    learning_rate: float
    seed: int


def main() -> None:
    """Run the cells that are missing, print the table, and plot."""
    parser = argument_parser(__doc__)
    parser.add_argument("--model", type=Path, help="folder of a language model of short stories")
    parser.add_argument("--tuning", action="store_true", help="compare settings of PPO on other tasks")
    parser.add_argument("--tasks", nargs="+", help="substrings of the names of the tasks; by default all")
    parser.add_argument("--methods", nargs="+", help="by default all")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds")
    parser.add_argument("--rollouts", type=int, default=32, help="rollouts of 32 completions")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="number of processes")
    add_study_arguments(parser, "ppo")
    args = parser.parse_args()
    file = args.output / ("tuning.csv" if args.tuning else "suite.csv")
    if not args.draw:
        run_missing(args, file)
    results = read_results(file)
    if not args.tuning and set(METHODS) - set(results.method):
        print(f"{file} has no table yet: it needs runs of {', '.join(METHODS)}.")
        return
    if args.tuning:
        report_tuning(results)
        return
    report(results)
    plot(results, file.with_suffix(".png"))


def run_missing(args: argparse.Namespace, file: Path) -> None:
    """Run the grid of learning rates, then the other seeds at the best ones."""
    tasks = [
        task.name
        for task in (TUNING if args.tuning else SUITE)
        if not args.tasks or any(part in task.name for part in args.tasks)
    ]
    seeds = range(FIRST_SEED, FIRST_SEED + args.seeds)
    if args.tuning:
        methods = args.methods or [*VARIANTS, REFERENCE, "GRPO"]
        rate = {task: find_task(task).learning_rates[1] for task in tasks}
        run_cells(
            [Cell(t, m, rate[t], TUNING_SEED + s) for s in range(args.seeds) for t in tasks for m in methods],
            args,
            file,
        )
        return
    methods = args.methods or list(METHODS)
    grid = [Cell(t, m, rate, TUNING_SEED) for t in tasks for m in methods for rate in find_task(t).learning_rates]
    run_cells(grid, args, file)
    rates = best_rates(read_results(file))
    run_cells([Cell(t, m, rates[t, m], seed) for t in tasks for m in methods for seed in seeds], args, file)
    if not args.methods:
        few = seeds[:AFFINE_SEEDS]
        run_cells(
            [Cell(t, m, rates[t, "PPO"], s) for t in tasks[:AFFINE_TASKS] for m in AFFINE for s in few], args, file
        )


def run_cells(cells: Sequence[Cell], args: argparse.Namespace, file: Path) -> None:
    """Run cells that the file does not have, and add a line for each."""
    done = set(read_results(file)[list(Cell.__annotations__)].itertuples(index=False, name=None))
    missing = [cell for cell in cells if tuple(asdict(cell).values()) not in done]
    file.parent.mkdir(parents=True, exist_ok=True)
    with ProcessPoolExecutor(args.jobs, mp_context=get_context("spawn")) as pool:
        futures = {pool.submit(train, cell, args.model, args.rollouts): cell for cell in missing}
        for number, future in enumerate(as_completed(futures), 1):
            cell, curve = futures[future], future.result()
            line = pd.DataFrame([{**asdict(cell), "rewards": " ".join(f"{reward:.5g}" for reward in curve)}])
            line.to_csv(file, mode="a", header=not file.is_file(), index=False)
            print(f"{number}/{len(missing)} {cell}: {np.mean(curve):.4g}", flush=True)


def train(cell: Cell, model: Path, rollouts: int) -> list[float]:
    """Return the mean reward of each rollout of a run, before scale and offset."""
    import torch

    torch.set_num_threads(1)
    disable_progress_bars()
    task, method = find_task(cell.task), find_method(cell.method)
    scale, offset = AFFINE.get(cell.method, (1.0, 0.0))
    given = with_affine_reward(task, scale, offset)
    policy, reward = initial_policy(task, model), given.reward_funcs
    sanity_check = {"sanity_check": False} if method.config_class is PPOConfig else {}
    with tempfile.TemporaryDirectory() as folder:
        settings: dict[str, Any] = {
            "per_device_train_batch_size": COMPLETIONS_PER_ROLLOUT,
            "max_completion_length": task.max_completion_length,
            "learning_rate": cell.learning_rate,
            "seed": cell.seed,
            **CPU_SETTINGS,
            **sanity_check,
            **method.settings,
        }
        if "critic_learning_rate" in settings:
            settings["critic_learning_rate"] *= cell.learning_rate
        steps = method.config_class(folder, **settings).num_iterations
        trainer = method.trainer_class(
            policy.model,
            reward,
            method.config_class(folder, max_steps=steps * rollouts, logging_steps=steps, **settings),
            Dataset.from_dict({"prompt": list(policy.prompts)}),
            processing_class=policy.tokenizer,
            peft_config=policy.peft_config,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    name = f"rewards/{reward.__name__}/mean"
    return [(log[name] - given.offset) / given.scale for log in trainer.state.log_history if name in log]


def find_task(name: str) -> PolicyTask:
    """Return a task by its name."""
    return next(task for task in (*SUITE, *TUNING) if task.name == name)


def find_method(name: str) -> Method:
    """Return a trainer, or PPO with the settings of a variant."""
    ppo = METHODS["PPO"]._replace(settings=VARIANTS.get(name, {}))
    return {**METHODS, REFERENCE: MORE_STEPS}.get(name, ppo)


def read_results(file: Path) -> pd.DataFrame:
    """Return one row per run, with the list of its mean rewards in `rewards`."""
    if not file.is_file():
        return pd.DataFrame(columns=[*Cell.__annotations__, "rewards"])
    results = pd.read_csv(file)
    results["rewards"] = [np.array(line.split(), dtype=float) for line in results.rewards]
    results["mean"] = [rewards.mean() for rewards in results.rewards]
    return results


def best_rates(results: pd.DataFrame) -> dict[tuple[str, str], float]:
    """Return the learning rate of each task and method with the largest mean reward of the tuning seed."""
    grid = results[results.seed == TUNING_SEED]
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


def report(results: pd.DataFrame) -> None:
    """Print the comparison of each task, and the effect of scale and offset."""
    shown = results[results.seed != TUNING_SEED]
    comparisons = {task: compare(of_task) for task, of_task in shown.groupby("task", sort=False)}
    columns = ["task", "start", *METHODS, "difference", "lower end", "PPO is"]
    print_markdown(columns, [_line(task, one) for task, one in comparisons.items()])
    verdicts = [one.verdict for one in comparisons.values()]
    counts = ", ".join(f"{name} on {verdicts.count(name)}" for name in (BETTER, AS_GOOD, NOT_SHOWN))
    collapsed = sum(one.collapsed for one in comparisons.values())
    print(f"\nPPO is {counts} of {len(verdicts)} tasks; {collapsed} of its runs collapsed.\n")
    for name in AFFINE:
        for task, of_task in shown.groupby("task", sort=False):
            means = of_task.pivot_table(index="seed", columns="method", values="mean")
            if name in means:
                difference = 100 * (means[name] - means["PPO"]).dropna() / comparisons[task].gains["PPO"]
                print(f"{name}, {task}: {format_interval(difference)} % of the gain of PPO")


def _line(task: str, comparison: Comparison) -> list[object]:
    gains = [f"{comparison.gains[name]:+.3g}" for name in METHODS]
    found = [f"{comparison.difference:+.3g}", f"{comparison.lower:+.3g}", comparison.verdict]
    return [task, f"{comparison.start:.3g}", *gains, *found]


def report_tuning(results: pd.DataFrame) -> None:
    """Print the gain of each setting in units of that of GRPO, for each task and as a mean."""
    first = results.groupby("task", sort=False).rewards.apply(lambda all_: np.mean([rewards[0] for rewards in all_]))
    gains = results.groupby(["method", "task"], sort=False)["mean"].mean().unstack("task") - first
    relative = gains / gains.loc[REFERENCE]
    lines = [[name, *(f"{one:.2f}" for one in row), f"{row.mean():.2f}"] for name, row in relative.iterrows()]
    print_markdown(["setting", *relative.columns, "mean"], lines)


def plot(results: pd.DataFrame, file: Path) -> None:
    """Plot the reward over completions, one panel per task: mean of the seeds and each seed."""
    from matplotlib.figure import Figure

    shown = results[results.seed != TUNING_SEED]
    tasks = list(shown.task.unique())
    figure = Figure(figsize=(16, 3.6 * -(-len(tasks) // 4)), layout="constrained")
    panels = figure.subplots(-(-len(tasks) // 4), 4, squeeze=False).ravel()
    colors = dict(zip(METHODS, ("tab:blue", "tab:orange", "tab:green"), strict=True))
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
