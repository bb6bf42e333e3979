"""PPE, best of k: many responses of one model to one prompt, each right or wrong."""

import re

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import as_messages
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Row

RESPONSE = re.compile(r"response_[1-9][0-9]*")


class PpeBestOfK(DatasetConverter):
    """The best-of-k benchmarks of PPE as `Rankings`: right responses have rank 1, wrong ones rank 2.

    The responses are in the columns `response_1`, `response_2` and so on, and the column `scores` has one truth value
    for each. A row without scores, without right or without wrong responses has no feedback.
    """

    columns = (("prompt", "response_1", "response_2", "scores"),)
    source = "https://huggingface.co/datasets/lmarena-ai/PPE-MMLU-Pro-Best-of-K"

    def matches(self, row: Row) -> bool:
        return super().matches(row) and isinstance(row["scores"], list)

    def convert(self, row: Row) -> list[Row]:
        if row["scores"] is None:
            return []
        right = [bool(score) for score in row["scores"]]
        names = [f"response_{number}" for number in range(1, len(right) + 1)]
        if f"response_{len(right) + 1}" in row or any(row.get(name) is None for name in names):
            count = sum(row[name] is not None for name in row if name.startswith("response_"))
            raise InvalidFeedbackError(
                f"The row has {len(right)} scores and {count} responses, but each response needs one. Fix or drop the "
                "row."
            )
        if len(set(right)) < 2:
            return []
        return [{**text, "ranks": [1 if is_right else 2 for is_right in right]} for text in self.texts(row)]

    def texts(self, row: Row) -> list[Row]:
        names = sorted((name for name in row if RESPONSE.fullmatch(name)), key=lambda name: int(name.split("_")[1]))
        answers = [as_messages("assistant", row[name]) for name in names if row[name] is not None]
        return [{"prompt": as_messages("user", row["prompt"]), "completions": answers}]
