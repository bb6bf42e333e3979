"""`Content`: what two runs compare of data, models and code, as a hash and a description."""

from dataclasses import dataclass, field


@dataclass(frozen=True)
class Content:
    """Something of a run that is compared by a hash.

    Args:
        hash: hash of the content; two contents with the same hash are equal.
        description: what it is, for messages.

    Examples:
        >>> Content("8f3a", "200 rows") == Content("8f3a", "200 rows of another file")
        True
        >>> print(Content("8f3a", "200 rows"))
        200 rows (8f3a)
    """

    hash: str
    description: str = field(compare=False)

    def __str__(self) -> str:
        """Return the description with the first characters of the hash."""
        return f"{self.description} ({self.hash[:8]})"
