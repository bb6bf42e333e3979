"""PPO with a reward model of every loss, over several seeds.

    python -m benchmarks.ppo.all_losses --seeds 5                 # every built-in loss, results/ppo/all_losses.csv
    python -m benchmarks.ppo.all_losses --losses hinge "bradley_terry + 0.01 * centering" --seeds 2
    python -m benchmarks.ppo.all_losses --model raincandy-u/TinyStories-656K --steps 24   # a pretrained model
    python -m benchmarks.ppo.all_losses --draw                    # the table from the CSV file

The task is the synthetic task, or with `--model` that of `_lib/tinystories.py` (all_losses_tinystories.csv). The table
has the accuracy of the reward model on held-out pairs, the gold reward of the policy on held-out prompts, its mean gain
with a 95 % t-interval over seeds, the number of seeds in which the interval over prompts is above zero, and the KL
divergence to the reference in nats per completion.

The tables of both tasks are on the page docs/measured.md.
"""

import tempfile
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pandas as pd
import transformers

from benchmarks._lib.study import Rows, add_study_arguments, argument_parser, run_study
from benchmarks._lib.tables import print_markdown, t_interval
from benchmarks._lib.tinystories import build_tinystories_task
from rlhf_losses import loss_registry, parse_loss
from rlhf_losses.cli.demo import select_losses
from rlhf_losses.losses import AnyLoss
from rlhf_losses.sandbox import SyntheticTask, build_synthetic_task
from rlhf_losses.sandbox.loop import run_loop
from rlhf_losses.sandbox.results import LoopResult


def main() -> None:
    """Run the loop for each loss and seed, print the table, and save the results."""
    parser = argument_parser(__doc__)
    parser.add_argument("--losses", type=parse_loss, nargs="+", help="by default every built-in loss")
    parser.add_argument("--seeds", type=int, default=5, help="number of seeds")
    parser.add_argument("--steps", type=int, default=60, help="optimizer steps of PPO, two per 32 completions")
    parser.add_argument("--model", help="folder of a language model of TinyStories, instead of the synthetic task")
    add_study_arguments(parser, "ppo")
    args = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    datasets.disable_progress_bars()

    def measure() -> Iterator[Rows]:
        build = partial(build_tinystories_task, args.model) if args.model else build_synthetic_task
        tasks = [build(seed) for seed in range(args.seeds)]
        for loss in args.losses or select_losses("all", loss_registry()):
            yield [summarize(loss, [run(task, loss, args.steps) for task in tasks])]
            print(f"{loss} is done", flush=True)

    run_study("all_losses_tinystories" if args.model else "all_losses", args, measure, report)


def run(task: SyntheticTask, loss: AnyLoss, steps: int) -> LoopResult:
    """Run the loop once, in a temporary folder."""
    with tempfile.TemporaryDirectory() as folder:
        return run_loop(task, loss, Path(folder), log=lambda _: None, steps=steps)


def summarize(loss: AnyLoss, results: Sequence[LoopResult]) -> dict[str, Any]:
    """Return means over seeds and the interval of the gain."""
    gain, half = t_interval([one.gold_after - one.gold_before for one in results])
    names = ("accuracy", "gold_before", "gold_after", "kl")
    return {
        "loss": str(loss),
        "seeds": len(results),
        **{name: float(np.mean([getattr(one, name) for one in results])) for name in names},
        "gain": gain,
        "gain_low": gain - half,
        "gain_high": gain + half,
        "above_0": sum(one.gold_gain_ci[0] > 0 for one in results),
    }


def report(results: pd.DataFrame) -> None:
    """Print a line per loss."""
    columns = ["loss", "accuracy", "gold after", "gain", "above 0", "KL"]
    print_markdown(columns, map(_line, results.itertuples(index=False)))


def _line(row: Any) -> list[object]:
    gain = f"{row.gain:+.3f} [{row.gain_low:.3f}, {row.gain_high:.3f}]"
    return [f"`{row.loss}`", f"{row.accuracy:.3f}", f"{row.gold_after:.3f}", gain, row.above_0, f"{row.kl:.1f}"]


if __name__ == "__main__":
    main()
