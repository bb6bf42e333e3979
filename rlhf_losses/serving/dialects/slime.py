"""The remote reward of slime (`--rm-type remote_rm --rm-url`)."""

from typing import Any

from fastapi import Query
from pydantic import Field

from rlhf_losses.serving.dialects.base import Conversation, DialectRequest, Models, ServedModels, dialect_router
from rlhf_losses.serving.served_model import RequestedText

router = dialect_router("slime")


class SlimeRequest(DialectRequest):
    """A prompt and a response.

    Attributes:
        prompt: a text, with or without the chat template, or messages.
        response: the response.
        label: not used for scores.
    """

    prompt: str | Conversation = Field(examples=["2 + 2 = "])
    response: str = Field(examples=["4"])
    label: Any = None


async def answer(body: SlimeRequest, models: ServedModels) -> float:
    """Return the score of a response.

    Args:
        body: the request.
        models: the models of the server.
    """
    [score] = await models.select(body.model).scores([RequestedText(body.response, body.prompt)])
    return score


@router.post("/remote_rm")
async def remote_rm(body: SlimeRequest, models: Models, reward_key: str = Query("")) -> float | dict[str, float]:
    """Score a response for slime: a number, or with `?reward_key=NAME` an object with this key."""
    score = await answer(body, models)
    return {reward_key: score} if reward_key else score
