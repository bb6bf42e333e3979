"""Over-optimization: gold reward and proxy reward over the KL divergence, for PPO and best-of-n.

    python -m benchmarks.ppo.overoptimization           # results/ppo/overoptimization.csv and .png
    python -m benchmarks.ppo.overoptimization --draw    # table and figure from the CSV file

For each loss and number of prompts with feedback (sixteen stories per prompt), a reward model is trained, with more
epochs for less feedback (2 to `--epochs`). A policy is trained on its scores for a long time without a KL penalty, and
evaluated on held-out prompts. Best-of-n selects among 1,024 stories. The scaling laws of `_lib/scaling_laws.py` are
fitted to the gains of the gold reward of all seeds.

The table and the figure are on the page docs/measured.md.
"""

import argparse
import dataclasses
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from benchmarks._lib.policy_evaluation import PolicyEvaluation, log_spaced_steps
from benchmarks._lib.policy_training import STEPS_PER_ROLLOUT, train_policy
from benchmarks._lib.scaling_laws import ScalingLaw, fit_scaling_law
from benchmarks._lib.study import Rows, add_study_arguments, argument_parser, run_study
from benchmarks._lib.tables import print_markdown, seed_matrix
from rlhf_losses import parse_loss
from rlhf_losses.evaluation.best_of_n_curve import expected_best_of_n
from rlhf_losses.sandbox import Sample, SyntheticTask, build_synthetic_task
from rlhf_losses.sandbox.loop import train_on_feedback
from rlhf_losses.scoring import Scorer, kl_of_best_of

PPO, BEST_OF_N = "PPO", "best of n"
COLORS = ("tab:red", "tab:orange", "tab:green", "tab:blue")


@dataclasses.dataclass(frozen=True)
class Curves:
    """Evaluations of one method, of shape (seed, evaluation).

    Attributes:
        distance: square root of the KL divergence.
        gold: gold reward.
        proxy: proxy reward.
    """

    distance: np.ndarray
    gold: np.ndarray
    proxy: np.ndarray

    @property
    def relative_proxy_gain(self) -> np.ndarray:
        """Gain of the proxy reward, divided by the largest gain of each seed."""
        gain = self.proxy - self.proxy[:, :1]
        return gain / np.abs(gain).max(axis=1, keepdims=True)

    def law(self, method: str) -> ScalingLaw:
        """Return the scaling law of a method, fitted to all points except the first, whose gain is 0 by definition."""
        gain = self.gold - self.gold[:, :1]
        return fit_scaling_law(self.distance[:, 1:].ravel(), gain[:, 1:].ravel(), is_logarithmic=method == PPO)


def main() -> None:
    """Train, score, print the table, and plot."""
    parser = argument_parser(__doc__)
    parser.add_argument(
        "--losses", type=parse_loss, nargs="+", default=["bradley_terry", "hinge", "plackett_luce", "squared_error"]
    )
    parser.add_argument("--prompts", type=int, nargs="+", default=[16], help="prompts with feedback")
    parser.add_argument("--epochs", type=int, default=20, help="largest number of epochs of a reward model")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds")
    parser.add_argument("--rollouts", type=int, default=40, help="rollouts of 32 completions")
    parser.add_argument("--completions", type=int, default=1024, help="the largest n")
    parser.add_argument("--beta", type=float, default=0.0, help="KL coefficient")
    add_study_arguments(parser, "ppo")
    args = parser.parse_args()
    run_study("overoptimization", args, lambda: measure(args), report, plot)


