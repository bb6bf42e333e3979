"""PPO compared to TRL's GRPO and RLOO: the same reward models, policies, prompts and number of completions.

    python -m benchmarks.ppo.trl_comparison            # five seeds, results/ppo/trl_comparison.csv and .png
    python -m benchmarks.ppo.trl_comparison --draw     # table and figure from the CSV file

Each trainer generates 32 completions per rollout (PPO: one for each prompt; GRPO and RLOO: groups of eight) and takes
two optimizer steps per rollout. The learning rate and the KL coefficient of each trainer are the best of one grid, by
the mean gold reward over a run with seed 0; the table has the seeds from 1. Gold reward, proxy reward and KL divergence
are measured on held-out prompts. The KL coefficients are not equivalent: PPO and RLOO subtract the penalty from the
score, and GRPO adds it to a loss whose advantages have variance 1.

The table and the figure are on the page docs/measured.md.
"""

import argparse
import itertools
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import trl

from benchmarks._lib.policy_evaluation import PolicyEvaluation
from benchmarks._lib.policy_training import STEPS_PER_ROLLOUT, train_policy
from benchmarks._lib.study import Rows, add_study_arguments, argument_parser, run_study
from benchmarks._lib.tables import format_interval, format_mean, print_markdown, seed_matrix
from rlhf_losses import parse_loss
from rlhf_losses.ppo import PPOConfig, PPOTrainer
from rlhf_losses.sandbox import SyntheticTask, build_synthetic_task
from rlhf_losses.sandbox.loop import train_reward_model
from rlhf_losses.scoring import Scorer


class Method(NamedTuple):
    """A trainer, its configuration and its number of completions per prompt."""

    trainer_class: Any
    config_class: Any
    num_generations: int


class Hyperparameters(NamedTuple):
    """The hyperparameters of the grid."""

    learning_rate: float
    beta: float


METHODS = {
    "PPO": Method(PPOTrainer, PPOConfig, 1),
    "GRPO": Method(trl.GRPOTrainer, trl.GRPOConfig, 8),
    "RLOO": Method(trl.RLOOTrainer, trl.RLOOConfig, 8),
}
GRID_SEED, FIRST_SEED = 0, 1


def main() -> None:
    """Search the grid, train with every trainer and seed, print the table, and plot."""
    parser = argument_parser(__doc__)
    parser.add_argument("--loss", type=parse_loss, default="bradley_terry", help="loss of the reward models")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds")
    parser.add_argument("--rollouts", type=int, default=30, help="rollouts of 32 completions")
    parser.add_argument("--learning_rates", type=float, nargs="+", default=[5e-4, 1.5e-3, 4.5e-3])
    parser.add_argument("--betas", type=float, nargs="+", default=[0.01, 0.1], help="KL coefficients")
    add_study_arguments(parser, "ppo")
    args = parser.parse_args()
    run_study("trl_comparison", args, lambda: measure(args), report, plot)


def measure(args: argparse.Namespace) -> Iterator[Rows]:
    """Yield the evaluations of the policies of each seed."""
    best = search_grid(args)
    for seed in range(FIRST_SEED, FIRST_SEED + args.seeds):
        rows: list[dict[str, Any]] = []
        with tempfile.TemporaryDirectory() as folder:
            task = build_synthetic_task(seed)
            scorer = train_reward_model(task, args.loss, Path(folder) / "reward")
            for name, chosen in best.items():
                evaluations = train(name, task, scorer, chosen, args.rollouts, Path(folder) / name)
                rows += [{"trainer": name, "seed": seed, **chosen._asdict(), **row} for row in evaluations]
                print(f"seed {seed}, {name}: {evaluations[-1]}", flush=True)
        yield rows


