"""Arena: votes between the answers of two language models, with ties (LMSYS, MT-bench)."""

import json
from typing import Any

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import apart, turns
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Messages, Row

SIDES = {"model_a": [1, 0], "model_b": [0, 1]}


class ArenaVotes(DatasetConverter):
    """Votes: one judge's choice between two conversations; every word for a tie is a tie.

    Where a column `turn` tells which answer was judged, the conversations end with that answer. Several judges of one
    pair are several rows.
    """

    columns = (("conversation_a", "conversation_b", "winner"),)
    source = "https://huggingface.co/datasets/lmsys/mt_bench_human_judgments"

    def read(self, row: Row) -> list[Row]:
        winner = str(row["winner"])
        if winner not in SIDES and not winner.startswith("tie"):
            raise InvalidFeedbackError(
                f"The winner is {winner!r}, but it can be model_a, model_b, or a tie. Mend the row or drop it."
            )
        conversations = [_until(row[side], row.get("turn")) for side in ("conversation_a", "conversation_b")]
        return [_vote(conversations, SIDES.get(winner, [0, 0]), int(winner not in SIDES))]


class ArenaTable(DatasetConverter):
    """Votes: prompts and answers of two language models as lists of turns, and three columns of which one is 1.

    The lists may be written as JSON. An answer that is null is empty.
    """

    columns = (("prompt", "response_a", "response_b", "winner_model_a", "winner_model_b", "winner_tie"),)
    source = "https://huggingface.co/datasets/lmsys/lmsys-arena-human-preference-55k"

    def read(self, row: Row) -> list[Row]:
        votes, tie = [row["winner_model_a"], row["winner_model_b"]], row["winner_tie"]
        if sorted([*votes, tie]) != [0, 0, 1]:
            raise InvalidFeedbackError(
                f"The columns of the winner are {votes[0]}, {votes[1]} and {tie}, of which one alone should be 1. "
                "Mend the row or drop it."
            )
        prompts = _listed(row["prompt"])
        conversations = [turns(prompts, _listed(row[side])) for side in ("response_a", "response_b")]
        return [_vote(conversations, votes, tie)]


def _vote(conversations: list[Messages], votes: list[int], ties: int) -> Row:
    prompt, *answers = apart(*conversations)
    return {"prompt": prompt, "completions": answers, "votes": votes, "ties": ties}


def _until(conversation: Messages, turn: int | None) -> Messages:
    """Return a conversation up to the answer of that turn, counted from 1."""
    answers = [i for i, message in enumerate(conversation) if message["role"] == "assistant"]
    if turn is None:
        return conversation
    if not 1 <= turn <= len(answers):
        raise InvalidFeedbackError(
            f"The column turn is {turn}, but the conversation has {len(answers)} answers. Mend the row or drop it."
        )
    return conversation[: answers[turn - 1] + 1]


def _listed(turns: Any) -> list[str | None]:
    found = json.loads(turns) if isinstance(turns, str) else turns
    if not isinstance(found, list):
        raise InvalidFeedbackError(f"The turns are {found!r:.80}, which is no list. Write them as a list of texts.")
    return found
