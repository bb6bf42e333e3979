"""UltraFeedback, binarized: two answers out of four, with their ratings."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import apart
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Row


class UltrafeedbackBinarized(DatasetConverter):
    """Ratings of the chosen and the rejected answer: losses of pairs read equal ones as a tie.

    Both columns hold the whole conversation. A column `prompt` beside them repeats its first message and is left
    out.
    """

    columns = (
        ("chosen", "rejected", "score_chosen", "score_rejected"),
        ("chosen", "rejected", "chosen-rating", "rejected-rating"),
    )
    source = "https://huggingface.co/datasets/HuggingFaceH4/ultrafeedback_binarized"

    def recognises(self, row: Row) -> bool:
        return super().recognises(row) and isinstance(row["chosen"], list)

    def read(self, row: Row) -> list[Row]:
        *_, chosen, rejected = next(way for way in self.columns if set(way) <= set(row))
        ratings = [row[chosen], row[rejected]]
        if None in ratings:
            raise InvalidFeedbackError(
                f"The ratings are {ratings[0]} and {ratings[1]}, and a missing one compares nothing. Complete the row, "
                "or read the pair without ratings: --converter native"
            )
        prompt, *answers = apart(row["chosen"], row["rejected"])
        return [{"prompt": prompt, "completions": answers, "ratings": ratings}]
