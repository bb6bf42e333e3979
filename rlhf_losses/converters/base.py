"""What every converter has: a name, the columns that it is recognised by, and how it reads a row."""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import ClassVar

from rlhf_losses.errors import InvalidFeedbackError, RlhfLossesError
from rlhf_losses.feedback.base import Row


class DatasetConverter(ABC):
    """One layout in which people hold feedback, and how its rows become rows with our columns."""

    columns: ClassVar[tuple[tuple[str, ...], ...]] = ()
    """The sets of columns by which the layout is recognised, each a way in which it is written."""
    source: ClassVar[str] = ""
    """Where the layout is documented."""

    @classmethod
    def name(cls) -> str:
        """Return the name for `--converter`: the class in snake case.

        >>> DatasetConverter.name()
        'converter'
        """
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def recognises(self, row: Row) -> bool:
        """Tell whether the first row of a dataset is written in this layout; by default its columns decide."""
        return any(set(way) <= set(row) for way in self.columns)

    def gather(self, rows: Iterable[Row]) -> Iterable[Row]:
        """Put together what this layout spreads over several rows; by default a row stands alone."""
        return rows

    @abstractmethod
    def read(self, row: Row) -> list[Row]:
        """Return the feedback of one row, in one row or several with our columns; an empty list if it holds none.

        Every row that is returned has the same columns. What cannot be read raises an error, which then
        names the row.
        """

    @contextmanager
    def naming(self, number: int, data: str) -> Iterator[None]:
        """Let errors say which row of which data they are about."""
        try:
            yield
        except RlhfLossesError as error:
            raise type(error)(f"Row {number} of {data}, read as {self.name()}: {error}") from None
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise InvalidFeedbackError(
                f"Row {number} of {data} cannot be read as {self.name()}: {type(error).__name__}: {error}. "
                f"Mend the row (the layout: {self.source}), or name another converter: --converter native"
            ) from error
