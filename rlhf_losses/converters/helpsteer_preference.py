"""HelpSteer2 and HelpSteer3 preferences between two answers.

The strength is an integer from −3 (first answer much better) to 3 (second answer much better).
"""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import parse_turn_markers, single_message, without_nulls
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Messages, Row

MAX_STRENGTH = 3


class Helpsteer2Preference(DatasetConverter):
    """HelpSteer2 preferences as `Pairs` with a margin, a preference and a tie probability.

    `margin` is the absolute strength, 0 to 3. `preference` and `tie` are shares of the three most similar annotators,
    from which the strength was computed. Without annotators, both follow from the strength. A row with a null strength
    has no feedback.
    """

    columns = (("prompt", "response_1", "response_2", "preference_strength"),)
    source = "https://huggingface.co/datasets/nvidia/HelpSteer2"

    def convert(self, row: Row) -> list[Row]:
        annotators = [one["strength"] for one in row.get("three_most_similar_preferences") or []]
        return _pairs(self.texts(row), row, "preference_strength", annotators)

    def texts(self, row: Row) -> list[Row]:
        return [_compared(parse_turn_markers(row["prompt"]), row["response_1"], row["response_2"])]


class Helpsteer3Preference(DatasetConverter):
    """HelpSteer3 preferences as `Pairs` with a margin, a preference and a tie probability.

    `margin` is the absolute strength, 0 to 3. `preference` and `tie` are shares of the annotators. A row with a null
    strength has no feedback.
    """

    columns = (("context", "response1", "response2", "overall_preference"),)
    source = "https://huggingface.co/datasets/nvidia/HelpSteer3"

    def convert(self, row: Row) -> list[Row]:
        annotators = [one["score"] for one in row.get("individual_preference") or []]
        return _pairs(self.texts(row), row, "overall_preference", annotators)

    def texts(self, row: Row) -> list[Row]:
        return [_compared(without_nulls(row["context"]), row["response1"], row["response2"])]


def _compared(prompt: Messages, *answers: str) -> Row:
    return {"prompt": prompt, "completions": [single_message("assistant", answer) for answer in answers]}


def _pairs(texts: list[Row], row: Row, column: str, annotators: list[int]) -> list[Row]:
    """Return the pair; a negative strength in `column` prefers the first answer, a positive one the second."""
    strength = row[column]
    if strength is None:
        return []
    if not -MAX_STRENGTH <= strength <= MAX_STRENGTH:
        raise InvalidFeedbackError(
            f"Column '{column}' is {strength}, but must be an integer from -{MAX_STRENGTH} (first answer much "
            f"better) to {MAX_STRENGTH} (second answer much better). Fix or drop the row."
        )
    (compared,) = texts
    chosen, rejected = compared["completions"][:: 1 if strength <= 0 else -1]
    sign = 1 if strength > 0 else -1
    strengths = [sign * one for one in annotators or [strength]]
    ties = sum(one == 0 for one in strengths)
    return [
        {
            "prompt": compared["prompt"],
            "chosen": chosen,
            "rejected": rejected,
            "margin": float(abs(strength)),
            "preference": (sum(one > 0 for one in strengths) + ties / 2) / len(strengths),
            "tie": ties / len(strengths),
        }
    ]
