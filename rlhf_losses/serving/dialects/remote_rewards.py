"""The dialect of this package, which `RemoteScorer` uses: prompts and completions, with an answer for each text."""

from typing import Any

from pydantic import BaseModel, Field

from rlhf_losses.errors import InvalidFeedbackError, RlhfLossesError
from rlhf_losses.serving.batching import Outcome
from rlhf_losses.serving.dialects.base import Conversation, DialectRequest, Models, dialect_router
from rlhf_losses.serving.error_answers import status_of
from rlhf_losses.serving.served_model import RequestedText

router = dialect_router("rlhf_losses")

COLUMNS = ("tools", "documents", "system", "chat_template_kwargs", "completion_cut_off")
"""Fields with one entry per completion."""


class RewardsRequest(DialectRequest):
    """Completions with their prompts.

    Attributes:
        completions: texts, conversations, or lists of steps.
        prompts: texts or conversations, one per completion, or none for whole texts.
        output: `score` for the score of each completion, or `steps` for the scores of its steps.
        fingerprint: not used for scores; see `RewardsAnswer`.
    """

    completions: list[str | list[str] | Conversation] = Field(examples=[["4", "5"]])
    prompts: list[str | Conversation | None] | None = Field(None, examples=[["2 + 2 = ", "2 + 2 = "]])
    output: str = Field("score", pattern="^(score|steps)$")
    tools: list[Any] | None = None
    documents: list[Any] | None = None
    system: list[str | None] | None = None
    chat_template_kwargs: list[dict[str, Any] | None] | None = None
    completion_cut_off: list[bool] | None = None

    def texts(self) -> list[RequestedText]:
        """Return the texts.

        Raises:
            InvalidFeedbackError: a field has not one entry per completion.
        """
        count = len(self.completions)
        fields = {"prompts": self.prompts, **{name: getattr(self, name) for name in COLUMNS}}
        for name, values in fields.items():
            if values is not None and len(values) != count:
                raise InvalidFeedbackError(
                    f"`{name}` has {len(values)} entries for {count} completions, but each completion has one. Send "
                    "one entry per completion, or leave the field out."
                )
        columns = {name: fields[name] for name in COLUMNS if fields[name] is not None}
        return [
            _text(completion, self.prompts[index] if self.prompts else None, {
                name: values[index] for name, values in columns.items() if values
            })
            for index, completion in enumerate(self.completions)
        ]  # fmt: skip


class RewardResult(BaseModel):
    """The score of a completion, the scores of its steps, or why it has none.

    Attributes:
        score: the score.
        steps: the scores of the steps.
        problem: why there is no score.
        status: HTTP status that belongs to the problem.
    """

    score: float | None = None
    steps: list[float] | None = None
    problem: str | None = None
    status: int | None = None


class RewardsAnswer(BaseModel):
    """One result per completion.

    Attributes:
        model: name of the model.
        fingerprint: changes when another model is served under this name.
        results: the results, in order.
    """

    model: str
    fingerprint: str
    results: list[RewardResult]


@router.post("/rewards", response_model_exclude_none=True)
async def rewards(body: RewardsRequest, models: Models) -> RewardsAnswer:
    """Score completions. A completion without a score does not affect the others."""
    model = models.select(body.model)
    whole = body.output == "score"
    outcomes = await model.outcomes(body.texts(), whole=whole)
    return RewardsAnswer(
        model=model.name, fingerprint=model.fingerprint, results=[_result(one, whole) for one in outcomes]
    )


def _text(completion: str | list[str] | Conversation, prompt: Any, columns: dict[str, Any]) -> RequestedText:
    if isinstance(completion, str):
        return RequestedText(completion, prompt, columns=columns)
    messages = [one for one in completion if isinstance(one, dict)]
    steps = tuple(one for one in completion if isinstance(one, str))
    return RequestedText(messages, prompt, steps=steps, columns=columns)


def _result(outcome: Outcome, whole: bool) -> RewardResult:
    if isinstance(outcome, RlhfLossesError):
        return RewardResult(problem=str(outcome), status=status_of(outcome))
    return RewardResult(score=outcome[0]) if whole else RewardResult(steps=list(outcome))
