"""The remote reward of OpenRLHF (`--reward.remote_url`)."""

from typing import Any

from pydantic import BaseModel, Field

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.serving.dialects.base import DialectRequest, Models, ServedModels, dialect_router
from rlhf_losses.serving.served_model import RequestedText

router = dialect_router("OpenRLHF")


class OpenRlhfRequest(DialectRequest):
    """Full texts, each with its prompt.

    Attributes:
        query: prompts with their answers, one or more.
        prompts: the prompts, or none.
        labels: not used for scores.
    """

    query: str | list[str] = Field(examples=[["2 + 2 = 4"]])
    prompts: str | list[Any] | None = Field(None, examples=[["2 + 2 = "]])
    labels: Any = None


class OpenRlhfAnswer(BaseModel):
    """The scores, under the names that OpenRLHF reads."""

    rewards: list[float]
    scores: list[float]
    extra_logs: dict[str, list[float]] = {}


async def answer(body: OpenRlhfRequest, models: ServedModels) -> OpenRlhfAnswer:
    """Return the answer to a request.

    Args:
        body: the request.
        models: the models of the server.

    Raises:
        InvalidFeedbackError: the numbers of texts and prompts differ.
    """
    queries = [body.query] if isinstance(body.query, str) else body.query
    prompts = [body.prompts] if isinstance(body.prompts, str) else body.prompts or [None] * len(queries)
    if len(prompts) != len(queries):
        raise InvalidFeedbackError(
            f"`prompts` has {len(prompts)} entries for {len(queries)} texts in `query`, but each text has one. Send "
            "one per text, or leave `prompts` out."
        )
    texts = [_text(query, prompt) for query, prompt in zip(queries, prompts, strict=True)]
    scores = await models.select(body.model).scores(texts)
    return OpenRlhfAnswer(rewards=scores, scores=scores)


@router.post("/get_reward")
async def get_reward(body: OpenRlhfRequest, models: Models) -> OpenRlhfAnswer:
    """Score full texts for OpenRLHF."""
    return await answer(body, models)


def _text(query: str, prompt: Any) -> RequestedText:
    """Return a text with its prompt apart, which can be truncated; prompts in another form are in the text."""
    if isinstance(prompt, str) and prompt and query.startswith(prompt):
        return RequestedText(query[len(prompt) :], prompt)
    return RequestedText(query)
