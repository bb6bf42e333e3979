"""Shapes in whole words, for annotations: `Scores` is a vector with one entry a score."""

from typing import TypeAlias

from jaxtyping import Float, Int, Shaped
from torch import Tensor

Scores: TypeAlias = Float[Tensor, "score"]
Features: TypeAlias = Float[Tensor, "score feature"]
PerItem: TypeAlias = Float[Tensor, "item"]
Moments: TypeAlias = Float[Tensor, "item moment"]
PerPair: TypeAlias = Float[Tensor, "pair"]
PerCandidate: TypeAlias = Float[Tensor, "candidate"]
PerStep: TypeAlias = Float[Tensor, "step"]
Scalar: TypeAlias = Float[Tensor, ""]

PairIndex: TypeAlias = Int[Tensor, "pair"]
CandidateIndex: TypeAlias = Int[Tensor, "candidate"]
StepIndex: TypeAlias = Int[Tensor, "step"]
ItemIndex: TypeAlias = Int[Tensor, "item"]
Ranks: TypeAlias = Int[Tensor, "candidate"]
Sizes: TypeAlias = Int[Tensor, "list"]

PerMember: TypeAlias = Shaped[Tensor, "member"]
MemberIndex: TypeAlias = Int[Tensor, "member"]
PerGroup: TypeAlias = Shaped[Tensor, "group"]
GroupIndex: TypeAlias = Int[Tensor, "group"]
