"""UltraFeedback: several answers to one instruction, each rated on several aspects."""

from typing import Any

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import said_by
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Row


class Ultrafeedback(DatasetConverter):
    """Ratings of the answers to one instruction: the mean over the aspects that were rated.

    The aspects are helpfulness, honesty, instruction following and truthfulness, from 1 to 5; `N/A` counts for
    nothing. `overall_score`, which was wrong for some thousand answers, is not read.
    """

    columns = (("instruction", "completions"),)
    source = "https://huggingface.co/datasets/openbmb/UltraFeedback"

    def recognises(self, row: Row) -> bool:
        return super().recognises(row) and all(
            isinstance(one, dict) and "annotations" in one for one in row["completions"] or [{}]
        )

    def read(self, row: Row) -> list[Row]:
        answers = row["completions"]
        if not answers:
            return []
        return [
            {
                "prompt": said_by("user", row["instruction"]),
                "completions": [said_by("assistant", one["response"]) for one in answers],
                "ratings": [_rating(one["annotations"]) for one in answers],
            }
        ]


def _rating(annotations: dict[str, Any]) -> float:
    told = {aspect: (said or {}).get("Rating") for aspect, said in annotations.items()}
    rated = [float(rating) for rating in told.values() if rating not in (None, "N/A")]
    if not rated:
        raise InvalidFeedbackError(
            f"An answer has the annotations {told}, none of which is a rating. Drop the row, or rate the answer."
        )
    return sum(rated) / len(rated)
