"""`check_transform`: for each rule a transform that breaks only this rule."""

from dataclasses import dataclass

import pytest
import torch

from rlhf_losses.testing import check_transform
from rlhf_losses.transforms import Clip, Requirement, ScoreTransform, Standardize


@dataclass(frozen=True)
class Centered(ScoreTransform):
    """Difference from the mean score of reference samples."""

    scale: float = 1.0

    requires = Requirement.REFERENCE
    monotone = True

    def fit(self, evidence):
        scores = torch.cat([batch.scores for batch in evidence])
        return {"mean": scores.mean()}

    def apply(self, texts, fitted):
        return self.scale * (texts.scores - fitted["mean"])

    def affine(self, fitted):
        return self.scale, -self.scale * fitted["mean"].item()


@dataclass(frozen=True)
class LengthCorrected(ScoreTransform):
    """Score without its linear dependence on the length, on reference samples."""

    requires = Requirement.REFERENCE | Requirement.LENGTHS

    def fit(self, evidence):
        batches = list(evidence)
        scores, lengths = (torch.cat([getattr(one, name) for one in batches]) for name in ("scores", "lengths"))
        centered = lengths - lengths.mean()
        return {"slope": (centered * scores).sum() / centered.square().sum()}

    def apply(self, texts, fitted):
        return texts.scores - fitted["slope"] * texts.lengths


@dataclass(frozen=True)
class WithoutDistance(ScoreTransform):
    """Score minus the distance of the features from their mean on reference samples."""

    requires = Requirement.REFERENCE | Requirement.FEATURES

    def fit(self, evidence):
        return {"mean": torch.cat([batch.features for batch in evidence]).mean(0)}

    def apply(self, texts, fitted):
        return texts.scores - (texts.features - fitted["mean"]).norm(dim=1)


class WithoutDecorator(Centered):
    """Lacks the decorator."""


@dataclass(frozen=True)
class WithoutDocstring(Centered):
    __doc__ = ""


@dataclass(frozen=True)
class TupleOption(Centered):
    """Has an option that is neither a number nor a string."""

    powers: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class FitsUndeclared(Centered):
    """Is fitted, but does not declare it."""

    requires = Requirement.NONE


@dataclass(frozen=True)
class FitsNothing(Clip):
    """Declares a reference, but is not fitted."""

    requires = Requirement.REFERENCE


@dataclass(frozen=True)
class FitsFloat(Centered):
    """Fits a number that is not a tensor."""

    def fit(self, evidence):
        return {"mean": super().fit(evidence)["mean"].item()}


@dataclass(frozen=True)
class FitsInfinity(Centered):
    """Fits a tensor that is not finite."""

    def fit(self, evidence):
        return {"mean": super().fit(evidence)["mean"] / 0}


@dataclass(frozen=True)
class FitsMatrix(Centered):
    """Fits a matrix."""

    def fit(self, evidence):
        return {"mean": super().fit(evidence)["mean"].reshape(1, 1)}


@dataclass(frozen=True)
class ChangesScores(Centered):
    """Changes the scores in place."""

    def apply(self, texts, fitted):
        scores = texts.scores
        scores -= fitted["mean"]
        return self.scale * scores


@dataclass(frozen=True)
class ReturnsColumn(Centered):
    """Returns a column."""

    def apply(self, texts, fitted):
        return super().apply(texts, fitted).unsqueeze(1)


@dataclass(frozen=True)
class ReturnsFloat32(Centered):
    """Returns float32."""

    def apply(self, texts, fitted):
        return super().apply(texts, fitted).float()


@dataclass(frozen=True)
class Overflows(ScoreTransform):
    """Overflows for large scores."""

    def apply(self, texts, fitted):
        return (texts.scores * 10).exp()


@dataclass(frozen=True)
class DependsOnBatch(ScoreTransform):
    """Compares a text with the others of its batch."""

    def apply(self, texts, fitted):
        return texts.scores - texts.scores.mean() if len(texts.scores) else texts.scores


@dataclass(frozen=True)
class DependsOnOrder(ScoreTransform):
    """Adds the index of the text to its score."""

    def apply(self, texts, fitted):
        return texts.scores + torch.arange(len(texts.scores))


@dataclass(frozen=True)
class MeanOfMeans(Centered):
    """Gives every batch the same weight."""

    def fit(self, evidence):
        return {"mean": torch.stack([batch.scores.mean() for batch in evidence]).mean()}


@dataclass(frozen=True)
class LengthsUndeclared(LengthCorrected):
    """Uses lengths, but does not declare it."""

    requires = Requirement.REFERENCE


@dataclass(frozen=True)
class FeaturesUndeclared(ScoreTransform):
    """Uses features, but does not declare it."""

    def apply(self, texts, fitted):
        return texts.scores + texts.features[:, 0]


@dataclass(frozen=True)
class Squares(ScoreTransform):
    """Declares that it is monotone, but is not."""

    monotone = True

    def apply(self, texts, fitted):
        return texts.scores.square()


@dataclass(frozen=True)
class WrongShift(Centered):
    """Returns a shift that is not the one of `apply`."""

    def affine(self, fitted):
        return self.scale, 0.5


@pytest.mark.parametrize(
    "transform",
    [Standardize(), Clip(), Clip(limit=0.25), Centered(scale=2.0), LengthCorrected(), WithoutDistance()],
    ids=str,
)
def test_transforms_that_keep_the_contract_pass(transform):
    check_transform(transform)


@pytest.mark.parametrize(
    ("transform", "parts"),
    [
        (Centered, ["class", "check_transform(Centered())"]),
        (WithoutDecorator(), ["Add @dataclass(frozen=True)"]),
        (WithoutDocstring(), ["WithoutDocstring has no docstring"]),
        (TupleOption(powers=(3,)), ["parses to an equal transform", "tuple_option"]),
        (FitsUndeclared(), ["Requirement.NONE", "mean", "Add Requirement.REFERENCE"]),
        (FitsNothing(), ["Requirement.REFERENCE", "remove it"]),
        (FitsFloat(), ["not a tensor", "torch.tensor(value)"]),
        (FitsInfinity(), ["mean has numbers that are not finite"]),
        (FitsMatrix(), ["mean has the shape (1, 1)", "ScoreEstimate"]),
        (ChangesScores(), ["in place", "a = a - b"]),
        (ReturnsColumn(), ["shape (7, 1)", "Return a vector like texts.scores"]),
        (ReturnsFloat32(), ["dtype torch.float32", "Return a vector like texts.scores"]),
        (Overflows(), ["inf", "Correct the formula for large scores"]),
        (DependsOnBatch(), ["in a batch and alone", "Use the tensors that fit returned"]),
        (DependsOnOrder(), ["in a batch and alone", "Use the tensors that fit returned"]),
        (MeanOfMeans(), ["in one batch", "Combine the batches before dividing"]),
        (LengthsUndeclared(), ["change of the lengths", "Add Requirement.LENGTHS"]),
        (FeaturesUndeclared(), ["change of the features", "Add Requirement.FEATURES"]),
        (Squares(), ["has the result", "Set monotone = False"]),
        (WrongShift(), ["(1.0, 0.5)", "Correct affine, or return None"]),
    ],
    ids=lambda one: None if isinstance(one, list) else getattr(one, "__name__", type(one).__name__),
)
def test_a_broken_rule_is_reported_with_observation_and_remedy(transform, parts):
    with pytest.raises(AssertionError) as caught:
        check_transform(transform)
    assert " breaks a rule. " in str(caught.value)
    for part in parts:
        assert part in str(caught.value)
