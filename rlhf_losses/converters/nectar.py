"""Nectar: seven answers to one prompt, ranked by GPT-4."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import parse_transcript
from rlhf_losses.converters.scored_answers import has_fields, listed_answers, ranked_answers
from rlhf_losses.feedback.base import Row


class Nectar(DatasetConverter):
    """Nectar as `Rankings`; rank 1 is best, and equal ranks are ties. The prompt is parsed into messages.

    Answers without a rank are dropped; a row with fewer than two ranked answers has no feedback.
    """

    columns = (("prompt", "answers"),)
    source = "https://huggingface.co/datasets/berkeley-nest/Nectar"

    def matches(self, row: Row) -> bool:
        return super().matches(row) and has_fields(row["answers"], "answer", "rank")

    def convert(self, row: Row) -> list[Row]:
        return ranked_answers(parse_transcript(row["prompt"]), row["answers"] or [], "answer", "rank")

    def texts(self, row: Row) -> list[Row]:
        return listed_answers(parse_transcript(row["prompt"]), row["answers"] or [], "answer")