def search_grid(args: argparse.Namespace) -> dict[str, Hyperparameters]:
    """Return the best hyperparameters of each trainer."""
    grid = [Hyperparameters(*point) for point in itertools.product(args.learning_rates, args.betas)]
    if len(grid) == 1:
        return dict.fromkeys(METHODS, grid[0])
    task, best = build_synthetic_task(GRID_SEED), {}
    with tempfile.TemporaryDirectory() as folder:
        scorer = train_reward_model(task, args.loss, Path(folder) / "reward")
        for name in METHODS:
            mean_gold = {}
            for index, point in enumerate(grid):
                evaluations = train(name, task, scorer, point, args.rollouts, Path(folder) / f"{name}-{index}")
                mean_gold[point] = float(np.mean([row["gold"] for row in evaluations]))
                print(f"grid, {name}, {point}: gold {mean_gold[point]:.3f}", flush=True)
            best[name] = max(mean_gold, key=mean_gold.__getitem__)
    return best


def train(
    name: str, task: SyntheticTask, scorer: Scorer, chosen: Hyperparameters, rollouts: int, folder: Path
) -> list[dict[str, Any]]:
    """Train a policy and return its evaluations."""
    steps = rollouts * STEPS_PER_ROLLOUT
    evaluation = PolicyEvaluation(task, scorer, at_steps=range(0, steps + 1, max(1, steps // 10)))
    method = METHODS[name]
    train_policy(
        task,
        scorer,
        folder,
        rollouts,
        method.trainer_class,
        method.config_class,
        callbacks=[evaluation],
        num_generations=method.num_generations,
        logging_strategy="no",
        **chosen._asdict(),
    )
    return evaluation.rows


def report(results: pd.DataFrame) -> None:
    """Print gold reward, proxy reward and KL divergence over the number of completions."""
    for name, of_trainer in results.groupby("trainer", sort=False):
        first = of_trainer.iloc[0]
        print(f"{name}: learning rate {first.learning_rate:g}, beta {first.beta:g}")
    print()
    columns = ["trainer", "completions", "gold", "proxy", "KL", "gold minus that of PPO"]
    print_markdown(columns, _lines(results))
    mean_gold = results.pivot_table(index="seed", columns="trainer", values="gold")
    print()
    for name in mean_gold.columns.drop("PPO"):
        difference = mean_gold[name] - mean_gold.PPO
        print(f"mean gold over the whole run, {name} minus PPO: {format_interval(difference)}")


def _lines(results: pd.DataFrame) -> Iterator[list[object]]:
    gold_of_ppo = seed_matrix(results[results.trainer == "PPO"], "gold")
    for name, of_trainer in results.groupby("trainer", sort=False):
        gold, proxy, kl = (seed_matrix(of_trainer, measure) for measure in ("gold", "proxy", "kl"))
        for index, completions in enumerate(seed_matrix(of_trainer, "completions")[0]):
            difference = "" if name == "PPO" else format_interval(gold[:, index] - gold_of_ppo[:, index])
            yield [name, completions, *(format_mean(values[:, index]) for values in (gold, proxy, kl)), difference]


def plot(results: pd.DataFrame, file: Path) -> None:
    """Plot gold over completions and over KL: thin lines for seeds, thick lines for their mean."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    by_completions, by_kl = figure.subplots(1, 2, sharey=True)
    colors = dict(zip(METHODS, ("tab:blue", "tab:orange", "tab:green"), strict=True))
    for name, of_trainer in results.groupby("trainer", sort=False):
        gold, kl, completions = (seed_matrix(of_trainer, column) for column in ("gold", "kl", "completions"))
        for axis, x in ((by_completions, completions), (by_kl, kl)):
            axis.plot(x.T, gold.T, color=colors[name], alpha=0.25, linewidth=0.8)
            axis.plot(x.mean(0), gold.mean(0), color=colors[name], marker="o", markersize=3, label=name)
            axis.grid(alpha=0.3)
    by_completions.set_xlabel("completions of the training")
    by_completions.set_ylabel("gold reward on held-out prompts (−1 to 1)")
    by_kl.set_xlabel("KL to the reference, nats per completion")
    by_kl.legend(title=f"mean of {results.seed.nunique()} seeds", loc="lower right")
    figure.savefig(file, dpi=130)


if __name__ == "__main__":
    main()
