"""Run time of `evaluate` by number of pairs.

    python -m benchmarks.evaluation.runtime
    python -m benchmarks.evaluation.runtime --rows 500 5000 50000

A tiny model scores synthetic pairs. The time is that of the whole evaluation, with slices by one column, and that of
writing the output folder, in seconds of the CPU. Time that is linear in the number of rows has equal milliseconds per
row.

The result is on the page docs/how-to/evaluate.md.
"""

import tempfile
import time
from pathlib import Path

import numpy as np
from datasets import Dataset
from datasets.utils.logging import disable_progress_bar

from benchmarks._lib.study import argument_parser
from benchmarks._lib.workloads import SIZES, dialogues, make_reward_model
from rlhf_losses.evaluation.output_folder import write_evaluation
from rlhf_losses.scoring import Scorer, evaluate

WORDS = ("red", "green", "blue", "grey", "pink", "car", "tree", "house", "river", "stone")


def synthetic_pairs(count: int, seed: int) -> Dataset:
    """Return pairs of short answers of different lengths, four to a prompt.

    Args:
        count: number of pairs.
        seed: seed of the random words.
    """
    random = np.random.default_rng(seed)

    def text() -> str:
        return " ".join(random.choice(WORDS, size=random.integers(3, 12)))

    return Dataset.from_list(
        [
            {
                "prompt": f"Question {i // 4}: ",
                "chosen": text(),
                "rejected": text(),
                "margin": float(random.integers(1, 4)),
                "subset": WORDS[i % len(WORDS)],
            }
            for i in range(count)
        ]
    )


def main(arguments: list[str] | None = None) -> None:
    """Print the run time for each number of rows."""
    parser = argument_parser(__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[5_000, 50_000])
    parser.add_argument("--size", choices=SIZES, default="tiny")
    args = parser.parse_args(arguments)
    disable_progress_bar()
    workload = dialogues(2)
    scorer = Scorer(make_reward_model(args.size, workload.tokenizer), workload.tokenizer, batch_size=256)
    evaluate(scorer, synthetic_pairs(64, seed=0), by=["subset"])  # warm-up
    for rows in args.rows:
        data = synthetic_pairs(rows, seed=rows)
        start = time.process_time()
        found = evaluate(scorer, data, by=["subset"])
        evaluated = time.process_time()
        with tempfile.TemporaryDirectory() as folder:
            write_evaluation(Path(folder), found.to_dict(), found.rows)
        written = time.process_time() - evaluated
        total = evaluated - start
        per_row = 1e3 * total / rows
        print(f"{rows} rows: {total:.1f} s of the CPU, {per_row:.2f} ms a row; output folder {written:.1f} s")


if __name__ == "__main__":
    main()
