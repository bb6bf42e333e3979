"""Best-of-n by a lower bound of the score: the score minus a multiple of its standard deviation.

    pip install ./plugins/rlhf-losses-laplace
    python -m benchmarks.ppo.lower_bound            # eight seeds, results/ppo/lower_bound.csv
    python -m benchmarks.ppo.lower_bound --draw     # the table from the CSV file

Reward models are trained with feedback on few prompts (sixteen stories per prompt), and the plugin `laplace` is fitted
to the training pairs. The table has the expected gold reward of the best of n stories of held-out prompts by the score
minus weight × standard deviation, and the change compared to weight 0 with the same seed, as mean ± half a 95 %
t-interval over seeds. The error correlation is the rank correlation, within prompts, of the standard deviation with
the distance of the score from the regression line on the gold reward.

The table is on the page docs/measured.md.
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from scipy import stats

from benchmarks._lib.study import add_study_arguments, argument_parser, run_study
from benchmarks._lib.tables import format_mean, print_markdown
from rlhf_losses import bradley_terry, fit_estimate
from rlhf_losses.evaluation.best_of_n_curve import expected_best_of_n
from rlhf_losses.sandbox import Sample, SyntheticTask, build_synthetic_task
from rlhf_losses.sandbox.loop import train_on_feedback

WEIGHTS = (0.0, 0.25, 0.5, 1.0, 2.0)
NS = (1, 4, 16, 64, 256)


def main() -> None:
    """Train, fit, print the tables, and save the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("--prompts", type=int, nargs="+", default=[2, 8], help="prompts with feedback")
    parser.add_argument("--completions", type=int, default=256, help="completions of each held-out prompt")
    parser.add_argument("--heldout", type=int, default=16, help="number of held-out prompts")
    parser.add_argument("--seeds", type=int, default=8, help="number of seeds")
    add_study_arguments(parser, "ppo")
    args = parser.parse_args()
    run_study("lower_bound", args, lambda: ([*measure(seed, args)] for seed in range(args.seeds)), report)


def measure(seed: int, args: argparse.Namespace) -> Iterator[dict[str, Any]]:
    """Yield the gold reward of the best of n for each number of prompts and each weight."""
    task = build_synthetic_task(seed)
    samples = task.sample(task.heldout_prompts[: args.heldout], args.completions, seed=seed + 3)
    gold = task.sample_rewards(samples).numpy()
    for prompts in args.prompts:
        with_feedback = dataclasses.replace(task, train_prompts=task.train_prompts[:prompts])
        scores, deviations = score_samples(with_feedback, samples, seed)
        by_prompt = zip(scores, deviations, gold, strict=True)
        correlation = float(np.mean([error_correlation(*one) for one in by_prompt]))
        for weight in WEIGHTS:
            lower_bounds = scores - weight * deviations
            best = {f"gold_{n}": float(expected_best_of_n(lower_bounds, gold, n).mean()) for n in NS}
            yield {"seed": seed, "prompts": prompts, "weight": weight, "error_correlation": correlation, **best}


def score_samples(task: SyntheticTask, samples: list[Sample], seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Return scores and standard deviations of a new reward model, both of shape (prompt, completion)."""
    feedback = task.feedback(bradley_terry, count=16, seed=seed)
    with tempfile.TemporaryDirectory() as folder:
        scorer = train_on_feedback(task, bradley_terry, feedback, Path(folder))
        fit_estimate(scorer, feedback, "laplace")
        estimator = scorer.estimator("laplace")
        results = [estimator.with_scores([s.prompt] * len(s.completions), s.completions) for s in samples]
    return np.array([scores for scores, _ in results]), np.array([deviations for _, deviations in results])


def error_correlation(scores: np.ndarray, deviations: np.ndarray, gold: np.ndarray) -> float:
    """Return the rank correlation of the standard deviations with the errors of the scores."""
    slope, intercept = np.polyfit(gold, scores, 1)
    return float(stats.spearmanr(deviations, abs(scores - slope * gold - intercept)).statistic)


def report(results: pd.DataFrame) -> None:
    """Print a table for each number of prompts."""
    columns = ["weight", *(column for n in NS[1:] for column in (f"best of {n}", "change"))]
    for prompts, of_prompts in results.groupby("prompts"):
        by_weight = {weight: rows.set_index("seed") for weight, rows in of_prompts.groupby("weight")}
        correlation = format_mean(by_weight[0].error_correlation)
        print(f"\n{prompts} prompts, {len(by_weight[0])} seeds, error correlation {correlation}\n")
        print_markdown(columns, (_line(weight, rows, by_weight[0]) for weight, rows in by_weight.items()), 0)


def _line(weight: float, rows: pd.DataFrame, baseline: pd.DataFrame) -> Iterator[str]:
    yield f"{weight:g}"
    for n in NS[1:]:
        change = rows[f"gold_{n}"] - baseline[f"gold_{n}"]
        yield f"{rows[f'gold_{n}'].mean():.3f}"
        yield format_mean(change) if change.any() else ""


if __name__ == "__main__":
    main()
