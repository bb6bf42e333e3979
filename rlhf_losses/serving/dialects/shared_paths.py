"""Paths that several dialects share: `/` and `/classify`. The fields of a request tell the dialect."""

from typing import Any

from rlhf_losses.serving.dialects import openrlhf, sglang, slime, text_embeddings, vllm
from rlhf_losses.serving.dialects.base import Models, dialect_router

router = dialect_router("shared paths")


@router.post("/classify", response_model=None)
@router.post("/v1/classify", response_model=None)
async def classify(body: vllm.PoolingRequest | sglang.SglangClassifyRequest, models: Models) -> Any:
    """Score texts for clients of vLLM (`input` or `messages`) and SGLang (`text`)."""
    if isinstance(body, sglang.SglangClassifyRequest):
        return await sglang.answer_classify(body, models)
    return await vllm.answer_classify(body, models)


@router.post("/", response_model=None)
async def root(
    body: text_embeddings.PredictRequest | openrlhf.OpenRlhfRequest | slime.SlimeRequest, models: Models
) -> Any:
    """Score texts for clients of text-embeddings-inference (`inputs`), OpenRLHF (`query`) and slime (`prompt`)."""
    if isinstance(body, text_embeddings.PredictRequest):
        return await text_embeddings.answer(body, models)
    if isinstance(body, openrlhf.OpenRlhfRequest):
        return await openrlhf.answer(body, models)
    return await slime.answer(body, models)
