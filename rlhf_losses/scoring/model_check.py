"""One check of a reward model, and what the checks have in common: the model, fixed texts and their scores."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor

from rlhf_losses.data.rendering import render
from rlhf_losses.data.tokenization import Encoded, encode
from rlhf_losses.errors import UnsupportedModelError
from rlhf_losses.feedback.base import Answer
from rlhf_losses.models.architectures import max_context_length
from rlhf_losses.scoring.canaries import CANARY_TEXTS, allowed_difference
from rlhf_losses.scoring.scorer import Scorer

State = Literal["passed", "failed", "noted", "not recorded", "skipped"]


@dataclass(frozen=True)
class ModelCheck:
    """The result of one check.

    Attributes:
        name: name of the check.
        state: `"passed"`, `"failed"`, `"noted"` for a property that is a fault for some texts only, `"not recorded"` if
            the folder has nothing to compare with, or `"skipped"` if the check does not apply to the model.
        found: the measured value, in words.
        remedy: what to do; empty unless the check failed.
    """

    name: str
    state: State
    found: str
    remedy: str = ""

    @classmethod
    def of(cls, name: str, passed: bool, found: str, remedy: str) -> "ModelCheck":
        """Return a check that passed or failed.

        Args:
            name: name of the check.
            passed: whether it passed.
            found: the measured value, in words.
            remedy: what to do if it failed.
        """
        return cls(name, "passed" if passed else "failed", found, "" if passed else remedy)


@dataclass(frozen=True)
class ExaminedModel:
    """A loaded reward model with the scores of fixed texts.

    Attributes:
        scorer: the model, in the padded layout.
        path: folder or Hub id.
        texts: fixed texts that fit into its context.
        scores: their raw scores in float64, shape (text,).
        pad_token_id: padding token in its configuration, before `Scorer` completes it.
    """

    scorer: Scorer
    path: str | Path
    texts: list[Encoded]
    scores: Tensor
    pad_token_id: int | None

    @classmethod
    def of(cls, scorer: Scorer, path: str | Path, pad_token_id: int | None) -> "ExaminedModel":
        """Score the fixed texts, each in its own forward pass.

        Raises:
            UnsupportedModelError: fewer than two of the texts fit into the context of the model.
        """
        tokenizer, limit = scorer.tokenizer, max_context_length(scorer.model.config)
        end = scorer.encoder.end_of_texts
        texts = [encode(render(Answer(None, (text,)), tokenizer, end=end), tokenizer) for text in CANARY_TEXTS]
        fitting = [text for text in texts if limit is None or len(text.ids) <= limit]
        if len(fitting) < 2:
            raise UnsupportedModelError(
                f"'{path}' has a context of {limit} tokens, and {len(fitting)} of {len(texts)} short texts fit into "
                "it, so its scores cannot be compared. Correct max_position_embeddings in config.json."
            )
        scores = torch.cat([raw_scores(scorer, [text]) for text in fitting])
        return cls(scorer, path, fitting, scores, pad_token_id)

    @property
    def spread(self) -> float:
        """Return the standard deviation of the scores of the fixed texts."""
        return float(self.scores.std(correction=0))

    @property
    def tolerance(self) -> float:
        """Return the largest difference between scores that are the same up to rounding in float32."""
        return allowed_difference(self.scores, "float32")

    def in_spreads(self, difference: float) -> str:
        """Return a difference of scores in units of their spread, as text."""
        return f"{difference / self.spread:.2g} of the spread" if self.spread else f"{difference:.2g}, spread 0"


def raw_scores(scorer: Scorer, texts: list[Encoded]) -> Tensor:
    """Return the raw score of each text at its last token, in float64, from one call of the scorer."""
    return torch.cat([part.scores[-1:] for part in scorer.score_parts(texts)])
