"""Helpers for conversations that repeat the column `prompt`."""

from typing import Any

from rlhf_losses.converters.messages import is_conversation, without_nulls
from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.feedback.base import Messages


def repeats_prompt(prompt: Any, conversation: Any) -> bool:
    """Return whether a conversation contains the prompt: a text as one message, or messages as its beginning.

    Args:
        prompt: a text or messages.
        conversation: messages.

    Examples:
        >>> hi = [{"role": "user", "content": "Hi"}]
        >>> answer = [{"role": "assistant", "content": "Hello"}]
        >>> repeats_prompt("Hi", hi + answer), repeats_prompt(hi, hi + answer), repeats_prompt("Hi", answer)
        (True, True, False)
    """
    if not prompt or not is_conversation(conversation):
        return False
    before_answer = without_nulls(conversation[:-1])
    if isinstance(prompt, list):
        return bool(without_nulls(prompt) == before_answer[: len(prompt)])
    return str(prompt).strip() in [str(message.get("content")).strip() for message in before_answer]


def require_repeated_prompt(prompt: Any, conversation: Messages) -> None:
    """Raise `InvalidFeedbackError` unless a conversation contains the prompt.

    Args:
        prompt: a text or messages; nothing is required of an empty one.
        conversation: messages.
    """
    if prompt and not repeats_prompt(prompt, conversation):
        raise InvalidFeedbackError(
            f"The prompt is {prompt!r:.80}, which the conversations do not contain before their answers, as they do in "
            "other rows. Make it null, or fix or drop the row."
        )
