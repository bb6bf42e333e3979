"""Does a lower bound delay over-optimisation? Best of n by the score, and by the score less its standard deviation.

pip install ./plugins/rlhf-losses-laplace
python benchmarks/lower_bound.py                     # eight seeds, results/lower_bound.csv
python benchmarks/lower_bound.py --draw              # the table from the CSV

Reward models of the sandbox are trained on few prompts, with sixteen stories each, and `laplace` is fitted to the pairs
that they were trained on. The table has the gold of the best of n among stories of held-out prompts, estimated from
all of them without drawing, by the score − weight × its standard deviation; what a weight changes is told with a 95 %
interval over seeds, which are paired. `surprise` is the rank correlation, within prompts, of the standard deviation
with how far the score is from the line through gold.
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import torch
from ppo_best_of_n import best_of_n
from scipy import stats
from seeds import read, short, write

from rlhf_losses import bradley_terry, fit_estimate
from rlhf_losses.sandbox.loop import train_on_feedback
from rlhf_losses.sandbox.world import World, build_world

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0)
NS = (1, 4, 16, 64, 256)


def main() -> None:
    """Train, fit, print and write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, nargs="+", default=[2, 8])
    parser.add_argument("--completions", type=int, default=256)
    parser.add_argument("--heldout", type=int, default=16)
    parser.add_argument("--seeds", type=int, default=8)
    parser.add_argument("--draw", action="store_true", help="only print what the CSV holds")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"), help="folder of the CSV")
    args = parser.parse_args()
    torch.set_num_threads(1)
    table = args.output / "lower_bound.csv"
    if not args.draw:
        write([row for seed in range(args.seeds) for row in measured(seed, args)], table)
    report(read(table))


def measured(seed: int, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the gold of the best of n for each amount of feedback and each weight."""
    world = build_world(seed)
    samples = world.sample(world.heldout_prompts[: args.heldout], args.completions, seed=seed + 3)
    gold = world.gold(samples).numpy()
    for prompts in args.prompts:
        little = dataclasses.replace(world, train_prompts=world.train_prompts[:prompts])
        scores, spreads = read_all(little, samples, seed)
        surprise = float(np.mean([surprised(*one) for one in zip(scores, spreads, gold, strict=True)]))
        for weight in WEIGHTS:
            bests = {f"gold_{n}": float(best_of_n(scores - weight * spreads, gold, n).mean()) for n in NS}
            yield {"seed": seed, "prompts": prompts, "weight": weight, "surprise": surprise, **bests}


def read_all(world: World, samples: list[Any], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and standard deviations of a new reward model, both of shape (prompt, completion)."""
    feedback = world.feedback(bradley_terry, count=16, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        scorer = train_on_feedback(world, bradley_terry, feedback, Path(folder))
        fit_estimate(scorer, feedback, "laplace")
        spread = scorer.estimator("laplace")
        found = [spread.with_scores([one.prompt] * len(one.completions), one.completions) for one in samples]
    return np.array([scores for scores, _ in found]), np.array([spreads for _, spreads in found])


def surprised(scores: np.ndarray, spreads: np.ndarray, gold: np.ndarray) -> float:
    """Return the rank correlation of spreads with how far scores are from their line through gold."""
    slope, height = np.polyfit(gold, scores, 1)
    return float(stats.spearmanr(spreads, abs(scores - slope * gold - height)).statistic)


def report(rows: list[dict[str, Any]]) -> None:
    """Print, in Markdown, the gold of each weight, and what it changes over weight 0 of the same seed."""
    for prompts in sorted({row["prompts"] for row in rows}):
        some = [row for row in rows if row["prompts"] == prompts]
        plain = {row["seed"]: row for row in some if row["weight"] == 0}
        surprise = short([row["surprise"] for row in plain.values()])
        print(f"\n{prompts:g} prompts, {len(plain)} seeds, surprise {surprise}\n")
        print("| weight |" + "".join(f" best of {n} | change |" for n in NS[1:]))
        print("|---:|" + "---:|---:|" * len(NS[1:]))
        for weight in WEIGHTS:
            own = [row for row in some if row["weight"] == weight]
            cells = [cell(own, plain, f"gold_{n}") for n in NS[1:]]
            print(f"| {weight:g} |" + "".join(cells))


def cell(own: list[dict[str, Any]], plain: dict[Any, dict[str, Any]], column: str) -> str:
    """Return the mean of a column, and by how much it differs from that of weight 0, which differs by nothing."""
    changes = [row[column] - plain[row["seed"]][column] for row in own]
    change = short(changes) if any(changes) else ""
    return f" {np.mean([row[column] for row in own]):.3f} | {change} |"


if __name__ == "__main__":
    main()
