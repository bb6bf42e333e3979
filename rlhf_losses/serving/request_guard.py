"""`RequestGuard`: access, limits of size and time, and the end of work whose client is gone."""

import asyncio
import base64
import binascii
import hashlib
import hmac
import logging
from collections.abc import Awaitable, Callable, Iterable, MutableMapping
from typing import Any, TypeAlias

from rlhf_losses.serving.error_answers import INTERNAL, error_answer
from rlhf_losses.serving.server_settings import ServerSettings

logger = logging.getLogger(__name__)

Message: TypeAlias = MutableMapping[str, Any]
Receive: TypeAlias = Callable[[], Awaitable[Message]]
Send: TypeAlias = Callable[[Message], Awaitable[None]]
Application: TypeAlias = Callable[[Message, Receive, Send], Awaitable[None]]

OPEN_PATHS = ("/health", "/ready")
"""Paths that need no key: those that a cluster asks."""

BODIES = 8
"""Bodies of the largest size that are in memory at the same time."""

BUSY = "The server has too many requests in progress. Send the request again later."


class RequestGuard:
    """Middleware: a request with a key, a bounded body and a bounded time reaches the application.

    Args:
        app: the application.
        settings: key and limits.
        observe: counts an answer, given its path, status and duration in seconds.
    """

    def __init__(self, app: Application, settings: ServerSettings, observe: Callable[[str, int, float], None]) -> None:
        self.app, self.settings, self.observe = app, settings, observe
        self.max_body = int(settings.max_body_mb * 2**20)
        self._requests = self._bytes = 0

    async def __call__(self, scope: Message, receive: Receive, send: Send) -> None:
        """Answer one request."""
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        answer = _Answer(send)
        start = asyncio.get_running_loop().time()
        self._requests += 1
        try:
            await self._guarded(scope, receive, answer)
        except _ClientGone:
            answer.status = answer.status or 499
        finally:
            self._requests -= 1
            route = getattr(scope.get("route"), "path", "other")
            self.observe(route, answer.status or 500, asyncio.get_running_loop().time() - start)

    async def _guarded(self, scope: Message, receive: Receive, answer: "_Answer") -> None:
        body = bytearray()
        try:
            self._require_access(scope)
            await self._read(scope, receive, body)
            await self._run(scope, receive, answer, bytes(body))
        except _Refused as refused:
            await refused.answer(scope, receive, answer)
        finally:
            self._bytes -= len(body)

    def _require_access(self, scope: Message) -> None:
        """Raise `_Refused` for a request without a key, or without a place."""
        if scope["path"] in OPEN_PATHS:
            return
        authorization = dict(scope["headers"]).get(b"authorization", b"")
        if self.settings.api_key is not None and not has_key(authorization, self.settings.api_key):
            raise _Refused(
                401,
                "The request has no key of this server. Send the header 'Authorization: Bearer KEY', or write the key "
                "into the address: http://key:KEY@HOST.",
                {"WWW-Authenticate": 'Basic realm="rlhf-losses"'},
            )
        if self._requests > self.settings.max_requests:
            raise _Refused(503, BUSY)

    async def _read(self, scope: Message, receive: Receive, body: bytearray) -> None:
        """Read the body of a request.

        Raises:
            _Refused: the body is too large, there is no memory for it, or it does not arrive in time.
        """
        stated = dict(scope["headers"]).get(b"content-length", b"0")
        if stated.isdigit() and int(stated) > self.max_body:
            raise self._too_large()
        try:
            async with asyncio.timeout(self.settings.read_timeout):
                more = True
                while more:
                    message = await receive()
                    if message["type"] == "http.disconnect":
                        raise _ClientGone
                    chunk, more = message.get("body", b""), message.get("more_body", False)
                    body += chunk
                    self._bytes += len(chunk)
                    self._require_space(len(body))
        except TimeoutError:
            # What is missing would be waited for, so the connection cannot be used again.
            raise _Refused(
                408,
                f"The body did not arrive within {self.settings.read_timeout:g} seconds. Send it at once.",
                {"Connection": "close"},
            ) from None

    def _require_space(self, size: int) -> None:
        if size > self.max_body:
            raise self._too_large()
        if self._bytes > BODIES * self.max_body:
            raise _Refused(503, BUSY)

    def _too_large(self) -> "_Refused":
        return _Refused(
            413,
            f"The body is larger than {self.settings.max_body_mb:g} MiB, the limit of this server. Send fewer texts a "
            "request, or increase the limit of the server (max_body_mb).",
        )

    async def _run(self, scope: Message, receive: Receive, answer: "_Answer", body: bytes) -> None:
        """Run the application until it has answered, the time is over, or the client is gone."""
        messages: list[Message] = [{"type": "http.request", "body": body, "more_body": False}]
        gone = asyncio.Event()

        async def replay() -> Message:
            if messages:
                return messages.pop()
            await gone.wait()
            return {"type": "http.disconnect"}

        work = asyncio.ensure_future(self.app(scope, replay, answer))
        leaving = asyncio.ensure_future(_disconnection(receive))
        timeout = self.settings.request_timeout
        try:
            await asyncio.wait((work, leaving), timeout=timeout, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                await _finish(work, scope, receive, answer)
            elif leaving.done():
                raise _ClientGone
            elif not answer.status:
                await _cancel((work,))
                message = f"The server had no answer within {timeout:g} seconds. Send the request again later."
                await error_answer(503, message)(scope, receive, answer)
        finally:
            gone.set()
            await _cancel((work, leaving))


async def _finish(work: asyncio.Future[None], scope: Message, receive: Receive, answer: "_Answer") -> None:
    """Answer 500 if the application has failed."""
    try:
        work.result()
    except Exception:
        logger.exception("A request to %a failed.", scope["path"])
        if not answer.status:
            await error_answer(500, INTERNAL)(scope, receive, answer)


def has_key(authorization: bytes, key: str) -> bool:
    """Return whether a header has the key of the server, in a time that does not depend on the key.

    Args:
        authorization: value of the header: `Bearer KEY`, or `Basic` with the key as the password.
        key: the key.

    Examples:
        >>> has_key(b"Bearer secret", "secret"), has_key(b"Bearer other", "secret"), has_key(b"", "secret")
        (True, False, False)
    """
    scheme, _, given = authorization.partition(b" ")
    given = given.strip()
    if scheme.lower() == b"basic":
        try:
            given = base64.b64decode(given, validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):
            given = b""
    elif scheme.lower() != b"bearer":
        given = b""
    # Hashes have one length, so that the time does not tell the length of the key.
    return hmac.compare_digest(hashlib.sha256(given).digest(), hashlib.sha256(key.encode()).digest())


class _Answer:
    """The sending side of a request, which remembers the status."""

    def __init__(self, send: Send) -> None:
        self._send = send
        self.status = 0

    async def __call__(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
        await self._send(message)


class _Refused(Exception):
    """The request is answered without the application."""

    def __init__(self, status: int, message: str, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.answer = error_answer(status, message, headers)


class _ClientGone(Exception):
    """The client has closed the connection."""


async def _disconnection(receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass


async def _cancel(tasks: Iterable[asyncio.Future[None]]) -> None:
    """Cancel tasks and wait for their end."""
    remaining = [one for one in tasks if not one.done()]
    for one in remaining:
        one.cancel()
    if remaining:
        await asyncio.wait(remaining)
