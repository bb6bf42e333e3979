"""vLLM with `--runner pooling`: `/classify`, `/pooling`, `/score`, `/rerank`, `/tokenize` and `/v1/models`."""

import time
from collections.abc import Sequence
from typing import Any, Literal

from pydantic import AliasChoices, BaseModel, Field, model_validator

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.serving.dialects.base import (
    Conversation,
    DialectRequest,
    Models,
    ServedModels,
    dialect_router,
    random_id,
    sigmoid,
)
from rlhf_losses.serving.served_model import RequestedText

router = dialect_router("vLLM")

TextInput = str | list[str] | list[int] | list[list[int]]
"""A text, texts, token ids, or lists of token ids."""


class Usage(BaseModel):
    """Counts of tokens, for clients that read them."""

    prompt_tokens: int = 0
    total_tokens: int = 0
    completion_tokens: int = 0


class PoolingRequest(DialectRequest):
    """Full texts or a conversation.

    Attributes:
        input: a text, texts, token ids, or lists of token ids.
        messages: a conversation, in place of `input`.
        use_activation: true for the activation of vLLM: the sigmoid, unless the configuration of the model has
            `problem_type: "regression"`. Without it the score is as it is.
        truncate_prompt_tokens: refused: the model says what becomes of a text that is too long.
        tools: tools for the chat template.
        chat_template_kwargs: variables of the chat template.
        chat_template: refused: it is a program.
    """

    input: TextInput | None = Field(None, examples=["2 + 2 = 4"])
    messages: Conversation | None = None
    use_activation: bool | None = Field(None, validation_alias=AliasChoices("use_activation", "activation", "softmax"))
    truncate_prompt_tokens: int | None = None
    tools: Conversation | None = None
    documents: Conversation | None = None
    chat_template_kwargs: dict[str, Any] | None = None
    chat_template: Any = None

    @model_validator(mode="after")
    def _require_text(self) -> "PoolingRequest":
        if (self.input is None) == (self.messages is None):
            raise ValueError("one of input and messages is needed")
        return self

    def texts(self) -> list[RequestedText]:
        """Return the texts.

        Raises:
            InvalidFeedbackError: the request has a template, or truncates texts itself.
        """
        if self.chat_template is not None:
            raise InvalidFeedbackError(
                "The request has `chat_template`, which is a program, and this server runs none of a client. Leave it "
                "out, or save the template with the model."
            )
        if self.truncate_prompt_tokens is not None:
            raise InvalidFeedbackError(
                "The request has `truncate_prompt_tokens`, but this server truncates texts as the model was trained. "
                "Leave the field out, or start the server with another `overlong`."
            )
        if self.messages is None:
            return as_texts(self.input if self.input is not None else [])
        columns = {"tools": self.tools, "documents": self.documents, "chat_template_kwargs": self.chat_template_kwargs}
        return [RequestedText(self.messages, columns={name: value for name, value in columns.items() if value})]


class StepPoolingRequest(PoolingRequest):
    """Texts of which each step is scored.

    Attributes:
        task: `token_classify` for one score per step, the default for a model of steps; `classify` for whole texts.
        encoding_format: only `float`.
    """

    task: Literal["token_classify", "classify"] | None = None
    encoding_format: Literal["float"] = "float"


class ClassifyScore(BaseModel):
    """A score as the probability of the only class."""

    index: int
    label: str = "reward"
    probs: list[float]
    num_classes: int = 1


class ClassifyAnswer(BaseModel):
    """One score per text."""

    id: str
    object: str = "list"
    created: int
    model: str
    data: list[ClassifyScore]
    usage: Usage = Usage()


class PoolingScore(BaseModel):
    """The score of a text, or one score in a list for each step."""

    index: int
    object: str = "pooling"
    data: list[float] | list[list[float]]


class PoolingAnswer(BaseModel):
    """One entry per text."""

    id: str
    object: str = "list"
    created: int
    model: str
    data: list[PoolingScore]
    usage: Usage = Usage()


