"""`check_estimate`: for each rule an estimate that breaks only this rule."""

from dataclasses import dataclass

import pytest
import torch

from rlhf_losses.feedback import Feedback, Labels, Pairs, Rankings, Ratings, Steps, Votes
from rlhf_losses.testing import check_estimate
from rlhf_losses.transforms import ScoreEstimate


@dataclass(frozen=True)
class Distance(ScoreEstimate):
    """Distance from the mean vector."""

    scale: float = 1.0

    def fit(self, evidence):
        sums = [(batch.features.sum(0), len(batch.features)) for batch in evidence]
        return {"mean": sum(total for total, _ in sums) / sum(count for _, count in sums)}

    def predict(self, texts, fitted):
        return self.scale * (texts.features - fitted["mean"]).norm(dim=1)


class WithoutDecorator(Distance):
    """Lacks the decorator."""


@dataclass(frozen=True)
class WithoutDocstring(Distance):
    __doc__ = ""


@dataclass(frozen=True)
class TupleOption(Distance):
    """Has an option that is neither a number nor a string."""

    powers: tuple[int, ...] = (1, 2)


@dataclass(frozen=True)
class FitsInteger(Distance):
    """Fits a number that is not a tensor."""

    def fit(self, evidence):
        return super().fit(evidence) | {"count": 3}


@dataclass(frozen=True)
class FitsInfinity(Distance):
    """Fits a tensor that is not finite."""

    def fit(self, evidence):
        return {"mean": super().fit(evidence)["mean"] / 0}


@dataclass(frozen=True)
class PredictsColumn(Distance):
    """Predicts a column."""

    def predict(self, texts, fitted):
        return (texts.features - fitted["mean"]).norm(dim=1, keepdim=True)


@dataclass(frozen=True)
class PredictsDouble(Distance):
    """Predicts in float64."""

    def predict(self, texts, fitted):
        return (texts.features - fitted["mean"]).double().norm(dim=1)


@dataclass(frozen=True)
class Overflows(Distance):
    """Overflows far from the data."""

    def predict(self, texts, fitted):
        return (texts.features - fitted["mean"]).norm(dim=1).exp()


@dataclass(frozen=True)
class DependsOnBatch(Distance):
    """Compares a text with the others of its batch."""

    def predict(self, texts, fitted):
        distance = super().predict(texts, fitted)
        return distance - distance.sum()


@dataclass(frozen=True)
class MeanOfMeans(Distance):
    """Gives every batch the same weight."""

    def fit(self, evidence):
        return {"mean": torch.stack([batch.features.mean(0) for batch in evidence]).mean(0)}


@dataclass(frozen=True)
class LastBatch(Distance):
    """Fits the last batch only."""

    def fit(self, evidence):
        return {"mean": [batch.features.mean(0) for batch in evidence][-1]}


@dataclass(frozen=True)
class ChangesFeatures(Distance):
    """Changes the features in place."""

    def predict(self, texts, fitted):
        kept = texts.features.clone()
        features = texts.features
        features -= fitted["mean"]
        return (kept - fitted["mean"]).norm(dim=1)


@dataclass(frozen=True)
class IteratesTwice(Distance):
    """Iterates over the evidence twice, and finds nothing the second time."""

    def fit(self, evidence):
        count = sum(len(batch.features) for batch in evidence)
        return {"mean": sum(batch.features.sum(0) for batch in evidence) / count}


@pytest.mark.parametrize("source", [Feedback, Pairs, Rankings, Ratings, Labels, Steps, Votes])
def test_an_estimate_of_any_feedback_type_can_keep_the_contract(source):
    @dataclass(frozen=True)
    class Typed(Distance):
        """Has one feedback type."""

        feedback_type = source

        def fit(self, evidence):
            batches = list(evidence)
            assert all(isinstance(batch.feedback, Pairs if source is Feedback else source) for batch in batches)
            return super().fit(iter(batches))

    check_estimate(Typed(scale=2.0))


@pytest.mark.parametrize(
    ("estimate", "parts"),
    [
        (Distance, ["class", "check_estimate(Distance())"]),
        (WithoutDecorator(), ["Add @dataclass(frozen=True)"]),
        (WithoutDocstring(), ["WithoutDocstring has no docstring"]),
        (TupleOption(powers=(3,)), ["parses to an equal estimate", "tuple_option"]),
        (FitsInteger(), ["count is 3", "torch.tensor(value)"]),
        (FitsInfinity(), ["mean has numbers that are not finite"]),
        (PredictsColumn(), ["dtype torch.float32 and shape (7, 1)", "Return a float32 vector"]),
        (PredictsDouble(), ["dtype torch.float64 and shape (7,)", "Return a float32 vector"]),
        (Overflows(), ["inf", "Correct the formula for features far from the data"]),
        (DependsOnBatch(), ["in a batch and alone", "Use the tensors that fit returned"]),
        (MeanOfMeans(), ["in one batch", "Add over batches, and divide at the end"]),
        (LastBatch(), ["in one batch", "Add over batches, and divide at the end"]),
        (ChangesFeatures(), ["in place", "a = a - b"]),
        (IteratesTwice(), ["mean is 0.0", "not a tensor"]),
    ],
    ids=lambda one: None if isinstance(one, list) else getattr(one, "__name__", type(one).__name__),
)
def test_a_broken_rule_is_reported_with_observation_and_remedy(estimate, parts):
    with pytest.raises(AssertionError) as caught:
        check_estimate(estimate)
    assert " breaks a rule. " in str(caught.value)
    for part in parts:
        assert part in str(caught.value)
