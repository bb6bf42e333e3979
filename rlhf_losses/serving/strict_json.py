"""Bodies of requests: JSON under any content type, without NaN and without half characters."""

import json
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NoReturn

from fastapi import HTTPException, Request, Response
from fastapi.routing import APIRoute

from rlhf_losses.checks.unicode_text import require_unicode
from rlhf_losses.errors import InvalidFeedbackError

JSON_TYPE = (b"content-type", b"application/json")


class StrictJsonRequest(Request):
    """A request whose body is JSON, also if its header says something else, as that of curl does."""

    async def json(self) -> Any:
        """Return the content of the body.

        Raises:
            HTTPException: it is not valid JSON.
        """
        try:
            content = json.loads((await self.body()).decode("utf-8"), parse_constant=_refuse_constant)
            require_unicode(content, "The body")
        except InvalidFeedbackError as error:
            raise HTTPException(422, str(error)) from None
        except RecursionError:
            raise HTTPException(
                422, "The body has lists or objects in one another, deeper than the server reads. Send flat texts."
            ) from None
        except ValueError as error:
            raise HTTPException(422, f"The body is not valid JSON in UTF-8: {str(error)[:200]}. Correct it.") from None
        return content


class StrictJsonRoute(APIRoute):
    """A route whose requests are `StrictJsonRequest`."""

    def get_route_handler(self) -> Callable[[Request], Coroutine[Any, Any, Response]]:
        """Return the function that answers a request."""
        answer: Callable[[Request], Awaitable[Response]] = super().get_route_handler()

        async def strict(request: Request) -> Response:
            headers = [one for one in request.scope["headers"] if one[0] != JSON_TYPE[0]]
            return await answer(StrictJsonRequest({**request.scope, "headers": [*headers, JSON_TYPE]}, request.receive))

        return strict


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is not a number of JSON")
