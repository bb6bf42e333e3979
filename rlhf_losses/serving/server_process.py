"""`serve`: the processes of a server, its socket, and its end after a signal."""

import asyncio
import os
import signal
import socket
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing import resource_tracker
from types import FrameType
from typing import Any

import torch
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol
from uvicorn.supervisors import Multiprocess

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.messages.setting_names import setting
from rlhf_losses.scoring import Scorer
from rlhf_losses.serving.server_metrics import SHARED_FOLDER
from rlhf_losses.serving.server_settings import ServerSettings

BACKLOG = 4096
"""Connections that the operating system keeps while the server is busy."""

KEEP_ALIVE = 75
"""Seconds that a connection without a request stays open: longer than clients keep one, so that they close it."""

WORKER_SILENCE = 900
"""Seconds after which a process that does not answer is started again; importing torch and loading a model can take
minutes, in which it does not."""

HEADER_TIMEOUT = 30.0
"""Seconds within which the headers of a request must arrive."""

Load = Callable[[], Sequence[tuple[str, Scorer]]]
"""Loads the models of a process; it can be pickled."""


@dataclass(frozen=True)
class AppFactory:
    """Makes the application of one process.

    Attributes:
        load: loads the models.
        settings: access and limits.
    """

    load: Load
    settings: ServerSettings

    def __call__(self) -> FastAPI:
        """Load the models and return the application."""
        from rlhf_losses.serving.application import create_app

        if self.settings.workers > 1:
            torch.set_num_threads(max(1, torch.get_num_threads() // self.settings.workers))
        return create_app(self.load(), self.settings)


def serve(load: Load, settings: ServerSettings, announce: Callable[[str], None]) -> None:
    """Serve models until a signal. SIGTERM and Ctrl-C let requests in progress finish.

    Args:
        load: loads the models of a process.
        settings: address, access and limits.
        announce: receives the address, once the socket is bound.

    Raises:
        InvalidSettingError: the address cannot be used.
    """
    listener = bind(settings.host, settings.port)
    try:
        host, port = listener.getsockname()[:2]
        address = f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
        factory = AppFactory(load, settings)
        if settings.workers == 1:
            app = factory()
            announce(address)
            with signals_only_stop():
                StoppableServer(uvicorn_config(app, settings)).run(sockets=[listener])
            return
        with tempfile.TemporaryDirectory() as folder:
            os.environ[SHARED_FOLDER] = folder
            announce(address)
            Supervisor(uvicorn_config(factory, settings), sockets=[listener]).run()
    finally:
        listener.close()


class StoppableServer(uvicorn.Server):
    """A server that a second Ctrl-C ends at once; that of uvicorn cancels what is in progress, with a traceback."""

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """Stop after the requests in progress, or at once."""
        if sig == signal.SIGINT and self.should_exit:
            os._exit(128 + sig)
        super().handle_exit(sig, frame)


class Supervisor(Multiprocess):
    """The process that starts the others. Ctrl-C, which a terminal sends to all of them, is for this one."""

    def init_processes(self) -> None:
        """Start the processes, in which SIGINT stays blocked."""
        resource_tracker.ensure_running()  # its start would unblock the signal
        signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        super().init_processes()
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGINT})


@contextmanager
def signals_only_stop() -> Iterator[None]:
    """While the context lasts, SIGTERM and Ctrl-C, which uvicorn raises again after it has stopped, do nothing more."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.signal(number, lambda *_: None) for number in numbers}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def bind(host: str, port: int) -> socket.socket:
    """Return a socket with an address, which does not listen yet.

    Args:
        host: address or name.
        port: TCP port; 0 for a free one.

    Raises:
        InvalidSettingError: the address cannot be used.
    """
    listener = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        listener = socket.socket(family, kind, protocol)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)
    except (OSError, UnicodeError) as error:
        if listener is not None:
            listener.close()
        raise InvalidSettingError(
            f"The server cannot use the address {host} with port {port}: {getattr(error, 'strerror', error)}. Stop the "
            f"program that uses it, or choose another one with {setting('host')} and {setting('port')}."
        ) from error
    listener.set_inheritable(True)
    return listener


def uvicorn_config(app: Callable[..., Any], settings: ServerSettings) -> uvicorn.Config:
    """Return the settings of uvicorn.

    Args:
        app: the application, or a factory of it for several processes.
        settings: settings of the server.
    """
    return uvicorn.Config(
        app,
        factory=isinstance(app, AppFactory),
        host=settings.host,
        port=settings.port,
        workers=settings.workers,
        http=TimedProtocol,
        ws="none",
        log_config=None,
        access_log=False,
        server_header=False,
        backlog=BACKLOG,
        timeout_keep_alive=KEEP_ALIVE,
        timeout_worker_healthcheck=WORKER_SILENCE,
        timeout_graceful_shutdown=int(settings.drain_timeout) or 1,
    )


class TimedProtocol(H11Protocol):
    """HTTP of uvicorn; a connection whose headers do not arrive in time is closed."""

    _watched: Any = ...
    _timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: Any) -> None:
        """Wait for the first request."""
        super().connection_made(transport)
        self._watch()

    def data_received(self, data: bytes) -> None:
        """Read data; headers that have only begun are waited for."""
        super().data_received(data)
        if not self._is_answering():
            self._watch()

    def connection_lost(self, exc: Exception | None) -> None:
        """Drop the timer, which would keep the closed connection in memory."""
        super().connection_lost(exc)
        self._drop_timer()

    def _is_answering(self) -> bool:
        return self.cycle is not None and not self.cycle.response_complete

    def _watch(self) -> None:
        if self._watched is not self.cycle:
            self._watched = self.cycle
            self._drop_timer()
            self._timer = self.loop.call_later(HEADER_TIMEOUT, self._close_if_waiting, self.cycle)

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _close_if_waiting(self, last: Any) -> None:
        """Close the connection, if no request has begun since the last one."""
        if self.cycle is last and not self._is_answering() and not self.transport.is_closing():
            self.transport.close()
