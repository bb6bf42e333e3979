"""From an answer to the one text that a model reads, and where in it each part ends.

Training, evaluation and scoring all render here, so a text is the same text everywhere.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.segmentation import join_segments
from rlhf_losses.errors import InvalidFeedbackError, UnsupportedModelError
from rlhf_losses.feedback.base import Answer, Messages


@dataclass(frozen=True)
class Rendered:
    """A text, the character after its prompt, the character after each part, and who adds special tokens."""

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
    """Write an answer as one text: plain text ends in EOS, conversations follow the chat template.

    A tokenizer without EOS, like BERT's, is left to close the text by itself.
    """
    if isinstance(answer.prompt, list) or any(isinstance(part, list) for part in answer.parts):
        return _render_conversation(answer, tokenizer, separator, dict(template or {}))
    prompt = "" if answer.prompt is None else str(answer.prompt)  # JSON may hold a number
    parts = join_segments([str(part) for part in answer.parts], separator)
    eos = str(tokenizer.eos_token or "")
    if not parts[-1].endswith(eos):
        parts[-1] += eos
    return Rendered(prompt + "".join(parts), len(prompt), _ends(len(prompt), parts), special_tokens=True)


def _render_conversation(
    answer: Answer, tokenizer: PreTrainedTokenizerBase, separator: str, template: dict[str, Any]
) -> Rendered:
    if not tokenizer.chat_template and "chat_template" not in template:
        raise UnsupportedModelError(
            "The data are conversations, but this tokenizer has no chat template to write them as text. "
            "Give one: --chat_template_path FILE.jinja, or set tokenizer.chat_template."
        )
    prompt = _messages(answer.prompt, "user")
    if len(answer.parts) > 1:
        parts = join_segments([_content(part) for part in answer.parts], separator)
        reply: Messages = [{"role": "assistant", "content": "".join(parts)}]
    else:
        parts = []
        reply = _messages(answer.parts[0], "assistant")
    text = str(tokenizer.apply_chat_template(prompt + reply, tokenize=False, **template))
    prompt_end = _shared_prefix(text, _prompt_text(prompt, tokenizer, template)) if prompt else 0
    if not parts:
        return Rendered(text, prompt_end, (len(text),), special_tokens=False)
    start = text.rfind("".join(parts))
    if start < 0:
        raise InvalidFeedbackError(
            "The chat template changes the text of the assistant's steps, so their ends cannot be found in it. "
            "Use a template that writes message contents as they are, or give the data as plain text."
        )
    ends = (*_ends(start, parts)[:-1], len(text))
    return Rendered(text, prompt_end, ends, special_tokens=False)


def _prompt_text(prompt: Messages, tokenizer: PreTrainedTokenizerBase, template: dict[str, Any]) -> str:
    return str(tokenizer.apply_chat_template(prompt, tokenize=False, add_generation_prompt=True, **template))


def _messages(content: str | Messages | None, role: str) -> Messages:
    if isinstance(content, list):
        return content
    return [] if content in (None, "") else [{"role": role, "content": str(content)}]


def _content(part: str | Messages) -> str:
    return part if isinstance(part, str) else "".join(str(message["content"]) for message in part)


def _ends(start: int, parts: list[str]) -> tuple[int, ...]:
    ends = []
    for part in parts:
        start += len(part)
        ends.append(start)
    return tuple(ends)


def _shared_prefix(text: str, other: str) -> int:
    differs = (i for i, (a, b) in enumerate(zip(text, other, strict=False)) if a != b)
    return next(differs, min(len(text), len(other)))
