"""PPO beside TRL's GRPO and RLOO: the same reward models, policies, prompts and number of completions.

python benchmarks/ppo_beside.py                 # five seeds, results/ppo_beside.csv and .png
python benchmarks/ppo_beside.py --draw          # the table and the picture from the CSV

Each trainer draws 32 completions a rollout (PPO one of each prompt, the others groups of eight) and takes two optimizer
steps on each. Every trainer gets the same grid of learning rates and KL prices, on a seed that the table does not have;
of the grid it keeps the setting with the highest gold over the whole run. Gold, proxy and KL are measured alike, on
held-out prompts. A KL price is not the same in all: PPO and RLOO take it from the score, GRPO adds it to a loss whose
advantages have variance 1.
"""

import argparse
import itertools
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import trl
from datasets import Dataset
from seeds import short, told
from study import add_output, conduct
from transformers.trainer_callback import PrinterCallback
from watch import Watch, column

from rlhf_losses import parse_loss
from rlhf_losses.ppo import PPOConfig, PPOTrainer
from rlhf_losses.sandbox.loop import SMALL_MACHINE, lora, train_reward_model
from rlhf_losses.sandbox.world import MAX_COMPLETION_LENGTH, World, build_world
from rlhf_losses.scoring import Scorer

TRAINERS: dict[str, tuple[Any, Any, int]] = {
    "PPO": (PPOTrainer, PPOConfig, 1),
    "GRPO": (trl.GRPOTrainer, trl.GRPOConfig, 8),
    "RLOO": (trl.RLOOTrainer, trl.RLOOConfig, 8),
}
"""Trainer, settings, completions a prompt."""
ROLLOUT, PASSES = 32, 2
FIRST_UNTUNED = 1
"""The grid is searched on seed 0, the table has the seeds from here on."""


