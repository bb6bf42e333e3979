"""SGLang with `--is-embedding`, and the embeddings of OpenAI: the only number of an embedding is the score."""

import base64
import struct
from typing import Literal

from pydantic import BaseModel, Field

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.serving.dialects.base import DialectRequest, Models, ServedModels, dialect_router, random_id
from rlhf_losses.serving.dialects.vllm import Usage, as_texts
from rlhf_losses.serving.served_model import RequestedText

router = dialect_router("SGLang")


class SglangClassifyRequest(DialectRequest):
    """Full texts.

    Attributes:
        text: one text or several.
    """

    text: str | list[str] = Field(examples=[["2 + 2 = 4", "2 + 2 = 5"]])


class SglangMeta(BaseModel):
    """Facts about a text."""

    id: str
    finish_reason: None = None
    prompt_tokens: int = 0
    cached_tokens: int = 0


class SglangScore(BaseModel):
    """A score, in a list of one."""

    embedding: list[float]
    meta_info: SglangMeta


class EmbeddingsRequest(DialectRequest):
    """Full texts.

    Attributes:
        input: a text, texts, token ids, or lists of token ids.
        encoding_format: `float`, or `base64` for float32 in little-endian order.
        dimensions: 1, or nothing.
    """

    input: str | list[str] | list[int] | list[list[int]] = Field(examples=["2 + 2 = 4"])
    encoding_format: Literal["float", "base64"] = "float"
    dimensions: int | None = None


class Embedding(BaseModel):
    """A score as an embedding."""

    object: str = "embedding"
    index: int
    embedding: list[float] | str


class EmbeddingsAnswer(BaseModel):
    """One embedding per text."""

    object: str = "list"
    model: str
    data: list[Embedding]
    usage: Usage = Usage()


async def answer_classify(body: SglangClassifyRequest, models: ServedModels) -> SglangScore | list[SglangScore]:
    """Return the score of a text, or a list of scores for a list.

    Args:
        body: the request.
        models: the models of the server.
    """
    texts = [body.text] if isinstance(body.text, str) else body.text
    scores = await models.select(body.model).scores([RequestedText(text) for text in texts])
    answers = [SglangScore(embedding=[score], meta_info=SglangMeta(id=random_id("classify"))) for score in scores]
    return answers[0] if isinstance(body.text, str) else answers


@router.post("/v1/embeddings")
async def embeddings(body: EmbeddingsRequest, models: Models) -> EmbeddingsAnswer:
    """Score texts for clients of SGLang and OpenAI."""
    if body.dimensions not in (None, 1):
        raise InvalidFeedbackError(
            f"`dimensions` is {body.dimensions}, but a score is one number. Send 1, or leave the field out."
        )
    model = models.select(body.model)
    scores = await model.scores(as_texts(body.input))
    data = [
        Embedding(index=index, embedding=_base64(score) if body.encoding_format == "base64" else [score])
        for index, score in enumerate(scores)
    ]
    return EmbeddingsAnswer(model=body.model or model.name, data=data)


def _base64(score: float) -> str:
    return base64.b64encode(struct.pack("<f", score)).decode()
