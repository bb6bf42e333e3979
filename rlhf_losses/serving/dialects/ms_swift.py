"""The chat completions of ms-swift (`InferClient`), whose text is the score of the conversation."""

import time

from pydantic import BaseModel, Field

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.serving.dialects.base import Conversation, DialectRequest, Models, dialect_router, random_id
from rlhf_losses.serving.served_model import RequestedText

router = dialect_router("ms-swift")


class ChatCompletionRequest(DialectRequest):
    """A conversation.

    Attributes:
        messages: the messages; the last one is the answer to score.
        stream: whether the client wants a stream, which a score is not.
        tools: tools for the chat template.
    """

    messages: Conversation = Field(
        examples=[[{"role": "user", "content": "2 + 2 = "}, {"role": "assistant", "content": "4"}]]
    )
    stream: bool | None = False
    tools: Conversation | None = None


class ChatMessage(BaseModel):
    """A message whose content is a score."""

    role: str = "assistant"
    content: str


class ChatChoice(BaseModel):
    """The only choice."""

    index: int = 0
    message: ChatMessage
    finish_reason: str = "stop"


class ChatUsage(BaseModel):
    """Counts of tokens, which a score does not have."""

    prompt_tokens: int = 0
    completion_tokens: int = 0
    total_tokens: int = 0


class ChatCompletionAnswer(BaseModel):
    """An answer with one choice."""

    id: str
    object: str = "chat.completion"
    created: int
    model: str
    choices: list[ChatChoice]
    usage: ChatUsage = ChatUsage()


@router.post("/v1/chat/completions")
async def chat_completions(body: ChatCompletionRequest, models: Models) -> ChatCompletionAnswer:
    """Score a conversation for ms-swift. Its client does not send a request again, so the text waits for a place."""
    if body.stream:
        raise InvalidFeedbackError("The request has `stream`, but a score is one number. Send it without.")
    model = models.select(body.model)
    text = RequestedText(body.messages, columns={"tools": body.tools} if body.tools else {})
    [score] = await model.scores([text], patient=True)
    return ChatCompletionAnswer(
        id=random_id("chatcmpl"),
        created=int(time.time()),
        model=body.model or model.name,
        choices=[ChatChoice(message=ChatMessage(content=repr(score)))],
    )