class PairsRequest(DialectRequest):
    """Prompts and their completions; one prompt goes with all completions.

    Attributes:
        queries: prompts, also `text_1` and `data_1`.
        documents: completions, also `text_2` and `data_2`.
        use_activation: see `PoolingRequest`.
    """

    queries: str | list[str] = Field(
        validation_alias=AliasChoices("queries", "text_1", "data_1"), examples=["2 + 2 = "]
    )
    documents: str | list[str] = Field(
        validation_alias=AliasChoices("documents", "text_2", "data_2"), examples=[["4", "5"]]
    )
    use_activation: bool | None = Field(None, validation_alias=AliasChoices("use_activation", "activation"))

    def texts(self) -> list[RequestedText]:
        """Return the texts.

        Raises:
            InvalidFeedbackError: there are several prompts, and another number of completions.
        """
        prompts = [self.queries] if isinstance(self.queries, str) else self.queries
        completions = [self.documents] if isinstance(self.documents, str) else self.documents
        if len(prompts) == 1:
            prompts = prompts * len(completions)
        if len(prompts) != len(completions):
            raise InvalidFeedbackError(
                f"The request has {len(prompts)} prompts and {len(completions)} completions. Send one prompt per "
                "completion, or one prompt for all."
            )
        return [RequestedText(completion, prompt) for prompt, completion in zip(prompts, completions, strict=True)]


class PairScore(BaseModel):
    """The score of a pair."""

    index: int
    object: str = "score"
    score: float


class PairsAnswer(BaseModel):
    """One score per pair."""

    id: str
    object: str = "list"
    created: int
    model: str
    data: list[PairScore]
    usage: Usage = Usage()


class RerankRequest(DialectRequest):
    """A prompt with completions to sort.

    Attributes:
        query: the prompt.
        documents: the completions.
        top_n: number of best completions to return; 0 for all.
        use_activation: see `PoolingRequest`.
    """

    query: str = Field(examples=["2 + 2 = "])
    documents: list[str] = Field(examples=[["4", "5"]])
    top_n: int = Field(0, ge=0)
    use_activation: bool | None = Field(None, validation_alias=AliasChoices("use_activation", "activation"))


class RerankDocument(BaseModel):
    """A completion."""

    text: str


class RerankResult(BaseModel):
    """A completion with its place in the request and its score."""

    index: int
    document: RerankDocument
    relevance_score: float


class RerankAnswer(BaseModel):
    """Completions, the best one first."""

    id: str
    model: str
    results: list[RerankResult]
    usage: Usage = Usage()


class TokenizeRequest(DialectRequest):
    """A text or a conversation.

    Attributes:
        prompt: the text.
        messages: the conversation.
        return_token_strs: whether to return the tokens as texts too.
    """

    prompt: str | None = Field(None, examples=["2 + 2 = 4"])
    messages: Conversation | None = None
    return_token_strs: bool | None = False

    @model_validator(mode="after")
    def _require_text(self) -> "TokenizeRequest":
        if (self.prompt is None) == (self.messages is None):
            raise ValueError("one of prompt and messages is needed")
        return self


class TokenizeAnswer(BaseModel):
    """The tokens that the model reads."""

    count: int
    max_model_len: int
    tokens: list[int]
    token_strs: list[str] | None = None


class ModelCard(BaseModel):
    """A served model."""

    id: str
    object: str = "model"
    created: int
    owned_by: str = "rlhf_losses"
    root: str
    parent: None = None
    max_model_len: int | None


class ModelCards(BaseModel):
    """All served models."""

    object: str = "list"
    data: list[ModelCard]


async def answer_classify(body: PoolingRequest, models: ServedModels) -> ClassifyAnswer:
    """Return the scores of texts.

    Args:
        body: the request.
        models: the models of the server.
    """
    scores = await _scores(body, body.texts(), models)
    return ClassifyAnswer(
        id=random_id("classify"),
        created=int(time.time()),
        model=_name(body, models),
        data=[ClassifyScore(index=index, probs=[score]) for index, score in enumerate(scores)],
    )


