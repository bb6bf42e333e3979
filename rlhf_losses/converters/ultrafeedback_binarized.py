"""UltraFeedback Binarized: two of the four answers of UltraFeedback, with their ratings."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import split_common_prefix
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Row


class UltrafeedbackBinarized(DatasetConverter):
    """UltraFeedback Binarized as `Ratings` of the chosen and the rejected answer.

    A conversion to `Pairs` makes equal ratings a tie. Both columns contain the whole conversation. The column
    `prompt`, which repeats the first message, is dropped.
    """

    columns = (
        ("chosen", "rejected", "score_chosen", "score_rejected"),
        ("chosen", "rejected", "chosen-rating", "rejected-rating"),
    )
    source = "https://huggingface.co/datasets/HuggingFaceH4/ultrafeedback_binarized"

    def matches(self, row: Row) -> bool:
        return super().matches(row) and isinstance(row["chosen"], list)

    def convert(self, row: Row) -> list[Row]:
        *_, chosen, rejected = next(alternative for alternative in self.columns if set(alternative) <= set(row))
        ratings = [row[chosen], row[rejected]]
        if None in ratings:
            raise InvalidFeedbackError(
                f"The ratings are {ratings[0]} and {ratings[1]}; a comparison needs both. Complete the row, or use "
                "the pair without ratings with --converter native."
            )
        prompt, *answers = split_common_prefix(row["chosen"], row["rejected"])
        return [{"prompt": prompt, "completions": answers, "ratings": ratings}]
