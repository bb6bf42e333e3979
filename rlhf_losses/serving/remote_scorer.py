"""`RemoteScorer`: the scores of a model of `rlhf-losses serve` as a reward function of TRL's trainers."""

import asyncio
import logging
import os
import random
import threading
import time
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, TypeAlias, get_args

import torch

from rlhf_losses.checks.argument_checks import require_choice, require_positive
from rlhf_losses.checks.optional_packages import require_packages
from rlhf_losses.errors import (
    InvalidFeedbackError,
    InvalidSettingError,
    ProcessError,
    RlhfLossesError,
    UnsupportedModelError,
    did_you_mean,
    shown,
)
from rlhf_losses.feedback.base import Text
from rlhf_losses.iteration import in_batches
from rlhf_losses.scoring.canaries import allowed_difference
from rlhf_losses.scoring.metadata import RewardModelMetadata
from rlhf_losses.scoring.text_arguments import list_of_texts, paired_texts
from rlhf_losses.serving.retry_policy import RetryPolicy

logger = logging.getLogger(__name__)

COLUMNS = ("tools", "documents", "system", "chat_template_kwargs", "completion_cut_off")
"""Columns of reward functions that the server uses, with one entry per completion."""

KEY = "RLHF_LOSSES_API_KEY"
"""Environment variable with the key of the server."""

ANSWER_TIME = 300.0
"""Seconds that one request may take; a server answers 503 before."""

RETRIED = (408, 429, 502, 503, 504)
"""Status of answers after which a request is sent again."""

Problems = Literal["error", "none"]

AsyncReward: TypeAlias = Callable[..., Coroutine[Any, Any, list[float | None]]]


def is_server_url(name: object) -> bool:
    """Return whether the name of a reward model is the address of a server.

    Args:
        name: a path, a Hub id or an address.

    Examples:
        >>> is_server_url("http://127.0.0.1:8000"), is_server_url("runs/reward-model")
        (True, False)
    """
    return isinstance(name, str) and name.startswith(("http://", "https://"))


