"""The interface of a dataset converter."""

from abc import ABC, abstractmethod
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from typing import ClassVar

from rlhf_losses.errors import InvalidFeedbackError, RlhfLossesError, counted_from_0
from rlhf_losses.feedback.base import Row
from rlhf_losses.messages.class_names import snake_case
from rlhf_losses.messages.setting_names import setting


class DatasetConverter(ABC):
    """Converts the rows of one dataset format to rows with the columns of this library.

    A subclass sets `columns` and `source` and defines `convert`. It overrides `matches` if the columns alone do not
    identify the format, and `gather` if the feedback on one prompt is spread over several rows.

    Attributes:
        columns: alternative sets of columns. A row matches the format if it has all columns of one set.
        source: URL of the documentation of the format.

    Examples:
        >>> class Duels(DatasetConverter):
        ...     '''Pairs with one winner and one loser.'''
        ...
        ...     columns = (("winner", "loser"),)
        ...     source = "https://example.org/duels"
        ...
        ...     def convert(self, row):
        ...         return [{"chosen": row["winner"], "rejected": row["loser"]}]
        >>> Duels().matches({"winner": "4", "loser": "5", "id": 7})
        True
        >>> Duels().convert({"winner": "4", "loser": "5", "id": 7})
        [{'chosen': '4', 'rejected': '5'}]
    """

    columns: ClassVar[tuple[tuple[str, ...], ...]] = ()
    source: ClassVar[str] = ""

    @classmethod
    def name(cls) -> str:
        """Return the name for the argument `converter`: the class name in snake case.

        Examples:
            >>> DatasetConverter.name()
            'dataset_converter'
        """
        return snake_case(cls.__name__)

    def matches(self, row: Row) -> bool:
        """Return whether a row has this format. The default implementation compares the columns.

        Args:
            row: one of the first rows of a dataset. In place of a null or empty value it has the first other value of
                the column, if there is one.
        """
        return any(set(alternative) <= set(row) for alternative in self.columns)

    def gather(self, rows: Iterable[Row]) -> Iterable[Row]:
        """Combine rows that belong together before they are converted. The default implementation changes nothing.

        Args:
            rows: all rows of the dataset. Each has the key `source_row`, its position in the dataset.

        Returns:
            The rows that `convert` is called with. A row with the key `source_row` is named by this number in messages.
        """
        return rows

    @abstractmethod
    def convert(self, row: Row) -> list[Row]:
        """Convert one row.

        Args:
            row: a row of the original dataset, or one that `gather` returns.

        Returns:
            One or several rows with the columns of this library, or an empty list if the row has no feedback. All
            rows of a dataset have the same columns.

        Raises:
            RlhfLossesError: the row cannot be converted.
        """

    def texts(self, row: Row) -> list[Row]:
        """Convert one row for uses that read no feedback: scores, and the prompts of a policy.

        A format in which a row can be without feedback overrides it, so that the texts of such a row are read, too. The
        default implementation is `convert`.

        Args:
            row: a row of the original dataset, or one that `gather` returns.

        Returns:
            One or several rows with prompts and answers, or an empty list if the row has no texts.

        Raises:
            RlhfLossesError: the row cannot be converted.
        """
        return self.convert(row)

    @contextmanager
    def locate_errors(self, row_number: int | None, dataset_name: str) -> Iterator[None]:
        """Add the row number and the name of the dataset to errors that occur in the `with` block.

        Args:
            row_number: position of the row, counted from 0; None if it is unknown.
            dataset_name: name of the dataset in the message.

        Raises:
            RlhfLossesError: the same error with a longer message. A Python error such as `KeyError` becomes an
                `InvalidFeedbackError`.
        """
        row = "A combined row" if row_number is None else f"Row {row_number}"
        counted = "" if row_number is None else f" ({counted_from_0(row_number)})"
        try:
            yield
        except RlhfLossesError as error:
            raise type(error)(f"{row} of {dataset_name}, converted by {self.name()}: {error}{counted}") from None
        except (LookupError, TypeError, ValueError, AttributeError) as error:
            raise InvalidFeedbackError(
                f"{row} of {dataset_name} cannot be converted by {self.name()}: {type(error).__name__}: "
                f"{error}. Fix the row (the format is documented at {self.source}) or choose another converter, for "
                f"example {setting('converter', 'native')}.{counted}"
            ) from error
