"""Run time of a report by number of logged steps.

    python -m benchmarks.evaluation.report_runtime
    python -m benchmarks.evaluation.report_runtime --steps 1000 10000 100000

A log of PPO with 30 metrics, random numbers, is read and rendered. The time is in seconds of the CPU. Time that is
linear in the number of steps has equal microseconds per step, once the fixed time of a page is small.

The result is on the page docs/how-to/report.md.
"""

import json
import tempfile
import time
from pathlib import Path

import numpy as np

from benchmarks._lib.study import argument_parser
from rlhf_losses.report.report_paths import read_report

METRICS = (
    *("reward", "reward_std", "objective/rlhf_reward", "kl", "kl_per_completion", "kl_coefficient", "entropy"),
    *("completions/mean_length", "completions/min_length", "completions/max_length", "completions/clipped_ratio"),
    *("loss/policy", "loss/value", "value/mean", "value/explained_variance", "value/clip_ratio", "ratio", "approx_kl"),
    *("clip_ratio/region_mean", "grad_norm", "learning_rate", "loss", "rewards/a/mean", "rewards/b/mean"),
    *("time/generation", "time/scoring", "time/update", "time/critic", "num_tokens", "epoch"),
)


def write_log(file: Path, steps: int) -> None:
    """Write a log with random numbers.

    Args:
        file: the file.
        steps: number of rows.
    """
    values = np.random.default_rng(steps).random((steps, len(METRICS))).tolist()
    rows = [{"step": step, **dict(zip(METRICS, row, strict=True))} for step, row in enumerate(values, 1)]
    file.write_text(json.dumps({"log_history": rows}))


def main(arguments: list[str] | None = None) -> None:
    """Print the run time for each number of steps."""
    parser = argument_parser(__doc__)
    parser.add_argument("--steps", type=int, nargs="+", default=[1_000, 10_000, 100_000])
    args = parser.parse_args(arguments)
    with tempfile.TemporaryDirectory() as folder:
        for steps in (10, *args.steps):  # the first one imports what is needed
            file = Path(folder) / "trainer_state.json"
            write_log(file, steps)
            start = time.process_time()
            page = read_report([file]).render()
            seconds = time.process_time() - start
            if steps != 10 or 10 in args.steps:
                size = f"{len(page) / 1e6:.1f} MB"
                print(f"{steps} steps: {seconds:.2f} s of the CPU, {1e6 * seconds / steps:.0f} µs a step, {size}")


if __name__ == "__main__":
    main()
