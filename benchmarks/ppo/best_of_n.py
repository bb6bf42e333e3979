"""Over-optimization of best-of-n: proxy and gold reward over the KL divergence, for more and less feedback.

    python -m benchmarks.ppo.best_of_n --prompts 4 16 192

For each number of prompts with feedback (sixteen stories per prompt), a reward model is trained on the synthetic task
and scores `--completions` stories of held-out prompts. The table has the expected proxy and gold reward of the best of
n by score, estimated from all stories without drawing, and the fitted law d (alpha − beta d) of the gain of the gold
reward, where d is the square root of the KL divergence.

The page docs/measured.md has the same curves for several losses, as benchmarks.ppo.overoptimization prints them.
"""

import argparse
import dataclasses
import tempfile
from pathlib import Path

import numpy as np

from benchmarks._lib.scaling_laws import fit_scaling_law
from benchmarks._lib.study import argument_parser
from benchmarks._lib.tables import print_markdown
from rlhf_losses import parse_loss
from rlhf_losses.evaluation.best_of_n_curve import expected_best_of_n
from rlhf_losses.sandbox import Sample, SyntheticTask, build_synthetic_task
from rlhf_losses.sandbox.loop import train_reward_model
from rlhf_losses.scoring import kl_of_best_of


def main() -> None:
    """Train, score, and print a table for each number of prompts."""
    parser = argument_parser(__doc__)
    parser.add_argument("--prompts", type=int, nargs="+", default=[4, 16, 192], help="prompts with feedback")
    parser.add_argument("--completions", type=int, default=1024, help="completions of each held-out prompt")
    parser.add_argument("--heldout", type=int, default=16, help="number of held-out prompts")
    parser.add_argument("--loss", type=parse_loss, default="bradley_terry", help="loss of the reward models")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    task = build_synthetic_task(args.seed)
    samples = task.sample(task.heldout_prompts[: args.heldout], args.completions, seed=args.seed + 3)
    gold = task.sample_rewards(samples).numpy()
    for prompts in args.prompts:
        with_feedback = dataclasses.replace(task, train_prompts=task.train_prompts[:prompts])
        proxy = score_samples(with_feedback, samples, args)
        correlation = mean_correlation(proxy, gold)
        print(f"\n{args.loss} on {prompts} prompts; correlation of proxy and gold {correlation:.3f}\n")
        report(proxy, gold)


def score_samples(task: SyntheticTask, samples: list[Sample], args: argparse.Namespace) -> np.ndarray:
    """Return the scores of a new reward model, of shape (prompt, completion)."""
    with tempfile.TemporaryDirectory() as folder:
        scorer = train_reward_model(task, args.loss, Path(folder))
        return np.array([scorer([s.prompt] * len(s.completions), s.completions) for s in samples])


def mean_correlation(proxy: np.ndarray, gold: np.ndarray) -> float:
    """Return the mean over prompts of the correlation of proxy and gold reward."""
    return float(np.nanmean([np.corrcoef(p, g)[0, 1] for p, g in zip(proxy, gold, strict=True)]))


def report(proxy: np.ndarray, gold: np.ndarray) -> None:
    """Print proxy and gold reward of the best of n, and the fitted law."""
    ns = [2**k for k in range(11) if 2**k <= proxy.shape[1]]
    distances = np.sqrt([kl_of_best_of(n) for n in ns])
    proxies, golds = (np.stack([expected_best_of_n(proxy, values, n) for n in ns]) for values in (proxy, gold))
    half_widths = 1.96 * golds.std(axis=1, ddof=1) / golds.shape[1] ** 0.5
    columns = zip(ns, distances, proxies.mean(1), golds.mean(1), half_widths, strict=True)
    print_markdown(
        ["n", "√KL", "proxy", "gold", "± (prompts)"],
        ([n, *(f"{value:.3f}" for value in values)] for n, *values in columns),
        text_columns=0,
    )
    law = fit_scaling_law(distances[1:], golds[1:].mean(1) - golds[0].mean(), is_logarithmic=False)
    peak = f"peak of gold at √KL {law.peak:.2f}" if law.beta > 0 else "no peak of gold"
    print(f"\nalpha {law.alpha:.3f}, beta {law.beta:.3f}, R² {law.r_squared:.4f}: {peak}")


if __name__ == "__main__":
    main()
