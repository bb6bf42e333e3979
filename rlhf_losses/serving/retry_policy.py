"""`RetryPolicy`: when a request that failed is sent again."""

import random
from collections.abc import Iterator
from dataclasses import dataclass


@dataclass(frozen=True)
class RetryPolicy:
    """Waits that double after each failure, with jitter, so that clients do not return at the same moment.

    Attributes:
        patience: seconds of waiting in all.
        first: longest wait after the first failure, in seconds.
        largest: longest wait, in seconds.

    Examples:
        >>> waits = list(RetryPolicy(patience=60).waits(random.Random(0)))
        >>> sum(waits) <= 60 and max(waits) <= 20
        True
    """

    patience: float = 600.0
    first: float = 0.5
    largest: float = 20.0

    def waits(self, generator: random.Random) -> Iterator[float]:
        """Yield the seconds to wait after each failure, until the patience is over.

        Args:
            generator: source of the jitter.
        """
        longest, waited = self.first, 0.0
        while waited < self.patience:
            wait = min(longest * generator.uniform(0.5, 1.0), self.patience - waited)
            yield wait
            waited += wait
            longest = min(2 * longest, self.largest)
