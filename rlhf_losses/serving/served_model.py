"""`ServedModel`: a reward model with its queue, and the texts of requests as it scores them."""

import asyncio
import hashlib
import json
import math
from collections.abc import AsyncIterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, TypeAlias

from rlhf_losses.data.answers import complete_answers
from rlhf_losses.data.tokenization import Encoded
from rlhf_losses.errors import InvalidFeedbackError, NonFiniteError, RlhfLossesError, shown
from rlhf_losses.feedback.base import Answer, Text
from rlhf_losses.layouts.splitting import ForwardPassSplitter, default_splitter
from rlhf_losses.models.architectures import max_context_length
from rlhf_losses.models.embeddings import require_embedded
from rlhf_losses.scoring import Scorer
from rlhf_losses.scoring.canaries import CANARY_TEXTS
from rlhf_losses.scoring.head_weights import head_sha256
from rlhf_losses.scoring.metadata import chat_template_sha256
from rlhf_losses.serving.batching import BatchingQueue, Outcome, QueueObserver, RequestTooLargeError, TextToScore
from rlhf_losses.serving.score_cache import ScoreCache
from rlhf_losses.serving.server_settings import ServerSettings
from rlhf_losses.serving.templated_text import TemplateMarks
from rlhf_losses.transforms import ScoredTexts

PROGRAM = "chat_template"
"""Argument of the chat template that would run a program of the client."""


@dataclass(frozen=True)
class RequestedText:
    """A text of a request.

    Attributes:
        completion: a text or a conversation.
        prompt: text or messages before it, or None.
        token_ids: the whole text as token ids, in place of the completion.
        steps: the steps of the completion, in its place.
        columns: arguments of the chat template by column, and `completion_cut_off`.
    """

    completion: Text = ""
    prompt: Text | None = None
    token_ids: tuple[int, ...] | None = None
    steps: tuple[str, ...] = ()
    columns: Mapping[str, Any] = field(default_factory=dict)


Request: TypeAlias = Sequence[RequestedText]


