"""The frame of a study over seeds: measure into a CSV, then print and draw what the CSV holds."""

import argparse
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import torch
from measure import environment
from seeds import read, write

Rows = list[dict[str, Any]]


def add_output(parser: argparse.ArgumentParser) -> None:
    """Add the arguments that every study has."""
    parser.add_argument("--draw", action="store_true", help="only print and draw what the CSV holds")
    parser.add_argument("--output", type=Path, default=Path("benchmarks/results"), help="folder of CSV and picture")


def conduct(
    name: str,
    args: argparse.Namespace,
    measure: Callable[[], Iterable[Rows]],
    report: Callable[[Rows], None],
    draw: Callable[[Rows, Path], None],
) -> None:
    """Measure part by part, each written at once, unless only drawing is asked for; then print and draw."""
    torch.set_num_threads(1)
    table = args.output / f"{name}.csv"
    if not args.draw:
        print(environment())
        found: Rows = []
        for part in measure():
            found += part
            write(found, table)
    rows = read(table)
    report(rows)
    draw(rows, table.with_suffix(".png"))