@router.post("/pooling")
async def pooling(body: StepPoolingRequest, models: Models) -> PoolingAnswer:
    """Score each step of texts, or whole texts, for clients of vLLM."""
    model = models.select(body.model)
    if body.task == "classify" or (body.task is None and not model.has_steps):
        data: Sequence[list[float] | list[list[float]]] = [
            [score] for score in await _scores(body, body.texts(), models)
        ]
    else:
        activate = _is_activated(body.use_activation, models, body.model)
        rows = await model.step_scores(body.texts())
        data = [[[sigmoid(score) if activate else score] for score in row] for row in rows]
    return PoolingAnswer(
        id=random_id("pool"),
        created=int(time.time()),
        model=_name(body, models),
        data=[PoolingScore(index=index, data=one) for index, one in enumerate(data)],
    )


@router.post("/score")
@router.post("/v1/score")
async def score(body: PairsRequest, models: Models) -> PairsAnswer:
    """Score completions after their prompts."""
    scores = await _scores(body, body.texts(), models)
    return PairsAnswer(
        id=random_id("score"),
        created=int(time.time()),
        model=_name(body, models),
        data=[PairScore(index=index, score=one) for index, one in enumerate(scores)],
    )


@router.post("/rerank")
@router.post("/v1/rerank")
@router.post("/v2/rerank")
async def rerank(body: RerankRequest, models: Models) -> RerankAnswer:
    """Sort completions of a prompt by their scores."""
    scores = await _scores(body, [RequestedText(one, body.query) for one in body.documents], models)
    order = sorted(range(len(scores)), key=lambda index: -scores[index])[: body.top_n or None]
    results = [
        RerankResult(index=one, document=RerankDocument(text=body.documents[one]), relevance_score=scores[one])
        for one in order
    ]
    return RerankAnswer(id=random_id("rerank"), model=_name(body, models), results=results)


@router.post("/tokenize", response_model_exclude_none=True)
async def tokenize(body: TokenizeRequest, models: Models) -> TokenizeAnswer:
    """Return the tokens of a text as the model reads it, with BOS and EOS."""
    model = models.select(body.model)
    ids = await model.tokenize(RequestedText(body.messages or body.prompt or ""))
    texts = model.scorer.tokenizer.convert_ids_to_tokens(ids) if body.return_token_strs else None
    return TokenizeAnswer(count=len(ids), max_model_len=model.max_tokens or len(ids), tokens=ids, token_strs=texts)


@router.get("/v1/models")
async def models(models: Models) -> ModelCards:
    """List the served models."""
    created = int(time.time())
    cards = [
        ModelCard(id=one.name, root=one.name, created=created, max_model_len=one.max_tokens)
        for one in models.models.values()
    ]
    return ModelCards(data=cards)


def as_texts(given: TextInput) -> list[RequestedText]:
    """Return a text, texts, token ids, or lists of token ids as texts.

    Args:
        given: the field of a request.
    """
    if isinstance(given, str):
        return [RequestedText(given)]
    if ids := tuple(one for one in given if isinstance(one, int)):
        return [RequestedText(token_ids=ids)]
    return [
        RequestedText(one) if isinstance(one, str) else RequestedText(token_ids=tuple(one))
        for one in given
        if not isinstance(one, int)
    ]


async def _scores(
    body: PoolingRequest | PairsRequest | RerankRequest, texts: list[RequestedText], models: ServedModels
) -> list[float]:
    scores = await models.select(body.model).scores(texts)
    if not _is_activated(body.use_activation, models, body.model):
        return scores
    return [sigmoid(one) for one in scores]


def _is_activated(use_activation: bool | None, models: ServedModels, name: str | None) -> bool:
    return bool(use_activation) and not models.select(name).is_regression


def _name(body: DialectRequest, models: ServedModels) -> str:
    return body.model or models.select(None).name
