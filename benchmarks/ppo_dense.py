"""Does it help to pay each step where it ends? The same reward, paid step by step or at the end of the story.

python benchmarks/ppo_dense.py --seeds 5

For each seed of the sandbox a reward model learns from labelled steps, and two policies learn from the sum of its
scores of the steps of a story: one is paid each score at the end of its step, the other the sum at the end. Gold is
measured beside, and counts for nothing. The table has the mean gold of the completions of a rollout, over seeds, and
the paired difference with a 95 % t-interval; the last lines have the completions that were needed to reach a gold.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from datasets import Dataset
from scipy import stats
from transformers.trainer_callback import PrinterCallback

from rlhf_losses import segment_hinge
from rlhf_losses.ppo import PPOConfig, PPOTrainer, StepRewards
from rlhf_losses.sandbox.demo import SMALL_MACHINE, lora, train_reward_model
from rlhf_losses.sandbox.gold import gold_rewards
from rlhf_losses.sandbox.world import LONGEST_COMPLETION, World, build_world
from rlhf_losses.scoring import Scorer

BATCH = 32
WINDOW = 5
"""Rollouts over which gold is averaged: that of a single one is noisy."""


def main() -> None:
    """Train both policies for every seed and print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rollouts", type=int, default=40)
    parser.add_argument("--beta", type=float, default=0.1)
    args = parser.parse_args()
    curves: dict[str, list[np.ndarray]] = {"steps": [], "end": []}
    for seed in range(args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            world = build_world(seed)
            scorer = train_reward_model(world, segment_hinge, Path(folder) / "reward")
            for placement, found in curves.items():
                found.append(gold_curve(world, scorer, placement, Path(folder) / placement, args))
                print(f"seed {seed}, paid at {placement}: gold {found[-1][-1]:.3f}", flush=True)
    report(np.array(curves["steps"]), np.array(curves["end"]))


def gold_curve(world: World, scorer: Scorer, placement: str, folder: Path, args: argparse.Namespace) -> np.ndarray:
    """Return the mean gold of each rollout while a policy is trained, averaged over a window."""
    paid_by_step = StepRewards(scorer)

    def at_the_end(**columns: Any) -> list[float]:
        return paid_by_step(**columns)

    trainer = PPOTrainer(
        world.policy(),
        [paid_by_step if placement == "steps" else at_the_end, gold_rewards],
        PPOConfig(
            str(folder),
            reward_weights=[1.0, 0.0],
            max_steps=2 * args.rollouts,
            num_iterations=2,
            per_device_train_batch_size=BATCH,
            beta=args.beta,
            learning_rate=1.5e-3,
            max_completion_length=LONGEST_COMPLETION,
            logging_steps=1,
            self_check=False,
            seed=world.seed,
            **SMALL_MACHINE,
        ),
        Dataset.from_dict({"prompt": list(world.train_prompts)}),
        processing_class=world.tokenizer,
        peft_config=lora(),
        critic=scorer.model,
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    logged = [e["rewards/gold_rewards/mean"] for e in trainer.state.log_history if "rewards/gold_rewards/mean" in e]
    return np.convolve(logged, np.ones(WINDOW) / WINDOW, mode="valid")


def report(steps: np.ndarray, end: np.ndarray) -> None:
    """Print gold by completions seen, and completions by gold reached."""
    print(f"\n{'completions':>11}{'by step':>9}{'at end':>9}   difference (95 %)")
    for rollout in np.linspace(0, steps.shape[1] - 1, 8).astype(int):
        pairs = steps[:, rollout], end[:, rollout]
        seen = (rollout + WINDOW) * BATCH
        print(f"{seen:>11}{pairs[0].mean():>9.3f}{pairs[1].mean():>9.3f}   {interval(pairs[0] - pairs[1])}")
    print(f"{'all':>11}{steps.mean():>9.3f}{end.mean():>9.3f}   {interval((steps - end).mean(1))}\n")
    for gold in (0.2, 0.4, 0.6, 0.8):
        needed = [" ".join(f"{n:>6}" for n in reached(curves, gold)) for curves in (steps, end)]
        print(f"completions to gold {gold}, by seed: by step {needed[0]} | at end {needed[1]}")


def interval(differences: np.ndarray) -> str:
    """Return a mean with its 95 % t-interval over seeds."""
    mean = differences.mean()
    if len(differences) < 2:
        return f"{mean:+.3f}"
    half = stats.t.ppf(0.975, len(differences) - 1) * stats.sem(differences)
    return f"{mean:+.3f} [{mean - half:+.3f}, {mean + half:+.3f}]"


def reached(curves: np.ndarray, gold: float) -> list[str]:
    """Return how many completions each seed saw before its gold was this high, or a dash."""
    return [str((int(np.argmax(curve >= gold)) + WINDOW) * BATCH) if (curve >= gold).any() else "-" for curve in curves]


if __name__ == "__main__":
    main()
