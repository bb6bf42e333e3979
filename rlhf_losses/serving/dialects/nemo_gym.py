"""A resources server of NeMo Gym: `/seed_session` and `/verify`."""

from typing import Any

from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from rlhf_losses.errors import InvalidFeedbackError, shown
from rlhf_losses.feedback.base import Messages
from rlhf_losses.serving.dialects.base import Models, dialect_router
from rlhf_losses.serving.served_model import RequestedText

router = dialect_router("NeMo Gym")

ROLES = {"developer": "system"}
"""Roles of the Responses API and of chat templates."""


class SessionRequest(BaseModel):
    """A session, of which nothing is kept."""

    model_config = ConfigDict(extra="allow")

    resources_session_id: str | None = None


class VerifyRequest(BaseModel):
    """A prompt and a response of the Responses API; the other fields return as they came."""

    model_config = ConfigDict(extra="allow")

    responses_create_params: dict[str, Any] = Field(examples=[{"input": "2 + 2 = "}])
    response: dict[str, Any] = Field(
        examples=[{"output": [{"type": "message", "content": [{"type": "output_text", "text": "4"}]}]}]
    )


class MetricsRequest(BaseModel):
    """Answers of `/verify`."""

    model_config = ConfigDict(extra="ignore")

    verify_responses: list[dict[str, Any]] = []


@router.post("/seed_session")
@router.post("/close_session")
async def session(body: SessionRequest) -> dict[str, str]:
    """Accept a session; the server keeps nothing of it."""
    return {} if body.resources_session_id is None else {"resources_session_id": body.resources_session_id}


@router.get("/reverify_mode")
async def reverify_mode() -> str:
    """Return that an answer can be verified again."""
    return "stateless"


@router.post("/verify")
async def verify(body: VerifyRequest, models: Models) -> JSONResponse:
    """Score a response. A refusal ends a rollout of NeMo Gym, so the text waits for a place."""
    messages = [*_prompt(body.responses_create_params), *_reply(body.response)]
    columns = {"tools": tools} if (tools := body.responses_create_params.get("tools")) else {}
    [score] = await models.select(None).scores([_as_text(messages, columns)], patient=True)
    return JSONResponse({**body.model_dump(), "reward": score})


@router.post("/aggregate_metrics")
async def aggregate_metrics(body: MetricsRequest) -> dict[str, Any]:
    """Return the mean reward of answers of `/verify`."""
    rewards = [one["reward"] for one in body.verify_responses if isinstance(one.get("reward"), int | float)]
    metrics = {"mean/reward": sum(rewards) / len(rewards)} if rewards else {}
    return {"group_level_metrics": [], "agent_metrics": metrics, "key_metrics": metrics}


def _as_text(messages: Messages, columns: dict[str, Any]) -> RequestedText:
    return RequestedText(messages[-1:], messages[:-1], columns=columns)


def _prompt(params: dict[str, Any]) -> Messages:
    given, instructions = params.get("input"), params.get("instructions")
    before = [{"role": "system", "content": instructions}] if instructions else []
    if isinstance(given, str):
        return [*before, {"role": "user", "content": given}]
    return [*before, *_messages(given, "responses_create_params.input", "user")]


def _reply(response: dict[str, Any]) -> Messages:
    messages = _messages(response.get("output"), "response.output", "assistant")
    if not messages:
        raise InvalidFeedbackError(
            "`response.output` has no message, so there is no text to score. Send a response with a message."
        )
    return messages


def _messages(items: Any, place: str, role: str) -> Messages:
    """Return the messages among items of the Responses API; reasoning and tool calls are not part of a conversation."""
    if not isinstance(items, list) or not all(isinstance(one, dict) for one in items):
        raise InvalidFeedbackError(
            f"`{place}` is {shown(items)}, but it must be a list of objects. Send items of the Responses API."
        )
    messages = [one for one in items if one.get("type", "message") == "message" and one.get("content") is not None]
    return [{"role": _role(one, role), "content": one["content"]} for one in messages]


def _role(item: dict[str, Any], default: str) -> str:
    role = str(item.get("role", default))
    return ROLES.get(role, role)
