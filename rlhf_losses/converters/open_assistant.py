"""OpenAssistant: messages of conversation trees, with ranks of the answers to one message."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import single_message
from rlhf_losses.converters.scored_answers import listed_answers
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Messages, Row
from rlhf_losses.feedback.source_rows import SOURCE_ROW

ROLES = {"prompter": "user", "assistant": "assistant"}


class OpenAssistant(DatasetConverter):
    """OpenAssistant trees as `Rankings` of the answers to one message; rank 0 is best.

    Each row of the dataset is one message, so `gather` first collects all rows. The prompt is the conversation from
    the root of the tree to the answered message. Answers without a rank are dropped, and so are messages with fewer
    than two ranked answers.
    """

    columns = (("message_id", "parent_id", "text", "role", "rank"),)
    source = "https://huggingface.co/datasets/OpenAssistant/oasst1"

    def gather(self, rows: Iterable[Row]) -> Iterator[Row]:
        messages = {row["message_id"]: row for row in rows}
        answers: dict[str, list[Row]] = defaultdict(list)
        for row in messages.values():
            if row["role"] == "assistant":
                answers[row["parent_id"]].append(row)
        for message_id, of_message in answers.items():
            yield {
                "message_id": message_id,
                "messages": messages,
                "answers": of_message,
                SOURCE_ROW: of_message[0].get(SOURCE_ROW),
            }

    def convert(self, row: Row) -> list[Row]:
        ranked = [answer for answer in row["answers"] if answer["rank"] is not None]
        if len(ranked) < 2:
            return []
        return [
            {
                "prompt": _conversation(row["message_id"], row["messages"]),
                "completions": [single_message("assistant", answer["text"]) for answer in ranked],
                "ranks": [answer["rank"] for answer in ranked],
            }
        ]

    def texts(self, row: Row) -> list[Row]:
        return listed_answers(_conversation(row["message_id"], row["messages"]), row["answers"], "text")


def _conversation(last: Any, messages: Mapping[Any, Row]) -> Messages:
    """Return the messages from the root of the tree to `last`."""
    conversation: Messages = []
    while last is not None:
        if last not in messages:
            raise InvalidFeedbackError(
                f"The message {last} is an ancestor of ranked answers, but the dataset has no row with this "
                "message_id. Pass whole conversation trees, without a limit on the number of rows."
            )
        conversation = single_message(ROLES[messages[last]["role"]], messages[last]["text"]) + conversation
        last = messages[last]["parent_id"]
    return conversation