class RemoteScorer:
    """A reward model on a server of `rlhf-losses serve`, as a reward function of TRL's trainers and `PPOTrainer`.

    `GRPOTrainer(reward_funcs=RemoteScorer("http://10.0.0.5:8000"))`; `as_async()` is the same as a coroutine, with
    which TRL computes several reward functions at once. At the start, the scores of fixed inputs are compared with
    those that the server had when it started. A request that fails is sent again with growing waits, until `patience`
    is over. If the server has another model during the run, a warning says so.

    Args:
        url: address of the server, also of one of its models (`http://HOST:PORT/models/NAME`).
        model: name of the model, if the server has several.
        api_key: key of the server; by default the environment variable `RLHF_LOSSES_API_KEY`.
        folder: folder with the model that is expected, whose recorded scores are compared too; or None.
        batch_size: number of texts in a request.
        connections: number of requests at a time.
        patience: seconds that failing requests are sent again, for example while the server restarts.
        problems: `"error"` raises an error for a completion without a score; `"none"` returns None for it.

    Attributes:
        info: what the server says about the model.

    Raises:
        MissingPackageError: httpx2 is not installed.
        ProcessError: the server does not answer.
        InvalidSettingError: the address, the model or a number is invalid.
        UnsupportedModelError: the server gives other scores than it should.
    """

    def __init__(
        self,
        url: str,
        model: str | None = None,
        api_key: str | None = None,
        folder: str | Path | None = None,
        batch_size: int = 32,
        connections: int = 8,
        patience: float = 600.0,
        problems: Problems = "error",
    ) -> None:
        require_packages(("httpx2",), "RemoteScorer", "serve")
        if not is_server_url(url):
            raise InvalidSettingError(
                f"{shown(url)} is not the address of a server. Write for example 'http://127.0.0.1:8000', or load a "
                "folder with Scorer.from_pretrained."
            )
        require_positive(batch_size, "batch_size")
        require_positive(connections, "connections")
        require_choice(problems, get_args(Problems), "problems")
        self.url, self._path_model = _split(url)
        self.model = model or self._path_model
        self.batch_size, self.connections, self.problems = batch_size, connections, problems
        self.retries = RetryPolicy(patience)
        self._key = api_key or os.environ.get(KEY)
        self._lock = threading.Lock()
        self._random = random.Random()
        self.info = self._find_model()
        self.__name__ = str(self.info["name"])
        self._fingerprint = self.info["fingerprint"]
        self._check_canaries(folder)

    def __repr__(self) -> str:
        """Return the address and the model."""
        return f"RemoteScorer({self.url!r}, model={self.__name__!r})"

    def __getstate__(self) -> dict[str, Any]:
        """Return the state without the lock, which belongs to this process."""
        return {**self.__dict__, "_lock": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Restore the state."""
        self.__dict__.update(state, _lock=threading.Lock())

    def __call__(self, prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float | None]:
        """Return the score of each completion after its prompt.

        Args:
            prompts: one prompt per completion.
            completions: the completions.
            columns: other arguments of TRL's reward functions; those of the chat template are sent.

        Raises:
            InvalidFeedbackError: a completion has no score, and `problems` is `"error"`.
            ProcessError: the server does not answer, or failed.
        """
        return self._score_rows(*paired_texts(prompts, completions), columns)

    def _score_rows(
        self, prompts: Sequence[Text | None], completions: Sequence[Text], columns: Mapping[str, Any]
    ) -> list[float | None]:
        sent = {name: list(columns[name]) for name in COLUMNS if columns.get(name) is not None}
        rows: dict[str, Sequence[Any]] = {"prompts": prompts, "completions": completions, **sent}
        starts = [batch[0] for batch in in_batches(range(len(completions)), self.batch_size)]
        bodies = [{name: row[start : start + self.batch_size] for name, row in rows.items()} for start in starts]
        with self._connect() as client, ThreadPoolExecutor(self.connections) as threads:
            answers = list(threads.map(partial(self._score, client), bodies))
        return [score for scores in answers for score in scores]

    def score(self, texts: Sequence[Text]) -> list[float | None]:
        """Return the scores of whole texts or whole conversations.

        Args:
            texts: strings, or conversations as lists of messages.
        """
        texts = list_of_texts(texts, "texts")
        return self._score_rows([None] * len(texts), texts, {})

    def as_async(self) -> AsyncReward:
        """Return the same reward function as a coroutine."""

        async def reward(prompts: Sequence[Text], completions: Sequence[Text], **columns: Any) -> list[float | None]:
            return await asyncio.to_thread(self, prompts, completions, **columns)

        reward.__name__ = self.__name__
        return reward

    def _score(self, client: Any, body: dict[str, Any]) -> list[float | None]:
        answer = self._send(client, "POST", "/rewards", {**body, "model": self.model})
        self._notice_change(answer["fingerprint"])
        return [self._number(result) for result in answer["results"]]

    def _number(self, result: dict[str, Any]) -> float | None:
        if "score" in result:
            return float(result["score"])
        if self.problems == "none":
            logger.warning("%s gives a completion no score: %s", self.url, result["problem"])
            return None
        raise _error(result["status"], f"{self.url} gives a completion no score: {result['problem']}")

    def _notice_change(self, fingerprint: str) -> None:
        with self._lock:
            if fingerprint == self._fingerprint:
                return
            self._fingerprint = fingerprint
        logger.warning(
            "The reward model '%s' at %s is another one than at the start of the run, so its scores are not comparable "
            "with those before. Serve the same model again, or start a new run.",
            self.__name__, self.url,
        )  # fmt: skip

    def _find_model(self) -> dict[str, Any]:
        """Return what the server says about the model.

        Raises:
            InvalidSettingError: the server does not have it, or has several and none was named.
        """
        with self._connect() as client:
            found = self._send(client, "GET", "/info")["models"]
        models: dict[str, dict[str, Any]] = {one["name"]: one for one in found}
        if self.model is None and len(models) == 1:
            return next(iter(models.values()))
        if self.model not in models:
            problem = "several models" if self.model is None else f"no model '{self.model}'"
            raise InvalidSettingError(
                f"{self.url} has {problem}.{did_you_mean(self.model or '', models)} Choose one of them with model=: "
                f"{', '.join(models)}."
            )
        return models[self.model]

    def _check_canaries(self, folder: str | Path | None) -> None:
        """Raise `UnsupportedModelError` if fixed inputs have other scores than when the server started, or in a folder.

        Args:
            folder: folder of the expected model, or None.
        """
        known = [(one["input"], one["score"]) for one in self.info["canaries"] if "score" in one]
        self._compare(known, "when it started")
        metadata = RewardModelMetadata.load(folder) if folder is not None else None
        if metadata is None:
            return
        if metadata.head_sha256 not in (None, self.info.get("head_sha256")):
            raise self._other(f"its score head has other weights than the one in '{folder}'")
        if "transforms" not in self.info and "steps" not in self.info:
            self._compare([(one.input, one.score) for one in metadata.canaries], f"in '{folder}'")

    def _compare(self, known: Iterable[tuple[Text, float]], place: str) -> None:
        texts, expected = [text for text, _ in known], torch.tensor([score for _, score in known])
        if not texts:
            return
        found = torch.tensor([float(score) for score in self.score(texts) if score is not None])
        dtype = str(self.info["dtype"])
        if len(found) < len(texts) or not (found - expected).square().mean().sqrt() <= allowed_difference(
            expected, dtype
        ):
            raise self._other(f"fixed texts have the scores {found[:3].tolist()}, but {expected[:3].tolist()} {place}")

    def _other(self, change: str) -> UnsupportedModelError:
        return UnsupportedModelError(
            f"{self.url} does not serve '{self.info['name']}' as expected: {change}. Restart the server with the model "
            "that you want."
        )

    def _send(self, client: Any, method: str, path: str, body: dict[str, Any] | None = None) -> Any:
        """Return the answer to a request, which is sent again while the server does not answer.

        Raises:
            RlhfLossesError: the server refuses the request.
            ProcessError: the patience is over.
        """
        failure = ""
        for wait in (*self.retries.waits(self._random), None):
            found = _attempt(client, method, path, body)
            if not isinstance(found, _Unanswered):
                return found
            failure = found.reason
            if wait is not None:
                time.sleep(max(wait, found.seconds))
        raise ProcessError(
            f"{self.url} has not answered for {self.retries.patience:g} seconds ({failure}). Start the server, or "
            "correct the address; patience= sets how long to wait."
        )

    def _connect(self) -> Any:
        """Return a client, whose connections are closed at the end of its context."""
        import httpx2

        headers = {"Authorization": f"Bearer {self._key}"} if self._key else {}
        timeout = httpx2.Timeout(ANSWER_TIME, connect=10.0)
        return httpx2.Client(base_url=self.url, headers=headers, timeout=timeout)


@dataclass(frozen=True)
class _Unanswered:
    """A request that can be sent again: why, and after how many seconds the server asks for it."""

    reason: str
    seconds: float = 0.0


def _attempt(client: Any, method: str, path: str, body: dict[str, Any] | None) -> Any:
    """Return the answer to a request, or `_Unanswered`.

    Raises:
        RlhfLossesError: the server refuses the request.
    """
    import httpx2

    try:
        answer = client.request(method, path, json=body)
    except httpx2.TransportError as error:
        return _Unanswered(f"{type(error).__name__}: {error}")
    if answer.status_code in RETRIED:
        return _Unanswered(_reason(answer), _seconds(answer.headers.get("retry-after")))
    if answer.status_code >= 400:
        raise _error(answer.status_code, f"{client.base_url} refuses the request: {_reason(answer)}")
    try:
        return answer.json()
    except ValueError as error:
        return _Unanswered(f"an answer that is no JSON: {error}")


def _split(url: str) -> tuple[str, str | None]:
    """Return the address of the server and the model that the address names."""
    server, found, model = url.rstrip("/").partition("/models/")
    return server, model or None if found else None


def _reason(answer: Any) -> str:
    """Return the message of a refusal."""
    try:
        return str(answer.json()["error"]["message"])
    except (ValueError, KeyError, TypeError):
        return f"status {answer.status_code}, {answer.text[:200]!r}"


def _seconds(text: str | None) -> float:
    return float(text) if text is not None and text.isdigit() else 0.0


def _error(status: int, message: str) -> RlhfLossesError:
    """Return the error for a status: one of the input, of the settings, or of the server."""
    if status in (413, 422):
        return InvalidFeedbackError(message)
    return InvalidSettingError(message) if status < 500 else ProcessError(message)
