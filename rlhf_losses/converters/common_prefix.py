"""The common beginning of two texts."""

from bisect import bisect_left


def common_prefix_length(first: str, second: str) -> int:
    """Return the number of characters that two texts have in common at their beginning.

    Args:
        first: a text.
        second: another text.

    Examples:
        >>> common_prefix_length("the cat", "the car"), common_prefix_length("the", "the cat")
        (6, 3)
    """
    ends = range(1, min(len(first), len(second)) + 1)
    return bisect_left(ends, True, key=lambda end: first[:end] != second[:end])
