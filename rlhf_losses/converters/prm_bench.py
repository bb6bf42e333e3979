"""PRMBench: solutions into which errors were written, with the numbers of the wrong steps."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.judged_steps import labelled_steps, unlabelled_steps
from rlhf_losses.feedback.base import Row


class PrmBench(DatasetConverter):
    """PRMBench solutions as `Steps`: the modified solution of the modified question, with a label for every step.

    The column `error_steps` has the numbers of the wrong steps, from 1; an empty list means that all steps are right,
    as in the class `multi_solutions`. In about one of a hundred rows a number is beyond the last step, so the labels
    belong to other steps. Such a row, and one in which the column is null, has no feedback.
    """

    columns = (("modified_question", "modified_process", "error_steps"),)
    source = "https://github.com/ssmisya/PRMBench/blob/main/docs/data_format.md"

    def convert(self, row: Row) -> list[Row]:
        steps, wrong = row["modified_process"], row["error_steps"]
        if wrong is None or not set(wrong) <= set(range(1, len(steps) + 1)):
            return []
        labels = [number not in wrong for number in range(1, len(steps) + 1)]
        return [labelled_steps(row["modified_question"], steps, labels)]

    def texts(self, row: Row) -> list[Row]:
        return [unlabelled_steps(row["modified_question"], row["modified_process"])]
