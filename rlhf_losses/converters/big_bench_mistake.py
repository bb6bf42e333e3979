"""BIG-Bench Mistake: chains of thought with the first logical mistake."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.judged_steps import judged_steps, read_index, unlabelled_steps
from rlhf_losses.feedback.base import Row


class BigBenchMistake(DatasetConverter):
    """BIG-Bench Mistake chains of thought as `Steps`, up to and including the first mistake.

    The column `mistake_index` is the index of the first wrong step, from 0. It is null if all steps are right.
    """

    columns = (("input", "steps", "mistake_index"),)
    source = "https://github.com/WHGTyen/BIG-Bench-Mistake"

    def convert(self, row: Row) -> list[Row]:
        return [judged_steps(row["input"], row["steps"], read_index("mistake_index", row["mistake_index"]))]

    def texts(self, row: Row) -> list[Row]:
        return [unlabelled_steps(row["input"], row["steps"])]
