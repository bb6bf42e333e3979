"""Time and memory of a training step over the length of the prompt, the number of answers, and the size of the batch.

    python -m benchmarks.layouts.scaling            # results/layouts/scaling.csv and .png
    python -m benchmarks.layouts.scaling --draw     # the figure from the CSV file

A batch is one forward pass in every layout. The size of a batch is the number of tokens of its texts; the column
`tokens` has the number that the layout computes. A point is the median of its repeats after one step that is not
measured.

The figure is on the page docs/layouts.md.
"""

import argparse
import statistics
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks._lib.measurement import measure
from benchmarks._lib.study import Rows, add_study_arguments, argument_parser, run_study
from benchmarks._lib.tables import print_markdown
from benchmarks._lib.workloads import SIZES, Workload, lists_of_fixed_length, make_reward_model
from rlhf_losses.layouts import LayoutName, PaddedLayout, choose_layout
from rlhf_losses.models.scores import score_batch

PANELS = {
    "prompt": "tokens of the prompt\n(2 answers of 64 tokens)",
    "answers": "answers to a prompt\n(512 tokens, and 64 per answer)",
    "tokens": "tokens of a batch\n(prompts of 256 with 4 answers of 64)",
}
MEASURED = {"seconds": "seconds per step", "memory_mib": "memory of a step, MiB"}
MARKERS: dict[LayoutName, str] = {"padded": "o", "packed": "s", "prefix_shared": "^"}


def main() -> None:
    """Measure, print the table and plot."""
    parser = argument_parser(__doc__)
    parser.add_argument("--size", choices=SIZES, default="16M", help="size of the model")
    parser.add_argument("--repeats", type=int, default=3, help="measured steps per point")
    parser.add_argument("--points", type=int, help="measure only the first points of each panel")
    add_study_arguments(parser, "layouts")
    args = parser.parse_args()
    torch.manual_seed(0)
    run_study("scaling", args, lambda: measure_cases(args), report, plot, num_threads=None)


def measure_cases(args: argparse.Namespace) -> Iterator[Rows]:
    """Yield the measurements of each workload, one row per layout."""
    for varied, value, workload in cases(args.points):
        yield [
            {"varied": varied, "value": value, "layout": name, **measure_step(workload, args.size, name, args.repeats)}
            for name in MARKERS
        ]


def cases(points: int | None) -> Iterator[tuple[str, int, Workload]]:
    """Yield the varied quantity, its value, and the workload."""
    for length in (64, 128, 256, 512, 1024, 2048, 4096)[:points]:
        yield "prompt", length, lists_of_fixed_length(1, length, 2, 64)
    for count in (2, 4, 8, 16, 32)[:points]:
        yield "answers", count, lists_of_fixed_length(1, 512, count, 64)
    for count in (1, 2, 4, 8, 16)[:points]:
        workload = lists_of_fixed_length(count, 256, 4, 64)
        yield "tokens", sum(map(len, workload.tokenized())), workload


def measure_step(workload: Workload, size: str, name: LayoutName, repeats: int) -> dict[str, Any]:
    """Return the median time and memory of a training step, and the tokens that the layout computes."""
    step, tokens = _training_step(workload, size, name)
    step()
    seconds, memory = [], []
    for _ in range(repeats):
        with measure() as measurement:
            step()
        seconds.append(measurement.seconds)
        memory.append(measurement.memory_mib)
    return {
        "seconds": round(statistics.median(seconds), 4),
        "memory_mib": round(statistics.median(memory), 1),
        "tokens": tokens,
    }


def report(results: pd.DataFrame) -> None:
    """Print the results."""
    print_markdown(list(results.columns), results.itertuples(index=False), text_columns=1)


def plot(results: pd.DataFrame, file: Path) -> None:
    """Plot time and memory."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(13, 7.5), layout="constrained")
    axes = figure.subplots(2, 3, sharex="col", sharey="row")
    figure.get_layout_engine().set(w_pad=0.15, h_pad=0.1)
    for column, (varied, xlabel) in enumerate(PANELS.items()):
        for line, measured in enumerate(MEASURED):
            _plot_panel(axes[line][column], results[results.varied == varied], measured)
        axes[1][column].set_xlabel(xlabel)
    for line, label in enumerate(MEASURED.values()):
        axes[line][0].set_ylabel(label)
    axes[0][0].legend()
    figure.savefig(file, dpi=120)


def _plot_panel(axis: Any, results: pd.DataFrame, measured: str) -> None:
    values = sorted(results.value.unique())
    for name, marker in MARKERS.items():
        of_layout = results[results.layout == name]
        axis.plot(of_layout.value, of_layout[measured], marker=marker, label=name)
    axis.set_xscale("log", base=2)
    axis.set_yscale("log")
    axis.set_xticks(values, [f"{value:,}" for value in values])
    axis.yaxis.set_major_formatter("{x:,g}")
    axis.grid(alpha=0.3)


def _training_step(workload: Workload, size: str, name: LayoutName) -> tuple[Callable[[], None], int]:
    model = make_reward_model(size, workload.tokenizer).train()
    layout = choose_layout(model, PaddedLayout(workload.tokenizer.pad_token_id), name)
    texts = workload.tokenized()

    def step() -> None:
        batch = layout.batch(texts, range(len(texts)), [len(text) - 1 for text in texts])
        score_batch(model, batch).square().mean().backward()
        model.zero_grad()

    return step, layout.size(texts)


if __name__ == "__main__":
    main()