def main() -> None:
    """Search the grid, train with every trainer on every seed, print, write and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loss", type=parse_loss, default="bradley_terry")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--rollouts", type=int, default=30)
    parser.add_argument("--learning_rates", type=float, nargs="+", default=[5e-4, 1.5e-3, 4.5e-3])
    parser.add_argument("--betas", type=float, nargs="+", default=[0.01, 0.1])
    add_output(parser)
    args = parser.parse_args()
    conduct("ppo_beside", args, lambda: [measure(args)], report, draw)


def measure(args: argparse.Namespace) -> list[dict[str, Any]]:
    """Return what was seen of every policy."""
    chosen = search(args)
    rows = []
    for seed in range(FIRST_UNTUNED, FIRST_UNTUNED + args.seeds):
        with tempfile.TemporaryDirectory() as folder:
            world = build_world(seed)
            scorer = train_reward_model(world, args.loss, Path(folder) / "reward")
            for name, (rate, beta) in chosen.items():
                watch = train(name, world, scorer, rate, beta, args.rollouts, Path(folder) / name)
                rows += watch.rows(trainer=name, seed=seed, learning_rate=rate, beta=beta)
                print(f"seed {seed}, {name}: {watch.seen[-1]}", flush=True)
    return rows


def search(args: argparse.Namespace) -> dict[str, tuple[float, float]]:
    """Return the learning rate and KL price that each trainer keeps of the grid."""
    grid = list(itertools.product(args.learning_rates, args.betas))
    if len(grid) == 1:
        return dict.fromkeys(TRAINERS, grid[0])
    world, chosen = build_world(FIRST_UNTUNED - 1), {}
    with tempfile.TemporaryDirectory() as folder:
        scorer = train_reward_model(world, args.loss, Path(folder) / "reward")
        for name in TRAINERS:
            golds = {}
            for rate, beta in grid:
                watch = train(name, world, scorer, rate, beta, args.rollouts, Path(folder) / f"{name}{rate}{beta}")
                golds[rate, beta] = float(np.mean([look.gold for look in watch.seen]))
                print(f"grid, {name}, learning rate {rate}, beta {beta}: gold {golds[rate, beta]:.3f}", flush=True)
            chosen[name] = max(golds, key=golds.__getitem__)
    return chosen


def train(name: str, world: World, scorer: Scorer, rate: float, beta: float, rollouts: int, folder: Path) -> Watch:
    """Train a policy and return what was seen of it."""
    trainer_class, config_class, group = TRAINERS[name]
    quiet = {"sanity_check": False} if name == "PPO" else {}
    steps = rollouts * PASSES
    watch = Watch(world, scorer, range(0, steps + 1, max(1, steps // 10)), ROLLOUT, PASSES, prompts=64, count=4)
    trainer = trainer_class(
        world.policy(),
        scorer,
        config_class(
            str(folder),
            max_steps=steps,
            num_iterations=PASSES,
            per_device_train_batch_size=ROLLOUT,
            num_generations=group,
            learning_rate=rate,
            beta=beta,
            max_completion_length=MAX_COMPLETION_LENGTH,
            logging_strategy="no",
            seed=world.seed,
            **SMALL_MACHINE,
            **quiet,
        ),
        Dataset.from_dict({"prompt": list(world.train_prompts)}),
        processing_class=world.tokenizer,
        peft_config=lora(),
        callbacks=[watch],
    )
    trainer.remove_callback(PrinterCallback)
    trainer.train()
    return watch


def report(rows: list[dict[str, Any]]) -> None:
    """Print gold, proxy and KL by completions, and by how much gold is behind PPO's."""
    counts, seeds = sorted({row["completions"] for row in rows}), sorted({row["seed"] for row in rows})
    for name in TRAINERS:
        rate, beta = (column(rows, what, trainer=name)[0] for what in ("learning_rate", "beta"))
        print(f"{name}: learning rate {rate:g}, beta {beta:g}")
    print(f"\n{'trainer':<8}{'completions':>12}{'gold (95 %)':>18}{'proxy':>18}{'KL':>18}   gold minus PPO's")
    for name in TRAINERS:
        for count in counts:
            here = {"trainer": name, "completions": count}
            gold, proxy, kl = (short(column(rows, what, **here)) for what in ("gold", "proxy", "kl"))
            ahead = column(rows, "gold", **here) - column(rows, "gold", trainer="PPO", completions=count)
            print(f"{name:<8}{count:>12.0f}{gold:>18}{proxy:>18}{kl:>18}   {'' if name == 'PPO' else told(ahead)}")
    whole = {
        name: np.array([column(rows, "gold", trainer=name, seed=seed).mean() for seed in seeds]) for name in TRAINERS
    }
    for name in list(TRAINERS)[1:]:
        print(f"gold over the whole run, {name} minus PPO: {told(whole[name] - whole['PPO'])}")


def draw(rows: list[dict[str, Any]], picture: Path) -> None:
    """Draw gold over completions and over KL, the mean over seeds thick and every seed thin."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(10, 4.2), layout="constrained")
    by_count, by_kl = figure.subplots(1, 2, sharey=True)
    for name, colour in zip(TRAINERS, ("tab:blue", "tab:orange", "tab:green"), strict=True):
        curves = {
            what: np.array([column(rows, what, trainer=name, seed=seed) for seed in sorted({r["seed"] for r in rows})])
            for what in ("completions", "gold", "kl")
        }
        for axis, x in ((by_count, curves["completions"]), (by_kl, curves["kl"])):
            axis.plot(x.T, curves["gold"].T, color=colour, alpha=0.25, linewidth=0.8)
            axis.plot(x.mean(0), curves["gold"].mean(0), color=colour, marker="o", markersize=3, label=name)
            axis.grid(alpha=0.3)
    by_count.set_xlabel("completions seen in training")
    by_count.set_ylabel("gold reward on held-out prompts (−1 to 1)")
    by_kl.set_xlabel("KL to the reference, nats a completion")
    by_kl.legend(title=f"mean of {len(curves['gold'])} seeds", loc="lower right")
    figure.savefig(picture, dpi=130)


if __name__ == "__main__":
    main()
