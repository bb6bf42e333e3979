"""Annotators: their ids, and what is unknown without ids."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from rlhf_losses.files.columns import renaming


@dataclass(frozen=True)
class Annotators:
    """The annotators of a dataset.

    Attributes:
        column: name of the column with their ids, or `None`.
        count: number of different ids.
        possible: columns that are not read and could have the ids, if there is no column with them.
    """

    column: str | None
    count: int
    possible: tuple[str, ...] = ()

    @property
    def assumption(self) -> str:
        """How rows are counted as annotations, as a sentence."""
        if self.column is None:
            return (
                "Without a column of annotators, several rows with the same texts can be annotations or copies, so "
                "only votes within a row are taken as different annotators. Equal answers within a row count once."
                f"{self._suggestion}"
            )
        return (
            f"Annotators are those of the column {self.column}. Several annotations of one item by the same annotator "
            "count once, as their majority or mean. A row without an annotator is compared with no other row."
        )

    @property
    def _suggestion(self) -> str:
        if not self.possible:
            return ""
        first, *others = self.possible
        which = f"one of the columns {', '.join(self.possible)}" if others else f"the column {first}"
        return f" If {which} says who judged, name it, for example {renaming({'annotator': first})}."

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"column": self.column, "count": self.count, "assumption": self.assumption}


def annotator_ids(names: Sequence[Any]) -> list[int]:
    """Return consecutive integers for the names of annotators, the same for equal names.

    A missing name becomes a negative number, another one in each row. So does a list, which does not say who gave which
    annotation.

    Args:
        names: the name in each row.

    Examples:
        >>> annotator_ids(["Ann", "Bob", None, "Ann", None])
        [0, 1, -3, 0, -5]
    """
    numbers: dict[str, int] = {}
    return [
        numbers.setdefault(str(name), len(numbers)) if _is_name(name) else -1 - row for row, name in enumerate(names)
    ]


def _is_name(name: Any) -> bool:
    return isinstance(name, str | int | float) and name == name and name != ""  # NaN differs from itself
