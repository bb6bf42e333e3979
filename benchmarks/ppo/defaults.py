"""The defaults of PPO: the gain of each setting on tasks other than those of the suite.

    python -m benchmarks.ppo.defaults --model FOLDER           # results/ppo/defaults.csv and the table
    python -m benchmarks.ppo.defaults --draw                   # the table from the CSV file

The table is on the page docs/measured.md. `FOLDER` has a pretrained language model of short stories. The learning rate
is the second one of the grid of the suite. The unit is the gain of GRPO with as many optimizer steps per rollout as
PPO.
"""

import numpy as np
import pandas as pd

from benchmarks._lib.policy_runs import Run, Study, add_run_arguments, grpo, ppo, run_or_draw
from benchmarks._lib.policy_tasks import TUNING, PolicyTask
from benchmarks._lib.study import add_study_arguments, argument_parser
from benchmarks._lib.tables import print_markdown
from rlhf_losses.ppo.config import PUBLISHED

OF_THE_TASK = ("learning_rate", "temperature", "missing_eos_score")
"""Published settings that belong to a task."""

REFERENCE = "GRPO, 4 iterations"

METHODS = {
    "defaults": ppo(),
    "value_lam 0.95": ppo(value_lam=0.95),
    "lam 1": ppo(lam=1.0),
    "critic_learning_rate_ratio 1": ppo(critic_learning_rate_ratio=1.0),
    "beta 0.05": ppo(beta=0.05),
    "score_normalization none": ppo(score_normalization="none"),
    "adam_epsilon 1e-5": ppo(adam_epsilon=1e-5),
    "published": ppo(**{name: value for name, value in PUBLISHED.items() if name not in OF_THE_TASK}),
    REFERENCE: grpo(num_iterations=4),
    "GRPO": grpo(),
}


def main() -> None:
    """Train what is missing, and print the table."""
    parser = argument_parser(__doc__)
    add_run_arguments(parser, seeds=1)
    add_study_arguments(parser, "ppo")
    report(run_or_draw(parser, "defaults", TUNING, METHODS, train))


def train(study: Study, tasks: list[PolicyTask], methods: list[str], seeds: int) -> None:
    """Train with every setting and seed."""
    study.complete(
        [
            Run(task.name, name, task.learning_rates[1], seed)
            for seed in range(seeds)
            for task in tasks
            for name in methods
        ]
    )


def report(runs: pd.DataFrame) -> None:
    """Print the gain of each setting, for each task and as a mean."""
    first = runs.groupby("task", sort=False).rewards.apply(lambda all_: np.mean([rewards[0] for rewards in all_]))
    gains = runs.groupby(["method", "task"], sort=False)["mean"].mean().unstack("task") - first
    relative = gains / gains.loc[REFERENCE]
    lines = [[name, *(f"{one:.2f}" for one in row), f"{row.mean():.2f}"] for name, row in relative.iterrows()]
    print_markdown(["setting", *relative.columns, "mean"], lines)


if __name__ == "__main__":
    main()
