"""Contracts of score transforms and score estimates, which are computed from scores after training.

A transform replaces the score of a text by another score. An estimate computes a second number next to the score, for
example its standard deviation. Both are fitted after training; the model and its weights do not change.
"""

from abc import abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from enum import Flag, auto
from typing import ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from rlhf_losses.feedback import Feedback
from rlhf_losses.losses import AnyLoss
from rlhf_losses.losses.options import Expression
from rlhf_losses.shapes import Features, Scores

Fitted = Mapping[str, Tensor]
"""Tensors that `fit` returns, by name."""


class Requirement(Flag):
    """Inputs of a score transform besides the scores.

    Attributes:
        NONE: scores are enough.
        FEATURES: the input vectors of the score head.
        LENGTHS: the lengths of the answers.
        REFERENCE: tensors that `fit` returns for reference samples.
    """

    NONE = 0
    FEATURES = auto()
    LENGTHS = auto()
    REFERENCE = auto()


@dataclass(frozen=True)
class ScoredTexts:
    """Scores of texts, or of steps, with the other data that transforms and estimates use.

    All tensors are on the CPU: in float64 for transforms, in float32 for estimates.

    Attributes:
        scores: one score per text or step.
        features: input vector of the score head for each score; of width 0 if it is not required.
        lengths: number of tokens of the answer up to each score.
    """

    scores: Scores
    features: Features
    lengths: Float[Tensor, "score"]

    @staticmethod
    def concatenate(parts: "Sequence[ScoredTexts]") -> "ScoredTexts":
        """Concatenate several instances."""
        if not parts:
            return ScoredTexts(torch.empty(0), torch.empty(0, 0), torch.empty(0))
        return ScoredTexts(
            torch.cat([part.scores for part in parts]),
            torch.cat([part.features for part in parts]),
            torch.cat([part.lengths for part in parts]),
        )

    def with_feedback(self, feedback: Feedback) -> "Evidence":
        """Return the texts with feedback on their scores."""
        return Evidence(self.scores, self.features, self.lengths, feedback)


@dataclass(frozen=True)
class Evidence(ScoredTexts):
    """One batch of data that a transform or an estimate is fitted to.

    Attributes:
        feedback: feedback on the scores. For an estimate, it has the `feedback_type` of the estimate. Reference samples
            have none: an empty `Mixed`.
    """

    feedback: Feedback


@dataclass(frozen=True)
class ScoreTransform(Expression):
    """Base class of functions from the score of a text to another score.

    A transform is a frozen dataclass, as a loss is: its fields are its options, and its string form is a name with
    options. It holds no tensors and has no access to a model. It applies to the score of a whole text, after the
    aggregation of steps; where the scores of steps are requested, it applies to each of them.

    Attributes:
        requires: inputs besides the scores.
        monotone: whether the transformed score never decreases if the score increases, so that rankings are preserved.
    """

    requires: ClassVar[Requirement] = Requirement.NONE
    monotone: ClassVar[bool] = False

    def fit(self, evidence: Iterable[Evidence]) -> Fitted:
        """Return the tensors that `apply` uses, by name; none by default.

        Called only for transforms that require a reference.

        Args:
            evidence: batches of reference samples; can be iterated once.

        Returns:
            Scalars and vectors. `reward_model.json` stores them as numbers.

        Raises:
            InvalidFeedbackError: the samples do not determine the tensors.
        """
        return {}

    @abstractmethod
    def apply(self, texts: ScoredTexts, fitted: Fitted) -> Scores:
        """Return the transformed scores, one per score.

        The result for a text does not depend on the other texts.

        Args:
            texts: scores, with features and lengths if they are required.
            fitted: the tensors that `fit` returned.
        """

    def affine(self, fitted: Fitted) -> tuple[float, float] | None:
        """Return scale and shift if the transform is `scale * score + shift`, else None.

        Args:
            fitted: the tensors that `fit` returned.
        """
        return None


@dataclass(frozen=True)
class ScoreEstimate(Expression):
    """Base class of a second number next to a score, for example its standard deviation or a quantile.

    An estimate is a frozen dataclass, as a loss is: its fields are its options, and its string form is a name with
    options. It holds no tensors and has no access to a model: the tensors that `fit` returns are saved with the model.

    Attributes:
        feedback_type: the feedback type that the estimate is fitted to.
        unit_is_score: whether the number has the unit of the scores, as a standard deviation has. An affine score
            transform then multiplies it by the absolute value of its scale.
    """

    feedback_type: ClassVar[type[Feedback]] = Feedback
    unit_is_score: ClassVar[bool] = True

    def require_loss(self, loss: AnyLoss) -> None:
        """Raise `UnsupportedModelError` if the estimate is not defined for models trained with `loss`."""

    @abstractmethod
    def fit(self, evidence: Iterable[Evidence]) -> Fitted:
        """Return the tensors that `predict` uses, by name.

        Args:
            evidence: batches of rows; can be iterated once, so that the features of all data need not fit into memory.
                An estimate that needs all of them at once collects them: `list(evidence)`.
        """

    @abstractmethod
    def predict(self, texts: ScoredTexts, fitted: Fitted) -> Scores:
        """Return one number per score.

        Args:
            texts: scores and features.
            fitted: the tensors that `fit` returned.
        """
