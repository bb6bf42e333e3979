"""Rows of a stream that two processes read, lose and read twice, and the memory that this needs.

    python -m benchmarks.reliability.streams
    python -m benchmarks.reliability.streams --rows 1000000 --shards 1 3 --workers 0 2

Each process reads its part of the stream with the data loader that `RewardTrainer` trains with; nothing is trained. The
processes are read one after the other in this process.

The result is on the page docs/how-to/many-processes.md.
"""

import resource
from collections import Counter
from collections.abc import Iterator
from itertools import product

import torch
from accelerate.data_loader import prepare_data_loader
from datasets import IterableDataset
from torch.utils.data import DataLoader

from benchmarks._lib.study import argument_parser
from rlhf_losses.training.distributed import DivisibleStream

PROCESSES, BATCH = 2, 8


def numbered_rows(ranges: list[range]) -> Iterator[dict]:
    """Yield short tokenized rows with their numbers.

    Args:
        ranges: the numbers; `datasets` takes each range for a shard.
    """
    for numbers in ranges:
        for number in numbers:
            yield {"text_ids": [[number % 1000]], "score_text": [0], "row_number": number}


def make_stream(count: int, shards: int) -> IterableDataset:
    """Return a stream of numbered rows whose last shard is shorter than the others."""
    size = -(-count // shards) if shards == 1 else count // shards + 1
    parts = [range(first, min(first + size, count)) for first in range(0, count, size)]
    return IterableDataset.from_generator(numbered_rows, gen_kwargs={"ranges": parts})


def read(stream: IterableDataset, process: int, workers: int) -> Iterator[int]:
    """Yield the numbers of the rows with texts that a process trains on.

    Args:
        stream: numbered rows.
        process: number of the process, from 0.
        workers: `dataloader_num_workers`.
    """
    rows = DivisibleStream(stream, PROCESSES * BATCH)
    loader = DataLoader(rows, BATCH, collate_fn=list, num_workers=workers)
    shared = prepare_data_loader(
        loader, torch.device("cpu"), PROCESSES, process, put_on_device=False, dispatch_batches=False
    )
    for batch in shared:
        yield from (row["row_number"] for row in batch if row["score_text"])


def main(arguments: list[str] | None = None) -> None:
    """Print a line per number of shards and workers."""
    parser = argument_parser(__doc__)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--shards", type=int, nargs="+", default=[1, 3])
    parser.add_argument("--workers", type=int, nargs="+", default=[0, 2])
    args = parser.parse_args(arguments)
    for shards, workers in product(args.shards, args.workers):
        before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        seen = bytearray(args.rows)
        counts = Counter()
        for process in range(PROCESSES):
            for number in read(make_stream(args.rows, shards), process, workers):
                seen[number] = min(255, seen[number] + 1)
                counts[process] += 1
        grown = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
        print(
            f"{shards} shards, {workers} workers: {counts.total()} of {args.rows} rows read "
            f"({', '.join(str(counts[process]) for process in range(PROCESSES))} per process), {seen.count(0)} lost, "
            f"{sum(count > 1 for count in seen)} twice, {grown / 1024:.0f} MB more memory"
        )


if __name__ == "__main__":
    main()
