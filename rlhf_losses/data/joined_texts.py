"""Prompts and answers that meet without white space: texts are joined as they are."""

from rlhf_losses.feedback.base import Answer


def meets_without_space(answer: Answer) -> bool:
    """Return whether a plain prompt and the first word of its answer meet without white space.

    Only words in scripts with capital letters, and numbers, are counted: in other scripts, such as Chinese, white space
    between sentences is not usual. Conversations are joined by the chat template.

    Args:
        answer: an answer with its prompt.

    Examples:
        >>> meets_without_space(Answer("2 + 2 =", ("4",))), meets_without_space(Answer("2 + 2 = ", ("4",)))
        (True, False)
    """
    prompt, text = answer.prompt, answer.parts[0]
    if not isinstance(prompt, str) or not isinstance(text, str) or not prompt or not text:
        return False
    first = text[0]
    return not prompt[-1].isspace() and (first.isdecimal() or first.lower() != first.upper())
