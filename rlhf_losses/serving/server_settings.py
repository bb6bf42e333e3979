"""`ServerSettings`: address, access and limits of `rlhf-losses serve`."""

import ipaddress
from collections.abc import Sequence
from dataclasses import dataclass, fields

from rlhf_losses.errors import InvalidSettingError
from rlhf_losses.messages.setting_names import setting

MAY_BE_ZERO = ("port", "batch_wait", "cache_size")
"""Settings that can be 0."""


@dataclass(frozen=True)
class ServedPath:
    """A reward model to serve.

    Attributes:
        name: its name in requests.
        path: folder or Hub id.
    """

    name: str
    path: str

    @classmethod
    def parse(cls, text: str) -> "ServedPath":
        """Return the model in `NAME=PATH` or `PATH`, whose name is then the last part of the path.

        Args:
            text: value of the argument.

        Examples:
            >>> ServedPath.parse("helpful=runs/one"), ServedPath.parse("runs/two/")
            (ServedPath(name='helpful', path='runs/one'), ServedPath(name='two', path='runs/two/'))
        """
        name, equals, path = text.partition("=")
        if equals and name and "/" not in name:
            return cls(name, path)
        return cls(text.rstrip("/").rpartition("/")[2] or text, text)


def require_distinct(models: Sequence[ServedPath]) -> None:
    """Raise `InvalidSettingError` for two models of the same name, or a name that cannot be part of a URL.

    Args:
        models: the models.
    """
    names = [one.name for one in models]
    if twice := next((name for name in names if names.count(name) > 1), None):
        raise InvalidSettingError(
            f"Two models have the name '{twice}', so requests cannot choose between them. Name them: "
            f"{setting('model', 'NAME=DIR')}."
        )
    if empty := next((one for one in models if not one.path or "/" in one.name), None):
        raise InvalidSettingError(
            f"The model '{empty.name}={empty.path}' has no path, or a name with a slash. Write "
            f"{setting('model', 'NAME=DIR')}."
        )


@dataclass(frozen=True)
class ServerSettings:
    """Address, access and limits of a server of reward models.

    Attributes:
        host: address to listen at; other computers reach the server unless it is a loopback address.
        port: TCP port; 0 for a free one.
        api_key: key that requests must send, or None.
        no_auth: whether an address that others reach needs no key.
        workers: number of processes, each with its own copy of the models.
        batch_tokens: largest number of tokens in a forward pass; on a CPU 2,048 at most.
        batch_wait: seconds to wait for further texts before a forward pass that is not full.
        cache_size: number of recent scores that are kept per model; 0 keeps none.
        max_texts: largest number of texts in a request.
        max_body_mb: largest size of a request, in MiB.
        max_queue: largest number of texts that wait, per model; further requests wait for a place.
        max_requests: largest number of requests in progress; further ones are answered 503.
        queue_timeout: seconds that a request waits for a place before it is answered 503.
        request_timeout: seconds until a request without an answer is answered 503.
        read_timeout: seconds within which headers and body of a request must arrive.
        drain_timeout: seconds that requests in progress get after SIGTERM.

    Raises:
        InvalidSettingError: a number is out of range, or an address that others reach has no key.
    """

    host: str = "127.0.0.1"
    port: int = 8000
    api_key: str | None = None
    no_auth: bool = False
    workers: int = 1
    batch_tokens: int = 16384
    batch_wait: float = 0.005
    cache_size: int = 10000
    max_texts: int = 1024
    max_body_mb: float = 32
    max_queue: int = 4096
    max_requests: int = 4096
    queue_timeout: float = 30
    request_timeout: float = 100
    read_timeout: float = 30
    drain_timeout: float = 60

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if isinstance(value, int | float) and not isinstance(value, bool):
                smallest = 0 if field.name in MAY_BE_ZERO else 1e-9
                if not smallest <= value < float("inf"):
                    needed = "at least 0" if field.name in MAY_BE_ZERO else "more than 0"
                    raise InvalidSettingError(
                        f"{setting(field.name, value)} is out of range: it must be {needed}. Change it."
                    )
        if self.port > 65535:
            raise InvalidSettingError(f"{setting('port', self.port)} is not a TCP port. Choose one up to 65535.")
        if self.max_texts > self.max_queue:
            raise InvalidSettingError(
                f"{setting('max_texts', self.max_texts)} is larger than {setting('max_queue', self.max_queue)}, so a "
                f"request could never get a place. Increase {setting('max_queue')}."
            )
        self._require_key()

    def _require_key(self) -> None:
        if self.api_key is not None and (not self.api_key or not self.api_key.isascii() or " " in self.api_key):
            raise InvalidSettingError(
                f"The key of {setting('api_key')} is empty or has characters that an HTTP header cannot have. Use "
                "letters and digits."
            )
        if self.api_key is None and not self.no_auth and not is_loopback(self.host):
            raise InvalidSettingError(
                f"{setting('host', self.host)} lets other computers send requests, and there is no key. Set "
                f"{setting('api_key', 'KEY')}, or allow everyone: {setting('no_auth', python='no_auth=True')}."
            )


def is_loopback(host: str) -> bool:
    """Return whether only this computer reaches an address.

    Args:
        host: address or name of a host.

    Examples:
        >>> is_loopback("::1"), is_loopback("localhost"), is_loopback("0.0.0.0")
        (True, True, False)
    """
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