def measure(args: argparse.Namespace) -> Iterator[Rows]:
    """Yield the evaluations of PPO and best-of-n for each reward model."""
    for seed in range(args.seeds):
        task = build_synthetic_task(seed)
        stories = task.sample(task.heldout_prompts[:8], args.completions, seed=seed + 3)
        for loss in map(parse_loss, map(str, args.losses)):
            for prompts in args.prompts:
                with tempfile.TemporaryDirectory() as folder:
                    with_feedback = dataclasses.replace(task, train_prompts=task.train_prompts[:prompts])
                    feedback = with_feedback.feedback(loss, count=16, seed=seed)
                    epochs = min(args.epochs, max(2, 2 * len(task.train_prompts) // prompts))
                    scorer = train_on_feedback(task, loss, feedback, Path(folder) / "reward", epochs)
                    run = {"loss": str(loss), "prompts": prompts, "seed": seed}
                    rows = [run | row for row in best_of_n(task, scorer, stories)]
                    rows += [run | row for row in train(task, scorer, Path(folder) / "policy", args)]
                print(rows[-1], flush=True)
                yield rows


def best_of_n(task: SyntheticTask, scorer: Scorer, stories: list[Sample]) -> list[dict[str, Any]]:
    """Return the expected rewards of the best of n by score, for n = 1, 2, 4, ..."""
    gold = task.sample_rewards(stories).numpy()
    proxy = np.array([scorer([s.prompt] * len(s.completions), s.completions) for s in stories])
    return [
        {
            "method": BEST_OF_N,
            "completions": n,
            "gold": float(expected_best_of_n(proxy, gold, n).mean()),
            "proxy": float(expected_best_of_n(proxy, proxy, n).mean()),
            "kl": float(kl_of_best_of(n)),
        }
        for n in (2**k for k in range(11))
        if n <= gold.shape[1]
    ]


def train(task: SyntheticTask, scorer: Scorer, folder: Path, args: argparse.Namespace) -> list[dict[str, Any]]:
    """Train a policy on normalized scores and return its evaluations."""
    steps = log_spaced_steps(2, args.rollouts * STEPS_PER_ROLLOUT, 18)
    evaluation = PolicyEvaluation(task, scorer, steps, num_completions=3)
    train_policy(
        task,
        scorer,
        folder,
        args.rollouts,
        callbacks=[evaluation],
        beta=args.beta,
        learning_rate=3e-3,
        score_normalization="running",
        logging_strategy="no",
    )
    return [{"method": PPO, **row} for row in evaluation.rows]


def curves(results: pd.DataFrame) -> dict[str, Curves]:
    """Return the evaluations of one reward model for each method."""
    found = {}
    for method, of_method in results.groupby("method", sort=False):
        gold, proxy, kl = (seed_matrix(of_method, name) for name in ("gold", "proxy", "kl"))
        found[method] = Curves(np.sqrt(np.maximum(kl, 0)), gold, proxy)
    return found


def report(results: pd.DataFrame) -> None:
    """Print first, highest and last gold reward of each run, and the fitted law."""
    columns = ["loss", "prompts", "method", "first gold", "highest gold", "at d", "last gold", "at d"]
    columns += ["first proxy", "last proxy", "alpha", "beta", "R²", "peak of the law"]
    print_markdown(columns, _lines(results))


def _lines(results: pd.DataFrame) -> Iterator[list[object]]:
    for (loss, prompts), of_model in results.groupby(["loss", "prompts"], sort=False):
        for method, found in curves(of_model).items():
            law = found.law(method)
            gold, distance, proxy = found.gold.mean(0), found.distance.mean(0), found.proxy.mean(0)
            top = int(gold.argmax())
            numbers = [f"{gold[0]:.3f}", f"{gold[top]:.3f}", f"{distance[top]:.2f}", f"{gold[-1]:.3f}"]
            numbers += [f"{distance[-1]:.2f}", f"{proxy[0]:.2f}", f"{proxy[-1]:.2f}", f"{law.alpha:.3f}"]
            numbers += [f"{law.beta:.3f}", f"{law.r_squared:.3f}", f"{law.peak:.3g}"]
            yield [f"`{loss}`", prompts, method, *numbers]


def plot(results: pd.DataFrame, file: Path) -> None:
    """Plot gold and proxy over the square root of the KL divergence, with one column of panels per loss."""
    from matplotlib.figure import Figure

    losses = results.loss.unique()
    figure = Figure(figsize=(4 * len(losses), 7), layout="constrained")
    axes = figure.subplots(2, len(losses), sharex=True, sharey="row", squeeze=False)
    for (of_gold, of_proxy), (loss, of_loss) in zip(axes.T, results.groupby("loss", sort=False), strict=True):
        of_gold.set_title(loss)
        for (prompts, of_model), color in zip(of_loss.groupby("prompts", sort=False), COLORS, strict=False):
            _plot_run(of_gold, of_proxy, curves(of_model), prompts, color)
        of_proxy.set_xlabel("√KL to the reference (KL in nats)")
        of_gold.set_ylim(-1.05, 1.05)
        for axis in (of_gold, of_proxy):
            axis.grid(alpha=0.3)
    axes[0][0].set_ylabel("gold reward (−1 to 1)")
    axes[1][0].set_ylabel("gain of the proxy reward (maximum = 1)")
    axes[0][0].legend(fontsize=8, title="lines: fitted law; dots: measured", title_fontsize=8)
    figure.savefig(file, dpi=130)


def _plot_run(of_gold: Any, of_proxy: Any, by_method: dict[str, Curves], prompts: int, color: str) -> None:
    ppo, best = by_method[PPO], by_method[BEST_OF_N]
    line = np.linspace(1e-3, ppo.distance.max(), 200)
    of_gold.plot(line, ppo.law(PPO)(line) + ppo.gold[:, 0].mean(), color=color, label=f"PPO, {prompts} prompts")
    of_gold.plot(ppo.distance.T, ppo.gold.T, ".", color=color, alpha=0.5)
    of_gold.plot(best.distance.mean(0), best.gold.mean(0), "--", color=color, label=f"best of n, {prompts}")
    of_proxy.plot(ppo.distance.T, ppo.relative_proxy_gain.T, ".-", color=color, alpha=0.6, linewidth=0.8)
    of_proxy.plot(best.distance.mean(0), best.relative_proxy_gain.mean(0), "--", color=color)


if __name__ == "__main__":
    main()
