"""Over-optimisation of best-of-n: proxy and gold over the KL divergence, for reward models of more and less feedback.

python benchmarks/ppo_best_of_n.py --prompts 4 16 192

For each amount of feedback (prompts with sixteen stories each) a reward model is trained in the sandbox, and scores
`--completions` stories of held-out prompts. The table has the expected proxy score and gold of the best of n by the
score, estimated from all stories without drawing, and the law R(d) = d (alpha - beta d), d the square root of the KL
divergence, fitted to the gain of gold (Gao et al. 2022, https://arxiv.org/abs/2210.10760).
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path

import laws
import numpy as np
from scipy.special import gammaln

from rlhf_losses import parse_loss
from rlhf_losses.sandbox.annotators import Sample
from rlhf_losses.sandbox.loop import train_reward_model
from rlhf_losses.sandbox.world import World, build_world
from rlhf_losses.scoring import Scorer, kl_of_best_of


def main() -> None:
    """Train, score and print a table for each amount of feedback."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--prompts", type=int, nargs="+", default=[4, 16, 192])
    parser.add_argument("--completions", type=int, default=1024)
    parser.add_argument("--heldout", type=int, default=16)
    parser.add_argument("--loss", type=parse_loss, default="bradley_terry")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    world = build_world(args.seed)
    samples = world.sample(world.heldout_prompts[: args.heldout], args.completions, seed=args.seed + 3)
    gold = world.gold(samples).numpy()
    for prompts in args.prompts:
        little = dataclasses.replace(world, train_prompts=world.train_prompts[:prompts])
        proxy = scores_of(little, samples, args)
        print(f"\n{args.loss} on {prompts} prompts; correlation of proxy and gold {correlation(proxy, gold):.3f}")
        report(proxy, gold)


def scores_of(world: World, samples: list[Sample], args: argparse.Namespace) -> np.ndarray:
    """Return the scores of a reward model trained on the feedback of a world, of shape (prompt, completion)."""
    with tempfile.TemporaryDirectory() as folder:
        scorer: Scorer = train_reward_model(world, args.loss, Path(folder))
        return np.array([scorer([s.prompt] * len(s.completions), s.completions) for s in samples])


def correlation(proxy: np.ndarray, gold: np.ndarray) -> float:
    """Return the mean over prompts of the correlation of two scores of their completions."""
    return float(np.nanmean([np.corrcoef(p, g)[0, 1] for p, g in zip(proxy, gold, strict=True)]))


def report(proxy: np.ndarray, gold: np.ndarray) -> None:
    """Print proxy and gold of the best of n, and the law that was fitted."""
    ns = [n for n in (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024) if n <= proxy.shape[1]]
    distances = np.sqrt([kl_of_best_of(n) for n in ns])
    proxies, golds = (np.stack([best_of_n(proxy, values, n) for n in ns]) for values in (proxy, gold))
    print(f"{'n':>6}{'sqrt KL':>9}{'proxy':>9}{'gold':>9}{'± (prompts)':>13}")
    for n, d, p, g in zip(ns, distances, proxies, golds, strict=True):
        print(f"{n:>6}{d:>9.3f}{p.mean():>9.3f}{g.mean():>9.3f}{1.96 * g.std(ddof=1) / len(g) ** 0.5:>13.3f}")
    law = laws.fit(distances[1:], golds[1:].mean(1) - golds[0].mean(), logarithmic=False)
    peak = f"gold peaks at sqrt KL {law.peak:.2f}" if law.beta > 0 else "gold rises without end"
    print(f"alpha {law.alpha:.3f}, beta {law.beta:.3f}, R² {law.r_squared:.4f}: {peak}")


def best_of_n(proxy: np.ndarray, values: np.ndarray, n: int) -> np.ndarray:
    """Return, for each prompt, the expected value of the one with the highest proxy among n drawn without replacement.

    The i-th lowest of N is the highest of n in a share of choose(i - 1, n - 1) / choose(N, n) of all draws.
    """
    order = np.argsort(proxy, axis=1, kind="stable")
    size = proxy.shape[1]
    ranks = np.arange(n, size + 1)
    share = np.exp(log_choose(ranks - 1, n - 1) - log_choose(size, n))
    return np.take_along_axis(values, order, axis=1)[:, n - 1 :] @ share


def log_choose(total: np.ndarray | int, chosen: int) -> np.ndarray:
    """Return the logarithm of a binomial coefficient."""
    return gammaln(np.add(total, 1)) - gammaln(chosen + 1) - gammaln(np.subtract(total, chosen) + 1)


if __name__ == "__main__":
    main()
