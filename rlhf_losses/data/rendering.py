"""Rendering: one text for each answer, with the character at which each part of the answer ends.

Training, evaluation, scoring and PPO use the same function, so they render a text in the same way.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from itertools import accumulate
from typing import Any

from transformers import PreTrainedTokenizerBase
from transformers.utils.chat_template_utils import render_jinja_template

from rlhf_losses.converters.common_prefix import common_prefix_length
from rlhf_losses.data.added_tokens import TextEnd
from rlhf_losses.data.chat_messages import content_text, convert_tool_arguments, tool_names
from rlhf_losses.data.segmentation import join_segments, locate_segments
from rlhf_losses.data.template_arguments import has_variable
from rlhf_losses.errors import InvalidFeedbackError, UnsupportedModelError
from rlhf_losses.feedback.base import Answer, Messages
from rlhf_losses.messages.setting_names import has_flag, setting

PLACEHOLDER = "\ue000"
"""Content with which a template is rendered to find the text around the content. It occurs in no real text."""


@dataclass(frozen=True, slots=True)
class Rendered:
    """The text of one answer.

    Attributes:
        text: prompt and answer.
        prompt_end: number of characters of the prompt.
        part_ends: for each part of the answer, the number of characters up to its end.
        special_tokens: whether the tokenizer adds its special tokens; a chat template already contains them.
        without_eos: whether an EOS that the tokenizer adds is removed, because the answer was cut off.
    """

    text: str
    prompt_end: int
    part_ends: tuple[int, ...]
    special_tokens: bool
    without_eos: bool = False


def render(
    answer: Answer, tokenizer: PreTrainedTokenizerBase, separator: str = "\n", end: TextEnd | None = None
) -> Rendered:
    """Render an answer as one text.

    Plain text ends with the EOS token, which the text has or the tokenizer adds; a tokenizer without one, like BERT's,
    adds its own final token. Conversations follow the chat template. An answer that was cut off has no EOS, and nothing
    that the template adds at its end.

    Args:
        answer: a prompt, the parts of its answer (one whole answer, or several steps), and template arguments.
        tokenizer: tokenizer with the EOS token and the chat template.
        separator: string inserted between two steps if neither has white space at the boundary.
        end: how plain texts end; by default with EOS.

    Raises:
        UnsupportedModelError: a conversation, but the tokenizer has no chat template.
        InvalidFeedbackError: the chat template refuses the conversation, or changes the text of the steps.
    """
    return next(render_all([answer], tokenizer, separator, end))


def render_all(
    answers: Iterable[Answer],
    tokenizer: PreTrainedTokenizerBase,
    separator: str = "\n",
    end: TextEnd | None = None,
) -> Iterator[Rendered]:
    """Render answers; a prompt that follows a chat template and is shared by answers in a row is rendered once.

    Args:
        answers: answers, see `render`; they are read as they are needed.
        tokenizer: tokenizer with the EOS token and the chat template.
        separator: string inserted between two steps if neither has white space at the boundary.
        end: see `render`.

    Raises:
        UnsupportedModelError: see `render`.
        InvalidFeedbackError: see `render`.
    """
    template: ChatTemplate | None = None
    for answer in answers:
        if not isinstance(answer.prompt, list) and not any(isinstance(part, list) for part in answer.parts):
            end = end or TextEnd.of(tokenizer)
            yield _render_text(answer, end, separator)
            continue
        if template is None or (template.arguments, template.system) != (answer.template, answer.system):
            template = ChatTemplate(tokenizer, answer.template, answer.system)
        yield _render_conversation(answer, template, separator)


def _render_text(answer: Answer, end: TextEnd, separator: str) -> Rendered:
    prompt = "" if answer.prompt is None else str(answer.prompt)  # JSON may hold a number
    parts = join_segments([str(part) for part in answer.parts], separator)
    if not answer.cut_off:
        parts[-1] = parts[-1].removesuffix(end.added)
        if not parts[-1].endswith(end.appended):
            parts[-1] += end.appended
    without_eos = answer.cut_off and bool(end.added)
    text, ends = prompt + "".join(parts), _part_ends(len(prompt), parts)
    return Rendered(text, len(prompt), ends, special_tokens=True, without_eos=without_eos)


def _add_chat_template() -> str:
    """Return the remedy for a missing chat template."""
    if has_flag("chat_template_path"):
        return f"Give one with {setting('chat_template_path', 'FILE.jinja')}."
    return "Set tokenizer.chat_template, or save the template as chat_template.jinja in the folder of the model."


@dataclass(frozen=True)
class ChatTemplate:
    """The chat template of a tokenizer, with the arguments of one row.

    Args:
        tokenizer: tokenizer with a chat template.
        arguments: further arguments of `apply_chat_template`.
        system: system prompt for conversations without a system message. It is the variable `system` of a template that
            has one, otherwise the first message.

    Raises:
        UnsupportedModelError: there is no chat template.
    """

    tokenizer: PreTrainedTokenizerBase
    arguments: Mapping[str, Any]
    system: str | None = None
    _last_prompt: list[Any] = field(default_factory=list, init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not self.tokenizer.chat_template and "chat_template" not in self.arguments:
            raise UnsupportedModelError(
                "The data are conversations, but the tokenizer has no chat template to render them. "
                f"{_add_chat_template()}"
            )

    def render(self, messages: Messages, generation_prompt: bool = False) -> str:
        """Return the text of a conversation.

        Args:
            messages: messages with texts as contents.
            generation_prompt: whether to add the beginning of an answer.

        Raises:
            InvalidFeedbackError: the template refuses the conversation.
        """
        arguments = dict(self.arguments)
        if self.system is not None and has_variable(self._source, "system"):
            arguments["system"] = self.system
        elif self.system is not None and not (messages and messages[0]["role"] in ("system", "developer")):
            messages = [{"role": "system", "content": self.system}, *messages]
        if requires_parts(self._source):
            messages = [_with_text_part(message) for message in messages]
        if generation_prompt:
            arguments["add_generation_prompt"] = True
        try:
            return self._apply(messages, arguments)
        except Exception as error:  # a chat template is a program that can raise any error
            roles = ", ".join(str(message["role"]) for message in messages) or "none"
            raise InvalidFeedbackError(
                f"The chat template cannot render a conversation with the roles {roles}: "
                f"{type(error).__name__}: {error}. Change the messages or drop the row, or use another chat template."
            ) from error

    def _apply(self, messages: Messages, arguments: dict[str, Any]) -> str:
        """Return the text; a template that refuses the arguments of tool calls receives them in their other form."""
        converted = convert_tool_arguments(messages)
        for form in (messages, converted):
            try:
                return str(self.tokenizer.apply_chat_template(form, tokenize=False, **arguments))
            except Exception:  # a chat template is a program that can raise any error
                if messages == converted:
                    raise
        return str(self.tokenizer.apply_chat_template(messages, tokenize=False, **arguments))

    def render_prompt(self, prompt: Messages) -> str:
        """Return the text of a prompt with the beginning of an answer; that of an equal prompt before is kept.

        Args:
            prompt: messages before the answer.

        Raises:
            InvalidFeedbackError: the template refuses the conversation.
        """
        if not self._last_prompt or self._last_prompt[0] != prompt:
            self._last_prompt[:] = [prompt, self.render(prompt, generation_prompt=True)]
        return str(self._last_prompt[1])

    @cached_property
    def _source(self) -> str:
        """Return the text of the template."""
        named, tools = self.arguments.get("chat_template"), self.arguments.get("tools")
        return str(self.tokenizer.get_chat_template(named, tools=tools))


@lru_cache(maxsize=32)
def requires_parts(template: str) -> bool:
    """Return whether a chat template renders contents that are lists of parts, and loses contents that are texts.

    Args:
        template: the template.
    """
    as_text = {"role": "user", "content": PLACEHOLDER}
    return PLACEHOLDER not in _try(template, as_text) and PLACEHOLDER in _try(template, _with_text_part(as_text))


def _try(template: str, message: dict[str, Any]) -> str:
    """Return the text of one message, or an empty text if the template refuses it."""
    try:
        rendered, _ = render_jinja_template([[message]], chat_template=template, bos_token="", eos_token="")
    except Exception:  # a chat template is a program that can raise any error
        return ""
    return str(rendered[0])


def _with_text_part(message: dict[str, Any]) -> dict[str, Any]:
    content = message.get("content")
    return {**message, "content": [{"type": "text", "text": content}]} if isinstance(content, str) else message


def _render_conversation(answer: Answer, template: ChatTemplate, separator: str) -> Rendered:
    prompt = _messages(answer.prompt, "user")
    stepwise = len(answer.parts) > 1
    parts = join_segments([content_text(part) for part in answer.parts], separator) if stepwise else []
    reply = [_stepwise_reply(answer.parts[0], parts)] if stepwise else _messages(answer.parts[0], "assistant")
    text = template.render(prompt + reply)
    _require_tool_calls(reply, text)
    prompt_end = _prompt_end(prompt, reply, text, template)
    if answer.cut_off:
        text = text[: _content_end(prompt, reply, text, template)]
    if not stepwise:
        return Rendered(text, prompt_end, (len(text),), special_tokens=False)
    stop = len(text) if answer.cut_off else _content_end(prompt, reply, text, template)
    ends = locate_segments(parts, text, stop=stop)
    if ends is None:
        raise InvalidFeedbackError(
            "The chat template changes the text of the assistant's steps, so the ends of the steps are unknown. "
            "Use a template that keeps message contents unchanged, or give the data as plain text."
        )
    return Rendered(text, prompt_end, (*ends[:-1], len(text)), special_tokens=False)


def _require_tool_calls(reply: Messages, text: str) -> None:
    """Raise `InvalidFeedbackError` if a template does not render the tool calls of an answer."""
    lost = next((name for message in reply for name in tool_names(message) if name not in text), None)
    if lost is not None:
        raise InvalidFeedbackError(
            f"The answer calls the tool '{lost}', but the chat template does not render tool calls, so the model would "
            "not read the call. Use a chat template with tools, or drop the row."
        )


def _prompt_end(prompt: Messages, reply: Messages, text: str, template: ChatTemplate) -> int:
    """Return the number of characters of the prompt, with the beginning of the answer that the template adds."""
    if not prompt:
        return 0
    try:
        rendered = template.render_prompt(prompt)
    except InvalidFeedbackError:  # some templates refuse conversations without a user or an assistant
        rendered = template.render([*prompt, {**reply[0], "content": PLACEHOLDER}]).partition(PLACEHOLDER)[0]
    return common_prefix_length(text, rendered)


def _content_end(prompt: Messages, reply: Messages, text: str, template: ChatTemplate) -> int:
    """Return the index after the content of the answer, before the characters that the template adds to it."""
    after = template.render([*prompt, *reply[:-1], {**reply[-1], "content": PLACEHOLDER}]).partition(PLACEHOLDER)[2]
    return len(text) - common_prefix_length(text[::-1], after[::-1])


def _stepwise_reply(first: str | Messages, parts: list[str]) -> dict[str, Any]:
    """Return the message of an answer in steps; a first step that is a message has the other keys of the message."""
    message = dict(first[-1]) if isinstance(first, list) else {"role": "assistant"}
    return {**message, "content": "".join(parts)}


def _messages(content: str | Messages | None, role: str) -> Messages:
    if isinstance(content, list):
        return content
    return [] if content in (None, "") else [{"role": role, "content": str(content)}]


def _part_ends(start: int, parts: list[str]) -> tuple[int, ...]:
    return tuple(accumulate(map(len, parts), initial=start))[1:]
