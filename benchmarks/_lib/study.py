"""Command line and files of a study: results as CSV, from which the table and the figure are made."""

import argparse
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks._lib.measurement import environment
from benchmarks._lib.tables import write_csv

Rows = Sequence[dict[str, Any]]
RESULTS = Path("benchmarks/results")


def argument_parser(description: str | None) -> argparse.ArgumentParser:
    """Return a parser that shows the docstring of a module and the default values in its help."""

    class Formatter(argparse.ArgumentDefaultsHelpFormatter, argparse.RawDescriptionHelpFormatter):
        pass

    return argparse.ArgumentParser(description=description, formatter_class=Formatter)


def add_study_arguments(parser: argparse.ArgumentParser, folder: str) -> None:
    """Add the arguments that every study has.

    Args:
        parser: parser of the study.
        folder: folder in `benchmarks/results`.
    """
    parser.add_argument("--draw", action="store_true", help="make table and figure from the CSV file, without a run")
    parser.add_argument("--output", type=Path, default=RESULTS / folder, help="folder of the CSV file and the figure")


def run_study(
    name: str,
    args: argparse.Namespace,
    parts: Callable[[], Iterable[Rows]],
    report: Callable[[pd.DataFrame], None],
    plot: Callable[[pd.DataFrame, Path], None] | None = None,
    num_threads: int | None = 1,
) -> None:
    """Run a study, or only its report with `--draw`.

    Args:
        name: name of the CSV file and of the figure.
        args: parsed arguments.
        parts: function that yields the rows of one part of the study after the other; each is saved at once.
        report: function that prints the tables.
        plot: function that saves the figure.
        num_threads: number of CPU threads; `None` for the default of torch.
    """
    if num_threads is not None:
        torch.set_num_threads(num_threads)
    file = args.output / f"{name}.csv"
    if not args.draw:
        print(environment())
        rows: list[dict[str, Any]] = []
        for part in parts():
            rows += part
            write_csv(rows, file)
    results = pd.read_csv(file)
    report(results)
    if plot is not None:
        plot(results, file.with_suffix(".png"))
