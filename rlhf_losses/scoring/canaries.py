"""Canaries: fixed inputs whose recorded tokens and scores show that a loaded model is the model that was saved."""

import logging
import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.added_tokens import TextEnd
from rlhf_losses.data.rendering import render
from rlhf_losses.data.tokenization import encode
from rlhf_losses.errors import NonFiniteError, shown
from rlhf_losses.feedback.base import Answer, Messages, Text
from rlhf_losses.layouts import PaddedLayout
from rlhf_losses.models.architectures import max_context_length
from rlhf_losses.models.precision import scores_dtype, without_mixed_precision
from rlhf_losses.models.scores import score_batch

logger = logging.getLogger(__name__)

"""A plain text, or the messages of a conversation."""

CANARY_TEXT = "The canary sang a short song in the morning."
CANARY_TEXTS = (
    CANARY_TEXT,
    "No.",
    "I do not know, but 2 + 2 = 4.",
    "Once upon a time there was a girl who read books under a big tree.",
    "Question: What is the capital of France?\nAnswer: Paris.",
    "def f(x):\n    return x + 1",
    "1, 2, 3, 5, 8, 13",
    "Sorry, I cannot help with that.",
    "This is wonderful! Thank you so much, you are the best friend.",
    "The man was sad and cried alone in the dark.",
)
"""Texts of several kinds, so that their scores differ: changes are judged by the spread of these scores."""
CANARY_CONVERSATION: Messages = [
    {"role": "user", "content": "Which bird sang?"},
    {"role": "assistant", "content": "A canary."},
]

SPREAD_TOLERANCE = 1e-3
"""Tolerance in units of the standard deviation of the recorded scores."""

SMALLEST_TOLERANCE = 1e-4
"""Tolerance relative to the recorded scores: libraries and devices sum in different orders."""

ROUNDING_FACTOR = 32
"""Tolerance in units of the unit roundoff of a dtype, see `rounding_tolerance`."""

UNIT_ROUNDOFF = {
    "float64": 2.0**-53,
    "float32": 2.0**-24,
    "float16": 2.0**-11,
    "bfloat16": 2.0**-8,
    "8bit": 2.0**-7,
    "4bit": 0.75 / 32,
}
"""Largest relative error of rounding to a dtype; for quantized weights, values that fit the measured changes."""


QUANTIZED = ("4bit", "8bit")
"""Keys of `UNIT_ROUNDOFF` for quantized weights."""


@dataclass(frozen=True)
class Canary:
    """A fixed input, its tokens and its score.

    Attributes:
        input: a text, or the messages of a conversation.
        dtype: dtype in which the score was computed, for example `"float32"`; None if unknown.
        score: the recorded score.
        tokens: the token ids of the input; None in files of an earlier schema.
    """

    input: Text
    dtype: str | None
    score: float
    tokens: list[int] | None = None

    @property
    def form(self) -> str:
        """Return `"text"` or `"conversation"`."""
        return "text" if isinstance(self.input, str) else "conversation"


def record_canaries(model: nn.Module, tokenizer: PreTrainedTokenizerBase, end: TextEnd | None = None) -> list[Canary]:
    """Return the tokens and scores of the fixed texts and, if the tokenizer has a chat template, of a conversation.

    An input that is longer than the context of the model is skipped. So is the conversation if the chat template cannot
    render it, or inserts the current date.

    Args:
        model: a sequence classifier with one label.
        tokenizer: its tokenizer.
        end: how plain texts end; by default with EOS.

    Raises:
        NonFiniteError: a score is NaN or infinite.
    """
    inputs: list[Text] = [*CANARY_TEXTS, *([CANARY_CONVERSATION] if _renders_canary(tokenizer) else [])]
    config = getattr(model, "config", None)
    context = math.inf if config is None else max_context_length(config) or math.inf
    tokens = [(one, token_ids(one, tokenizer, end)) for one in inputs]
    fitting = [(one, ids) for one, ids in tokens if len(ids) <= context]
    scores = _scores(model, [ids for _, ids in fitting])
    for (one, _), score in zip(fitting, scores, strict=True):
        if not math.isfinite(score):
            raise NonFiniteError(
                f"The score of the text {shown(one)} is {score}, so this model is not written. Use an earlier "
                "checkpoint, and a lower learning rate."
            )
    dtype = scores_dtype(model)
    return [Canary(one, dtype, score, ids) for (one, ids), score in zip(fitting, scores, strict=True)]


