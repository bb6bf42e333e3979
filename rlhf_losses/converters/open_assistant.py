"""Open Assistant: messages of conversation trees, with the rank of each answer among its siblings."""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from rlhf_losses.converters.base import DatasetConverter
from rlhf_losses.converters.messages import said_by
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Messages, Row

ROLES = {"prompter": "user", "assistant": "assistant"}


class OpenAssistant(DatasetConverter):
    """Rankings of the answers to one message, the best with rank 0, below the conversation that leads to it.

    A row is one message, so all rows of the data are gathered first. Answers without a rank are not compared; of a
    message with fewer than two ranked answers nothing is read.
    """

    columns = (("message_id", "parent_id", "text", "role", "rank"),)
    source = "https://huggingface.co/datasets/OpenAssistant/oasst1"

    def gather(self, rows: Iterable[Row]) -> Iterator[Row]:
        messages = {row["message_id"]: row for row in rows}
        replies: dict[str, list[Row]] = defaultdict(list)
        for row in messages.values():
            if row["role"] == "assistant":
                replies[row["parent_id"]].append(row)
        for asked, answers in replies.items():
            yield {"message_id": asked, "messages": messages, "answers": answers}

    def read(self, row: Row) -> list[Row]:
        ranked = [answer for answer in row["answers"] if answer["rank"] is not None]
        if len(ranked) < 2:
            return []
        return [
            {
                "prompt": _conversation(row["message_id"], row["messages"]),
                "completions": [said_by("assistant", answer["text"]) for answer in ranked],
                "ranks": [answer["rank"] for answer in ranked],
            }
        ]


def _conversation(last: Any, messages: Mapping[Any, Row]) -> Messages:
    """Return the messages from the first one to `last`."""
    told: Messages = []
    while last is not None:
        if last not in messages:
            raise InvalidFeedbackError(
                f"The message {last} is an ancestor of ranked answers, but no row holds it. "
                "Give whole conversation trees; --max_rows may have cut one."
            )
        told = said_by(ROLES[messages[last]["role"]], messages[last]["text"]) + told
        last = messages[last]["parent_id"]
    return told
