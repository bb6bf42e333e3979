"""Iteration in batches, and computation ahead of use."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import chain, islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

THREADS = 2
"""Number of threads that compute: while one of them waits for the GIL, the other one computes."""


def in_batches(items: Iterable[Item], size: int) -> Iterator[list[Item]]:
    """Yield lists of `size` items; the last one may be shorter.

    Args:
        items: the items; they are read as they are needed.
        size: number of items in a list.

    Examples:
        >>> list(in_batches("abc", 2))
        [['a', 'b'], ['c']]
    """
    remaining = iter(items)
    while batch := list(islice(remaining, size)):
        yield batch


def compute_ahead(function: Callable[[Item], Result], items: Iterable[Item]) -> Iterator[Result]:
    """Yield the results of a function, in order; threads compute the next ones while the caller uses one.

    This saves time if the function releases the GIL, as tokenizers do. A single item needs no thread.

    Args:
        function: a function that threads can call at the same time.
        items: its arguments; they are read as they are needed.

    Examples:
        >>> list(compute_ahead(str.upper, ["a", "b", "c"]))
        ['A', 'B', 'C']
    """
    remaining = iter(items)
    first = list(islice(remaining, 2))
    if len(first) < 2:
        yield from map(function, first)
        return
    with ThreadPoolExecutor(THREADS) as threads:
        waiting = deque(threads.submit(function, item) for item in chain(first, islice(remaining, THREADS - 1)))
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(threads.submit(function, item) for item in islice(remaining, 1))
            yield result
