"""Tensor shapes for annotations: `Scores` is a float vector with one entry per score."""

from typing import TypeAlias

from jaxtyping import Float, Int, Shaped
from torch import Tensor

Scores: TypeAlias = Float[Tensor, "score"]
Features: TypeAlias = Float[Tensor, "score feature"]
PerItem: TypeAlias = Float[Tensor, "item"]
LabelledScores: TypeAlias = Float[Tensor, "item 2"]
Moments: TypeAlias = Float[Tensor, "item moment"]
PerPair: TypeAlias = Float[Tensor, "pair"]
PerCandidate: TypeAlias = Float[Tensor, "candidate"]
PerStep: TypeAlias = Float[Tensor, "step"]
Scalar: TypeAlias = Float[Tensor, ""]

ScoreIndex: TypeAlias = Int[Tensor, "score"]
PairIndex: TypeAlias = Int[Tensor, "pair"]
CandidateIndex: TypeAlias = Int[Tensor, "candidate"]
StepIndex: TypeAlias = Int[Tensor, "step"]
ItemIndex: TypeAlias = Int[Tensor, "item"]
Ranks: TypeAlias = Int[Tensor, "candidate"]
Sizes: TypeAlias = Int[Tensor, "list"]

PerElement: TypeAlias = Shaped[Tensor, "element"]
ElementIndex: TypeAlias = Int[Tensor, "element"]
PerSegment: TypeAlias = Shaped[Tensor, "segment"]
SegmentIndex: TypeAlias = Int[Tensor, "segment"]
