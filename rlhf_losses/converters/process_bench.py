"""ProcessBench: solutions of mathematical problems with the first wrong step."""

from typing import Any

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.judged_steps import judged_steps, read_index, unlabelled_steps
from rlhf_losses.feedback.base import Row

ALL_RIGHT = -1


class ProcessBench(DatasetConverter):
    """ProcessBench solutions as `Steps`, up to and including the first wrong step.

    The column `label` is the index of the first wrong step, from 0, or −1 if all steps are right. A row with a null
    label has no feedback. The column `final_answer_correct` is not used: a right answer can follow a wrong step.
    """

    columns = (("problem", "steps", "label"),)
    source = "https://huggingface.co/datasets/Qwen/ProcessBench"

    def matches(self, row: Row) -> bool:
        return super().matches(row) and isinstance(row["steps"], list) and _is_index(row["label"])

    def convert(self, row: Row) -> list[Row]:
        label = read_index("label", row["label"])
        if label is None:
            return []
        return [judged_steps(row["problem"], row["steps"], None if label == ALL_RIGHT else label)]

    def texts(self, row: Row) -> list[Row]:
        return [unlabelled_steps(row["problem"], row["steps"])]


def _is_index(label: Any) -> bool:
    return isinstance(label, int | float | None) and not isinstance(label, bool)
