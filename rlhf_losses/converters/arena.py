"""Chatbot Arena and MT-bench: votes between the answers of two language models, with ties."""

import json
from typing import Any

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import interleave_turns, split_common_prefix
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Messages, Row

SIDES = ("conversation_a", "conversation_b")
ANSWERS = ("response_a", "response_b")
OUTCOMES = ("winner_model_a", "winner_model_b", "winner_tie")

VOTES = {"model_a": [1, 0], "model_b": [0, 1]}


class ArenaVotes(DatasetConverter):
    """MT-bench and Chatbot Arena conversations as `Votes`: one vote per row.

    Every winner that starts with `tie` is a tie. If the row has a column `turn`, the conversations end with the
    answer of that turn. Several votes on one pair are several rows. A row with a null winner has no feedback.
    """

    columns = ((*SIDES, "winner"),)
    source = "https://huggingface.co/datasets/lmsys/mt_bench_human_judgments"

    def convert(self, row: Row) -> list[Row]:
        if row["winner"] is None:
            return []
        winner = str(row["winner"])
        if winner not in VOTES and not winner.startswith("tie"):
            raise InvalidFeedbackError(
                f"The winner is {winner!r}, but it must be model_a, model_b or a tie. Fix or drop the row."
            )
        votes = {"votes": VOTES.get(winner, [0, 0]), "ties": int(winner not in VOTES)}
        return [{**text, **votes} for text in self.texts(row)]

    def texts(self, row: Row) -> list[Row]:
        return [_compared([_until_turn(row[side], row.get("turn")) for side in SIDES])]


class ArenaTable(DatasetConverter):
    """The table of the LMSYS arena as `Votes`: prompts and answers as lists of turns, and three winner columns.

    Exactly one winner column is 1; a row in which all three are null has no feedback. The lists may be JSON strings. A
    null answer becomes an empty answer.
    """

    columns = (("prompt", *ANSWERS, *OUTCOMES),)
    source = "https://huggingface.co/datasets/lmsys/lmsys-arena-human-preference-55k"

    def convert(self, row: Row) -> list[Row]:
        *votes, tie = found = [row[name] for name in OUTCOMES]
        if all(value is None for value in found):
            return []
        if None in found or sorted(found) != [0, 0, 1]:
            raise InvalidFeedbackError(
                f"The winner columns are {votes[0]}, {votes[1]} and {tie}, but exactly one of them must be 1. "
                "Fix or drop the row."
            )
        return [{**text, "votes": votes, "ties": tie} for text in self.texts(row)]

    def texts(self, row: Row) -> list[Row]:
        prompts = _turns(row["prompt"])
        return [_compared([interleave_turns(prompts, _turns(row[side])) for side in ANSWERS])]


def _compared(conversations: list[Messages]) -> Row:
    prompt, *answers = split_common_prefix(*conversations)
    return {"prompt": prompt, "completions": answers}


def _until_turn(conversation: Messages, turn: int | None) -> Messages:
    """Return a conversation up to the answer of a turn, counted from 1."""
    if turn is None:
        return conversation
    answers = [i for i, message in enumerate(conversation) if message["role"] == "assistant"]
    if not 1 <= turn <= len(answers):
        raise InvalidFeedbackError(
            f"The column turn is {turn}, but the conversation has {len(answers)} answers. Fix or drop the row."
        )
    return conversation[: answers[turn - 1] + 1]


def _turns(turns: Any) -> list[str | None]:
    parsed = json.loads(turns) if isinstance(turns, str) else turns
    if not isinstance(parsed, list):
        raise InvalidFeedbackError(
            f"The turns are {parsed!r:.80}, which is not a list. Write them as a list of strings."
        )
    return parsed
