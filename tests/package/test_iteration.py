"""Iteration in batches and ahead of use."""

import threading
import time

import pytest

from rlhf_losses.iteration import THREADS, compute_ahead, in_batches


def test_batches_have_all_items_in_order() -> None:
    assert list(in_batches(iter(range(7)), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(in_batches([], 3)) == []


@pytest.mark.parametrize("count", [0, 1, 2, 20])
def test_results_have_the_order_of_the_items(count: int) -> None:
    def slow_first(item: int) -> int:
        time.sleep(0.002 * (item == 0))
        return item

    assert list(compute_ahead(slow_first, range(count))) == list(range(count))


def test_few_items_are_read_ahead() -> None:
    read: list[int] = []
    results = compute_ahead(abs, (read.append(item) or item for item in range(100)))
    for used, _ in enumerate(results, 1):
        assert len(read) <= used + THREADS + 1


def test_an_error_is_raised_at_its_item() -> None:
    results = compute_ahead(lambda item: 1 // item, [2, 1, 0, 1])
    assert [next(results), next(results)] == [0, 1]
    with pytest.raises(ZeroDivisionError):
        next(results)


def test_a_single_item_needs_no_thread() -> None:
    assert list(compute_ahead(lambda _: threading.current_thread(), [0])) == [threading.current_thread()]
