"""A column that is not read and says which of two compared answers is better."""

from dataclasses import dataclass
from typing import Any

from datasets import Dataset, IterableDataset

from rlhf_losses.data.annotator_columns import find_annotator_column
from rlhf_losses.data.read_columns import COLUMNS
from rlhf_losses.feedback.source_rows import SOURCE_ITEM, SOURCE_ROW
from rlhf_losses.files.column_values import sampled_values
from rlhf_losses.files.columns import renaming
from rlhf_losses.files.verdict_columns import Evidence, verdict_evidence

COMPARED = ("chosen", "rejected")
"""Columns of the two answers of a pair."""

SHOWN = 4
"""Largest number of different values that a message shows."""


@dataclass(frozen=True)
class UnreadVerdict:
    """A column that is not read and whose values are those of a winner.

    Attributes:
        column: its name.
        values: some of its different values.
    """

    column: str
    values: tuple[str, ...]

    def describe(self) -> str:
        """Return what was found, what it can mean, and how the column is read."""
        columns = dict(zip(("response_a", "response_b"), COMPARED, strict=True)) | {"winner": self.column}
        return (
            f"The column {self.column} is not read, but its values ({', '.join(self.values)}) are those of a winner. "
            "If it says which of the two answers is better, the pairs are in the order of the file, and those with the "
            f"other winner are the wrong way round. To read it: {renaming(columns)}. If chosen is the better answer in "
            "every row, leave the column out."
        )

    def to_dict(self) -> dict[str, Any]:
        """Return the JSON object."""
        return {"column": self.column, "values": list(self.values), "problem": self.describe()}


def find_unread_verdict(dataset: Dataset | IterableDataset) -> UnreadVerdict | None:
    """Return the column that is not read and names the better answer of each pair, or None.

    A column `preference` says which answer is better, so there is none beside it.

    Args:
        dataset: a dataset or a stream.

    Examples:
        >>> pairs = {"chosen": ["Yes.", "No."], "rejected": ["No.", "Yes."]}
        >>> find_unread_verdict(Dataset.from_dict(pairs | {"judged": ["a", "b"], "turn": [1, 2]})).column
        'judged'
    """
    names = list(dataset.column_names or next(iter(dataset), {}))
    if not set(COMPARED) <= set(names) or "preference" in names:
        return None
    read = {*COLUMNS, SOURCE_ROW, SOURCE_ITEM, find_annotator_column(names)}
    unread = [name for name in names if name not in read]
    for name, values in sampled_values(dataset, unread).items():
        if verdict_evidence(name, values) is Evidence.CLEAR:
            shown = dict.fromkeys(str(value).strip() for value in values if value is not None)
            return UnreadVerdict(name, tuple(filter(None, shown))[:SHOWN])
    return None
