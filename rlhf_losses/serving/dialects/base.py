"""What the dialects share: their requests, the model of a request, and the activation of a score."""

import math
import uuid
from collections.abc import Mapping
from typing import Annotated, Any, TypeAlias

from fastapi import APIRouter, Depends, Request
from pydantic import BaseModel, ConfigDict

from rlhf_losses.errors import UnknownNameError
from rlhf_losses.serving.served_model import ServedModel
from rlhf_losses.serving.strict_json import StrictJsonRoute

Conversation: TypeAlias = list[dict[str, Any]]
"""Messages with a role and a content."""


class DialectRequest(BaseModel):
    """A request; fields that no dialect uses for scores are accepted and not used.

    Attributes:
        model: name of the model; any name, if the server has one model.
    """

    model_config = ConfigDict(extra="ignore", strict=False)

    model: str | None = None


class ServedModels:
    """The models of a server, of which a request selects one.

    Args:
        models: the models by name.
        by_path: name of the model in the path of the request, or None.
    """

    def __init__(self, models: Mapping[str, ServedModel], by_path: str | None = None) -> None:
        self.models, self.by_path = models, by_path

    def select(self, name: str | None) -> ServedModel:
        """Return the model of a request.

        Args:
            name: the name in the request; some clients send a path.

        Raises:
            UnknownNameError: the server has several models, and none of this name.
        """
        name = self.by_path or name
        if self.by_path is None and len(self.models) == 1:
            return next(iter(self.models.values()))
        found = self.models.get(name or "") or self.models.get((name or "").rstrip("/").rpartition("/")[2])
        if found is None:
            given = (
                "names no model" if name is None else f"names the model {name!a:.100}, which the server does not have"
            )
            raise UnknownNameError(
                f"The request {given}. Choose one of: {', '.join(self.models)}, as `model` or in the path, for example "
                f"/models/{next(iter(self.models))}/get_reward."
            )
        return found


def served_models(request: Request) -> ServedModels:
    """Return the models among which a request selects.

    Args:
        request: the request.
    """
    return ServedModels(request.app.state.models, request.path_params.get("served_name"))


Models: TypeAlias = Annotated[ServedModels, Depends(served_models)]
"""Argument of a route: the models among which the request selects."""


def dialect_router(tag: str) -> APIRouter:
    """Return the routes of one dialect, still empty.

    Args:
        tag: name of the system, for the OpenAPI page.
    """
    return APIRouter(tags=[tag], route_class=StrictJsonRoute)


def sigmoid(score: float) -> float:
    """Return the sigmoid of a score.

    Args:
        score: the score.

    Examples:
        >>> sigmoid(0.0), sigmoid(-1000.0)
        (0.5, 0.0)
    """
    return 1 / (1 + math.exp(-score)) if score >= 0 else 1 - sigmoid(-score)


def random_id(kind: str) -> str:
    """Return an identifier for an answer.

    Args:
        kind: its beginning.
    """
    return f"{kind}-{uuid.uuid4().hex}"
