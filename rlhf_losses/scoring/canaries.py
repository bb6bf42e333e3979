"""Canaries: fixed inputs whose recorded scores show that a loaded model is the model that was saved."""

import logging
import math
from dataclasses import dataclass
from typing import TypeAlias

import torch
from torch import nn
from transformers import PreTrainedTokenizerBase

from rlhf_losses.data.rendering import render
from rlhf_losses.data.tokenization import Encoded, encode
from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.feedback.base import Answer, Messages
from rlhf_losses.layouts import PaddedLayout
from rlhf_losses.models.architectures import max_context_length
from rlhf_losses.models.scores import score_batch

logger = logging.getLogger(__name__)

Text: TypeAlias = str | Messages
"""A plain text, or the messages of a conversation."""

CANARY_TEXT = "The canary sang a short song in the morning."
CANARY_CONVERSATION: Messages = [
    {"role": "user", "content": "Which bird sang?"},
    {"role": "assistant", "content": "A canary."},
]

RELATIVE_TOLERANCE = {torch.float64: 1e-3, torch.float32: 1e-3, torch.float16: 5e-2, torch.bfloat16: 5e-2}
"""Largest difference of a score from the recorded score, divided by 1 + its absolute value, by parameter dtype."""


@dataclass(frozen=True)
class Canary:
    """A fixed input and its score.

    Attributes:
        input: a text, or the messages of a conversation.
        dtype: dtype of the model's parameters when the score was recorded, for example `"float32"`; None if unknown.
        score: the recorded score.
    """

    input: Text
    dtype: str | None
    score: float


def record_canaries(model: nn.Module, tokenizer: PreTrainedTokenizerBase) -> list[Canary]:
    """Return the scores of the fixed text and, if the tokenizer has a chat template, of the fixed conversation.

    An input that is longer than the context of the model is skipped. So is the conversation if the chat template cannot
    render it, or inserts the current date.

    Args:
        model: a sequence classifier with one label.
        tokenizer: its tokenizer.
    """
    inputs: list[Text] = [CANARY_TEXT, CANARY_CONVERSATION] if _renders_canary(tokenizer) else [CANARY_TEXT]
    config = getattr(model, "config", None)
    context = math.inf if config is None else max_context_length(config) or math.inf
    return [record_canary(model, tokenizer, one) for one in inputs if len(_encode(one, tokenizer).ids) <= context]


def record_canary(model: nn.Module, tokenizer: PreTrainedTokenizerBase, text: Text = CANARY_TEXT) -> Canary:
    """Return the score of one input.

    Args:
        model: a sequence classifier with one label.
        tokenizer: its tokenizer.
        text: a text, or the messages of a conversation.
    """
    dtype = str(next(model.parameters()).dtype).removeprefix("torch.")
    return Canary(text, dtype, _score(model, _encode(text, tokenizer)))


def describe_change(model: nn.Module, tokenizer: PreTrainedTokenizerBase, canary: Canary) -> str | None:
    """Return a description of the difference between current and recorded score, or None if they agree.

    The tolerance is that of the less precise of two dtypes: the dtype of the model, and the dtype of the model whose
    score was recorded.

    Args:
        model: a sequence classifier with one label.
        tokenizer: its tokenizer.
        canary: the recorded score.
    """
    current = record_canary(model, tokenizer, canary.input)
    tolerance = max(_tolerance(current.dtype), _tolerance(canary.dtype or current.dtype))
    if abs(current.score - canary.score) <= tolerance * (1 + abs(canary.score)):
        return None
    form = "text" if isinstance(canary.input, str) else "conversation"
    return f"the score of its canary {form} is {current.score:.4f}, but {canary.score:.4f} was recorded"


def require_recorded_scores(
    model: nn.Module, tokenizer: PreTrainedTokenizerBase, canaries: list[Canary], source: str
) -> None:
    """Raise `UnsupportedModelError` if the model does not give the canaries their recorded scores.

    Args:
        model: a sequence classifier with one label.
        tokenizer: its tokenizer.
        canaries: recorded scores.
        source: name of the model in the message.
    """
    for canary in canaries:
        change = describe_change(model, tokenizer, canary)
        if change is not None:
            raise UnsupportedModelError(
                f"'{source}' is not the model that was saved: {change}. Its weights, its tokenizer or its chat "
                "template have changed. Save the model again, or download all files of its folder."
            )


@torch.no_grad()
def _score(model: nn.Module, encoded: Encoded) -> float:
    batch = PaddedLayout(pad_token_id=0).batch([encoded.ids], [0], [len(encoded.ids) - 1])
    was_training = model.training
    model.eval()
    score = score_batch(model, batch.to(next(model.parameters()).device)).item()
    model.train(was_training)
    return score


def _encode(text: Text, tokenizer: PreTrainedTokenizerBase) -> Encoded:
    return encode(render(Answer(None, (text,)), tokenizer), tokenizer)


def _renders_canary(tokenizer: PreTrainedTokenizerBase) -> bool:
    """Return whether the chat template renders the fixed conversation, independent of the date."""
    if not tokenizer.chat_template or "strftime_now" in str(tokenizer.chat_template):
        return False
    try:
        _encode(CANARY_CONVERSATION, tokenizer)
    except Exception as error:  # a chat template is a program that can raise any error
        logger.warning(
            "The chat template cannot render a two-message test conversation (%r), so loading this model cannot detect "
            "a changed template. Fix the template and save the model again.",
            error,
        )
        return False
    return True


def _tolerance(dtype: str | None) -> float:
    return RELATIVE_TOLERANCE.get(getattr(torch, dtype or "", torch.float32), max(RELATIVE_TOLERANCE.values()))
