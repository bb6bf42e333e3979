"""Values of optional columns of a feedback type, such as margins and weights of pairs."""

from collections.abc import Sequence
from dataclasses import dataclass

from datasets import Dataset

from rlhf_losses.data.row_schema import READERS
from rlhf_losses.feedback import Feedback
from rlhf_losses.feedback.row_values import read_number
from rlhf_losses.messages.percentages import percent


@dataclass(frozen=True)
class OptionalValues:
    """Values of one optional column.

    Attributes:
        rows: number of rows.
        missing: number of rows in which the value is null.
        zero: number of rows in which it is 0.
        low: smallest value.
        high: largest value.
        mean: mean of the values that are not null.
    """

    rows: int
    missing: int
    zero: int
    low: float
    high: float
    mean: float

    def describe(self) -> str:
        """Return the values in a few words.

        Examples:
            >>> OptionalValues(rows=4, missing=1, zero=1, low=0.0, high=3.0, mean=1.5).describe()
            '0 to 3, mean 1.5; 0 in 1 (25.0 %) and null in 1 (25.0 %) of 4 rows'
        """
        counts = [(name, count) for name, count in (("0", self.zero), ("null", self.missing)) if count]
        listed = " and ".join(f"{name} in {count} ({percent(count / self.rows)})" for name, count in counts)
        values = f"{self.low:g} to {self.high:g}, mean {self.mean:.3g}"
        return f"{values}; {listed} of {self.rows} rows" if listed else values


def optional_values(
    dataset: Dataset, feedback_type: type[Feedback], rows: Sequence[int] | None = None
) -> dict[str, OptionalValues]:
    """Return the values of the optional columns of numbers that a dataset has, without those that are null everywhere.

    Args:
        dataset: a dataset with valid rows.
        feedback_type: a feedback type.
        rows: indices of the rows to count; by default all.

    Examples:
        >>> from rlhf_losses.feedback import Pairs
        >>> data = Dataset.from_dict({"chosen": ["a", "b"], "rejected": ["c", "d"], "margin": [2, None]})
        >>> optional_values(data, Pairs)["margin"].missing
        1
    """
    columns = [name for name in feedback_type.optional_columns if READERS.get(name) is read_number]
    found = {name: _values(dataset, name, rows) for name in columns if name in dataset.column_names}
    return {name: values for name, values in found.items() if values is not None}


def _values(dataset: Dataset, column: str, rows: Sequence[int] | None) -> OptionalValues | None:
    every = dataset[column][:]
    counted = every if rows is None else [every[row] for row in rows]
    values = [read_number({column: value}, column) for value in counted if value is not None]
    if not values:
        return None
    return OptionalValues(
        rows=len(counted),
        missing=len(counted) - len(values),
        zero=sum(value == 0 for value in values),
        low=min(values),
        high=max(values),
        mean=sum(values) / len(values),
    )
