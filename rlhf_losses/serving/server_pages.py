"""Pages about a server: `/health`, `/ready`, `/metrics` and `/info`."""

import importlib.metadata

from fastapi import APIRouter, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel

from rlhf_losses.feedback.base import Text
from rlhf_losses.scoring.head_weights import head_sha256
from rlhf_losses.serving.error_answers import error_answer
from rlhf_losses.serving.served_model import ServedModel
from rlhf_losses.serving.server_settings import ServerSettings

router = APIRouter(tags=["server"])


class CanaryInfo(BaseModel):
    """A fixed input and its score when the server started."""

    input: Text
    score: float | None


class ModelInfo(BaseModel):
    """A served model.

    Attributes:
        name: its name in requests.
        fingerprint: changes when another model is served under this name.
        head_sha256: hash of the weights of the score head.
        loss: the loss that it was trained with.
        feedback_types: the feedback types that it was trained on.
        steps: how an answer is split into steps, or nothing.
        transforms: transforms of the scores, or nothing for raw scores.
        scale: scale and shift of the transforms, if they are affine.
        overlong: treatment of texts that are too long.
        max_tokens: context length.
        layout: layout of the texts in a forward pass.
        dtype: dtype of the weights.
        has_chat_template: whether it scores conversations.
        canaries: fixed inputs with their scores.
    """

    name: str
    fingerprint: str
    head_sha256: str | None
    loss: str
    feedback_types: list[str]
    steps: str | None
    transforms: str | None
    scale: tuple[float, float] | None
    overlong: str
    max_tokens: int | None
    layout: str
    dtype: str
    has_chat_template: bool
    canaries: list[CanaryInfo]


class ServerInfo(BaseModel):
    """The server: version, models, limits and paths."""

    version: str
    models: list[ModelInfo]
    limits: dict[str, float]
    paths: list[str]


@router.get("/health")
async def health() -> dict[str, str]:
    """Return that the process answers."""
    return {"status": "ok"}


@router.get("/ready", response_model=None)
async def ready(request: Request) -> dict[str, str] | JSONResponse:
    """Return whether the models answer in time; 503 if not."""
    for model in served(request).values():
        seconds, limit = model.queue.seconds_since_start(), model.settings.request_timeout
        if seconds > limit:
            return error_answer(503, f"A forward pass of '{model.name}' takes more than {limit:g} seconds.")
    return {"status": "ready"}


@router.get("/metrics", response_class=Response)
async def metrics(request: Request) -> Response:
    """Return counts of requests, texts and forward passes, for Prometheus."""
    return Response(request.app.state.metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


@router.get("/info", response_model_exclude_none=True)
async def info(request: Request) -> ServerInfo:
    """Return models, canaries, limits and paths."""
    settings: ServerSettings = request.app.state.settings
    names = ("max_texts", "max_body_mb", "max_queue", "queue_timeout", "request_timeout", "cache_size")
    return ServerInfo(
        version=importlib.metadata.version("rlhf-losses"),
        models=[describe(one) for one in served(request).values()],
        limits={name: getattr(settings, name) for name in names},
        paths=sorted(path for path in request.app.openapi()["paths"] if "{" not in path),
    )


def served(request: Request) -> dict[str, ServedModel]:
    """Return the models of a server by name.

    Args:
        request: a request.
    """
    models: dict[str, ServedModel] = request.app.state.models
    return models


def describe(model: ServedModel) -> ModelInfo:
    """Return the description of a model.

    Args:
        model: the model.
    """
    scorer, metadata = model.scorer, model.scorer.metadata
    return ModelInfo(
        name=model.name,
        fingerprint=model.fingerprint,
        head_sha256=head_sha256(scorer.model),
        loss=metadata.loss,
        feedback_types=metadata.feedback_types,
        steps=metadata.segmentation,
        transforms=None if scorer.transforms is None else str(scorer.transforms),
        scale=scorer.affine(),
        overlong=scorer.encoder.overlong,
        max_tokens=model.max_tokens,
        layout=scorer.forward.layout.name,
        dtype=str(scorer.model.dtype).removeprefix("torch."),
        has_chat_template=bool(scorer.tokenizer.chat_template),
        canaries=[CanaryInfo(input=text, score=score) for text, score in model.canaries],
    )
