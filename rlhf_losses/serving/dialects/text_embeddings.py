"""`/predict` of text-embeddings-inference, which `huggingface_hub.InferenceClient` calls."""

from typing import Any

from pydantic import BaseModel, Field

from rlhf_losses.errors import InvalidFeedbackError
from rlhf_losses.serving.dialects.base import DialectRequest, Models, ServedModels, dialect_router, sigmoid
from rlhf_losses.serving.served_model import RequestedText

router = dialect_router("text-embeddings-inference")


class PredictParameters(BaseModel):
    """Parameters of `InferenceClient.text_classification`.

    Attributes:
        function_to_apply: `none` for the score, the default, or `sigmoid`.
        top_k: largest number of labels; there is one.
    """

    function_to_apply: str | None = None
    top_k: int | None = None


class PredictRequest(DialectRequest):
    """Texts or pairs of texts.

    Attributes:
        inputs: a text; two texts, which are one pair of prompt and completion; or a list of lists of one or two texts.
        raw_scores: false for the sigmoid of the score; true, and nothing, for the score.
        truncate: not used: the model says what becomes of a text that is too long.
        parameters: see `PredictParameters`.
    """

    inputs: str | list[str] | list[list[str]] = Field(examples=[[["2 + 2 = ", "4"], ["2 + 2 = ", "5"]]])
    raw_scores: bool | None = None
    truncate: Any = None
    parameters: PredictParameters | None = None


class LabelledScore(BaseModel):
    """A score, and the name of the only label."""

    label: str = "reward"
    score: float


async def answer(body: PredictRequest, models: ServedModels) -> list[LabelledScore] | list[list[LabelledScore]]:
    """Return one list per text; for one text or one pair, its list alone.

    Args:
        body: the request.
        models: the models of the server.

    Raises:
        InvalidFeedbackError: an input is not one or two texts, or the function is unknown.
    """
    batch = _batch(body.inputs)
    activate = _is_activated(body)
    texts = [RequestedText(one[-1], one[0] if len(one) == 2 else None) for one in batch]
    scores = await models.select(body.model).scores(texts)
    labelled = [[LabelledScore(score=sigmoid(score) if activate else score)] for score in scores]
    is_batch = isinstance(body.inputs, list) and not (body.inputs and isinstance(body.inputs[0], str))
    return labelled if is_batch else labelled[0]


@router.post("/predict")
async def predict(body: PredictRequest, models: Models) -> list[LabelledScore] | list[list[LabelledScore]]:
    """Score texts for clients of text-embeddings-inference."""
    return await answer(body, models)


def _batch(inputs: str | list[str] | list[list[str]]) -> list[list[str]]:
    """Return the texts or pairs of a request; a list of texts is one pair."""
    batch = [[inputs]] if isinstance(inputs, str) else []
    for one in [inputs] if isinstance(inputs, list) and inputs and isinstance(inputs[0], str) else inputs:
        if isinstance(one, list):
            batch.append([str(text) for text in one])
    if wrong := next((one for one in batch if len(one) not in (1, 2)), None):
        raise InvalidFeedbackError(
            f"An input has {len(wrong)} texts, but a list of texts is one pair of prompt and completion. Send several "
            'texts as lists of one: [["a"], ["b"], ["c"]].'
        )
    if not all(batch):
        raise InvalidFeedbackError('An input has no text. Send [["a"]].')
    return batch


def _is_activated(body: PredictRequest) -> bool:
    function = body.parameters.function_to_apply if body.parameters else None
    if function not in (None, "none", "sigmoid"):
        raise InvalidFeedbackError(
            f"`function_to_apply` is {function!a:.40}, but this model has one label, whose softmax is always 1. Send "
            "'none' for the score, or 'sigmoid'."
        )
    return function == "sigmoid" or (function is None and body.raw_scores is False)
