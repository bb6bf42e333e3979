"""EstimateRegistry: what is fitted beside the score, from the vectors that the score head reads.

The model stays a plain classifier with one score.
"""

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import ClassVar, NamedTuple

from torch import Tensor

from rlhf_losses.feedback import Feedback
from rlhf_losses.losses import Loss
from rlhf_losses.losses.options import require_options, written
from rlhf_losses.shapes import Features, Scores


class Evidence(NamedTuple):
    """Some rows of data, as an estimate is fitted to them, in float32 on the CPU.

    `features` of shape (scores, width) are what the score head reads, `scores` what it makes of them, and `feedback`
    is of the kind that the estimate `reads`, on these scores.
    """

    features: Features
    scores: Scores
    feedback: Feedback


@dataclass(frozen=True)
class ScoreEstimate(ABC):
    """A number beside the score of a text, like how far it can be trusted.

    An estimate is mathematics, as a loss is: a frozen dataclass whose fields are its options and whose text is the call
    that makes it. It sees no model and holds no tensor: what `fit` returns is saved with the model, and comes back to
    `read` by name.
    """

    feedback_type: ClassVar[type[Feedback]] = Feedback  # type: ignore[type-abstract]
    """The kind of feedback that it is fitted to."""
    in_units_of_score: ClassVar[bool] = True
    """Whether it is a distance between scores, so that a standardised scorer divides it as it divides scores."""

    def __post_init__(self) -> None:
        require_options(self)

    @classmethod
    def name(cls) -> str:
        """Return the name in texts: the class in snake case.

        >>> ScoreEstimate.name()
        'estimate'
        """
        return re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", cls.__name__).lower()

    def require_loss(self, loss: Loss) -> None:  # noqa: B027 (most estimates take any model)
        """Raise `UnsupportedModelError` if a model that was trained with `loss` has no such estimate."""

    @abstractmethod
    def fit(self, evidence: Iterable[Evidence]) -> Mapping[str, Tensor]:
        """Return what is to be known for `read`, as tensors by name.

        `evidence` comes in batches of rows and can be gone through once, so that the features of all data need not fit
        into memory. An estimate that wants them all keeps them: `list(evidence)`.
        """

    @abstractmethod
    def read(self, features: Features, scores: Scores, **fitted: Tensor) -> Scores:
        """Return one number a score, of what `fit` returned."""

    def __str__(self) -> str:
        """Return the text that parses back to this estimate."""
        changed = {f.name: getattr(self, f.name) for f in fields(self) if getattr(self, f.name) != f.default}
        options = ", ".join(f"{name}={written(value)}" for name, value in changed.items())
        return f"{self.name()}({options})" if options else self.name()
