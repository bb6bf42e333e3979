"""The reward API of LLaMA-Factory (`reward_model_type: api`)."""

from pydantic import BaseModel, Field

from rlhf_losses.serving.dialects.base import DialectRequest, Models, dialect_router, random_id
from rlhf_losses.serving.served_model import RequestedText

router = dialect_router("LLaMA-Factory")


class ScoreEvaluationRequest(DialectRequest):
    """Full texts.

    Attributes:
        messages: the texts, with the chat template.
    """

    messages: list[str] = Field(examples=[["2 + 2 = 4"]])


class ScoreEvaluationAnswer(BaseModel):
    """The scores, in order."""

    id: str
    object: str = "score.evaluation"
    model: str
    scores: list[float]


@router.post("/v1/score/evaluation")
async def score_evaluation(body: ScoreEvaluationRequest, models: Models) -> ScoreEvaluationAnswer:
    """Score full texts for LLaMA-Factory. Its client ends the run at any refusal, so the texts wait for a place."""
    model = models.select(body.model)
    scores = await model.scores([RequestedText(text) for text in body.messages], patient=True)
    return ScoreEvaluationAnswer(id=random_id("scoreval"), model=body.model or model.name, scores=scores)
