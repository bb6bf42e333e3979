"""A contest: several ways to do the same work, timed in rounds that are interleaved, and the table of what came out."""

import csv
import itertools
import statistics
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

import torch
from counting import Counted, count
from measure import Measured, hardware, linear_parameters, matrix_rate, measuring, versions
from workloads import Workload, make_model

from rlhf_losses.layouts import PrefixSharedLayout

Row = dict[str, Any]

SAME = ("work", "workload", "size", "precision", "device")
"""What a run's rows are known by: a new run of the same replaces them, and leaves all others."""


@dataclass
class Contestant:
    """A way to do the work: `prepare` makes ready what is not measured, and returns what is."""

    name: str
    prepare: Callable[[], Callable[[], Any]]


@dataclass(frozen=True)
class Contest:
    """AttentionOptions a contest is held: over how many rounds, with models of which size and precision."""

    size: str
    rounds: int
    bf16: bool

    @property
    def precision(self) -> str:
        """What the model computes in."""
        return "bfloat16" if self.bf16 else "float32"

    def hold(self, workload: Workload, contestants: list[Contestant], passes: int) -> list[Row]:
        """Time every contestant, count what it computes in a run more, print the table, and return its rows.

        `passes` is what the work costs in forward passes: one to score, three to train.
        """
        timed: dict[str, list[Measured]] = {contestant.name: [] for contestant in contestants}
        for _, contestant in itertools.product(range(self.rounds), contestants):
            timed[contestant.name].append(_timed(contestant.prepare()))
        rate = matrix_rate(torch.bfloat16 if self.bf16 else torch.float32, device())
        floor, tokens = self._floor(workload, passes)
        about = self._about(workload, tokens, rate)
        rows: list[Row] = []
        for contestant in contestants:
            seconds = [one.seconds for one in timed[contestant.name]]
            memory = max(one.memory for one in timed[contestant.name])
            counted = count(contestant.prepare())
            told = _told(contestant.name, seconds, counted, tokens, floor / rate, rate)
            first = rows[0]["seconds"] if rows else told["seconds"]
            rows.append(about | told | {"times_the_first": first / told["seconds"], "memory_mib": memory})
        print_table(rows)
        return rows

    def _floor(self, workload: Workload, passes: int) -> tuple[float, int]:
        """Return the operations that the distinct tokens need, and how many tokens they are.

        A pass takes two a weight and token, and in each layer four a hidden unit and two tokens of which one sees
        the other.
        """
        model = make_model(self.size, workload.tokenizer)
        tokens, seen = distinct(workload)
        attention = 4 * model.config.num_hidden_layers * model.config.hidden_size * seen
        return passes * (2 * linear_parameters(model) * tokens + attention), tokens

    def _about(self, workload: Workload, tokens: int, rate: float) -> Row:
        return {
            "date": date.today().isoformat(), "device": hardware(), "versions": versions(), "size": self.size,
            "precision": self.precision, "rounds": self.rounds, "workload": workload.name,
            "rows": len(workload.rows), "distinct_tokens": tokens, "gflops_a_second": rate / 1e9,
        }  # fmt: skip


def distinct(workload: Workload) -> tuple[int, int]:
    """Return the distinct tokens of the rows, counted row by row, and the pairs of which one sees the other."""
    layout, eos = PrefixSharedLayout(shortest_shared=1), workload.tokenizer.eos_token
    tokens = seen = 0
    for row in workload.rows:
        answers = row.get("completions") or [row["chosen"], row["rejected"]]
        texts = [workload.tokenizer(row["prompt"] + answer + eos)["input_ids"] for answer in answers]
        positions = layout.arrange(texts).model_inputs["tree"].positions
        tokens += len(positions)
        seen += int((positions + 1).sum())
    return tokens, seen


def print_table(rows: list[Row]) -> None:
    """Print the rows of one contest; seconds have a range from two rounds on."""
    first, several = rows[0], rows[0]["rounds"] > 1
    print(
        f"\n{first['workload']}: {first['rows']} rows, {first['distinct_tokens']:,} distinct tokens, "
        f"{first['gflops_a_second']:.0f} GFLOP/s\n\n"
        f"| | seconds{' (range)' if several else ''} | x {first['contestant']} | tokens | distinct tokens a second | "
        "share of the floor | matrix rate used | peak memory, MiB |\n" + "|---" * 8 + "|"
    )
    for row in rows:
        ends = f" ({row['fastest']:.2f}–{row['slowest']:.2f})" if several else ""
        print(
            f"| {row['contestant']} | {row['seconds']:.2f}{ends} | {row['times_the_first']:.2f} | {row['tokens']:,} | "
            f"{row['distinct_tokens_a_second']:,.0f} | {row['share_of_the_floor']:.0%} | "
            f"{row['matrix_rate_used']:.0%} | {row['memory_mib']:,.0f} |",
            flush=True,
        )


def keep(rows: list[Row], file: Path) -> None:
    """Put the rows of one contest into the CSV, in the place of those of an earlier run of the same."""
    kept = list(csv.DictReader(file.read_text(encoding="utf-8").splitlines())) if file.is_file() else []
    stays = [row for row in kept if any(row.get(name) != rows[0][name] for name in SAME)]
    file.parent.mkdir(parents=True, exist_ok=True)
    with file.open("w", newline="", encoding="utf-8") as table:
        writer = csv.DictWriter(table, list(rows[0]))
        writer.writeheader()
        writer.writerows(stays + rows)


def device() -> str:
    """Return where models run."""
    return "cuda" if torch.cuda.is_available() else "cpu"


def _timed(work: Callable[[], Any]) -> Measured:
    with measuring() as one:
        work()
    return one


def _told(name: str, seconds: list[float], counted: Counted, tokens: int, floor: float, rate: float) -> Row:
    median = statistics.median(seconds)
    return {
        "contestant": name, "seconds": median, "fastest": min(seconds), "slowest": max(seconds),
        "tokens": counted.tokens, "distinct_tokens_a_second": tokens / median, "share_of_the_floor": floor / median,
        "operations": counted.operations, "matrix_rate_used": counted.operations / rate / median,
    }  # fmt: skip
