"""Comparison of several methods for the same work: run time in interleaved rounds, memory and operations."""

import itertools
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from benchmarks._lib.measurement import (
    Measurement,
    hardware,
    matrix_product_rate,
    measure,
    num_linear_parameters,
    versions,
)
from benchmarks._lib.operation_count import OperationCount, count_operations
from benchmarks._lib.tables import print_markdown
from benchmarks._lib.workloads import Workload, make_reward_model
from rlhf_losses.layouts import PrefixSharedLayout

Row = dict[str, Any]

RUN_COLUMNS = ("work", "workload", "size", "precision", "device")
"""Columns that identify a run; a new run replaces the rows of an earlier one."""


@dataclass(frozen=True)
class Method:
    """One of the compared methods.

    Attributes:
        name: name in the table.
        prepare: function that does the work that is not measured, and returns the function that is measured.
    """

    name: str
    prepare: Callable[[], Callable[[], Any]]


@dataclass(frozen=True)
class Comparison:
    """Settings of a comparison.

    Attributes:
        size: size of the model.
        rounds: number of rounds; each method runs once per round.
        bf16: whether the models compute in bfloat16.
    """

    size: str
    rounds: int
    bf16: bool

    @property
    def precision(self) -> str:
        """Name of the dtype of the models."""
        return "bfloat16" if self.bf16 else "float32"

    def run(self, workload: Workload, methods: Sequence[Method], num_passes: int) -> list[Row]:
        """Measure every method, count its operations in one more run, and print a table.

        Args:
            workload: the data.
            methods: methods to compare; speeds are relative to the first.
            num_passes: operations of the work in forward passes: one for scoring, three for training.

        Returns:
            One row per method.
        """
        measured: dict[str, list[Measurement]] = {method.name: [] for method in methods}
        for _, method in itertools.product(range(self.rounds), methods):
            measured[method.name].append(_measure_once(method.prepare()))
        rate = matrix_product_rate(torch.bfloat16 if self.bf16 else torch.float32)
        tokens, operations = self._model_operations(workload, num_passes)
        run_columns = self._run_columns(workload, tokens, rate)
        rows: list[Row] = []
        for method in methods:
            counted = count_operations(method.prepare())
            row = _result(measured[method.name], counted, tokens, operations, rate)
            speedup = (rows[0]["seconds"] if rows else row["seconds"]) / row["seconds"]
            rows.append(run_columns | {"method": method.name} | row | {"speedup": speedup})
        print_comparison(rows)
        print_factors(rows)
        return rows

    def _model_operations(self, workload: Workload, num_passes: int) -> tuple[int, float]:
        """Return the number of distinct tokens and the operations that they need.

        A forward pass needs two operations per weight and token and, in each layer, four per hidden unit and pair of
        tokens of which one attends to the other.
        """
        model = make_reward_model(self.size, workload.tokenizer)
        tokens, attended = count_distinct_tokens(workload)
        attention = 4 * model.config.num_hidden_layers * model.config.hidden_size * attended
        return tokens, num_passes * (2 * num_linear_parameters(model) * tokens + attention)

    def _run_columns(self, workload: Workload, tokens: int, rate: float) -> Row:
        return {
            "date": date.today().isoformat(),
            "device": hardware(),
            "versions": versions(),
            "size": self.size,
            "precision": self.precision,
            "rounds": self.rounds,
            "workload": workload.name,
            "rows": len(workload.rows),
            "distinct_tokens": tokens,
            "gflops": rate / 1e9,
        }


def count_distinct_tokens(workload: Workload) -> tuple[int, int]:
    """Return the number of distinct tokens, counted per row, and of pairs of them of which one attends to the other."""
    layout = PrefixSharedLayout(min_shared_tokens=1)
    tokens = attended = 0
    for row in workload.rows:
        positions = layout.arrange(workload.tokenized_row(row)).model_inputs["tree"].positions
        tokens += len(positions)
        attended += int((positions + 1).sum())
    return tokens, attended


def print_comparison(rows: Sequence[Row]) -> None:
    """Print the table of a comparison; with several rounds, the run time has a range."""
    first, has_range = rows[0], rows[0]["rounds"] > 1
    print(
        f"\n{first['workload']}: {first['rows']} rows, {first['distinct_tokens']:,} distinct tokens, "
        f"{first['gflops']:.0f} GFLOP/s\n"
    )
    columns = ["", f"seconds{' (range)' if has_range else ''}", f"x {first['method']}", "tokens"]
    columns += ["distinct tokens per second", "MFU", "HFU", "peak memory, MiB"]
    print_markdown(columns, (_cells(row, has_range) for row in rows))


def print_factors(rows: Sequence[Row]) -> None:
    """Print the factors of the speed: operations saved, and the share of the rate of a matrix product that is reached.

    The run time is the number of operations divided by the share and by the rate, so the speed relative to the first
    method is the product of the operations saved and of the ratio of the shares, on any machine.
    """
    first = rows[0]
    print(f"\nspeed = operations saved x ratio of the shares of {first['gflops']:.0f} GFLOP/s\n")
    columns = ["", "tokens saved", "operations saved", "share of the matrix rate", "ratio of the shares"]
    print_markdown([*columns, f"x {first['method']}"], (_factors(row, first) for row in rows))


def save_comparison(rows: Sequence[Row], file: Path) -> None:
    """Save the rows of a run to a CSV file.

    Rows of an earlier run with the same work, workload, size, precision and device are replaced.
    """
    new = pd.DataFrame(rows)
    if file.is_file():
        earlier = pd.read_csv(file, dtype=str, keep_default_na=False)
        is_same = (earlier[list(RUN_COLUMNS)] == new.loc[0, list(RUN_COLUMNS)].astype(str)).all(axis=1)
        new = pd.concat([earlier[~is_same], new.astype(str)])
    file.parent.mkdir(parents=True, exist_ok=True)
    new.to_csv(file, index=False)


def _measure_once(work: Callable[[], Any]) -> Measurement:
    with measure() as measurement:
        work()
    return measurement


def _result(
    measurements: Sequence[Measurement], counted: OperationCount, tokens: int, operations: float, rate: float
) -> Row:
    seconds = [one.seconds for one in measurements]
    median = statistics.median(seconds)
    return {
        "seconds": median,
        "min_seconds": min(seconds),
        "max_seconds": max(seconds),
        "tokens": counted.tokens,
        "distinct_tokens_per_second": tokens / median,
        "mfu": operations / rate / median,
        "operations": counted.operations,
        "hfu": counted.operations / rate / median,
        "memory_mib": max(one.memory_mib for one in measurements),
    }


def _factors(row: Row, first: Row) -> tuple[str, ...]:
    return (
        row["method"],
        f"{first['tokens'] / row['tokens']:.2f}",
        f"{first['operations'] / row['operations']:.2f}",
        f"{row['hfu']:.0%}",
        f"{row['hfu'] / first['hfu']:.2f}",
        f"{row['speedup']:.2f}",
    )


def _cells(row: Row, has_range: bool) -> tuple[str, ...]:
    seconds_range = f" ({row['min_seconds']:.2f}–{row['max_seconds']:.2f})" if has_range else ""
    return (
        row["method"],
        f"{row['seconds']:.2f}{seconds_range}",
        f"{row['speedup']:.2f}",
        f"{row['tokens']:,}",
        f"{row['distinct_tokens_per_second']:,.0f}",
        f"{row['mfu']:.0%}",
        f"{row['hfu']:.0%}",
        f"{row['memory_mib']:,.0f}",
    )
