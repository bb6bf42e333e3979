"""Load on an HTTP server from one process: connections that stay open, one request at a time each."""

import asyncio
import json
import subprocess
import time
import urllib.request
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

HEAD = "POST {path} HTTP/1.1\r\nHost: a\r\nContent-Type: application/json\r\nContent-Length: {length}\r\n\r\n"
"""Beginning of a request."""

STARTUP = 180.0
"""Seconds within which a server must answer."""


@dataclass
class Connection:
    """A connection to a server of this computer, which is opened again after a failure.

    Attributes:
        port: port of the server.
    """

    port: int
    _streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = field(default=None, repr=False)

    async def post(self, path: str, body: Any) -> tuple[int, Any]:
        """Return the status and the content of the answer to a request.

        Args:
            path: path of the request.
            body: content of the request.

        Raises:
            OSError: the server does not answer.
        """
        try:
            if self._streams is None:
                self._streams = await asyncio.open_connection("127.0.0.1", self.port)
            reader, writer = self._streams
            data = json.dumps(body).encode()
            writer.write(HEAD.format(path=path, length=len(data)).encode() + data)
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            return int(head.split(b" ", 2)[1]), json.loads(await reader.readexactly(length))
        except (OSError, EOFError) as error:
            self.close()
            raise ConnectionError(str(error)) from error

    def close(self) -> None:
        """Close the connection."""
        if self._streams is not None:
            self._streams[1].close()
        self._streams = None


async def run_clients(
    count: int, requests: Sequence[Any], ask: Callable[[int, Any], Awaitable[None]]
) -> tuple[float, list[float]]:
    """Send requests from several clients, each with one at a time.

    Args:
        count: number of clients.
        requests: what they ask, in order.
        ask: sends one request, given the number of the client.

    Returns:
        The duration, and the time of each request, in seconds.
    """
    remaining, times = iter(requests), []

    async def client(number: int) -> None:
        for request in remaining:
            start = time.perf_counter()
            await ask(number, request)
            times.append(time.perf_counter() - start)

    start = time.perf_counter()
    await asyncio.gather(*map(client, range(count)))
    return time.perf_counter() - start, times


@contextmanager
def running_server(command: Sequence[str], port: int, core: int | None = None) -> Iterator[subprocess.Popen[bytes]]:
    """Run a server until the end of the context; the value is its process.

    Args:
        command: the command that starts it.
        port: its port.
        core: core to which its process is pinned, or None.
    """
    pinned = [] if core is None else ["taskset", "--cpu-list", str(core)]
    with subprocess.Popen([*pinned, *command], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until_ready(port, process)
            yield process
        finally:
            process.kill()


def wait_until_ready(port: int, process: subprocess.Popen[bytes]) -> None:
    """Wait until a server answers `GET /health`.

    Args:
        port: its port.
        process: its process.

    Raises:
        RuntimeError: the server has ended, or does not answer.
    """
    end = time.monotonic() + STARTUP
    while time.monotonic() < end and process.poll() is None:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5):
                return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError(f"The server on port {port} does not answer.")