def describe_change(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, canaries: Sequence[Canary], end: TextEnd | None = None
) -> str | None:
    """Return a description of the difference to the recorded model, or None if the model is the same.

    The tokens must be equal, and the root mean square of the differences of the scores within `allowed_difference`.

    Args:
        model: a sequence classifier with one label.
        tokenizer: its tokenizer.
        canaries: the recorded inputs.
        end: how plain texts end; by default with EOS.
    """
    tokens = [token_ids(one.input, tokenizer, end) for one in canaries]
    for canary, ids in zip(canaries, tokens, strict=True):
        if canary.tokens not in (None, ids):
            return (
                f"its canary {canary.form} has other tokens than were recorded, so its tokenizer or its chat template "
                "has changed"
            )
    if not canaries:
        return None
    recorded, current = torch.tensor([one.score for one in canaries]), torch.tensor(_scores(model, tokens))
    allowed = allowed_difference(recorded, scores_dtype(model), *(one.dtype for one in canaries))
    differences = (current - recorded).abs()
    if bool(_root_mean_square(differences) <= allowed):
        return None
    largest = int(differences.nan_to_num(torch.inf).argmax())
    changed = "its weights" if canaries[largest].tokens else "its weights, its tokenizer or its chat template"
    change = (
        f"the score of its canary {canaries[largest].form} is {current[largest]:z.4f}, but {recorded[largest]:z.4f} "
        f"was recorded, so {changed} have changed"
    )
    if (dtype := scores_dtype(model)) in QUANTIZED:
        change += f" (quantization to {dtype[0]} bits changes scores by at most {rounding_tolerance(dtype):z.0%})"
    elif canaries[largest].dtype == "4bit":
        change += " (its adapters were trained on 4-bit weights: pass quantization_config, or use save_merged)"
    return change


def allowed_difference(recorded: Tensor, *dtypes: str | None) -> float:
    r"""Return the largest root mean square of the differences to recorded scores.

    It is $\max(10^{-3} \sigma, \epsilon r)$ with the standard deviation $\sigma$ and the root mean square $r$ of the
    recorded scores, and $\epsilon$ from `rounding_tolerance`. In float32 the spread of the scores decides: a change
    that is small relative to their common level can still reorder them.

    Args:
        recorded: the recorded scores, shape (canary,).
        dtypes: names of the dtypes in which scores were computed; None is an unknown dtype, which counts as bfloat16.

    Examples:
        >>> round(allowed_difference(torch.tensor([-2.0, 2.0]), "float32"), 6)
        0.002
    """
    spread = float(recorded.double().std(correction=0))
    return max(SPREAD_TOLERANCE * spread, rounding_tolerance(*dtypes) * float(_root_mean_square(recorded.double())))


def rounding_tolerance(*dtypes: str | None) -> float:
    r"""Return the largest relative difference of scores that comes from rounding in several dtypes.

    It is $\max(10^{-4}, 32 u)$, where $u$ is the unit roundoff of the least precise dtype: 0.125 for bfloat16, 0.016
    for float16, 0.25 for weights of 8 bits and 0.75 for weights of 4 bits. Merging adapters into weights of a dtype
    rounds them, so it is within the tolerance. A new head changes scores by about their size; with 4 bits, only its
    hash shows it reliably.

    Args:
        dtypes: names of dtypes; None is an unknown dtype, which counts as bfloat16.

    Examples:
        >>> rounding_tolerance("float32", "float32"), rounding_tolerance("float32", "bfloat16")
        (0.0001, 0.125)
    """
    roundoff = max(UNIT_ROUNDOFF.get(dtype or "bfloat16", UNIT_ROUNDOFF["bfloat16"]) for dtype in dtypes)
    return max(SMALLEST_TOLERANCE, ROUNDING_FACTOR * roundoff)


def token_ids(text: Text, tokenizer: PreTrainedTokenizerBase, end: TextEnd | None = None) -> list[int]:
    """Return the token ids of a whole text or conversation."""
    return encode(render(Answer(None, (text,)), tokenizer, end=end), tokenizer).ids


@torch.no_grad()
def _scores(model: nn.Module, texts: Sequence[Sequence[int]]) -> list[float]:
    """Return the score at the end of each text, one forward pass each, in the dtype of the weights."""
    was_training = model.training
    model.eval()
    layout, device = PaddedLayout(pad_token_id=0), next(model.parameters()).device
    with without_mixed_precision(model):
        batches = [layout.batch([list(ids)], [0], [len(ids) - 1]).to(device) for ids in texts]
        scores = [score_batch(model, batch).item() for batch in batches]
    model.train(was_training)
    return scores


def _root_mean_square(values: Tensor) -> Tensor:
    return values.square().mean().sqrt()


def _renders_canary(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether the chat template renders the fixed conversation, independent of the date."""
    if not tokenizer.chat_template or "strftime_now" in str(tokenizer.chat_template):
        return False
    try:
        token_ids(CANARY_CONVERSATION, tokenizer)
    except Exception as error:  # a chat template is a program that can raise any error
        logger.warning(
            "The chat template cannot render a two-message test conversation (%r), so loading this model cannot detect "
            "a changed template. Fix the template and save the model again.",
            error,
        )
        return False
    return True
