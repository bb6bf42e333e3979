"""Shapes in whole words, for annotations: `Scores` is a vector with one entry a score."""

from jaxtyping import Float, Int
from torch import Tensor

Scores = Float[Tensor, "score"]
PerItem = Float[Tensor, "item"]
PerPair = Float[Tensor, "pair"]
PerCandidate = Float[Tensor, "candidate"]
PerStep = Float[Tensor, "step"]
Scalar = Float[Tensor, ""]

PairIndex = Int[Tensor, "pair"]
CandidateIndex = Int[Tensor, "candidate"]
StepIndex = Int[Tensor, "step"]
ItemIndex = Int[Tensor, "item"]
Ranks = Int[Tensor, "candidate"]
Sizes = Int[Tensor, "list"]
