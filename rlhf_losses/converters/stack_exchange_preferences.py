"""Stack Exchange preferences: all answers to one question, with a score from votes."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import as_messages
from rlhf_losses.converters.scored_answers import has_fields, listed_answers, ranked_answers
from rlhf_losses.feedback.base import Row


class StackExchangePreferences(DatasetConverter):
    """Stack Exchange answers as `Rankings` by `pm_score`, where the highest is best and equal scores are ties.

    The score is the rounded logarithm of the votes, plus 1 for the accepted answer. The texts remain HTML. Answers
    without a score are dropped; a row with fewer than two scored answers has no feedback.
    """

    columns = (("question", "answers"),)
    source = "https://huggingface.co/datasets/HuggingFaceH4/stack-exchange-preferences"

    def matches(self, row: Row) -> bool:
        return super().matches(row) and has_fields(row["answers"], "text", "pm_score")

    def convert(self, row: Row) -> list[Row]:
        return ranked_answers(as_messages("user", row["question"]), row["answers"] or [], "text", "pm_score", sign=-1)

    def texts(self, row: Row) -> list[Row]:
        return listed_answers(as_messages("user", row["question"]), row["answers"] or [], "text")
