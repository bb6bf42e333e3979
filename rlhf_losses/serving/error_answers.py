"""Answers to requests that fail: JSON with a reason, without a traceback or a path of the server."""

import logging
from collections.abc import Sequence
from typing import Any

from fastapi import FastAPI, HTTPException, Request
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse

from rlhf_losses.errors import (
    InvalidArgumentError,
    InvalidFeedbackError,
    NonFiniteError,
    RlhfLossesError,
    UnknownNameError,
    UnsupportedModelError,
)
from rlhf_losses.serving.batching import RequestTooLargeError, ScoringFailedError, ServerBusyError

logger = logging.getLogger(__name__)

RETRY_AFTER = 2
"""Seconds after which a client should send a request again that the server had no time for."""

STATUS: dict[type[RlhfLossesError], int] = {
    RequestTooLargeError: 413,
    ServerBusyError: 503,
    ScoringFailedError: 500,
    NonFiniteError: 500,
    UnknownNameError: 404,
    InvalidFeedbackError: 422,
    InvalidArgumentError: 422,
    UnsupportedModelError: 422,
}
"""Status of each error; that of a base class counts for its subclasses."""

INTERNAL = "The server failed to answer. Its log has the reason."


def status_of(error: RlhfLossesError) -> int:
    """Return the HTTP status of an error.

    Args:
        error: the error.
    """
    return next((status for kind, status in STATUS.items() if isinstance(error, kind)), 500)


def error_answer(status: int, message: str, headers: dict[str, str] | None = None) -> JSONResponse:
    """Return the answer to a request that fails.

    Args:
        status: HTTP status; 503 asks the client to send the request again.
        message: what was received, why it cannot be answered, and what to do.
        headers: further headers.
    """
    kind = {401: "unauthorized", 404: "not_found", 413: "too_large", 503: "busy"}.get(
        status, "invalid_request" if status < 500 else "server_error"
    )
    # Clients of OpenAI and vLLM read `error`, that of ms-swift `object` and `message`.
    content = {"object": "error", "message": message, "error": {"message": message, "type": kind, "code": status}}
    retry = {"Retry-After": str(RETRY_AFTER)} if status == 503 else {}
    return JSONResponse(content, status, {**retry, **(headers or {})})


def answer_errors(app: FastAPI) -> None:
    """Let an application answer errors by `error_answer`.

    Args:
        app: the application.
    """

    @app.exception_handler(RlhfLossesError)
    async def refused(_: Request, error: RlhfLossesError) -> JSONResponse:
        return error_answer(status_of(error), str(error))

    @app.exception_handler(RequestValidationError)
    async def invalid(request: Request, error: RequestValidationError) -> JSONResponse:
        return error_answer(422, _describe(request, error.errors()))

    @app.exception_handler(HTTPException)
    @app.exception_handler(404)
    @app.exception_handler(405)
    async def http(request: Request, error: HTTPException) -> JSONResponse:
        message = str(error.detail)
        if error.status_code in (404, 405) and message in ("Not Found", "Method Not Allowed"):
            message = f"There is no {request.method} {request.url.path!a:.120}. GET /info lists the paths."
        return error_answer(error.status_code, message, dict(error.headers or {}))

    @app.exception_handler(Exception)
    async def failed(_: Request, error: Exception) -> JSONResponse:
        return error_answer(500, INTERNAL)


def _describe(request: Request, errors: Sequence[Any]) -> str:
    """Return the fields of a body that are missing or wrong, without their values, which can be long."""
    places = dict.fromkeys(
        f"{'.'.join(str(part) for part in one['loc'][1:])[:100] or 'the body'}: {one['msg'][:120]}" for one in errors
    )
    shown = "; ".join(list(places)[:6])
    return (
        f"The body of POST {request.url.path!a:.120} is not one that this path accepts ({shown}). Send a JSON object "
        "with the fields that GET /docs shows."
    )
