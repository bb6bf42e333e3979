"""Rows with labels of steps, cut as in TRL's `PRMTrainer`."""

import logging
from dataclasses import dataclass
from typing import Any

from datasets import Dataset, IterableDataset
from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.dataset import column_names
from rlhf_losses.data.tokenization import Encoded, encode_answers
from rlhf_losses.errors import FeedbackMismatchError
from rlhf_losses.feedback import Steps
from rlhf_losses.feedback.base import Row

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class StepLimits:
    """Cuts the steps of a row that do not fit.

    Attributes:
        tokenizer: tokenizer of the model.
        separator: string between two steps.
        max_length: largest number of tokens of prompt and steps, or None.
        max_completion_length: largest number of tokens of the steps, or None.
    """

    tokenizer: PreTrainedTokenizerBase
    separator: str
    max_length: int | None
    max_completion_length: int | None

    def num_fitting(self, row: Row) -> int:
        """Return the number of steps of a row that fit."""
        count = len(row["completions"])
        while count and not self._fits(encoded := self._encode(row, count)):
            fitting = sum(self._is_within(encoded, position) for position in encoded.positions)
            count = min(count - 1, fitting)
        return count

    def _encode(self, row: Row, count: int) -> Encoded:
        (answer,) = Steps.answers({**row, "completions": row["completions"][:count]})
        ((encoded,),) = encode_answers([[answer]], self.tokenizer, self.separator)
        return encoded

    def _fits(self, encoded: Encoded) -> bool:
        within = self._is_within(encoded, encoded.positions[-1])
        return within and (self.max_length is None or len(encoded.ids) <= self.max_length)

    def _is_within(self, encoded: Encoded, position: int) -> bool:
        total, steps = position + 1, position + 1 - encoded.prompt[1]
        return (self.max_length is None or total <= self.max_length) and (
            self.max_completion_length is None or steps <= self.max_completion_length
        )


def cut_steps(data: Any, limits: StepLimits, num_proc: int | None, last_only: bool = False) -> Any:
    """Return a dataset without the steps that do not fit, and log how many there were.

    The trainer drops and reports a row without a step that fits.

    Args:
        data: rows with `prompt`, `completions` and `labels`; a dictionary of datasets; or None.
        limits: what fits.
        num_proc: number of processes.
        last_only: use the label of the last step only.

    Raises:
        FeedbackMismatchError: the rows are tokenized.
    """
    if type(data) is dict:  # a DatasetDict is refused
        return {name: cut_steps(one, limits, num_proc, last_only) for name, one in data.items()}
    columns = column_names(data) if isinstance(data, Dataset | IterableDataset) else []
    if "input_ids" in columns:
        raise FeedbackMismatchError(
            f"The data have the columns {', '.join(columns)}, tokenized for TRL's trainer, whose token of a label is "
            "another one. Pass the texts: columns prompt, completions and labels."
        )
    if not {"completions", "labels"} <= set(columns):
        return data  # the trainer refuses it
    options = {"num_proc": num_proc} if isinstance(data, Dataset) else {}
    cut = data.map(_cut_row, fn_kwargs={"limits": limits, "last_only": last_only}, **options)
    if isinstance(data, Dataset) and (removed := _count_steps(data) - _count_steps(cut)):
        logger.warning("%d of %d steps do not fit into the limits and are cut.", removed, _count_steps(data))
    return cut


def _cut_row(row: Row, limits: StepLimits, last_only: bool) -> dict[str, Any]:
    steps, labels = row["completions"], row["labels"]
    if not (_is_list_of_texts(steps) and isinstance(labels, list) and len(labels) == len(steps)):
        return {}  # the trainer refuses it
    if last_only:
        labels = [*[None] * (len(labels) - 1), labels[-1]]
    count = limits.num_fitting(row)
    return {"completions": steps[:count] or steps[:1], "labels": labels[:count] or [None]}


def _is_list_of_texts(value: Any) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(one, str) and one for one in value)


def _count_steps(data: Dataset) -> int:
    return sum(len(steps or []) for steps in data["completions"])
