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
    from which the strength was computed. Without annotators, both follow from the strength.
    """

    columns = (("prompt", "response_1", "response_2", "preference_strength"),)
    source = "https://huggingface.co/datasets/nvidia/HelpSteer2"

    def convert(self, row: Row) -> list[Row]:
        annotators = [one["strength"] for one in row.get("three_most_similar_preferences") or []]
        answers = (row["response_1"], row["response_2"])
        return [_pair(parse_turn_markers(row["prompt"]), answers, row, "preference_strength", annotators)]


class Helpsteer3Preference(DatasetConverter):
    """HelpSteer3 preferences as `Pairs` with a margin, a preference and a tie probability.

    `margin` is the absolute strength, 0 to 3. `preference` and `tie` are shares of the annotators.
    """

    columns = (("context", "response1", "response2", "overall_preference"),)
    source = "https://huggingface.co/datasets/nvidia/HelpSteer3"

    def convert(self, row: Row) -> list[Row]:
        annotators = [one["score"] for one in row.get("individual_preference") or []]
        answers = (row["response1"], row["response2"])
        return [_pair(without_nulls(row["context"]), answers, row, "overall_preference", annotators)]


def _pair(prompt: Messages, answers: tuple[str, str], row: Row, column: str, annotators: list[int]) -> Row:
    """Return the pair; a negative strength in `column` prefers the first answer, a positive one the second."""
    strength = row[column]
    if strength is None or not -MAX_STRENGTH <= strength <= MAX_STRENGTH:
        raise InvalidFeedbackError(
            f"Column '{column}' is {strength}, but must be an integer from -{MAX_STRENGTH} (first answer much "
            f"better) to {MAX_STRENGTH} (second answer much better). Fix or drop the row."
        )
    chosen, rejected = answers if strength <= 0 else answers[::-1]
    sign = 1 if strength > 0 else -1
    strengths = [sign * one for one in annotators or [strength]]
    ties = sum(one == 0 for one in strengths)
    return {
        "prompt": prompt,
        "chosen": single_message("assistant", chosen),
        "rejected": single_message("assistant", rejected),
        "margin": float(abs(strength)),
        "preference": (sum(one > 0 for one in strengths) + ties / 2) / len(strengths),
        "tie": ties / len(strengths),
    }
