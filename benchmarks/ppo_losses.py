"""Does a policy learn from a reward model of every loss? The whole loop of the sandbox, over seeds.

python benchmarks/ppo_losses.py --seeds 5                 # every built-in loss
python benchmarks/ppo_losses.py --losses hinge "bradley_terry + 0.01 * centering" --seeds 2

The table has the accuracy of the reward model on held-out pairs, the gold of the policy on held-out prompts before and
after, the mean gain with a 95 % t-interval over seeds, in how many seeds the interval over prompts lay above zero, and
the KL divergence to the reference in nats a completion.
"""

import argparse
import tempfile
from pathlib import Path

import numpy as np
from scipy import stats

from rlhf_losses import catalogue, parse_loss
from rlhf_losses.cli.demo import chosen_losses
from rlhf_losses.losses import Loss
from rlhf_losses.sandbox.demo import run_loop
from rlhf_losses.sandbox.outcome import Outcome
from rlhf_losses.sandbox.world import World, build_world


def main() -> None:
    """Run the loop for each loss and seed, and print a line a loss."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--losses", type=parse_loss, nargs="+", help="by default every built-in one")
    parser.add_argument("--seeds", type=int, default=5)
    args = parser.parse_args()
    worlds = [build_world(seed) for seed in range(args.seeds)]
    print(f"{'loss':<34}{'accuracy':>9}{'before':>8}{'after':>7}   gain (95 %, seeds)    above 0{'KL':>7}")
    for loss in args.losses or chosen_losses("all", catalogue()):
        print(line(loss, [outcome(world, loss) for world in worlds]), flush=True)


def outcome(world: World, loss: Loss) -> Outcome:
    """Run the whole loop once, in a folder that is forgotten."""
    with tempfile.TemporaryDirectory() as folder:
        return run_loop(world, loss, Path(folder), tell=lambda _: None)


def line(loss: Loss, found: list[Outcome]) -> str:
    """Return a row of the table."""
    gains = np.array([one.gold_after - one.gold_before for one in found])
    means = [np.mean([getattr(one, name) for one in found]) for name in ("accuracy", "gold_before", "gold_after", "kl")]
    above = sum(one.gold_gain_ci[0] > 0 for one in found)
    half = stats.t.ppf(0.975, len(gains) - 1) * stats.sem(gains) if len(gains) > 1 else np.nan
    interval = f"{gains.mean():+.3f} [{gains.mean() - half:+.3f}, {gains.mean() + half:+.3f}]"
    accuracy, before, after, kl = means
    return f"{loss!s:<34}{accuracy:>9.3f}{before:>8.3f}{after:>7.3f}   {interval:<22}{above:>5}/{len(found)}{kl:>7.1f}"


if __name__ == "__main__":
    main()
