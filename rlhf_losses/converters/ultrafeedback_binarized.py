"""UltraFeedback Binarized and Capybara: a chosen and a rejected answer, with their ratings."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import split_common_prefix
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Row
from rlhf_losses.messages.setting_names import setting


class UltrafeedbackBinarized(DatasetConverter):
    """UltraFeedback Binarized and Capybara as `Ratings` of the chosen and the rejected answer.

    Capybara has several turns; it is https://huggingface.co/datasets/argilla/distilabel-capybara-dpo-7k-binarized.

    A conversion to `Pairs` makes equal ratings a tie. Both columns contain the whole conversation. The column `prompt`,
    which repeats one of the messages, is dropped.
    """

    columns = (
        ("chosen", "rejected", "score_chosen", "score_rejected"),
        ("chosen", "rejected", "chosen-rating", "rejected-rating"),
        ("chosen", "rejected", "rating_chosen", "rating_rejected"),
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
                f"the pair without ratings with {setting('converter', 'native')}."
            )
        prompt, *answers = split_common_prefix(row["chosen"], row["rejected"])
        return [{"prompt": prompt, "completions": answers, "ratings": ratings}]
