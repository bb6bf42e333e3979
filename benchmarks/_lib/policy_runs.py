"""Training runs of policies with several trainers, saved one by one, so that a study continues where it was stopped."""

import os
import tempfile
from argparse import ArgumentParser
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from dataclasses import asdict, dataclass, field, fields
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
import trl
from datasets import Dataset, disable_progress_bars
from transformers.trainer_callback import PrinterCallback

from benchmarks._lib.policy_tasks import PolicyTask, initial_policy
from benchmarks._lib.policy_training import COMPLETIONS_PER_ROLLOUT
from rlhf_losses.ppo import PPOConfig, PPOTrainer
from rlhf_losses.sandbox.loop import CPU_SETTINGS


@dataclass(frozen=True)
class Method:
    """A trainer with settings that are not its defaults, and a scale and an offset for the reward."""

    trainer_class: Any
    config_class: Any
    settings: Mapping[str, Any] = field(default_factory=dict)
    scale: float = 1.0
    offset: float = 0.0


def ppo(**settings: Any) -> Method:
    """Return PPO with settings."""
    return Method(PPOTrainer, PPOConfig, settings)


def grpo(**settings: Any) -> Method:
    """Return GRPO in groups of eight with settings."""
    return Method(trl.GRPOTrainer, trl.GRPOConfig, {"num_generations": 8, **settings})


def rloo(**settings: Any) -> Method:
    """Return RLOO in groups of eight with settings."""
    return Method(trl.RLOOTrainer, trl.RLOOConfig, {"num_generations": 8, **settings})


@dataclass(frozen=True)
class Run:
    """One training run.

    Attributes:
        task: name of the task.
        method: name of the method.
        learning_rate: learning rate of the policy.
        seed: seed of the training.
    """

    task: str
    method: str
    learning_rate: float
    seed: int


@dataclass(frozen=True)
class Study:
    """Tasks and methods by name, and the file of the results.

    Attributes:
        tasks: the tasks.
        methods: the methods.
        file: CSV file with one line per run.
        model: folder of a language model of short stories.
        rollouts: number of rollouts of a run.
        jobs: number of processes.
    """

    tasks: Mapping[str, PolicyTask]
    methods: Mapping[str, Method]
    file: Path
    model: Path
    rollouts: int
    jobs: int

    def complete(self, runs: Sequence[Run]) -> None:
        """Train the runs that the file does not have, and add a line for each."""
        names = [one.name for one in fields(Run)]
        done = {Run(*values) for values in read_runs(self.file)[names].itertuples(index=False, name=None)}
        missing = [run for run in runs if run not in done]
        self.file.parent.mkdir(parents=True, exist_ok=True)
        with ProcessPoolExecutor(self.jobs, mp_context=get_context("spawn")) as pool:
            futures = {pool.submit(self.train, run): run for run in missing}
            for number, future in enumerate(as_completed(futures), 1):
                run, rewards = futures[future], future.result()
                line = pd.DataFrame([{**asdict(run), "rewards": " ".join(f"{reward:.5g}" for reward in rewards)}])
                line.to_csv(self.file, mode="a", header=not self.file.is_file(), index=False)
                print(f"{number}/{len(missing)} {run}: {np.mean(rewards):.4g}", flush=True)

    def train(self, run: Run) -> list[float]:
        """Return the mean reward of each rollout of a run, before scale and offset."""
        torch.set_num_threads(1)
        disable_progress_bars()
        method = self.methods[run.method]
        task = self.tasks[run.task].with_affine_reward(method.scale, method.offset)
        policy, reward = initial_policy(task, self.model), task.reward_function
        with tempfile.TemporaryDirectory() as folder:
            settings: dict[str, Any] = {
                "per_device_train_batch_size": COMPLETIONS_PER_ROLLOUT,
                "max_completion_length": task.max_completion_length,
                "learning_rate": run.learning_rate,
                "seed": run.seed,
                **CPU_SETTINGS,
                **({"sanity_check": False} if method.config_class is PPOConfig else {}),
                **method.settings,
            }
            steps = method.config_class(folder, **settings).num_iterations
            trainer = method.trainer_class(
                policy.model,
                reward,
                method.config_class(folder, max_steps=steps * self.rollouts, logging_steps=steps, **settings),
                Dataset.from_dict({"prompt": list(policy.prompts)}),
                processing_class=policy.tokenizer,
                peft_config=policy.peft_config,
            )
            trainer.remove_callback(PrinterCallback)
            trainer.train()
        name = f"rewards/{reward.__name__}/mean"
        return [(log[name] - task.offset) / task.scale for log in trainer.state.log_history if name in log]


def read_runs(file: Path) -> pd.DataFrame:
    """Return one row per run, with the array of its mean rewards in `rewards` and their mean in `mean`."""
    if not file.is_file():
        return pd.DataFrame(columns=[*(one.name for one in fields(Run)), "rewards"])
    runs = pd.read_csv(file)
    runs["rewards"] = [np.array(line.split(), dtype=float) for line in runs.rewards]
    runs["mean"] = [rewards.mean() for rewards in runs.rewards]
    return runs


def add_run_arguments(parser: ArgumentParser, seeds: int) -> None:
    """Add the arguments of a study of training runs.

    Args:
        parser: parser of the study.
        seeds: default number of seeds.
    """
    parser.add_argument("--model", type=Path, help="folder of a language model of short stories")
    parser.add_argument("--tasks", nargs="+", help="parts of the names of the tasks; by default all")
    parser.add_argument("--methods", nargs="+", help="by default all")
    parser.add_argument("--seeds", type=int, default=seeds, help="number of seeds")
    parser.add_argument("--rollouts", type=int, default=32, help="rollouts of 32 completions")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="number of processes")


def run_or_draw(
    parser: ArgumentParser,
    name: str,
    tasks: Sequence[PolicyTask],
    methods: Mapping[str, Method],
    train: Callable[[Study, list[PolicyTask], list[str], int], None],
) -> pd.DataFrame:
    """Train what is missing, unless `--draw` is given, and return all runs.

    Args:
        parser: parser with the arguments of `add_run_arguments` and `add_study_arguments`.
        name: name of the CSV file.
        tasks: the tasks.
        methods: the methods by name.
        train: trains tasks with methods and a number of seeds.
    """
    args = parser.parse_args()
    file = args.output / f"{name}.csv"
    if not args.draw:
        unknown = sorted(set(args.methods or ()) - methods.keys())
        if args.model is None or unknown:
            parser.error(
                f"unknown method {unknown[0]}; known: {', '.join(methods)}" if unknown else "--model is missing"
            )
        study = Study({task.name: task for task in tasks}, methods, file, args.model, args.rollouts, args.jobs)
        chosen = [task for task in tasks if not args.tasks or any(part in task.name for part in args.tasks)]
        train(study, chosen, args.methods or list(methods), args.seeds)
    return read_runs(file)
