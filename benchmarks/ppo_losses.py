"""Does a policy learn from a reward model of every loss? The whole loop, over seeds.

python benchmarks/ppo_losses.py --seeds 5                 # every built-in loss, results/ppo_losses.csv
python benchmarks/ppo_losses.py --losses hinge "bradley_terry + 0.01 * centering" --seeds 2
python benchmarks/ppo_losses.py --model ../shared/models/TinyStories-656K --steps 24        # results/ppo_stories.csv

The world is the sandbox, or that of a language model of TinyStories, see `stories`. The table has the accuracy of the
reward model on held-out pairs, the gold of the policy on held-out prompts, its mean gain with a 95 % t-interval over
seeds, in how many seeds the interval over prompts lay above zero, and the KL divergence to the reference in nats a
completion.
"""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import torch
import transformers
from measure import environment
from seeds import interval, read, write
from stories import stories_world

from rlhf_losses import loss_registry, parse_loss
from rlhf_losses.cli.demo import chosen_losses
from rlhf_losses.losses import Loss
from rlhf_losses.sandbox.loop import run_loop
from rlhf_losses.sandbox.outcome import Outcome
from rlhf_losses.sandbox.world import World, build_world

RESULTS = Path("benchmarks/results")
HEAD = "| loss | accuracy | gold after | gain | above 0 | KL |\n|---|---:|---:|---:|---:|---:|"


def main() -> None:
    """Run the loop for each loss and seed, and print a line a loss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--losses", type=parse_loss, nargs="+", help="by default every built-in one")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=60, help="optimizer steps of PPO, two on each 32 completions")
    parser.add_argument("--model", help="folder of a language model of TinyStories, instead of the sandbox")
    parser.add_argument("--output", type=Path, help="the CSV, by default results/ppo_losses.csv or ppo_stories.csv")
    parser.add_argument("--draw", action="store_true", help="only print the table of what the CSV holds")
    args = parser.parse_args()
    table = args.output or RESULTS / ("ppo_stories.csv" if args.model else "ppo_losses.csv")
    rows = read(table) if args.draw else []
    print(HEAD, *map(line, rows), sep="\n")
    if args.draw:
        return
    torch.set_num_threads(1)
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()
    worlds = [stories_world(args.model, seed) if args.model else build_world(seed) for seed in range(args.seeds)]
    for loss in args.losses or chosen_losses("all", loss_registry()):
        rows.append(summary(loss, [outcome(world, loss, args.steps) for world in worlds]))
        print(line(rows[-1]), flush=True)
        write(rows, table)
    print(environment())


def outcome(world: World, loss: Loss, steps: int) -> Outcome:
    """Run the whole loop once, in a folder that is forgotten."""
    with tempfile.TemporaryDirectory() as folder:
        return run_loop(world, loss, Path(folder), tell=lambda _: None, steps=steps)


def summary(loss: Loss, found: list[Outcome]) -> dict[str, Any]:
    """Return means over seeds, and the interval of the gain."""
    gain, half = interval([one.gold_after - one.gold_before for one in found])
    names = ("accuracy", "gold_before", "gold_after", "kl")
    return {
        "loss": str(loss),
        "seeds": len(found),
        **{name: float(np.mean([getattr(one, name) for one in found])) for name in names},
        "gain": gain,
        "gain_low": gain - half,
        "gain_high": gain + half,
        "above_0": sum(one.gold_gain_ci[0] > 0 for one in found),
    }


def line(row: dict[str, Any]) -> str:
    """Return a row of the table."""
    gain = f"{row['gain']:+.3f} [{row['gain_low']:.3f}, {row['gain_high']:.3f}]"
    numbers = f"{row['accuracy']:.3f} | {row['gold_after']:.3f} | {gain} | {row['above_0']:.0f} | {row['kl']:.1f}"
    return f"| `{row['loss']}` | {numbers} |"


if __name__ == "__main__":
    main()
