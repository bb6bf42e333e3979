"""HelpSteer, preferences: which of two answers is better, and how much, from −3 to 3."""

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import marked_turns, plain, said_by
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Messages, Row

STRONGEST = 3


class Helpsteer2Preference(DatasetConverter):
    """Pairs whose `margin` is the strength, 0 to 3; `preference` and `tie` are the shares of the annotators.

    The annotators are the three most similar ones, from whom the strength was computed. Where none are given,
    the strength decides alone.
    """

    columns = (("prompt", "response_1", "response_2", "preference_strength"),)
    source = "https://huggingface.co/datasets/nvidia/HelpSteer2"

    def read(self, row: Row) -> list[Row]:
        said = [one["strength"] for one in row.get("three_most_similar_preferences") or []]
        answers = (row["response_1"], row["response_2"])
        return [_pair(marked_turns(row["prompt"]), answers, row["preference_strength"], said)]


class Helpsteer3Preference(DatasetConverter):
    """Pairs whose `margin` is the strength, 0 to 3; `preference` and `tie` are the shares of the annotators."""

    columns = (("context", "response1", "response2", "overall_preference"),)
    source = "https://huggingface.co/datasets/nvidia/HelpSteer3"

    def read(self, row: Row) -> list[Row]:
        said = [one["score"] for one in row.get("individual_preference") or []]
        answers = (row["response1"], row["response2"])
        return [_pair(plain(row["context"]), answers, row["overall_preference"], said)]


def _pair(prompt: Messages, answers: tuple[str, str], strength: int, said: list[int]) -> Row:
    """Return the pair in which the answer that the strength favours is chosen; below 0 it is the first."""
    if strength is None or not -STRONGEST <= strength <= STRONGEST:
        raise InvalidFeedbackError(
            f"The strength is {strength}, outside -{STRONGEST} to {STRONGEST}. Mend the row or drop it."
        )
    chosen, rejected = answers if strength <= 0 else answers[::-1]
    side = 1 if strength > 0 else -1
    voices = [side * voice for voice in said or [strength]]
    ties = sum(voice == 0 for voice in voices)
    return {
        "prompt": prompt,
        "chosen": said_by("assistant", chosen),
        "rejected": said_by("assistant", rejected),
        "margin": float(abs(strength)),
        "preference": (sum(voice > 0 for voice in voices) + ties / 2) / len(voices),
        "tie": ties / len(voices),
    }
