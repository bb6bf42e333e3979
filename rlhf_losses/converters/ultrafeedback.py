"""UltraFeedback: several answers to one instruction, each with ratings of several aspects."""

from typing import Any

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import single_message
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Row


class Ultrafeedback(DatasetConverter):
    """UltraFeedback as `Ratings`: the mean rating over the rated aspects, from 1 to 5.

    The aspects are helpfulness, honesty, instruction following and truthfulness; the rating `N/A` is skipped. The
    column `overall_score` is not used because it is wrong for some thousand answers.
    """

    columns = (("instruction", "completions"),)
    source = "https://huggingface.co/datasets/openbmb/UltraFeedback"

    def matches(self, row: Row) -> bool:
        return super().matches(row) and all(
            isinstance(answer, dict) and "annotations" in answer for answer in row["completions"] or [{}]
        )

    def convert(self, row: Row) -> list[Row]:
        answers = row["completions"]
        if not answers:
            return []
        return [
            {
                "prompt": single_message("user", row["instruction"]),
                "completions": [single_message("assistant", answer["response"]) for answer in answers],
                "ratings": [_mean_rating(answer["annotations"]) for answer in answers],
            }
        ]


def _mean_rating(annotations: dict[str, Any]) -> float:
    by_aspect = {aspect: (annotation or {}).get("Rating") for aspect, annotation in annotations.items()}
    ratings = [float(rating) for rating in by_aspect.values() if rating not in (None, "N/A")]
    if not ratings:
        raise InvalidFeedbackError(
            f"An answer has the annotations {by_aspect}, none of which is a rating. Rate the answer or drop the row."
        )
    return sum(ratings) / len(ratings)
