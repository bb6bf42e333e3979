"""`ScoreCache`: the scores of recent texts."""

import hashlib
from array import array
from collections import OrderedDict

from rlhf_losses.data.tokenization import Encoded


class ScoreCache:
    """Scores by the key of their text; the least recently used ones are dropped.

    Args:
        size: number of texts; 0 keeps none.

    Examples:
        >>> cache = ScoreCache(1)
        >>> cache.put(b"a", (1.0,)); cache.put(b"b", (2.0,))
        >>> cache.get(b"a"), cache.get(b"b")
        (None, (2.0,))
    """

    def __init__(self, size: int) -> None:
        self.size = size
        self._scores: OrderedDict[bytes, tuple[float, ...]] = OrderedDict()

    def __len__(self) -> int:
        """Return the number of texts."""
        return len(self._scores)

    def get(self, key: bytes) -> tuple[float, ...] | None:
        """Return the scores of a text, or None.

        Args:
            key: key of the text.
        """
        if key in self._scores:
            self._scores.move_to_end(key)
        return self._scores.get(key)

    def put(self, key: bytes, scores: tuple[float, ...]) -> None:
        """Keep the scores of a text.

        Args:
            key: key of the text.
            scores: its scores.
        """
        self._scores[key] = scores
        self._scores.move_to_end(key)
        while len(self._scores) > self.size:
            self._scores.popitem(last=False)


def text_key(text: Encoded, whole: bool) -> bytes:
    """Return a key that two texts share only if they have the same scores: a hash of tokens and positions.

    Args:
        text: a tokenized text.
        whole: whether the score of the whole text is computed, not those of its steps.
    """
    # The transforms see the length of the answer, so the end of the prompt counts too.
    numbers = array("q", [whole, len(text.ids), text.prompt[1], *text.ids, *text.positions])
    return hashlib.blake2b(numbers.tobytes(), digest_size=32).digest()
