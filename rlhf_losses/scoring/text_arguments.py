"""Checks of prompts and completions, and of other arguments of scorers."""

from collections.abc import Iterable, Mapping, Sequence, Set
from typing import Any

from rlhf_losses.checks.argument_checks import describe_type, require_instance
from rlhf_losses.errors import InvalidArgumentError, InvalidFeedbackError
from rlhf_losses.feedback.row_values import as_list


def paired_texts(prompts: Any, completions: Any) -> tuple[list[Any], list[Any]]:
    """Return prompts and completions as lists.

    Args:
        prompts: one prompt per completion: a text, a conversation, or None for a whole text.
        completions: texts or conversations.

    Raises:
        InvalidArgumentError: not lists of texts.
        InvalidFeedbackError: a completion is missing, or the lists differ in length.

    Examples:
        >>> paired_texts(("2 + 2 = ",), iter(["4"]))
        (['2 + 2 = '], ['4'])
    """
    prompts = _as_list(prompts, "prompts")
    completions = list_of_texts(completions, "completions")
    for index, prompt in enumerate(prompts):
        if prompt is not None:
            _require_text(prompt, index, "prompts")
    require_equal_counts(prompts, completions)
    return prompts, completions


def list_of_texts(texts: Any, name: str) -> list[Any]:
    """Return texts or conversations as a list.

    Args:
        texts: the argument.
        name: its name.

    Raises:
        InvalidArgumentError: not a list of texts.
        InvalidFeedbackError: a text is missing.
    """
    checked = _as_list(texts, name)
    for index, text in enumerate(checked):
        if text is None:
            raise InvalidFeedbackError(
                f"`{name}[{index}]` is None, so there is no text to score. Pass a text, or leave the entry out."
            )
        _require_text(text, index, name)
    return checked


def require_equal_counts(prompts: Sequence[Any], completions: Sequence[Any]) -> None:
    """Raise `InvalidFeedbackError` unless there is one completion per prompt."""
    if len(prompts) != len(completions):
        raise InvalidFeedbackError(
            f"There are {len(prompts)} prompts and {len(completions)} completions, but each completion has one prompt. "
            "Repeat a prompt for each of its completions."
        )


def _as_list(texts: Any, name: str) -> list[Any]:
    if isinstance(texts, str):
        raise InvalidArgumentError(
            f"`{name}` is one text, but it must be a list of texts. Pass {name}=[{texts[:40]!r}]."
        )
    require_instance(texts, Iterable, name, "a list of texts", f"Pass for example {name}=['A text.'].")
    if isinstance(texts, Mapping | Set) or hasattr(texts, "columns"):  # a DataFrame iterates over its columns
        raise InvalidArgumentError(
            f"`{name}` {describe_type(texts)}, which is not a list: its keys would be scored, or in no fixed order. "
            f"Pass a list of texts, for example {name}=['A text.']."
        )
    entries = as_list(texts)
    if entries is None:
        raise InvalidArgumentError(
            f"`{name}` {describe_type(texts)}, but it must be a list of texts. Pass for example {name}=['A text.']."
        )
    return entries


def _require_text(text: Any, index: int, name: str) -> None:
    is_conversation = isinstance(text, Sequence) and all(isinstance(message, Mapping) for message in text)
    if isinstance(text, str) or is_conversation:
        return
    if isinstance(text, Mapping):
        raise InvalidArgumentError(
            f"`{name}[{index}]` is a single message, but a conversation is a list of messages. "
            f"Pass a list of conversations: {name}=[[message]]."
        )
    raise InvalidArgumentError(
        f"`{name}[{index}]` {describe_type(text)}, but it must be a text or a list of messages. Convert it to a string."
    )
