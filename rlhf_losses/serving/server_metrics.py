"""`ServerMetrics`: what a server counts, for Prometheus."""

import os
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector

SHARED_FOLDER = "PROMETHEUS_MULTIPROC_DIR"
"""Environment variable with the folder in which the processes of a server add up their counts."""

PREFIX = "rlhf_losses"
SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 100)
COUNTS = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512)


class ServerMetrics:
    """Counts of requests, texts and forward passes."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        self.requests = Counter(f"{PREFIX}_requests", "Answered requests", ["path", "status"], registry=self.registry)
        self.request_seconds = Histogram(
            f"{PREFIX}_request_seconds", "Time of a request", ["path"], buckets=SECONDS, registry=self.registry
        )
        self.texts = Counter(
            f"{PREFIX}_texts",
            "Texts of requests: queued, joined to an equal text, or cached",
            ["model", "source"],
            registry=self.registry,
        )
        self.pass_texts = Histogram(
            f"{PREFIX}_pass_texts", "Texts in a forward pass", ["model"], buckets=COUNTS, registry=self.registry
        )
        self.pass_tokens = Counter(
            f"{PREFIX}_pass_tokens", "Tokens of texts in forward passes", ["model"], registry=self.registry
        )
        self.pass_seconds = Histogram(
            f"{PREFIX}_pass_seconds", "Time of a forward pass", ["model"], buckets=SECONDS, registry=self.registry
        )
        self.waiting = Gauge(
            f"{PREFIX}_waiting_texts",
            "Texts that wait in the queue",
            ["model"],
            registry=self.registry,
            multiprocess_mode="livesum",
        )

    def answered(self, path: str, status: int, seconds: float) -> None:
        """Count a request.

        Args:
            path: its path, as the application declares it.
            status: status of the answer.
            seconds: its duration.
        """
        self.requests.labels(path, str(status)).inc()
        self.request_seconds.labels(path).observe(seconds)

    def of(self, model: str) -> "ModelMetrics":
        """Return the counts of one model.

        Args:
            model: name of the model.
        """
        return ModelMetrics(self, model)

    def page(self) -> bytes:
        """Return all counts in the text format of Prometheus; those of all processes of the server."""
        if SHARED_FOLDER not in os.environ:
            return generate_latest(self.registry)
        registry = CollectorRegistry()
        collector: Any = MultiProcessCollector
        collector(registry)
        return generate_latest(registry)


class ModelMetrics:
    """Counts of one model; the observer of its queue.

    Args:
        metrics: the counts of the server.
        model: name of the model.
    """

    def __init__(self, metrics: ServerMetrics, model: str) -> None:
        self._metrics, self._model = metrics, model

    def found(self, source: str, count: int) -> None:
        """Count texts.

        Args:
            source: `cached`, `joined` or `queued`.
            count: number of texts.
        """
        if count:
            self._metrics.texts.labels(self._model, source).inc(count)

    def computed(self, texts: int, tokens: int, seconds: float) -> None:
        """Count a forward pass.

        Args:
            texts: number of texts.
            tokens: number of their tokens.
            seconds: its duration.
        """
        self._metrics.pass_texts.labels(self._model).observe(texts)
        self._metrics.pass_tokens.labels(self._model).inc(tokens)
        self._metrics.pass_seconds.labels(self._model).observe(seconds)

    def waiting(self, count: int) -> None:
        """Record how many texts wait.

        Args:
            count: their number.
        """
        self._metrics.waiting.labels(self._model).set(count)
