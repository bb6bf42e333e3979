"""Rendering: one text for each answer, with the character at which each part of the answer ends.

Training, evaluation and scoring use the same function, so they render a text in the same way.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.segmentation import join_segments
from rlhf_losses.errors import InvalidFeedbackError, UnsupportedModelError
from rlhf_losses.feedback.base import Answer, Messages


@dataclass(frozen=True)
class Rendered:
    """The text of one answer.

    Attributes:
        text: prompt and answer.
        prompt_end: number of characters of the prompt.
        part_ends: for each part of the answer, the number of characters up to its end.
        special_tokens: whether the tokenizer adds its special tokens; a chat template already contains them.
    """

    text: str
    prompt_end: int
    part_ends: tuple[int, ...]
    special_tokens: bool


def render(
    answer: Answer,
    tokenizer: PreTrainedTokenizerBase,
    separator: str = "\n",
    template: Mapping[str, Any] | None = None,
) -> Rendered:
    """Render an answer as one text.

    Plain text ends with the EOS token; a tokenizer without one, like BERT's, adds its own final token. Conversations
    follow the chat template.

    Args:
        answer: a prompt and the parts of its answer: one whole answer, or several steps.
        tokenizer: tokenizer with the EOS token and the chat template.
        separator: string inserted between two steps if neither has white space at the boundary.
        template: further arguments of `apply_chat_template`.

    Raises:
        UnsupportedModelError: a conversation, but the tokenizer has no chat template.
        InvalidFeedbackError: the chat template changes the text of the steps.
    """
    if isinstance(answer.prompt, list) or any(isinstance(part, list) for part in answer.parts):
        return _render_conversation(answer, tokenizer, separator, dict(template or {}))
    prompt = "" if answer.prompt is None else str(answer.prompt)  # JSON may hold a number
    parts = join_segments([str(part) for part in answer.parts], separator)
    eos = str(tokenizer.eos_token or "")
    if not parts[-1].endswith(eos):
        parts[-1] += eos
    return Rendered(prompt + "".join(parts), len(prompt), _part_ends(len(prompt), parts), special_tokens=True)


def _render_conversation(
    answer: Answer, tokenizer: PreTrainedTokenizerBase, separator: str, template: dict[str, Any]
) -> Rendered:
    if not tokenizer.chat_template and "chat_template" not in template:
        raise UnsupportedModelError(
            "The data are conversations, but the tokenizer has no chat template to render them. "
            "Give one with --chat_template_path FILE.jinja, or set tokenizer.chat_template."
        )
    prompt = _messages(answer.prompt, "user")
    if len(answer.parts) > 1:
        parts = join_segments([_content(part) for part in answer.parts], separator)
        reply: Messages = [{"role": "assistant", "content": "".join(parts)}]
    else:
        parts = []
        reply = _messages(answer.parts[0], "assistant")
    text = str(tokenizer.apply_chat_template(prompt + reply, tokenize=False, **template))
    prompt_end = _common_prefix_length(text, _render_prompt(prompt, tokenizer, template)) if prompt else 0
    if not parts:
        return Rendered(text, prompt_end, (len(text),), special_tokens=False)
    start = text.rfind("".join(parts))
    if start < 0:
        raise InvalidFeedbackError(
            "The chat template changes the text of the assistant's steps, so the ends of the steps are unknown. "
            "Use a template that keeps message contents unchanged, or give the data as plain text."
        )
    return Rendered(text, prompt_end, (*_part_ends(start, parts)[:-1], len(text)), special_tokens=False)


def _render_prompt(prompt: Messages, tokenizer: PreTrainedTokenizerBase, template: dict[str, Any]) -> str:
    return str(tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True, **template))


def _messages(content: str | Messages | None, role: str) -> Messages:
    if isinstance(content, list):
        return content
    return [] if content in (None, "") else [{"role": role, "content": str(content)}]


def _content(part: str | Messages) -> str:
    return part if isinstance(part, str) else "".join(str(message["content"]) for message in part)


def _part_ends(start: int, parts: list[str]) -> tuple[int, ...]:
    return tuple(accumulate(map(len, parts), initial=start))[1:]


def _common_prefix_length(text: str, other: str) -> int:
    differences = (i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b)
    return next(differences, min(len(text), len(other)))