class ServedModel:
    """A reward model with its queue.

    Args:
        name: its name in requests.
        scorer: the reward model.
        settings: limits.
        observer: counts what the queue does.

    Attributes:
        canaries: fixed inputs, and their scores when the server started.
        fingerprint: hash of what determines the scores.
    """

    def __init__(self, name: str, scorer: Scorer, settings: ServerSettings, observer: QueueObserver) -> None:
        self.name, self.scorer, self.settings = name, scorer, settings
        self.marks = TemplateMarks.of(scorer.tokenizer, scorer.metadata.segmentation)
        self.queue = BatchingQueue(
            self._compute,
            self._divide,
            ScoreCache(settings.cache_size),
            settings.max_queue,
            settings.batch_wait,
            observer,
        )
        on_cpu = default_splitter(scorer.model.device)
        limit = settings.batch_tokens if on_cpu is None else min(settings.batch_tokens, on_cpu.max_tokens)
        self._splitter = ForwardPassSplitter(limit, 1.0 if on_cpu is None else on_cpu.max_repeated)
        self._tokenizing = ThreadPoolExecutor(1, "tokenize")
        inputs: list[Text] = [one.input for one in scorer.metadata.canaries] or list(CANARY_TEXTS)
        self.canaries = [(one, self._score_alone(RequestedText(one))) for one in inputs]
        self.fingerprint = self._fingerprint()

    @asynccontextmanager
    async def running(self) -> AsyncIterator[None]:
        """Answer requests, while the context lasts."""
        async with self.queue.running():
            yield
        self._tokenizing.shutdown(wait=False, cancel_futures=True)

    @property
    def has_steps(self) -> bool:
        """Return whether the model scores steps."""
        return self.scorer.metadata.segmentation is not None

    @cached_property
    def max_tokens(self) -> int | None:
        """Return the context length of the model, or None if there is no limit."""
        return max_context_length(self.scorer.model.config)

    @property
    def is_regression(self) -> bool:
        """Return whether the configuration says that scores are numbers, not logits."""
        return getattr(self.scorer.model.config, "problem_type", None) == "regression"

    async def outcomes(self, texts: Request, whole: bool = True, patient: bool = False) -> list[Outcome]:
        """Return the scores of each text, or the reason why it has none.

        Args:
            texts: the texts.
            whole: whether to return the score of each whole text, or those of its steps.
            patient: whether to wait for a place in the queue for any time.

        Raises:
            RequestTooLargeError: there are too many texts.
            ServerBusyError: the queue is full.
        """
        if len(texts) > self.settings.max_texts:
            raise RequestTooLargeError(
                f"The request has {len(texts)} texts, more than {self.settings.max_texts}, the limit of this server. "
                "Send several requests, or increase the limit of the server (max_texts)."
            )
        loop = asyncio.get_running_loop()
        encoded = await loop.run_in_executor(self._tokenizing, self._encode_all, texts)
        items = [TextToScore(one, whole) for one in encoded if isinstance(one, Encoded)]
        timeout = None if patient else self.settings.queue_timeout
        found = iter(await self.queue.score(items, timeout))
        return [next(found) if isinstance(one, Encoded) else one for one in encoded]

    async def scores(self, texts: Request, patient: bool = False) -> list[float]:
        """Return the score of each text.

        Args:
            texts: the texts.
            patient: see `outcomes`.

        Raises:
            RlhfLossesError: a text has no score.
        """
        return [scores[0] for scores in _require_all(await self.outcomes(texts, patient=patient))]

    async def step_scores(self, texts: Request) -> list[tuple[float, ...]]:
        """Return the scores of the steps of each text; without steps, the score at its end.

        Args:
            texts: the texts.

        Raises:
            RlhfLossesError: a text has no scores.
        """
        return _require_all(await self.outcomes(texts, whole=False))

    async def tokenize(self, text: RequestedText) -> list[int]:
        """Return the token ids of a text as the model reads it.

        Args:
            text: the text.
        """
        encoded = await asyncio.get_running_loop().run_in_executor(self._tokenizing, self.encode, text)
        return encoded.ids

    def encode(self, text: RequestedText) -> Encoded:
        """Tokenize a text.

        Args:
            text: the text.

        Raises:
            InvalidFeedbackError: it is not a text, or it does not fit.
        """
        completion, prompt = text.completion, text.prompt
        if PROGRAM in (text.columns.get("chat_template_kwargs") or {}):
            raise InvalidFeedbackError(
                "`chat_template_kwargs` has a chat_template, which is a program, and this server runs none of a "
                "client. Remove it, or save the template with the model."
            )
        if text.token_ids is not None:
            return self._encode_ids(text.token_ids)
        if text.steps:
            [answer] = complete_answers([Answer(prompt, text.steps)], dict(text.columns))
            return self.scorer.encoder.encode(answer)
        if isinstance(completion, str) and not isinstance(prompt, list) and self.marks is not None:
            rendered = self.marks.read((prompt or "") + completion)
            if rendered is not None:
                return self.scorer.encoder.encode_rendered(rendered)
        columns = {name: [value] for name, value in text.columns.items() if value is not None}
        return self.scorer.encoder.encode_completions([prompt], [completion], columns)[0]

    def _encode_ids(self, ids: Sequence[int]) -> Encoded:
        if not ids:
            raise InvalidFeedbackError("A text has no token ids, so there is nothing to score. Send at least one.")
        vocabulary = self.scorer.encoder.num_embeddings or math.inf
        if wrong := [one for one in ids if not 0 <= one < vocabulary]:
            raise InvalidFeedbackError(
                f"A text has the token id {shown(wrong[0])}, but those of this model are 0 to {vocabulary - 1}. Send "
                "the text itself, or use the tokenizer of this model."
            )
        if self.has_steps:
            raise InvalidFeedbackError(
                "A text was sent as token ids, but this model scores steps, which it finds in the text. Send the text."
            )
        require_embedded(ids, self.scorer.tokenizer, self.scorer.encoder.num_embeddings, self.name)
        return self.scorer.encoder.require_fit(Encoded(list(ids), (len(ids) - 1,)))

    def _encode_all(self, texts: Request) -> list[Encoded | RlhfLossesError]:
        encoded: list[Encoded | RlhfLossesError] = []
        for text in texts:
            try:
                encoded.append(self.encode(text))
            except RlhfLossesError as error:
                encoded.append(error)
        return encoded

    def _divide(self, texts: Sequence[Encoded]) -> list[list[int]]:
        return self._splitter(self.scorer.forward.layout, [[text.ids] for text in texts])

    def _compute(self, items: Sequence[TextToScore]) -> list[Outcome]:
        parts = self.scorer.score_parts_unchecked([one.text for one in items], self.scorer.requires_features)
        return [self._outcome(item, part) for item, part in zip(items, parts, strict=True)]

    def _outcome(self, item: TextToScore, part: ScoredTexts) -> Outcome:
        try:
            self.scorer.require_finite(item.text, part)
        except NonFiniteError as error:
            return error
        scores = tuple(self.scorer.transform(self.scorer.aggregate(part) if item.whole else part))
        if not all(map(math.isfinite, scores)):
            return NonFiniteError(
                f"'{self.name}' gives a text of {len(item.text.ids)} tokens the raw score {part.scores[-1].item()}, "
                f"which '{self.scorer.transforms}' transforms to {scores}. Serve the model with other transforms."
            )
        return scores

    def _score_alone(self, text: RequestedText) -> float | None:
        """Return the score of a canary; None if the model cannot score it."""
        try:
            [outcome] = self._compute([TextToScore(self.encode(text))])
        except RlhfLossesError:
            return None
        return None if isinstance(outcome, RlhfLossesError) else outcome[0]

    def _fingerprint(self) -> str:
        scorer = self.scorer
        recorded: list[Any] = [(one.input, one.tokens, one.score) for one in scorer.metadata.canaries]
        determining = {
            "head": head_sha256(scorer.model),
            "template": chat_template_sha256(scorer.tokenizer),
            "canaries": recorded or [(text, score and float(f"{score:.4g}")) for text, score in self.canaries],
            "steps": scorer.metadata.scoring_sha256,
            "transforms": str(scorer.transforms),
            "overlong": scorer.encoder.overlong,
        }
        return hashlib.sha256(json.dumps(determining, sort_keys=True).encode()).hexdigest()


def _require_all(outcomes: Sequence[Outcome]) -> list[tuple[float, ...]]:
    """Return the scores of all texts, or raise the first reason why one has none; the place of the text is added."""
    for index, outcome in enumerate(outcomes):
        if isinstance(outcome, RlhfLossesError):
            raise type(outcome)(f"Text {index}: {outcome}" if len(outcomes) > 1 else str(outcome))
    return [outcome for outcome in outcomes if not isinstance(outcome, RlhfLossesError)]
