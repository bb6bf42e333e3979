"""The texts of a row as they are rendered, for every feedback type and every use of a reward model."""

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from rlhf_losses.checks.argument_checks import describe_type
from rlhf_losses.checks.unicode_text import require_unicode
from rlhf_losses.data.chat_messages import clean_content
from rlhf_losses.data.template_arguments import TEMPLATE_COLUMNS, template_arguments
from rlhf_losses.errors import InvalidArgumentError, InvalidFeedbackError, shown
from rlhf_losses.feedback import Answer, Feedback
from rlhf_losses.feedback.base import Messages, Row

CUT_OFF = "completion_cut_off"
"""Column of reward functions that says which completions were cut off before their end."""


def row_answers(row: Row, feedback_type: type[Feedback]) -> list[Answer]:
    """Return the texts of a row with the arguments of the chat template.

    Conversations without a prompt have the messages that all answers of the row share as their prompt.

    Args:
        row: a row of a dataset.
        feedback_type: a feedback type that the row contains.

    Raises:
        InvalidFeedbackError: an answer is null, a message has no text, or an argument of the template is invalid.

    Examples:
        >>> from rlhf_losses.feedback import Pairs
        >>> hi, yes, no = ({"role": role, "content": text} for role, text in
        ...     [("user", "hi"), ("assistant", "yes"), ("assistant", "no")])
        >>> row_answers({"chosen": [hi, yes], "rejected": [hi, no]}, Pairs)[1].prompt
        [{'role': 'user', 'content': 'hi'}]
    """
    return complete_answers(feedback_type.answers(row), row)


def completion_answers(
    prompts: Sequence[str | Messages | None],
    completions: Sequence[str | Messages],
    columns: Mapping[str, Any] | None = None,
) -> list[Answer]:
    """Return completions after their prompts, with the arguments of the chat template.

    Args:
        prompts: one prompt per completion; None for a whole text or a whole conversation.
        completions: the completions.
        columns: further columns, with one entry per completion; only those of the chat template and `CUT_OFF` are used.

    Raises:
        InvalidFeedbackError: a completion is null, a message has no text, or an argument of the template is invalid.
        InvalidArgumentError: a column of the chat template has not one entry per completion.
    """
    used = {name: column for name in TEMPLATE_COLUMNS if (column := (columns or {}).get(name)) is not None}
    for name, column in used.items():
        _require_one_per_completion(name, column, len(completions))
    cut_off = (columns or {}).get(CUT_OFF) or [False] * len(completions)
    answers = []
    for index, (prompt, completion, cut) in enumerate(zip(prompts, completions, cut_off, strict=True)):
        answer = Answer(prompt, (completion,), cut_off=cut)
        answers += complete_answers([answer], {name: each[index] for name, each in used.items()})
    return answers


def complete_answers(answers: Sequence[Answer], row: Row) -> list[Answer]:
    """Return clean answers with their shared prompt, and with the arguments of the chat template in a row.

    Args:
        answers: answers of one row.
        row: the row; only the columns of the chat template are used.

    Raises:
        InvalidFeedbackError: an answer is null, a message has no text, or an argument of the template is invalid.
    """
    if row.keys().isdisjoint(TEMPLATE_COLUMNS):
        return split_shared_prompt([clean_answer(answer) for answer in answers])
    template, system = template_arguments(row), _system(row)
    shared = split_shared_prompt([clean_answer(answer) for answer in answers])
    return [replace(answer, template=template, system=system) for answer in shared]


def _system(row: Row) -> str | None:
    system = row.get("system")
    if system is not None and not isinstance(system, str):
        raise InvalidFeedbackError(
            f"Column 'system' is {shown(system)} of the type {type(system).__name__}, but it must be a text. Write a "
            "text, or null for none."
        )
    require_unicode(system, "Column 'system'")
    return system or None


def clean_answer(answer: Answer) -> Answer:
    """Return an answer without null keys in its messages.

    Args:
        answer: an answer.

    Raises:
        InvalidFeedbackError: a part of the answer is null or no text, or a message has no text.
    """
    steps = len(answer.parts) > 1
    parts = tuple(
        [
            _clean_part(part, f"Step {index} of the row" if steps else "An answer of the row")
            for index, part in enumerate(answer.parts)
        ]
    )
    prompt = None if answer.prompt is None else clean_content(answer.prompt, "The prompt of the row")
    return replace(answer, prompt=prompt, parts=parts)


def _clean_part(part: Any, place: str) -> Any:
    if part is None or (isinstance(part, list) and not part):
        found = "null" if part is None else "a list without messages"
        raise InvalidFeedbackError(f"{place} is {found}, so there is no text to score. Add the text, or drop the row.")
    return clean_content(part, place)


def split_shared_prompt(answers: list[Answer]) -> list[Answer]:
    """Move the messages that all answers share to their prompts, if the answers are conversations without a prompt.

    The last message of an answer always stays in the answer.

    Args:
        answers: the answers of one row.
    """
    conversations = [answer.parts[0] for answer in answers if answer.prompt is None and len(answer.parts) == 1]
    messages = [one for one in conversations if isinstance(one, list)]
    if not answers or len(messages) < len(answers):
        return answers
    longest = min(map(len, messages)) - 1
    first = messages[0]
    shared = next((i for i in range(longest) if any(one[i] != first[i] for one in messages)), longest)
    if not shared:
        return answers
    return [
        replace(answer, prompt=one[:shared], parts=(one[shared:],))
        for answer, one in zip(answers, messages, strict=True)
    ]


def _require_one_per_completion(name: str, column: Any, count: int) -> None:
    if not isinstance(column, list | tuple):
        raise InvalidArgumentError(
            f"`{name}` {describe_type(column)}, but it must be a list with one entry per completion. "
            f"Pass {name}=[{name}] * {count}."
        )
    if len(column) != count:
        raise InvalidArgumentError(
            f"`{name}` has {len(column)} entries for {count} completions, but each completion has one. Pass one entry "
            "per completion, and None for a completion without."
        )
