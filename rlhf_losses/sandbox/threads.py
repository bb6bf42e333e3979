"""One thread for tiny models, which wait longer for a second thread than it helps them."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch


@contextmanager
def one_thread() -> Iterator[None]:
    """Compute on one CPU thread, then on as many as before.

    On an idle machine a second thread saves a tenth of the time. On a busy one each of the many small
    operations waits until both threads are scheduled, which was measured to take twenty times as long.

    >>> with one_thread():
    ...     torch.get_num_threads()
    1
    """
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
