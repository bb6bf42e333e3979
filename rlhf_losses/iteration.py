"""Iteration in batches, and computation ahead of use."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")

AHEAD = 2
"""Number of results that are computed before they are used."""


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
    """Yield the results of a function, in order; a thread computes the next ones while the caller uses one.

    This saves time if the function releases the GIL, as tokenizers do. A single item needs no thread.

    Args:
        function: a function, of which one call runs at a time.
        items: its arguments; they are read as they are needed.

    Examples:
        >>> list(compute_ahead(str.upper, ["a", "b", "c"]))
        ['A', 'B', 'C']
    """
    remaining = iter(items)
    first = list(islice(remaining, AHEAD))
    if len(first) < AHEAD:
        yield from map(function, first)
        return
    with ThreadPoolExecutor(max_workers=1) as thread:
        waiting = deque(thread.submit(function, item) for item in first)
        while waiting:
            result = waiting.popleft().result()
            waiting.extend(thread.submit(function, item) for item in islice(remaining, 1))
            yield result
