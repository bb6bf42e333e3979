"""Shares as text."""


def percent(share: float) -> str:
    """Return a share in percent.

    Args:
        share: the share, such as an accuracy.

    Examples:
        >>> percent(0.8333)
        '83.3 %'
    """
    return f"{100 * share:z.1f} %"


def percent_range(low: float, high: float) -> str:
    """Return a range of shares in percent, such as an interval.

    Args:
        low: lower end.
        high: upper end.

    Examples:
        >>> percent_range(0.5, 0.8333)
        '50.0 to 83.3 %'
    """
    return f"{100 * low:z.1f} to {percent(high)}"
