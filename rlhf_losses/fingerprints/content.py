"""`Content`: what two runs compare of data, models and code, as a hash and a description."""

from collections.abc import Sequence
from dataclasses import dataclass, field

from xxhash import xxh3_128


@dataclass(frozen=True)
class Content:
    """Something of a run that is compared by a hash.

    Args:
        hash: hash of the content; two contents with the same hash are equal.
        description: text for messages, such as `"200 rows"`.

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


def join_contents(name: str, parts: Sequence[Content | None]) -> Content | None:
    """Return several contents as one, or None if one of them is unknown.

    Args:
        name: name of the whole; it is a part of the hash.
        parts: the contents, in order.

    Examples:
        >>> print(join_contents("losses", [Content("8f3a", "Focal"), Content("01c2", "Soft")]).description)
        losses: Focal, Soft
    """
    known = [part for part in parts if part is not None]
    if len(known) < len(parts):
        return None
    joined = xxh3_128(" ".join([name, *(part.hash for part in known)]).encode())
    return Content(joined.hexdigest(), f"{name}: {', '.join(part.description for part in known) or 'none'}")
